//! Zluri. Nothing is published about its requests, so it is not recognised.
use super::{Dialect, Settings};

/// The dialect.
pub const DIALECT: Dialect =
    Dialect { name: "zluri", title: "Zluri", recognition: "-", marks: &[], settings: Settings::DEFAULT };
