//! Which client speaks behind a key, as far as its requests tell.
//!
//! What was seen is kept per key, in memory: two words of bits, and not for more keys than fit. After a restart the
//! client is recognised anew. A guess changes the form of answers and nothing else ([`Settings::harmless`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use engine::policy::Policy;
use moka::sync::Cache;
use scim::QuirkSet;
use scim::dialect::{Dialect, Evidence, Settings};

/// Keys that are remembered at most.
const KEYS: u64 = 10_000;

/// In which dialect a request is read.
#[derive(Clone, Copy, Debug)]
pub struct Spoken {
    /// The dialect.
    pub dialect: &'static Dialect,
    /// Whether it was told by the client's requests; else the policy names it.
    pub recognised: bool,
}

impl Spoken {
    /// The dialect that a policy names, `auto` if none.
    pub fn named(policy: &Policy) -> Self {
        Self { dialect: policy.named_dialect(), recognised: false }
    }

    /// The settings in force. What changes data is the policy's to say, whatever was recognised.
    pub fn settings(self, policy: &Policy) -> Settings {
        let own = if self.recognised { self.dialect.settings.harmless() } else { self.dialect.settings };
        Settings { group_patch: own.group_patch, answer_within_ms: own.answer_within_ms, ..policy.settings() }
    }

    /// As the operation records it.
    pub(crate) fn record(self) -> String {
        if self.recognised { format!("auto:{}", self.dialect.name) } else { self.dialect.name.to_owned() }
    }
}

#[derive(Default)]
struct Seen {
    signs: AtomicU64,
    used: AtomicU64,
}

/// What was seen of clients, by key.
pub struct Clients(Cache<String, Arc<Seen>>);

impl Default for Clients {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(KEYS).build())
    }
}

impl Clients {
    /// Adds to what is known of a key's client.
    pub fn learn(&self, key_id: &str, evidence: Evidence) {
        if evidence == Evidence::default() {
            return;
        }
        let seen = match self.0.get(key_id) {
            Some(seen) => seen,
            None => self.0.get_with(key_id.to_owned(), Arc::default),
        };
        seen.signs.fetch_or(evidence.signs, Ordering::Relaxed);
        seen.used.fetch_or(evidence.used.bits(), Ordering::Relaxed);
    }

    /// The client of a key, if it is told by now.
    pub fn dialect(&self, key_id: &str) -> Option<&'static Dialect> {
        let seen = self.0.get(key_id)?;
        let used = QuirkSet::from_bits(seen.used.load(Ordering::Relaxed));
        let dialect = Evidence { signs: seen.signs.load(Ordering::Relaxed), used }.dialect();
        (!dialect.is_auto()).then_some(dialect)
    }

    /// The dialect in which a key's requests are read.
    pub fn spoken(&self, key_id: &str, policy: &Policy) -> Spoken {
        let named = Spoken::named(policy);
        if !named.dialect.is_auto() {
            return named;
        }
        self.dialect(key_id).map_or(named, |dialect| Spoken { dialect, recognised: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scim::dialect::Sign;
    use scim::dialect::{GroupPatchAnswer, aws_style, entra};
    use scim::resource::AbsentActive;
    use serde_json::{Value, json};

    fn policy(value: &Value) -> Policy {
        Policy::parse(value).expect("a good policy")
    }

    fn seen(signs: &[Sign]) -> Evidence {
        let mut evidence = Evidence::default();
        signs.iter().for_each(|sign| evidence.see(*sign));
        evidence
    }

    #[test]
    fn what_was_seen_adds_up_per_key() {
        let clients = Clients::default();
        clients.learn("a", seen(&[Sign::GuidProbe]));
        clients.learn("b", seen(&[Sign::WithoutMembers]));
        assert_eq!((clients.dialect("a"), clients.dialect("b"), clients.dialect("c")), (None, None, None));
        clients.learn("a", seen(&[Sign::WithoutMembers]));
        assert_eq!(clients.dialect("a").map(|dialect| dialect.name), Some("entra"));
        assert_eq!(clients.dialect("b"), None);
        let spoken = clients.spoken("a", &policy(&json!({"dialect": "okta"})));
        assert_eq!((spoken.record().as_str(), spoken.recognised), ("okta", false));
        assert_eq!(clients.spoken("a", &Policy::default()).record(), "auto:entra");
        assert_eq!(clients.spoken("c", &Policy::default()).record(), "auto");
    }

    #[test]
    fn a_guess_shapes_answers_and_the_policy_decides_the_rest() {
        let check = |dialect, recognised, own: Value, active, group_patch| {
            let got = Spoken { dialect, recognised }.settings(&policy(&own));
            assert_eq!((got.put_without_active, got.group_patch), (active, group_patch), "{own}");
        };
        use AbsentActive::{Keep, Off};
        use GroupPatchAnswer::{Empty, Group};
        check(&entra::DIALECT, true, json!({}), Keep, Empty);
        check(&aws_style::DIALECT, true, json!({}), Keep, Group);
        check(&aws_style::DIALECT, true, json!({"put_without_active": "false"}), Off, Group);
        check(&aws_style::DIALECT, false, json!({"dialect": "aws_style"}), Off, Group);
        check(&entra::DIALECT, true, json!({"put_without_active": "false"}), Off, Empty);
    }
}
