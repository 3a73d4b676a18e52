//! What calls cost, as data. A connector declares a tariff among its traits; the gateway charges
//! each call by it, shows it, and predicts by it. So no call can forget its cost.

use serde::Serialize;

use crate::limits::Charge;
use crate::transport::{Call, Graphql};

/// The rules by which a target's calls are charged. The first rule that matches a call is its price.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Tariff(Vec<Rule>);

/// One rule: which calls, and what each costs. Without a condition it matches every call; of several
/// conditions all must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// The call's name is one of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    names: Option<Vec<&'static str>>,
    /// The method is one of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    methods: Option<Vec<&'static str>>,
    /// The URL's path ends like this.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'static str>,
    /// It is a GraphQL operation of this kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    graphql: Option<Graphql>,
    /// It is a GraphQL operation of any kind.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    any_graphql: bool,
    charges: Vec<Charge>,
}

impl Rule {
    /// A rule for every call, which costs nothing.
    pub fn any() -> Self {
        Self::default()
    }

    /// Only calls of these names ([`Call::name`]).
    pub fn named(mut self, names: &[&'static str]) -> Self {
        self.names = Some(names.to_vec());
        self
    }

    /// Only these methods.
    pub fn method(mut self, methods: &[&'static str]) -> Self {
        self.methods = Some(methods.to_vec());
        self
    }

    /// Only calls whose path ends with these segments; `*` is any one segment:
    /// `orgs/*/invitations`. Ends, because an API may stand below a prefix.
    pub fn path(mut self, path: &'static str) -> Self {
        self.path = Some(path);
        self
    }

    /// Only GraphQL operations of that kind.
    pub fn graphql(mut self, kind: Graphql) -> Self {
        self.graphql = Some(kind);
        self
    }

    /// Only GraphQL operations, of any kind.
    pub fn any_graphql(mut self) -> Self {
        self.any_graphql = true;
        self
    }

    /// Adds what a call costs.
    pub fn charge(mut self, bucket: &'static str, units: u32) -> Self {
        self.charges.push(Charge { bucket, units });
        self
    }

    fn matches(&self, call: &Call) -> bool {
        self.names.as_ref().is_none_or(|names| names.contains(&call.name))
            && self.methods.as_ref().is_none_or(|methods| methods.iter().any(|method| call.method == **method))
            && self.path.is_none_or(|path| ends(call.url.path(), path))
            && self.graphql.is_none_or(|kind| call.graphql == Some(kind))
            && (!self.any_graphql || call.graphql.is_some())
    }
}

/// Whether a path ends with a pattern's segments.
fn ends(path: &str, pattern: &str) -> bool {
    let mut path = path.trim_end_matches('/').rsplit('/');
    pattern
        .rsplit('/')
        .all(|want| path.next().is_some_and(|segment| !segment.is_empty() && (want == "*" || want == segment)))
}

impl Tariff {
    /// A tariff of these rules, the first of which matches first.
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Self {
        Self(rules.into_iter().collect())
    }

    /// What a call costs; `None` where no rule speaks of it, which the contract kit takes for a
    /// mistake.
    pub fn price(&self, call: &Call) -> Option<&[Charge]> {
        self.0.iter().find(|rule| rule.matches(call)).map(|rule| rule.charges.as_slice())
    }

    /// All that a call is charged: by the tariff, and what the call itself says it costs beside.
    pub fn charges(&self, call: &Call) -> Vec<Charge> {
        let mut charges = self.price(call).unwrap_or_default().to_vec();
        charges.extend_from_slice(&call.charges);
        charges
    }

    /// The names of all buckets that are charged.
    pub fn buckets(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.0.iter().flat_map(|rule| rule.charges.iter().map(|charge| charge.bucket))
    }
}

/// What one step of the engine costs at a target, all its calls together: for predictions, and for
/// not beginning what a long window has no room for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepCost {
    /// The step, by the word that attempts record: `create`, `remove`, `add_member`.
    pub step: &'static str,
    /// How many calls it makes, looks beforehand included.
    pub calls: u32,
    /// Its charges.
    pub charges: Vec<Charge>,
}

impl StepCost {
    /// A step of so many calls that charges nothing yet.
    pub fn new(step: &'static str, calls: u32) -> Self {
        Self { step, calls, charges: Vec::new() }
    }

    /// Adds a charge.
    pub fn charge(mut self, bucket: &'static str, units: u32) -> Self {
        self.charges.push(Charge { bucket, units });
        self
    }
}

/// Which kind of operation a GraphQL document asks for: by its first word that is no comment.
pub(crate) fn kind_of(document: &str) -> Graphql {
    let first = document.lines().map(str::trim_start).find(|line| !line.is_empty() && !line.starts_with('#'));
    match first {
        Some(line) if line.starts_with("mutation") => Graphql::Mutation,
        _ => Graphql::Query,
    }
}

/// The methods that only read.
pub const READS: [&str; 3] = ["GET", "HEAD", "OPTIONS"];

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use serde_json::json;
    use url::Url;

    use super::*;

    fn call(name: &'static str, method: &str, url: &str) -> Call {
        Call::new(name, method.parse().unwrap(), Url::parse(url).unwrap())
    }

    #[test]
    fn the_first_rule_that_matches_is_the_price() {
        let tariff = Tariff::new([
            Rule::any().named(&["mint"]),
            Rule::any().graphql(Graphql::Mutation).charge("points", 5),
            Rule::any().any_graphql().charge("points", 1),
            Rule::any().method(&READS).charge("all", 1),
            Rule::any().method(&["POST"]).path("orgs/*/invitations").charge("all", 1).charge("invitations", 1),
            Rule::any().method(&["POST", "PUT"]).charge("all", 2),
        ]);
        let price = |call: &Call| -> Option<Vec<(&str, u32)>> {
            Some(tariff.price(call)?.iter().map(|charge| (charge.bucket, charge.units)).collect())
        };
        let base = "https://h.example";
        for (call, want) in [
            (call("mint", "POST", &format!("{base}/x")), Some(vec![])),
            (call("list", "GET", &format!("{base}/orgs/acme/invitations")), Some(vec![("all", 1)])),
            (
                call("invite", "POST", &format!("{base}/api/v3/orgs/acme/invitations")),
                Some(vec![("all", 1), ("invitations", 1)]),
            ),
            (
                call("invite", "POST", &format!("{base}/orgs/acme/invitations/?x=1")),
                Some(vec![("all", 1), ("invitations", 1)]),
            ),
            (call("other", "POST", &format!("{base}/orgs/invitations")), Some(vec![("all", 2)])),
            (call("other", "POST", &format!("{base}/orgs/acme/invitations/7")), Some(vec![("all", 2)])),
            (call("gone", "DELETE", &format!("{base}/orgs/acme")), None),
            (call("ask", "POST", base).graphql("query Q { a }", json!({})), Some(vec![("points", 1)])),
            (call("ask", "POST", base).graphql("{ a }", json!({})), Some(vec![("points", 1)])),
            (
                call("tell", "POST", base).graphql("\n # a comment\n  mutation M { a }", json!({})),
                Some(vec![("points", 5)]),
            ),
        ] {
            assert_eq!(price(&call), want, "{} {}", call.method, call.url);
        }
        let dear = call("list", "GET", base).charge("points", 7);
        let charges: Vec<_> = tariff.charges(&dear).iter().map(|charge| (charge.bucket, charge.units)).collect();
        assert_eq!(charges, [("all", 1), ("points", 7)]);
    }
}
