//! Lists, filters, sorting, paging and large groups over HTTP, the whole router in process, on both databases.
//! Instances are paused, so nothing is sent anywhere. The numbers in comments are those of the SCIM checklist.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test ends with what it did not expect, and says what it left out"
)]

#[path = "../common/mod.rs"]
mod common;

mod cursors;
mod large;
mod lists;
mod place;
