//! What the tests of the whole are made with: the databases, the gateway and the simulated targets
//! as real processes, clients for their APIs, and checkers for the vendors' schemas.
//!
//! The tests themselves stand in `tests/tests/`. They see the gateway from outside, as an identity
//! provider, an admin and a target do; a process is started from the binary that `tests/run` built
//! ([`process::binary`]).
//!
//! This is test code: what goes wrong here ends the test with a panic that says what was expected.

#![expect(clippy::panic, reason = "a harness reports by failing the test")]

pub mod admin;
pub mod browser;
pub mod db;
pub mod dice;
pub mod env;
pub mod exchange;
pub mod gateway;
pub mod graphql;
pub mod http_client;
pub mod openapi;
pub mod party;
pub mod player;
pub mod postgres;
pub mod process;
pub mod replay;
pub mod scim;
pub mod scim_server;
pub mod sim;
pub mod wait;

pub use admin::Admin;
pub use browser::Browser;
pub use db::{Database, Db, databases};
pub use dice::Dice;
pub use env::{facts, workspace};
pub use exchange::{Exchange, Recorder};
pub use gateway::Gateway;
pub use http_client::Answer;
pub use scim::Scim;
pub use sim::Sim;
pub use wait::wait_until;
