//! `kill -9` at the worst moments: what was acknowledged is at the target afterwards, and once.

#![allow(clippy::panic, clippy::print_stderr, reason = "test code: helpers fail the test, and say with which seed")]

mod events;
mod rounds;
mod stage;
mod windows;
