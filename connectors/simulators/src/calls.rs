//! The ledger: every call of the target's own API, oldest first.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

/// So many calls are kept; beyond that the oldest go, so that a long soak has a bounded memory.
const KEPT: usize = 1_000_000;

/// One call, as `GET /_sim/calls` shows it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Call {
    /// Its number, from 1.
    pub(crate) n: u64,
    pub(crate) method: String,
    /// Path and query as sent.
    pub(crate) path: String,
    /// The answer's status; 0 while there is none, and for ever if the connection was dropped
    /// before the work.
    pub(crate) status: u16,
    /// When it arrived.
    pub(crate) at: Timestamp,
    /// Of a GraphQL call, what it asked for: `query organization`, `mutation teamCreate`. The path
    /// and method do not tell a read from a write there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) graphql: Option<String>,
}

/// What a GraphQL document in a body asks for: the kind of its first operation and the first field
/// of that; `None` if the body holds no such thing.
pub(crate) fn graphql(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let (head, selection) = body.get("query")?.as_str()?.split_once('{')?;
    let word = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').take(100).collect()
    };
    // A document may begin with its selection: that is a query.
    let kind = Some(word(head)).filter(|kind| !kind.is_empty()).unwrap_or_else(|| "query".to_owned());
    Some(format!("{kind} {}", word(selection)))
}

#[derive(Debug, Default)]
pub(crate) struct Calls {
    kept: VecDeque<Call>,
    arrived: u64,
}

impl Calls {
    /// Notes an arrival and gives its number.
    pub(crate) fn arrive(&mut self, method: &str, path: &str, graphql: Option<String>, at: Timestamp) -> u64 {
        self.arrived += 1;
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(Call {
            n: self.arrived,
            method: method.to_owned(),
            path: path.to_owned(),
            status: 0,
            at,
            graphql,
        });
        self.arrived
    }

    /// Notes how call `n` was answered.
    pub(crate) fn answered(&mut self, n: u64, status: u16) {
        let first = self.kept.front().map_or(n, |call| call.n);
        let index = n.checked_sub(first).and_then(|i| usize::try_from(i).ok());
        if let Some(call) = index.and_then(|i| self.kept.get_mut(i)) {
            call.status = status;
        }
    }

    /// The calls after number `after`.
    pub(crate) fn after(&self, after: u64) -> impl Iterator<Item = &Call> {
        self.kept.iter().filter(move |call| call.n > after)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(document: &str, want: Option<&str>) {
        let body = json!({ "query": document }).to_string();
        assert_eq!(graphql(body.as_bytes()).as_deref(), want, "{document}");
    }

    #[test]
    fn a_graphql_call_is_named_by_its_kind_and_first_field() {
        check("{ viewer { id } }", Some("query viewer"));
        check("query($o: ID!) { organization(slug: $o) { id } }", Some("query organization"));
        check("query Named { organization { id } }", Some("query organization"));
        check("mutation($i: In!) {\n teamCreate(input: $i) { id } }", Some("mutation teamCreate"));
        check("", None);
        check("query", None);
        assert_eq!(graphql(b"no JSON"), None);
        assert_eq!(graphql(br#"{"query": 7}"#), None);
    }
}
