//! The gateway: everything that does I/O. The package's rooms are described in ARCHITECTURE.md.

// First, because its statements' macro is used everywhere.
#[macro_use]
pub mod store;

pub mod admin_api;
pub mod app;
pub mod auth;
pub mod cli;
pub mod clock;
pub mod config;
pub mod console;
pub mod driver;
pub mod guides;
pub mod inbound;
pub mod keys;
pub mod limits;
pub mod reconcile;
pub mod scim_api;
pub mod secrets;
pub mod server;
pub mod service;
pub mod telemetry;
pub mod transport;
