//! An instance's policy, as data.

use scim::dialect::{Dialect, Settings, auto};
use scim::resource::{AbsentActive, AbsentMembers};
use scim::{Quirk, QuirkSet, Quirks};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::brake::Brake;

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

/// What a comparison with the target repairs by itself (DECISIONS 23). Only what was asserted through
/// the gateway is ever repaired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Repair {
    /// Nothing: differences are reported.
    None,
    /// What should be gone is removed; giving access back is reported and takes one click.
    #[default]
    LessAccess,
    /// Access is given back, too.
    All,
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
    /// The client's dialect, by the name of one of [`Dialect::ALL`]; `auto` tells the client by its requests.
    pub dialect: String,
    /// Whether all leniencies are off: the RFCs to the letter.
    pub strict: bool,
    /// Leniencies that are off, by the names of [`Quirk::ALL`].
    pub quirks_off: Vec<String>,
    /// What a PUT of a user without `active` means; `None`: what it means in the dialect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub put_without_active: Option<AbsentActive>,
    /// What a PUT of a group without `members` means; `None`: what it means in the dialect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub put_without_members: Option<AbsentMembers>,
    /// Whether `groups` of a user change memberships; `None`: what the dialect has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups_via_users: Option<bool>,
    /// Whether the IdP may assign privileged roles (DECISIONS 29).
    pub allow_privileged: bool,
    /// The brake: how many losses at once are held until a person decides; `false` switches it off.
    pub brake: Brake,
    /// What a comparison with the target repairs by itself.
    pub repair: Repair,
    /// The most changes that may wait for the target; `None`: the default. Beyond it grants are refused with
    /// 503; deactivations and removals never are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_open_work: Option<u32>,
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
            dialect: auto::DIALECT.name.to_owned(),
            strict: false,
            quirks_off: Vec::new(),
            put_without_active: None,
            put_without_members: None,
            groups_via_users: None,
            allow_privileged: false,
            brake: Brake::default(),
            repair: Repair::default(),
            max_open_work: None,
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
        if self.max_open_work == Some(0) {
            return wrong("max_open_work", "must be at least 1: to accept nothing, disable the instance".to_owned());
        }
        if Dialect::by_name(&self.dialect).is_none() {
            let names: Vec<&str> = Dialect::ALL.iter().map(|dialect| dialect.name).collect();
            return wrong("dialect", format!("must be one of {}", names.join(", ")));
        }
        for (at, name) in self.quirks_off.iter().enumerate() {
            let field = format!("quirks_off[{at}]");
            match Quirk::by_name(name) {
                Some(quirk) if quirk.is_leniency() => {}
                Some(_) => return wrong(&field, format!("{name} cannot be switched off: the RFCs allow it")),
                None => {
                    let names: Vec<&str> = QuirkSet::leniencies().iter().map(Quirk::name).collect();
                    return wrong(&field, format!("must be one of {}", names.join(", ")));
                }
            }
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
        self.brake.limits().map_or(Ok(()), |limits| limits.check())
    }

    /// What a request may use of the leniencies, none used yet.
    pub fn quirks(&self) -> Quirks {
        if self.strict {
            return Quirks::strict();
        }
        Quirks::without(self.quirks_off.iter().filter_map(|name| Quirk::by_name(name)).collect())
    }

    /// The dialect that the admin named; `auto` if none.
    pub fn named_dialect(&self) -> &'static Dialect {
        Dialect::by_name(&self.dialect).unwrap_or(&auto::DIALECT)
    }

    /// What clients mean where they differ, as far as it is the admin's to say: by the dialect, and by the fields that
    /// stand above it. Whatever changes data goes by this.
    pub fn settings(&self) -> Settings {
        let dialect = self.named_dialect().settings;
        Settings {
            put_without_active: self.put_without_active.unwrap_or(dialect.put_without_active),
            put_without_members: self.put_without_members.unwrap_or(dialect.put_without_members),
            groups_via_users: self.groups_via_users.unwrap_or(dialect.groups_via_users),
            ..dialect
        }
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
                "reconcile_every_hours": 24, "dialect": "auto", "strict": false, "quirks_off": [],
                "allow_privileged": false, "repair": "less_access",
                "brake": {"accounts": 10, "percent": 10, "window_minutes": 60, "on_timeout": "hold", "timeout_hours": 24},
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
        check(&json!({"brake": {"accounts": 0, "percent": 100}}), None);
        check(
            &json!({"brake": {"window_minutes": 5, "on_timeout": "allow", "timeout_hours": 4,
                "exempt": {"people": ["ada@example.com"], "groups": ["Contractors"], "keys": ["k1"]}}}),
            None,
        );
        for dialect in Dialect::ALL {
            check(&json!({"dialect": dialect.name}), None);
        }
        for repair in ["none", "less_access", "all"] {
            check(&json!({ "repair": repair }), None);
        }
        let off: Vec<&str> = QuirkSet::leniencies().iter().map(Quirk::name).collect();
        check(&json!({"strict": true, "quirks_off": off}), None);
        check(&json!({"put_without_active": "false", "put_without_members": "keep", "groups_via_users": true}), None);
    }

    #[test]
    fn a_wrong_field_is_named() {
        check(&json!([]), Some("policy"));
        check(&json!("never"), Some("policy"));
        check(&json!({"adopt": "always"}), Some("adopt"));
        check(&json!({"adopt": null}), Some("adopt"));
        check(&json!({"adop": "never"}), Some("adop"));
        check(&json!({"strict": "yes"}), Some("strict"));
        check(&json!({"quirks_off": ["capitalised_op", "capitalized_op"]}), Some("quirks_off[1]"));
        check(&json!({"quirks_off": ["accept_json"]}), Some("quirks_off[0]"));
        check(&json!({"quirks_off": "capitalised_op"}), Some("quirks_off"));
        check(&json!({"put_without_active": "off"}), Some("put_without_active"));
        check(&json!({"put_without_members": "none"}), Some("put_without_members"));
        check(&json!({"groups_via_users": "yes"}), Some("groups_via_users"));
        check(&json!({"adopt_groups": "by_id"}), Some("adopt_groups"));
        check(&json!({"on_group_delete": "keep"}), Some("on_group_delete"));
        check(&json!({"list_unmanaged": 1}), Some("list_unmanaged"));
        check(&json!({"max_open_work": 0}), Some("max_open_work"));
        check(&json!({"max_open_work": -1}), Some("max_open_work"));
        check(&json!({"answer_within_ms": -1}), Some("answer_within_ms"));
        check(&json!({"answer_within_ms": 10_001}), Some("answer_within_ms"));
        check(&json!({"reconcile_every_hours": 0}), Some("reconcile_every_hours"));
        check(&json!({"reconcile_every_hours": 745}), Some("reconcile_every_hours"));
        check(&json!({"dialect": "klingon"}), Some("dialect"));
        check(&json!({"protected": "a"}), Some("protected"));
        check(&json!({"protected": ["a", " "]}), Some("protected[1]"));
        check(&json!({"protected": vec!["a"; 1_001]}), Some("protected"));
        check(&json!({"brake": true}), Some("brake"));
        check(&json!({"brake": "off"}), Some("brake"));
        check(&json!({"brake": {"account": 10}}), Some("brake"));
        check(&json!({"brake": {"percent": 101}}), Some("brake.percent"));
        check(&json!({"brake": {"window_minutes": 0}}), Some("brake.window_minutes"));
        check(&json!({"brake": {"timeout_hours": 0}}), Some("brake.timeout_hours"));
        check(&json!({"brake": {"on_timeout": "discard"}}), Some("brake"));
        check(&json!({"brake": {"exempt": {"people": ["a", " "]}}}), Some("brake.exempt.people[1]"));
        check(&json!({"repair": "more_access"}), Some("repair"));
        check(&json!({"repair": true}), Some("repair"));
    }

    #[test]
    fn the_dialect_decides_unless_a_field_stands_above_it() {
        let check = |policy: Value, active: AbsentActive, members: AbsentMembers, groups: bool| {
            let settings = Policy::parse(&policy).expect("a good policy").settings();
            let got = (settings.put_without_active, settings.put_without_members, settings.groups_via_users);
            assert_eq!(got, (active, members, groups), "{policy}");
        };
        use AbsentActive::{Keep, Off};
        check(json!({}), Keep, AbsentMembers::Empty, false);
        check(json!({"dialect": "aws_style"}), Off, AbsentMembers::Empty, false);
        check(json!({"dialect": "aws_style", "put_without_active": "keep"}), Keep, AbsentMembers::Empty, false);
        check(json!({"put_without_active": "false"}), Off, AbsentMembers::Empty, false);
        check(json!({"put_without_members": "keep"}), Keep, AbsentMembers::Keep, false);
        check(json!({"dialect": "sailpoint"}), Keep, AbsentMembers::Empty, false);
        check(json!({"dialect": "sailpoint", "groups_via_users": true}), Keep, AbsentMembers::Empty, true);
    }

    #[test]
    fn leniencies_go_one_by_one_or_all() {
        let quirks = |policy: Value| Policy::parse(&policy).expect("a good policy").quirks();
        assert_eq!(quirks(json!({})), Quirks::lenient());
        assert_eq!(quirks(json!({"strict": true})), Quirks::strict());
        let some = quirks(json!({"quirks_off": ["scim1_urn"]}));
        assert!(!some.allows(Quirk::Scim1Urn) && some.allows(Quirk::CapitalisedOp));
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
