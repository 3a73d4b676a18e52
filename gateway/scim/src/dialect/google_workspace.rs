//! Google Workspace's automatic provisioning of SAML apps: users only.
//!
//! Probes with `GET /Users?count=1`, synchronises every few hours, suspends and deletes after the days that the admin
//! chose. No request was captured, so it is not recognised. (Google Workspace admin help, automated user provisioning.)
use super::{Dialect, Settings};

/// The dialect.
pub const DIALECT: Dialect = Dialect {
    name: "google_workspace",
    title: "Google Workspace",
    recognition: "-",
    marks: &[],
    settings: Settings::DEFAULT,
};
