//! The HTTP surfaces, whole router in process. Instances are paused, so nothing is sent anywhere.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends with what it did not expect")]

mod admin;
mod fuzz;
mod scim;
mod start;
mod support;
