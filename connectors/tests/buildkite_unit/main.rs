//! How the Buildkite connector reads answers, one at a time, against a scripted target.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod accounts;
mod groups;
mod limits;
mod script;
