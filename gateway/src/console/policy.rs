//! The policy of an instance as a form: the few choices that change what happens to people.

use engine::policy::{Adopt, AdoptGroups, OnGroupDelete, Policy, Repair};
use scim::dialect::Dialect;
use serde_json::{Map, Value, json};

use super::form::{Choice, Errors, Field, Form, Sent};
use super::lenient;
use crate::service::types::Instance;

/// What stands in the fields.
struct Shown {
    adopt: String,
    adopt_groups: String,
    repair: String,
    on_group_delete: String,
    dialect: String,
    brake: String,
    accounts: String,
    percent: String,
    window: String,
    protected: String,
    every: String,
    within: String,
    list: String,
    privileged: String,
}

fn word(value: impl serde::Serialize) -> String {
    json!(value).as_str().unwrap_or_default().to_owned()
}

fn tick(on: bool) -> String {
    if on { "1".to_owned() } else { String::new() }
}

impl Shown {
    fn stored(policy: &Policy) -> Self {
        let usual = Policy::default();
        let limits = policy.brake.limits().or(usual.brake.limits());
        let number =
            |of: fn(&engine::brake::Limits) -> u32| limits.map(|limits| of(limits).to_string()).unwrap_or_default();
        Self {
            adopt: word(policy.adopt),
            adopt_groups: word(policy.adopt_groups),
            repair: word(policy.repair),
            on_group_delete: word(policy.on_group_delete),
            dialect: policy.dialect.clone(),
            brake: tick(policy.brake.limits().is_some()),
            accounts: number(|limits| limits.accounts),
            percent: number(|limits| limits.percent),
            window: number(|limits| limits.window_minutes),
            protected: policy.protected.join("\n"),
            every: policy.reconcile_every_hours.to_string(),
            within: policy.answer_within_ms.to_string(),
            list: tick(policy.list_unmanaged),
            privileged: tick(policy.allow_privileged),
        }
    }

    fn sent(sent: &Sent) -> Self {
        let text = |name: &str| sent.raw(&format!("policy.{name}")).to_owned();
        Self {
            adopt: text("adopt"),
            adopt_groups: text("adopt_groups"),
            repair: text("repair"),
            on_group_delete: text("on_group_delete"),
            dialect: text("dialect"),
            brake: text("brake"),
            accounts: text("accounts"),
            percent: text("percent"),
            window: text("window"),
            protected: text("protected"),
            every: text("reconcile_every_hours"),
            within: text("answer_within_ms"),
            list: text("list_unmanaged"),
            privileged: text("allow_privileged"),
        }
    }
}

/// What becomes of who is deactivated or deleted, as this connector does it.
pub(super) fn leaving(instance: &Instance) -> &'static str {
    use connector_sdk::{Kind, Removal, Suspend};
    let Ok(connector) = &instance.connector else { return "The connector cannot be used, so nothing is known of it." };
    let traits = connector.traits();
    match (traits.kind, traits.suspend, traits.removal) {
        (Kind::Group, ..) => {
            "This target has no accounts that scimgate manages: who is deactivated leaves every group."
        }
        (_, Suspend::Native, Removal::Gone) => {
            "Who is deactivated is suspended at the target; who is deleted is removed from it."
        }
        (_, Suspend::Native, Removal::Suspended) => {
            "Who is deactivated or deleted is suspended at the target, which deletes no accounts."
        }
        (_, Suspend::Removes, _) => {
            "The target cannot suspend: who is deactivated or deleted is removed from it, and invited again on return."
        }
    }
}

/// Adds the fields.
pub(super) fn fields<'a>(form: Form<'a>, instance: &Instance, sent: Option<&Sent>) -> Form<'a> {
    let shown = sent.map_or_else(|| Shown::stored(&instance.policy), Shown::sent);
    let vouches = instance.connector.as_ref().is_ok_and(|connector| connector.traits().verified_emails);
    let mut adopt = vec![
        Choice::new(
            &word(Adopt::ByUserName),
            "By user name, login or address (recommended)",
            "Somebody who has an account already keeps it.",
        ),
        Choice::new(
            &word(Adopt::Never),
            "Never",
            "Accounts that exist stay on their own; a person of the same name is told that the name is taken.",
        ),
    ];
    if vouches {
        adopt.insert(
            1,
            Choice::new(
                &word(Adopt::ByVerifiedEmail),
                "By verified address only",
                "Safer: the target vouches for the address.",
            ),
        );
    }
    let dialects = Dialect::ALL
        .iter()
        .map(|one| Choice::new(one.name, if one.name == "auto" { "Told by its requests" } else { one.name }, ""))
        .collect();
    let form = form
        .field(Field::radio("policy.adopt", "Take over accounts that exist", adopt).value(shown.adopt))
        .field(
            Field::radio(
                "policy.adopt_groups",
                "Take over groups that exist",
                vec![
                    Choice::new(
                        &word(AdoptGroups::Never),
                        "Never (recommended)",
                        "A pushed group of the same name is told that the name is taken.",
                    ),
                    Choice::new(
                        &word(AdoptGroups::ByName),
                        "By name",
                        "The pushed group becomes that group, with the rights it has there.",
                    ),
                ],
            )
            .value(shown.adopt_groups),
        )
        .field(
            Field::radio(
                "policy.repair",
                "When somebody changes the target by hand",
                vec![
                    Choice::new(
                        &word(Repair::LessAccess),
                        "Take access away again, report the rest (recommended)",
                        "What should be gone is removed; giving access back takes a click.",
                    ),
                    Choice::new(&word(Repair::None), "Report only", "Nothing is repaired by itself."),
                    Choice::new(
                        &word(Repair::All),
                        "Repair everything",
                        "Access that was taken by hand is given back, too.",
                    ),
                ],
            )
            .value(shown.repair),
        )
        .field(
            Field::check("policy.brake", "Hold mass removals until somebody here decides (recommended)")
                .hint("The brake: it stops an empty group in the directory from emptying the target.")
                .value(shown.brake),
        )
        .field(
            Field::number("policy.accounts", "People who may lose access within the window", 0, 1_000_000)
                .value(shown.accounts),
        )
        .field(
            Field::number("policy.percent", "Or this share of all, in percent", 0, 100)
                .hint("The larger of the two counts.")
                .value(shown.percent),
        )
        .field(
            Field::area("policy.protected", "Protected accounts", 3)
                .hint("User names, logins or addresses, one a line. They are never suspended or removed.")
                .value(shown.protected)
                .optional(),
        )
        .group(
            "Advanced policies",
            vec![
                Field::number("policy.window", "Window of the brake, in minutes", 1, 10_080).value(shown.window),
                Field::select("policy.dialect", "What the identity provider speaks", dialects).value(shown.dialect),
                Field::radio(
                    "policy.on_group_delete",
                    "When a group is deleted in the directory",
                    vec![
                        Choice::new(&word(OnGroupDelete::Delete), "Delete it at the target, if scimgate made it", ""),
                        Choice::new(
                            &word(OnGroupDelete::Release),
                            "Leave it there, without the members scimgate added",
                            "",
                        ),
                    ],
                )
                .value(shown.on_group_delete),
                Field::number("policy.reconcile_every_hours", "Hours between two comparisons with the target", 1, 744)
                    .value(shown.every),
                Field::number(
                    "policy.answer_within_ms",
                    "How long an answer may wait for the target, in milliseconds",
                    0,
                    10_000,
                )
                .value(shown.within),
                Field::check(
                    "policy.list_unmanaged",
                    "Show accounts nobody asked for in lists of the identity provider",
                )
                .value(shown.list),
                Field::check("policy.allow_privileged", "Let the identity provider assign privileged roles")
                    .value(shown.privileged),
            ],
        );
    lenient::fields(form, &instance.policy, sent)
}

