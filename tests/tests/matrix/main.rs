//! Faults from outside, against the real binary: what clients, targets and networks do, and what has to be true
//! afterwards. docs/guarantees.md lists every fault with its test.

#![allow(clippy::panic, clippy::print_stderr, reason = "test code: helpers fail the test, and say what was measured")]

mod clients;
mod push;
mod stage;
mod targets;
