//! The contract kit over every connector of the catalogue, each against its simulator.
//!
//! [`subjects`] says which connectors are played and how; [`Subject::play`] plays the kit over one. The tests,
//! `scimgate connector check` and `scimgate connector docs` all stand on it, so they cannot disagree.

pub mod check;
pub mod pages;
pub mod scaffold;
mod sim;
mod subjects;

pub use sim::{BASE, BuildError, Built, Sim, build};
pub use subjects::{PLAYED_FOR_REAL, Subject, subjects};