/// The policy that was sent, as a change of the stored one.
pub(super) fn read(instance: &Instance, sent: &Sent) -> Result<Map<String, Value>, Errors> {
    let mut errors = Errors::default();
    let mut patch = Map::new();
    let text = |name: &str| sent.text(&format!("policy.{name}"));
    let mut number = |name: &str| match text(name).parse::<u32>() {
        Ok(number) => json!(number),
        Err(_) => {
            errors.add(&format!("policy.{name}"), "must be a whole number, 0 or more");
            Value::Null
        }
    };
    // The brake is one value of the policy: what has no field here is kept.
    let brake = match sent.ticked("policy.brake") {
        false => json!(false),
        true => {
            let mut brake = match json!(instance.policy.brake) {
                Value::Object(fields) => Value::Object(fields),
                _ => json!(engine::brake::Limits::default()),
            };
            brake["accounts"] = number("accounts");
            brake["percent"] = number("percent");
            brake["window_minutes"] = number("window");
            brake
        }
    };
    patch.insert("brake".to_owned(), brake);
    for name in ["reconcile_every_hours", "answer_within_ms"] {
        patch.insert(name.to_owned(), number(name));
    }
    for name in ["adopt", "adopt_groups", "repair", "on_group_delete", "dialect"] {
        if !text(name).is_empty() {
            patch.insert(name.to_owned(), json!(text(name)));
        }
    }
    for name in ["list_unmanaged", "allow_privileged"] {
        patch.insert(name.to_owned(), json!(sent.ticked(&format!("policy.{name}"))));
    }
    let protected: Vec<&str> = text("protected").lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    patch.insert("protected".to_owned(), json!(protected));
    lenient::read(sent, &mut patch, &mut errors);
    if errors.is_empty() { Ok(patch) } else { Err(errors) }
}

/// The field of the form that an error of the service is about: `policy.protected[3]` is the area's.
pub(super) fn field_name(name: &str) -> String {
    let name = name.split('[').next().unwrap_or(name);
    match name.strip_prefix("policy.brake.").or(name.strip_prefix("policy.")).unwrap_or(name) {
        "window_minutes" => "policy.window".to_owned(),
        "accounts" => "policy.accounts".to_owned(),
        "percent" => "policy.percent".to_owned(),
        _ => name.to_owned(),
    }
}

/// The policy in a few lines, for who checks it.
pub(super) fn summary(policy: &Policy) -> Vec<(&'static str, String)> {
    let adopt = match policy.adopt {
        Adopt::Never => "never",
        Adopt::ByUserName => "by user name, login or address",
        Adopt::ByVerifiedEmail => "by verified address",
    };
    let groups = match policy.adopt_groups {
        AdoptGroups::Never => "never",
        AdoptGroups::ByName => "by name",
    };
    let repair = match policy.repair {
        Repair::None => "nothing, it is reported",
        Repair::LessAccess => "what should be gone",
        Repair::All => "everything",
    };
    let brake = match policy.brake.limits() {
        None => "off: nothing is ever held".to_owned(),
        Some(limits) => format!(
            "more than {} people, or {} percent, in {} minutes",
            limits.accounts, limits.percent, limits.window_minutes
        ),
    };
    vec![
        ("Existing accounts are taken over", adopt.to_owned()),
        ("Existing groups are taken over", groups.to_owned()),
        ("Repaired by itself", repair.to_owned()),
        ("The brake holds", brake),
        ("Protected accounts", policy.protected.len().to_string()),
        ("Dialect", policy.dialect.clone()),
    ]
}
