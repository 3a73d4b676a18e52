//! The LDAP connector against a real slapd.

#![allow(clippy::print_stdout, reason = "the report is for people who run it")]
#![expect(clippy::panic, reason = "a test reports by failing")]

mod behaviour;
mod broken;
#[path = "../support/certificates.rs"]
mod certificates;
mod contract;
mod slapd;
mod world;
