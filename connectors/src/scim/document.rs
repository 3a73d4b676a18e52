//! People as documents: what is sent of them, and what is read of an answer.

use connector_sdk::account::NOT_WRITTEN;
use connector_sdk::{Account, AccountStatus, Fault, FaultKind, Person, RemoteId};
use serde_json::{Map, Value, json};

use super::dialect::{Dialect, Passed};
use super::discovery::{Attribute, Attributes, Served, USER, truth};

/// The attributes of RFC 7643's User (section 4.1) that a client writes.
const CORE: [&str; 18] = [
    "externalId",
    "userName",
    "name",
    "displayName",
    "nickName",
    "profileUrl",
    "title",
    "userType",
    "preferredLanguage",
    "locale",
    "timezone",
    "emails",
    "phoneNumbers",
    "ims",
    "photos",
    "addresses",
    "entitlements",
    "x509Certificates",
];

/// Attributes that may give power over others.
const POWERS: [&str; 2] = ["roles", "entitlements"];

/// One attribute to write: its path in a PATCH, and its value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wanted {
    /// The extension it belongs to.
    pub(super) extension: Option<String>,
    pub(super) name: String,
    pub(super) value: Value,
    /// Whether it can be set at the creation only.
    pub(super) immutable: bool,
}

impl Wanted {
    /// Its path in a PATCH (RFC 7644 section 3.5.2).
    pub(super) fn path(&self) -> String {
        match &self.extension {
            Some(urn) => format!("{urn}:{}", self.name),
            None => self.name.clone(),
        }
    }

    /// Puts it into a document.
    pub(super) fn put(&self, document: &mut Map<String, Value>) {
        let Some(urn) = &self.extension else {
            set(document, &self.name, self.value.clone());
            return;
        };
        if child(document, urn).and_then(Value::as_object).is_none() {
            set(document, urn, json!({}));
        }
        let key = key(document, urn).unwrap_or_else(|| urn.clone());
        if let Some(Value::Object(extension)) = document.get_mut(&key) {
            set(extension, &self.name, self.value.clone());
        }
    }

    /// Whether the document says what is wanted: every part that is wanted is there, and a list has nothing else.
    pub(super) fn holds(&self, document: &Map<String, Value>) -> bool {
        let there = match &self.extension {
            Some(urn) => child(document, urn).and_then(Value::as_object).and_then(|map| child(map, &self.name)),
            None => child(document, &self.name),
        };
        there.is_some_and(|there| covers(there, &self.value))
    }
}

/// Whether what is there has all that is wanted. Parts that the server adds of its own do not count.
fn covers(there: &Value, wanted: &Value) -> bool {
    match (there, wanted) {
        (Value::Object(there), Value::Object(wanted)) => {
            wanted.iter().all(|(name, value)| child(there, name).is_some_and(|there| covers(there, value)))
        }
        (Value::Array(there), Value::Array(wanted)) => {
            there.len() == wanted.len() && wanted.iter().all(|one| there.iter().any(|has| covers(has, one)))
        }
        (there, Value::Bool(wanted)) => truth(Some(there)) == Some(*wanted),
        (there, wanted) => there == wanted,
    }
}

pub(super) fn child<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    map.get(name).or_else(|| map.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

fn key(map: &Map<String, Value>, name: &str) -> Option<String> {
    map.keys().find(|key| key.eq_ignore_ascii_case(name)).cloned()
}

pub(super) fn set(map: &mut Map<String, Value>, name: &str, value: Value) {
    let key = key(map, name).unwrap_or_else(|| name.to_owned());
    map.insert(key, value);
}

fn is_urn(name: &str) -> bool {
    name.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("urn:"))
}

/// The person's user name at the server.
///
/// # Errors
/// `Incomplete` where the person lacks the attribute that it is taken from.
pub(super) fn user_name(dialect: &Dialect, who: &Person) -> Result<String, Fault> {
    let Some(from) = &dialect.user_name_from else { return Ok(who.user_name.clone()) };
    let found = if from.eq_ignore_ascii_case("emails") { who.email.as_deref() } else { who.text_at(from) };
    found.map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).ok_or_else(|| {
        Fault::new(
            FaultKind::Incomplete,
            format!("The person has no `{from}`, which the setting `user_name_from` makes the server's userName. Send it, or change the setting."),
        )
    })
}

