//! An instance's policy, as data.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// The dialects that can be named; `auto` tells a client by its habits.
pub const DIALECTS: [&str; 19] = [
    "auto",
    "entra",
    "okta",
    "onelogin",
    "auth0",
    "authentik",
    "aws_style",
    "conductorone",
    "cyberark",
    "google_workspace",
    "jumpcloud",
    "keycloak",
    "lumos",
    "pingfederate",
    "pingone",
    "pocket_id",
    "sailpoint",
    "saviynt",
    "zluri",
];

/// The longest time an answer may wait for the target, in milliseconds.
const MAX_ANSWER_WITHIN_MS: u32 = 10_000;
/// The longest time between two reconciliations, in hours.
const MAX_RECONCILE_HOURS: u32 = 24 * 31;
/// The most entries of `protected`, and the longest.
const MAX_PROTECTED: usize = 1_000;
const MAX_PROTECTED_LEN: usize = 320;

/// Who may adopt an account that exists at the target already (DECISIONS 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Adopt {
    /// Nobody.
    Never,
    /// The person whose name, login or address is the account's.
    #[default]
    ByUserName,
    /// The person for whose address or identity the target vouches.
    ByVerifiedEmail,
}

/// Who may adopt a group that exists at the target already (DECISIONS 7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdoptGroups {
    /// Nobody: a pushed "Owners" must not inherit that group's rights.
    #[default]
    Never,
    /// The group of that name.
    ByName,
}

/// What becomes of the target's group when the directory's is deleted (DECISIONS 7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnGroupDelete {
    /// It stays; the members we added leave it.
    Release,
    /// It is deleted, if we created it.
    #[default]
    Delete,
}

/// The brake, switched off: the only setting of it there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrakeOff;

impl Serialize for BrakeOff {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(false)
    }
}

impl<'de> Deserialize<'de> for BrakeOff {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Bool(false) => Ok(Self),
            _ => Err(serde::de::Error::custom("the brake is not built yet: leave it out, or set it to false")),
        }
    }
}

/// No repair of drift: the only setting of it there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepairNone;

impl Serialize for RepairNone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("none")
    }
}

impl<'de> Deserialize<'de> for RepairNone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(word) if word == "none" => Ok(Self),
            _ => Err(serde::de::Error::custom("repair is not built yet: leave it out, or set it to \"none\"")),
        }
    }
}

/// The policy of an instance. What is left out has its default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Who may adopt an existing account.
    pub adopt: Adopt,
    /// Who may adopt an existing group.
    pub adopt_groups: AdoptGroups,
    /// Whether accounts nobody asked for appear in lists (DECISIONS 1).
    pub list_unmanaged: bool,
    /// What becomes of a deleted group at the target.
    pub on_group_delete: OnGroupDelete,
    /// How long an answer may wait for the target, in milliseconds; 0 never waits (DECISIONS 8).
    pub answer_within_ms: u32,
    /// Accounts that are never suspended or removed: user names, logins or addresses.
    pub protected: Vec<String>,
    /// Hours between two comparisons with the target.
    pub reconcile_every_hours: u32,
    /// The client's dialect, one of [`DIALECTS`].
    pub dialect: String,
    /// Whether the IdP may assign privileged roles (DECISIONS 29).
    pub allow_privileged: bool,
    /// The brake; `None` where nothing was said about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brake: Option<BrakeOff>,
    /// Repair of drift; `None` where nothing was said about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repair: Option<RepairNone>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            adopt: Adopt::default(),
            adopt_groups: AdoptGroups::default(),
            list_unmanaged: false,
            on_group_delete: OnGroupDelete::default(),
            answer_within_ms: 2_000,
            protected: Vec::new(),
            reconcile_every_hours: 24,
            dialect: "auto".to_owned(),
            allow_privileged: false,
            brake: None,
            repair: None,
        }
    }
}

impl Policy {
    /// Reads and checks a policy that an admin gives; `null` is the default.
    ///
    /// # Errors
    /// The field that is wrong (`policy` for the whole) and, for the admin, why and what it may be.
    pub fn parse(value: &Value) -> Result<Self, (String, String)> {
        let fields = match value {
            Value::Null => return Ok(Self::default()),
            Value::Object(fields) => fields,
            _ => return Err(("policy".to_owned(), "must be an object".to_owned())),
        };
        // One field at a time, so that an error names its field.
        for (name, value) in fields {
            let mut alone = Map::new();
            alone.insert(name.clone(), value.clone());
            if let Err(error) = serde_json::from_value::<Self>(Value::Object(alone)) {
                return Err((name.clone(), error.to_string()));
            }
        }
        let policy: Self =
            serde_json::from_value(value.clone()).map_err(|error| ("policy".to_owned(), error.to_string()))?;
        policy.check()?;
        Ok(policy)
    }

