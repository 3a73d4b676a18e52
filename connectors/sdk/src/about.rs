//! What a connector's page in the docs says beside what can be read off its settings and traits.

use serde::Serialize;

use crate::transport::{Call, Step};

/// One call that a connector makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CallAbout {
    /// [`crate::Call::name`] or [`crate::Step::name`]. The contract kit holds the calls that were
    /// made against this list.
    pub name: &'static str,
    /// The HTTP method, or the protocol (`LDAP`, `SQL`).
    pub method: &'static str,
    /// The path with its parameters in braces (`/teams/{team}`; what the API stands below may be left
    /// out), the GraphQL field, or the operation.
    pub path: &'static str,
    /// What for.
    pub purpose: &'static str,
}

impl CallAbout {
    /// One call.
    pub const fn new(name: &'static str, method: &'static str, path: &'static str, purpose: &'static str) -> Self {
        Self { name, method, path, purpose }
    }

    /// Whether this call is the one declared here: name and method are, and the path ends as declared.
    /// Of GraphQL, which has one path for all, only the name is compared.
    pub fn covers(&self, call: &Call) -> bool {
        if self.name != call.name {
            return false;
        }
        call.graphql.is_some() || (call.method == *self.method && ends(call.url.path(), self.path))
    }

    /// Whether this step is the one declared here: name and protocol are.
    pub fn covers_step(&self, step: &Step) -> bool {
        self.name == step.name && self.method.eq_ignore_ascii_case(step.protocol)
    }
}

/// Whether a path ends with the segments of a template; a segment in braces is any one.
fn ends(path: &str, template: &str) -> bool {
    let template = template.split(['?', ' ']).next().unwrap_or_default().trim_matches('/');
    let mut path = path.trim_end_matches('/').rsplit('/');
    template.rsplit('/').all(|want| {
        path.next().is_some_and(|segment| segment == want || (want.starts_with('{') && !segment.is_empty()))
    })
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

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    #[test]
    fn a_declared_call_is_told_by_name_method_and_the_end_of_its_path() {
        let declared = CallAbout::new("get team", "GET", "/orgs/{org}/teams/{team}", "");
        for (name, method, url, covered) in [
            ("get team", Method::GET, "https://h.example/orgs/acme/teams/7", true),
            ("get team", Method::GET, "https://h.example/api/v3/orgs/acme/teams/7/?x=1", true),
            ("get team", Method::DELETE, "https://h.example/orgs/acme/teams/7", false),
            ("get it", Method::GET, "https://h.example/orgs/acme/teams/7", false),
            ("get team", Method::GET, "https://h.example/orgs/acme/teams", false),
            ("get team", Method::GET, "https://h.example/orgs/acme/teams/7/members", false),
            ("get team", Method::GET, "https://h.example/orgs//teams/7", false),
        ] {
            let call = Call::new(name, method, url::Url::parse(url).unwrap());
            assert_eq!(declared.covers(&call), covered, "{name} {url}");
        }
    }
}
