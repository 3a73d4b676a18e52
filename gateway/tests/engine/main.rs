//! The way of a change from acceptance to the target, in process: service functions, the driver,
//! real HTTP to a simulator.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test ends with what it did not expect, and says what it skipped"
)]

#[path = "../common/mod.rs"]
mod common;

mod adoption;
mod budgets;
mod events;
mod journey;
mod losses;
mod races;
mod replicas;
mod rig;
mod user_side;
