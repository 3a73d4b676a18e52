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
mod brake;
mod budgets;
mod by_hand;
mod coalescing;
mod doubts;
mod drift;
mod events;
mod faults;
mod journey;
mod late;
mod losses;
mod lost;
mod manifests;
mod odd;
mod panics;
mod races;
mod record;
mod replicas;
mod rig;
mod serial;
mod shell;
mod trial;
mod user_side;
mod worse;
