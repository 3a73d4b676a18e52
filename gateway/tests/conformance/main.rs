//! The RFCs, item by item: 7643, 7644, 9865, and 6750 and 9110 where they meet them.
//!
//! The name of a test begins with the numbers of the items that it holds (`c067_…`, `c082_c084_…`); what each number
//! asks stands in `docs/scim-conformance.md`, and `page` holds that page to these tests. Instances are paused, so
//! nothing is sent anywhere. Whatever meets the store runs on every database.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test ends with what it did not expect, and says what it skipped"
)]

#[path = "../common/mod.rs"]
mod common;

mod bulk;
mod crud;
mod cursor;
mod further;
mod page;
mod patch;
mod patch_values;
mod query;
mod query_filters;
mod schema;
mod schema_characteristics;
mod support;
mod transport;
mod versions_discovery_errors;
