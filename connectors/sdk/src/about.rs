//! What a connector's page in the docs says beside what can be read off its settings and traits.

use serde::Serialize;

/// One call that a connector makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CallAbout {
    /// [`crate::Call::name`] or [`crate::Step::name`]. The contract kit holds the calls that were
    /// made against this list.
    pub name: &'static str,
    /// The HTTP method, or the protocol (`LDAP`, `SQL`).
    pub method: &'static str,
    /// The path with its parameters in braces, the GraphQL field, or the operation.
    pub path: &'static str,
    /// What for.
    pub purpose: &'static str,
}

/// What a connector says of itself, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct About {
    /// What it does at the target, in two or three sentences.
    pub summary: &'static str,
    /// What it needs, a sentence each: the plan, the credential and its scopes, where to make it.
    pub needs: Vec<&'static str>,
    /// What it cannot do, a sentence each, with what happens instead.
    pub cannot: Vec<&'static str>,
    /// Every call it makes.
    pub calls: Vec<CallAbout>,
    /// What could not be confirmed from the vendor's documents, a sentence each.
    pub unverified: Vec<&'static str>,
    /// Where the vendor documents what it uses.
    pub sources: Vec<&'static str>,
}