/// What of a person is written, in the order in which the directory has it: `userName` first.
///
/// # Errors
/// As [`user_name`].
pub(super) fn wanted(dialect: &Dialect, served: &Served, who: &Person) -> Result<Vec<Wanted>, Fault> {
    let name = user_name(dialect, who)?;
    let mut all = Vec::new();
    push(&mut all, dialect, served.core.as_ref(), None, "userName", &Value::from(name));
    for (name, value) in &who.attributes {
        if name.eq_ignore_ascii_case("userName") || NOT_WRITTEN.iter().any(|one| one.eq_ignore_ascii_case(name)) {
            continue;
        }
        if !is_urn(name) {
            push(&mut all, dialect, served.core.as_ref(), None, name, value);
            continue;
        }
        let extension = value.as_object().into_iter().flatten();
        match (dialect.passed, served.extensions.get(&name.to_ascii_lowercase())) {
            (Passed::Core, _) | (Passed::Declared, None) => {}
            (_, Some((urn, declared))) => {
                for (name, value) in extension {
                    push(&mut all, dialect, Some(declared), Some(urn), name, value);
                }
            }
            (Passed::All, None) => {
                for (part, value) in extension {
                    push(&mut all, dialect, None, Some(name), part, value);
                }
            }
        }
    }
    if dialect.send_roles
        && let Some(roles) = child(&who.attributes, "roles")
    {
        push(&mut all, dialect, served.core.as_ref(), None, "roles", roles);
    }
    Ok(all)
}

