//! Faults of storage and of the process itself (rows 21 to 29 and 32 to 39 of the fault matrix), a real binary at a
//! time; what can only be seen from inside stands in `gateway/src/store/tests/faults.rs`.

#![allow(clippy::panic, clippy::print_stderr, reason = "test code: helpers fail the test, and say what was measured")]

mod backup;
mod client;
mod disk;
mod limits;
mod postgres;
mod process;
mod secrets;

use std::time::Duration;

/// Bounds are for defects, not for measuring.
const BOUND: Duration = Duration::from_secs(90);
