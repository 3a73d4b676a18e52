//! The targets that scimgate speaks to: a folder each, with the same files in each.
//!
//! `mod.rs` kind and connector, `settings.rs`, `client.rs` calls and what their answers mean,
//! `accounts.rs`, `groups.rs`, and a README.md with what the target needs, can and cannot do.
//!
//! What a manifest can say needs no folder here: it is a file in `config/connectors` (package `declarative`).
//!
//! Invariant: a connector holds no state but caches that can be lost, and makes no decision that
//! the engine can make.

pub mod buildkite;
pub mod datadog;
pub mod github;
pub mod github_scim;
pub mod ldap;
pub mod linear;
pub mod manual;
pub mod scim;
mod shared;
pub mod slack;
pub mod sql;
pub mod tailscale;

use connector_sdk::Entry;
use declarative::{Format, Manifest};

/// Every connector that is built in, in the order of the catalogue; those made of manifests last.
pub fn builtin() -> Vec<Entry> {
    let mut all = vec![
        Entry::of::<github::GitHub>(),
        Entry::of::<buildkite::Buildkite>(),
        Entry::of::<sql::Sql>(),
        Entry::of::<linear::Linear>(),
        Entry::of::<scim::Scim>(),
        Entry::of::<ldap::Ldap>(),
        Entry::of::<github_scim::GitHubScim>(),
        Entry::of::<github_scim::GitHubEmu>(),
        Entry::of::<datadog::Datadog>(),
        Entry::of::<slack::Slack>(),
        Entry::of::<tailscale::Tailscale>(),
        Entry::of::<manual::Manual>(),
    ];
    all.extend(manifests().iter().filter_map(|manifest| manifest.entry().ok()));
    all
}

/// The texts of the manifests that are built in (`config/connectors`), by the name of their file.
pub const MANIFESTS: &[(&str, &str)] = &[
    ("gitlab.toml", include_str!("../../config/connectors/gitlab.toml")),
    ("gitlab_server.toml", include_str!("../../config/connectors/gitlab_server.toml")),
    ("grafana.toml", include_str!("../../config/connectors/grafana.toml")),
    ("jupyterhub.toml", include_str!("../../config/connectors/jupyterhub.toml")),
    ("pagerduty.toml", include_str!("../../config/connectors/pagerduty.toml")),
    ("sentry.toml", include_str!("../../config/connectors/sentry.toml")),
    ("terraform.toml", include_str!("../../config/connectors/terraform.toml")),
    ("cloudflare.toml", include_str!("../../config/connectors/cloudflare.toml")),
];

/// The manifests that are built in.
pub fn manifests() -> Vec<Manifest> {
    // A test reads each: one that is not sound never leaves the house.
    MANIFESTS.iter().filter_map(|(_, text)| Manifest::parse(text, Format::Toml).ok()).collect()
}