/// Adds an attribute, if it may be sent and says something.
fn push(
    all: &mut Vec<Wanted>,
    dialect: &Dialect,
    declared: Option<&Attributes>,
    extension: Option<&str>,
    name: &str,
    value: &Value,
) {
    let power = POWERS.iter().any(|power| power.eq_ignore_ascii_case(name));
    if power && !dialect.send_roles && extension.is_none() {
        return;
    }
    if extension.is_none() && !dialect.only.is_empty() && !dialect.only.iter().any(|one| one.eq_ignore_ascii_case(name))
    {
        return;
    }
    let core = extension.is_some() || power || CORE.iter().any(|one| one.eq_ignore_ascii_case(name));
    // externalId is common to all resources, so schemas need not declare it (RFC 7643 section 3.1).
    let common = name.eq_ignore_ascii_case("externalId");
    let attribute = declared.and_then(|declared| declared.get(&name.to_ascii_lowercase()));
    let passes = match dialect.passed {
        Passed::All => true,
        Passed::Core => core,
        Passed::Declared => match declared {
            Some(_) => attribute.is_some() || common,
            None => core,
        },
    };
    if !passes || attribute.is_some_and(|attribute| attribute.read_only) {
        return;
    }
    let value = match (attribute, dialect.passed) {
        (Some(attribute), Passed::Declared) => prune(value, attribute),
        _ => value.clone(),
    };
    if says_nothing(&value) {
        return;
    }
    let single = attribute.is_some_and(|attribute| attribute.multi) && !value.is_array();
    let value = if single { Value::Array(vec![value]) } else { value };
    all.push(Wanted {
        extension: extension.map(str::to_owned),
        name: attribute.map_or_else(|| name.to_owned(), |attribute| attribute.name.clone()),
        immutable: attribute.is_some_and(|attribute| attribute.immutable),
        value,
    });
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// A value without the parts that are not declared, or the server's own.
fn prune(value: &Value, attribute: &Attribute) -> Value {
    if attribute.sub.is_empty() {
        return value.clone();
    }
    match value {
        Value::Array(items) => {
            let kept = items.iter().map(|item| prune(item, attribute)).filter(|item| !says_nothing(item));
            Value::Array(kept.collect())
        }
        Value::Object(map) => {
            let kept = map.iter().filter_map(|(name, value)| {
                let sub = attribute.sub.get(&name.to_ascii_lowercase()).filter(|sub| !sub.read_only)?;
                (!says_nothing(value)).then(|| (sub.name.clone(), value.clone()))
            });
            Value::Object(kept.collect())
        }
        other => other.clone(),
    }
}

/// The document that creates a person.
///
/// # Errors
/// `Incomplete` where the server requires what the person lacks, and as [`wanted`].
pub(super) fn creation(dialect: &Dialect, served: &Served, who: &Person) -> Result<Map<String, Value>, Fault> {
    let wanted = wanted(dialect, served, who)?;
    let mut document = Map::new();
    let mut schemas = vec![Value::from(USER)];
    for urn in wanted.iter().filter_map(|one| one.extension.as_ref()) {
        if !schemas.iter().any(|known| known == urn) {
            schemas.push(Value::from(urn.clone()));
        }
    }
    document.insert("schemas".to_owned(), Value::Array(schemas));
    for one in &wanted {
        one.put(&mut document);
    }
    if served.core.is_none() || served.attribute("active").is_some_and(|active| !active.read_only) {
        document.insert("active".to_owned(), Value::Bool(true));
    }
    if dialect.role
        && let Some(role) = &who.role
    {
        document.insert("roles".to_owned(), json!([{ "value": role, "primary": true }]));
    }
    let declared = served.core.iter().flatten().filter(|(_, attribute)| attribute.required && !attribute.read_only);
    let required = declared.map(|(_, attribute)| attribute.name.as_str()).chain(dialect.required.iter().copied());
    for name in required {
        let sub = served.attribute(name).map(|attribute| &attribute.sub);
        require(&mut document, name, sub, who)?;
    }
    Ok(document)
}

/// Fills what the server requires from what is known of the person.
fn require(document: &mut Map<String, Value>, name: &str, sub: Option<&Attributes>, who: &Person) -> Result<(), Fault> {
    let shown = who.display_name.clone().unwrap_or_else(|| who.user_name.clone());
    match name.to_ascii_lowercase().as_str() {
        "name" => {
            let mut parts = child(document, "name").and_then(Value::as_object).cloned().unwrap_or_default();
            let words: Vec<&str> = shown.split_whitespace().collect();
            let (given, family) = match words.as_slice() {
                [first @ .., last] if !first.is_empty() => (first.join(" "), (*last).to_owned()),
                _ => (shown.clone(), shown.clone()),
            };
            // Without a declaration, the two parts that are required wherever a name is.
            let must: Vec<&str> = match sub.filter(|sub| !sub.is_empty()) {
                Some(sub) => sub.values().filter(|one| one.required).map(|one| one.name.as_str()).collect(),
                None => vec!["givenName", "familyName"],
            };
            for part in must {
                let value = match part.to_ascii_lowercase().as_str() {
                    "givenname" => &given,
                    "familyname" => &family,
                    "formatted" => &shown,
                    _ => continue,
                };
                if child(&parts, part).is_none() {
                    parts.insert(part.to_owned(), Value::from(value.clone()));
                }
            }
            if !parts.is_empty() {
                set(document, "name", Value::Object(parts));
            }
        }
        "displayname" if child(document, "displayName").is_none() => {
            set(document, "displayName", Value::from(shown));
        }
        "emails" if child(document, "emails").is_none() => {
            let email = who.email.clone().ok_or_else(|| lacks("emails"))?;
            set(document, "emails", json!([{ "value": email, "primary": true }]));
        }
        "externalid" if child(document, "externalId").is_none() => {
            // The directory's own id is not known here; the user name is as stable as what the client has sent.
            set(document, "externalId", Value::from(who.user_name.clone()));
        }
        _ => {}
    }
    if child(document, name).is_none() {
        return Err(lacks(name));
    }
    Ok(())
}

fn lacks(name: &str) -> Fault {
    Fault::new(
        FaultKind::Incomplete,
        format!("The server requires `{name}`, and the person has none. Send it from the identity provider."),
    )
}

/// What an answer shows of a person; `None` where it names no id.
pub(super) fn account(document: &Map<String, Value>) -> Option<Account> {
    let text = |name: &str| child(document, name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let mut account = Account::active(RemoteId::new(id(document)?));
    account.login = text("userName").map(str::to_owned);
    account.email = email(document);
    let name = child(document, "name").and_then(Value::as_object);
    account.display_name = text("displayName").or_else(|| child(name?, "formatted")?.as_str()).map(str::to_owned);
    if active(document) == Some(false) {
        account.status = AccountStatus::Suspended;
    }
    account.role = child(document, "roles").and_then(Value::as_array).and_then(|roles| {
        let role = roles.iter().find(|role| truth(role.get("primary")) == Some(true)).or_else(|| roles.first())?;
        role.as_str().or_else(|| role["value"].as_str()).map(str::to_owned)
    });
    Some(account)
}

/// The id of a resource. Some servers count.
pub(super) fn id(document: &Map<String, Value>) -> Option<String> {
    match child(document, "id")? {
        Value::String(id) if !id.is_empty() => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

/// `active`, also where it is written as text.
pub(super) fn active(document: &Map<String, Value>) -> Option<bool> {
    truth(child(document, "active"))
}

fn email(document: &Map<String, Value>) -> Option<String> {
    let emails = match child(document, "emails")? {
        Value::Array(items) => items.as_slice(),
        single => std::slice::from_ref(single),
    };
    let value = |email: &Value| email.as_str().or_else(|| email["value"].as_str()).map(str::to_owned);
    emails.iter().find(|email| truth(email.get("primary")) == Some(true)).or_else(|| emails.first()).and_then(value)
}

/// What a change without a person says: a name, an address.
pub(super) fn told(dialect: &Dialect, served: &Served, change: &connector_sdk::AccountChange) -> Vec<Wanted> {
    let mut all = Vec::new();
    let mut add = |name: &str, value: Value| push(&mut all, dialect, served.core.as_ref(), None, name, &value);
    if let Some(name) = &change.display_name {
        add("displayName", Value::from(name.clone()));
    }
    if let Some(email) = &change.email {
        add("emails", json!([{ "value": email, "primary": true }]));
    }
    all
}