    fn check(&self) -> Result<(), (String, String)> {
        let wrong = |field: &str, why: String| Err((field.to_owned(), why));
        if self.answer_within_ms > MAX_ANSWER_WITHIN_MS {
            return wrong("answer_within_ms", format!("must be at most {MAX_ANSWER_WITHIN_MS}: clients give up"));
        }
        if !(1..=MAX_RECONCILE_HOURS).contains(&self.reconcile_every_hours) {
            return wrong("reconcile_every_hours", format!("must be from 1 to {MAX_RECONCILE_HOURS}"));
        }
        if !DIALECTS.contains(&self.dialect.as_str()) {
            return wrong("dialect", format!("must be one of {}", DIALECTS.join(", ")));
        }
        if self.protected.len() > MAX_PROTECTED {
            return wrong("protected", format!("must have at most {MAX_PROTECTED} entries"));
        }
        for (at, entry) in self.protected.iter().enumerate() {
            // The entry is a person's name: the message tells its place, not its text.
            if entry.trim().is_empty() || entry.len() > MAX_PROTECTED_LEN {
                return wrong(
                    &format!("protected[{at}]"),
                    format!("must be a user name, login or address of 1 to {MAX_PROTECTED_LEN} bytes"),
                );
            }
        }
        Ok(())
    }

    /// Whether `protected` lists one of a person's names (user name, login, address). Compares
    /// without case and surrounding blanks.
    pub fn protects<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> bool {
        if self.protected.is_empty() {
            return false;
        }
        let fold = |text: &str| text.trim().to_lowercase();
        let names: Vec<String> = names.into_iter().map(fold).collect();
        self.protected.iter().any(|entry| names.contains(&fold(entry)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// `want`: the field that the error names, or `None` for a good policy, which must read back.
    fn check(value: &Value, want: Option<&str>) {
        let got = Policy::parse(value);
        match (&got, want) {
            (Ok(policy), None) => {
                let written = serde_json::to_value(policy).expect("serializes");
                assert_eq!(Policy::parse(&written).as_ref(), Ok(policy), "{value}");
            }
            (Err((field, why)), Some(want)) => {
                assert_eq!(field, want, "{value}: {why}");
                assert!(!why.is_empty(), "{value}");
            }
            _ => panic!("{value}: {got:?}, wanted {want:?}"),
        }
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        for empty in [json!(null), json!({})] {
            assert_eq!(Policy::parse(&empty), Ok(Policy::default()));
        }
        assert_eq!(
            serde_json::to_value(Policy::default()).expect("serializes"),
            json!({
                "adopt": "by_user_name", "adopt_groups": "never", "list_unmanaged": false,
                "on_group_delete": "delete", "answer_within_ms": 2000, "protected": [],
                "reconcile_every_hours": 24, "dialect": "auto", "allow_privileged": false,
            })
        );
    }

    #[test]
    fn good_policies_read_back() {
        for adopt in ["never", "by_user_name", "by_verified_email"] {
            check(&json!({ "adopt": adopt }), None);
        }
        check(
            &json!({"adopt_groups": "by_name", "on_group_delete": "release", "list_unmanaged": true,
                "answer_within_ms": 0, "protected": ["root@example.com"], "reconcile_every_hours": 1,
                "dialect": "entra", "allow_privileged": true, "brake": false, "repair": "none"}),
            None,
        );
        for dialect in DIALECTS {
            check(&json!({ "dialect": dialect }), None);
        }
    }

    #[test]
    fn a_wrong_field_is_named() {
        check(&json!([]), Some("policy"));
        check(&json!("never"), Some("policy"));
        check(&json!({"adopt": "always"}), Some("adopt"));
        check(&json!({"adopt": null}), Some("adopt"));
        check(&json!({"adop": "never"}), Some("adop"));
        check(&json!({"strict": true}), Some("strict"));
        check(&json!({"adopt_groups": "by_id"}), Some("adopt_groups"));
        check(&json!({"on_group_delete": "keep"}), Some("on_group_delete"));
        check(&json!({"list_unmanaged": 1}), Some("list_unmanaged"));
        check(&json!({"answer_within_ms": -1}), Some("answer_within_ms"));
        check(&json!({"answer_within_ms": 10_001}), Some("answer_within_ms"));
        check(&json!({"reconcile_every_hours": 0}), Some("reconcile_every_hours"));
        check(&json!({"reconcile_every_hours": 745}), Some("reconcile_every_hours"));
        check(&json!({"dialect": "klingon"}), Some("dialect"));
        check(&json!({"protected": "a"}), Some("protected"));
        check(&json!({"protected": ["a", " "]}), Some("protected[1]"));
        check(&json!({"protected": vec!["a"; 1_001]}), Some("protected"));
        check(&json!({"brake": true}), Some("brake"));
        check(&json!({"brake": {"accounts": 10}}), Some("brake"));
        check(&json!({"brake": "off"}), Some("brake"));
        check(&json!({"repair": "all"}), Some("repair"));
        check(&json!({"repair": "less_access"}), Some("repair"));
    }

    #[test]
    fn what_is_not_built_yet_says_so() {
        for value in [json!({"brake": {"percent": 5}}), json!({"repair": "all"})] {
            let (_, why) = Policy::parse(&value).expect_err("not built");
            assert!(why.contains("not built yet"), "{why}");
        }
    }

    #[test]
    fn protection_compares_without_case() {
        let policy = Policy::parse(&json!({"protected": [" Root@Example.com ", "ÖLLI"]})).expect("a good policy");
        assert!(policy.protects(["x", "root@example.COM"]));
        assert!(policy.protects(["ölli"]));
        assert!(!policy.protects(["root"]));
        assert!(!policy.protects([]));
        assert!(!Policy::default().protects([""]));
    }
}
