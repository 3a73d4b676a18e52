//! The HTTP surfaces, whole router in process. Instances are paused, so nothing is sent anywhere.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test ends with what it did not expect, and says what it skipped"
)]

#[path = "../common/mod.rs"]
mod common;

mod admin;
mod announced;
mod bulk;
mod conditional;
mod decisions;
mod dialects;
mod events;
mod fuzz;
mod holds;
mod inbound;
mod manifests;
mod me;
mod people;
mod record;
mod schemas;
mod scim;
mod start;
mod support;
mod transport;
