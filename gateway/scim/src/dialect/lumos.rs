//! Lumos: a generic SCIM connector that reads all users and groups as soon as it is connected.
//!
//! No request was captured, so it is not recognised.
use super::{Dialect, Settings};

/// The dialect.
pub const DIALECT: Dialect =
    Dialect { name: "lumos", title: "Lumos", recognition: "-", marks: &[], settings: Settings::DEFAULT };
