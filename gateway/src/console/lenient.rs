//! The part of an instance's policy that says how what an identity provider sends is understood: leniencies, what is meant
//! by what is left out, and how much may wait.

use engine::policy::Policy;
use scim::quirks::Quirk;
use serde_json::{Map, Value, json};

use super::form::{Choice, Errors, Field, Form, Sent};

/// A value of the policy and what it means.
type Word = (&'static str, &'static str);

/// What may be left to the dialect: the field, what it is about, and the words that say otherwise.
const BY_DIALECT: [(&str, &str, [Word; 2]); 3] = [
    (
        "put_without_active",
        "A PUT of a person without active",
        [("keep", "Leaves access as it is"), ("false", "Switches the person off")],
    ),
    (
        "put_without_members",
        "A PUT of a group without members",
        [("empty", "Empties the group"), ("keep", "Leaves the members as they are")],
    ),
    (
        "groups_via_users",
        "Groups that are written on a person",
        [("true", "Change memberships"), ("false", "Are ignored")],
    ),
];

fn name_of(field: &str) -> String {
    format!("policy.{field}")
}

/// The words of a value that the dialect has where it is none.
fn word(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(word) => word.clone(),
        other => other.to_string(),
    }
}

/// Adds the fields.
pub(super) fn fields<'a>(form: Form<'a>, policy: &Policy, sent: Option<&Sent>) -> Form<'a> {
    let stored = json!(policy);
    let stands = |field: &str, stored: String| sent.map_or(stored, |sent| sent.raw(&name_of(field)).to_owned());
    let mut fields = Vec::new();
    for (field, label, words) in BY_DIALECT {
        let mut choices = vec![Choice::new("", "As its dialect has it", "")];
        choices.extend(words.map(|(value, label)| Choice::new(value, label, "")));
        fields.push(Field::select(&name_of(field), label, choices).value(stands(field, word(&stored[field]))));
    }
    let strict = stands("strict", if policy.strict { "1".to_owned() } else { String::new() });
    fields.push(
        Field::check(&name_of("strict"), "Take the standards to the letter")
            .hint("Every leniency is off: what a client sends beyond the RFCs is refused.")
            .value(strict),
    );
    fields.push(
        Field::area(&name_of("quirks_off"), "Leniencies that are off", 3)
            .hint("Their names, one a line, as operations show them and docs/dialects.md lists them.")
            .code()
            .value(stands("quirks_off", policy.quirks_off.join("\n")))
            .optional(),
    );
    let most = stands("max_open_work", policy.max_open_work.map(|most| most.to_string()).unwrap_or_default());
    fields.push(
        Field::number(&name_of("max_open_work"), "Changes that may wait for the target", 1, i64::from(u32::MAX))
            .hint("Beyond it what gives access is refused with 503; what takes it away never is. A million where it is empty.")
            .value(most)
            .optional(),
    );
    form.group("How its requests are understood", fields)
}

/// Reads them into a change of the policy. A field that was not sent changes nothing.
pub(super) fn read(sent: &Sent, patch: &mut Map<String, Value>, errors: &mut Errors) {
    let field = |field: &str| sent.ticked(&name_of(field)).then(|| sent.text(&name_of(field)));
    for (name, _, words) in BY_DIALECT {
        let Some(chosen) = field(name) else { continue };
        let value = match chosen {
            "" => Value::Null,
            word if name == "groups_via_users" => json!(word == "true"),
            word => json!(word),
        };
        if !chosen.is_empty() && !words.iter().any(|(word, _)| *word == chosen) {
            errors.add(&name_of(name), "must be one of the list");
        }
        patch.insert(name.to_owned(), value);
    }
    // A box that is off is not sent: the area beside it tells that the form had it.
    if let Some(names) = field("quirks_off") {
        patch.insert("strict".to_owned(), json!(field("strict").is_some()));
        let names: Vec<&str> = names.lines().map(str::trim).filter(|name| !name.is_empty()).collect();
        if let Some(unknown) = names.iter().find(|name| Quirk::by_name(name).is_none()) {
            let shown: String = unknown.chars().take(60).collect();
            errors.add(&name_of("quirks_off"), format!("knows no leniency \u{201c}{shown}\u{201d}"));
        }
        patch.insert("quirks_off".to_owned(), json!(names));
    }
    match field("max_open_work").map(|text| (text, text.parse::<u32>())) {
        None => {}
        Some(("", _)) => {
            patch.insert("max_open_work".to_owned(), Value::Null);
        }
        Some((_, Ok(most))) => {
            patch.insert("max_open_work".to_owned(), json!(most));
        }
        Some((_, Err(_))) => errors.add(&name_of("max_open_work"), "must be a whole number, 1 or more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_sent_changes_nothing_and_what_was_emptied_goes_back_to_the_dialect() {
        let read = |fields: &[(&str, &str)]| {
            let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
            let (mut patch, mut errors) = (Map::new(), Errors::default());
            super::read(&Sent::parse(body.as_bytes()), &mut patch, &mut errors);
            (Value::Object(patch), errors.into_inner().into_keys().collect::<Vec<_>>())
        };
        assert_eq!(read(&[("policy.adopt", "never")]), (json!({}), vec![]));
        let (patch, wrong) = read(&[
            ("policy.put_without_active", "false"),
            ("policy.put_without_members", ""),
            ("policy.groups_via_users", "true"),
            ("policy.strict", "1"),
            ("policy.quirks_off", "capitalised_op\r\n"),
            ("policy.max_open_work", " 7 "),
        ]);
        let want = json!({
            "put_without_active": "false", "put_without_members": null, "groups_via_users": true,
            "strict": true, "quirks_off": ["capitalised_op"], "max_open_work": 7,
        });
        assert_eq!((patch, wrong), (want, vec![]));
        let (patch, wrong) = read(&[
            ("policy.put_without_active", "maybe"),
            ("policy.quirks_off", "no_such"),
            ("policy.max_open_work", "x"),
        ]);
        assert_eq!(patch["strict"], false);
        assert_eq!(wrong, ["policy.max_open_work", "policy.put_without_active", "policy.quirks_off"]);
    }
}
