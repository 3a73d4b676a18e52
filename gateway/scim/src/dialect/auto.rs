//! No dialect was named: the client is told by its requests, and until then everything is as the RFCs have it.
use super::{Dialect, Settings};

/// The dialect.
pub const DIALECT: Dialect =
    Dialect { name: "auto", title: "any client", recognition: "-", marks: &[], settings: Settings::DEFAULT };
