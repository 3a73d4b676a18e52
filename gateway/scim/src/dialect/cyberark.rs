//! CyberArk Identity (formerly Idaptive).
//!
//! Checks with `GET /Users?count=1`, the service provider configuration, both resource types and both schemas by id.
//! Users by PUT, groups by PATCH. The calls are documented, bodies are not, so it is not recognised.
//! (identity-developer.cyberark.com, SCIM provisioning.)
use super::{Dialect, Settings};

/// The dialect.
pub const DIALECT: Dialect =
    Dialect { name: "cyberark", title: "CyberArk Identity", recognition: "-", marks: &[], settings: Settings::DEFAULT };
