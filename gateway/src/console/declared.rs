//! The form of a connector's settings, drawn from what the connector declares, and read back.

use std::collections::BTreeMap;

use connector_sdk::{Class, Entry, Setting, SettingKind};
use secrecy::SecretString;
use serde_json::{Map, Value, json};

use super::form::{Choice, Errors, Field, Form, Sent};

/// What begins the names of settings and credentials in forms.
const PREFIX: &str = "settings.";

/// What was sent of a connector's settings.
pub(super) struct Given {
    /// The settings that have a value.
    pub(super) settings: Map<String, Value>,
    /// The credentials that were entered.
    pub(super) secrets: BTreeMap<String, SecretString>,
}

/// What stands in the fields before anything is sent.
pub(super) enum Before<'a> {
    /// A new instance.
    New,
    /// An instance with these settings and credentials of these names.
    Stored(&'a Value, &'a [String]),
    /// What was sent and is wrong.
    Sent(&'a Sent, &'a [String]),
}

/// The name of a setting's field, for errors of services that name the setting.
pub(super) fn field_name(entry: &Entry, name: &str) -> String {
    if entry.settings.iter().any(|one| one.name == name) { format!("{PREFIX}{name}") } else { name.to_owned() }
}

/// Adds the fields: what is required and says which target it is first, the rest behind "Advanced".
pub(super) fn fields<'a>(mut form: Form<'a>, entry: &Entry, before: &Before<'_>) -> Form<'a> {
    let (first, rest): (Vec<&Setting>, Vec<&Setting>) = entry.settings.iter().partition(|one| {
        one.required || one.class == Class::Credential || !(one.kind == SettingKind::Url || is_tuning(one))
    });
    for setting in first {
        form = form.field(field(setting, before));
    }
    form.group("Advanced settings", rest.into_iter().map(|setting| field(setting, before)).collect())
}

fn is_tuning(setting: &Setting) -> bool {
    setting.class == Class::Tuning && setting.default.is_some()
}

fn field(setting: &Setting, before: &Before<'_>) -> Field {
    let name = format!("{PREFIX}{}", setting.name);
    let mut hint = setting.help.to_owned();
    let mut also = |text: String| {
        hint.push(' ');
        hint.push_str(&text);
    };
    if setting.class == Class::Credential {
        let kept = match before {
            Before::New => false,
            Before::Stored(_, names) | Before::Sent(_, names) => names.iter().any(|one| one == setting.name),
        };
        also("It is stored encrypted and never shown again.".to_owned());
        match before {
            Before::Stored(..) if kept => also("One is stored: leave this empty to keep it.".to_owned()),
            Before::Sent(sent, _) if !sent.text(&name).is_empty() => {
                also("What you entered is not shown; enter it again.".to_owned())
            }
            Before::Sent(..) if kept => also("One is stored: leave this empty to keep it.".to_owned()),
            _ => {}
        }
        let field = Field::secret(&name, setting.title).hint(hint);
        return if setting.required && !kept { field } else { field.optional() };
    }
    let value = match before {
        Before::New => String::new(),
        Before::Stored(settings, _) => match &settings[setting.name] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        },
        Before::Sent(sent, _) => sent.text(&name).to_owned(),
    };
    let known = !matches!(before, Before::New);
    if known && (setting.class == Class::Identity || setting.kind == SettingKind::Url) {
        also("Changing it asks for the credential again.".to_owned());
    }
    let unset = match setting.default {
        Some(default) => format!("Default ({default})"),
        None => "Not set".to_owned(),
    };
    let choices = |values: &[(&str, &str)]| {
        let mut all = Vec::new();
        if !setting.required || value.is_empty() {
            all.push(Choice::new("", if setting.required { "Choose one" } else { &unset }, ""));
        }
        all.extend(values.iter().map(|(value, label)| Choice::new(value, label, "")));
        all
    };
    let field = match &setting.kind {
        SettingKind::Flag => Field::select(&name, setting.title, choices(&[("true", "Yes"), ("false", "No")])),
        SettingKind::Choice { values } => {
            let values: Vec<(&str, &str)> = values.iter().map(|one| (*one, *one)).collect();
            Field::select(&name, setting.title, choices(&values))
        }
        SettingKind::Text | SettingKind::Url | SettingKind::Number => {
            if let Some(default) = setting.default {
                hint = format!("{hint} Default: {default}.");
            }
            Field::text(&name, setting.title)
        }
    };
    let field = field.hint(hint).value(value);
    if setting.required { field } else { field.optional() }
}

/// Reads what was sent. What is lacking or no number is told at once, all of it; the rest is the service's to judge.
pub(super) fn read(entry: &Entry, sent: &Sent, stored: &[String]) -> (Given, Errors) {
    let mut given = Given { settings: Map::new(), secrets: BTreeMap::new() };
    let mut errors = Errors::default();
    for setting in &entry.settings {
        let name = format!("{PREFIX}{}", setting.name);
        if setting.class == Class::Credential {
            match sent.secret(&name) {
                Some(secret) => {
                    given.secrets.insert(setting.name.to_owned(), secret);
                }
                None if setting.required && !stored.iter().any(|one| one == setting.name) => {
                    errors.add(&name, "is required")
                }
                None => {}
            }
            continue;
        }
        let text = sent.text(&name);
        if text.is_empty() {
            if setting.required {
                errors.add(&name, "is required");
            }
            continue;
        }
        let value = match &setting.kind {
            SettingKind::Flag => json!(text == "true"),
            SettingKind::Number => match text.parse::<i64>() {
                Ok(number) => json!(number),
                Err(_) => {
                    errors.add(&name, "must be a whole number");
                    continue;
                }
            },
            _ => json!(text),
        };
        given.settings.insert(setting.name.to_owned(), value);
    }
    (given, errors)
}

/// What makes the stored settings the given ones: a null for each that was emptied.
pub(super) fn patch(entry: &Entry, old: &Value, given: &Given) -> Map<String, Value> {
    let mut patch = Map::new();
    for setting in entry.settings.iter().filter(|one| one.class != Class::Credential) {
        let (before, now) = (&old[setting.name], given.settings.get(setting.name).unwrap_or(&Value::Null));
        if before != now {
            patch.insert(setting.name.to_owned(), now.clone());
        }
    }
    patch
}
