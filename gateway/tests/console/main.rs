//! The console, whole router in process: what a browser would see and send.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test ends with what it did not expect, and says what it skipped"
)]

#[path = "../common/mod.rs"]
mod common;

mod browser;
mod builder;
mod colours;
mod contact;
mod decided;
mod handover;
mod instances;
mod live;
mod many;
mod members;
mod mended;
mod pages;
mod provider;
mod record;
mod sessions;
mod settings;
mod sign_in;
mod versions;
mod weight;
