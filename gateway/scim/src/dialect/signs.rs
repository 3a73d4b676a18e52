//! What requests tell about the client that sends them.
//!
//! Everything here is cheap: a few comparisons per request, on its head, its filter and the top of its body. What was
//! seen of a client only grows, as two sets of bits.
use serde_json::{Map, Value};

use super::{Dialect, Mark, auto};
use crate::filter::{Filter, Op};
use crate::path::AttrPath;
use crate::quirks::QuirkSet;

/// One thing about requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sign {
    /// `User-Agent: Okta SCIM Client 1.0.0`.
    OktaAgent,
    /// No `User-Agent`, or an empty one.
    EmptyAgent,
    /// `?aadOptscim062020` or `?AzureAdScimPatch2017`: flags of Entra's tenant URL.
    EntraFlag,
    /// A URI of `http://schemas.microsoft.com/` in `schemas`.
    MicrosoftSchema,
    /// `filter=userName eq "5e6c2a1b-…"`: a name that is a GUID.
    GuidProbe,
    /// `excludedAttributes=members`.
    WithoutMembers,
    /// `filter=id eq "g" and members eq "u"`, or `manager`.
    MemberQuestion,
    /// `filter=members.value eq "u"`.
    MemberValueFilter,
    /// `filter=… sw "A"`.
    StartsWith,
    /// `count=1000&startIndex=1`.
    PocketPage,
    /// `Content-Type` on a GET or DELETE.
    TypeWithoutBody,
    /// A creation of a user with a password and `groups: []`.
    OktaCreate,
    /// `externalId` such as `00ujl29u0le5T6Aj10h7`.
    OktaExternalId,
    /// `externalId` such as `auth0|65a1b2c3d4`.
    PipedExternalId,
    /// `externalId` such as `66e2d689590450d073d2df3b`.
    HexExternalId,
    /// A telephone number such as `tel:+1-555-555-5555`.
    TelUri,
    /// An e-mail address of type `other`.
    EmailTypeOther,
    /// `schemas` in the value of a path-less operation.
    SchemasInPatch,
    /// `{"id": "", "meta": {}}` in a creation.
    EmptyIdAndMeta,
    /// `"addresses": [{"type": "work"}]`.
    AddressOfTypeOnly,
    /// `"members": null` in a creation.
    MembersNullCreate,
    /// `replace members` with null.
    MembersNullPatch,
    /// `{"path": …, "op": …}` in this order.
    PathBeforeOp,
    /// A member's `$ref` such as `Users/1`.
    RelativeRef,
    /// `groups` with values on a user.
    GroupsOnUser,
    /// A body whose first key is `externalId`.
    ExternalIdFirst,
    /// `"active": "true"` in a creation.
    TextBooleanCreate,
}

/// What was seen of a client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Evidence {
    /// [`Sign`]s, as bits.
    pub signs: u64,
    /// Units that were used.
    pub used: QuirkSet,
}

/// What a dialect has to reach to be recognised.
const ENOUGH: u32 = 5;
/// By how much it has to be ahead of every other.
const AHEAD: u32 = 2;

impl Evidence {
    /// Adds a sign.
    pub fn see(&mut self, sign: Sign) {
        self.signs |= 1 << sign as u32;
    }

    /// Adds all that other evidence holds.
    pub fn extend(&mut self, other: Evidence) {
        self.signs |= other.signs;
        self.used.extend(other.used);
    }

    /// Whether something was seen.
    pub fn has(&self, mark: Mark) -> bool {
        match mark {
            Mark::Sign(sign) => self.signs & (1 << sign as u32) != 0,
            Mark::Used(quirk) => self.used.contains(quirk),
        }
    }

    /// The dialect that the evidence speaks for: the one whose marks weigh most, if that is enough and no other comes
    /// near; else `auto`. Two clients behind one key speak against each other, and nothing is recognised.
    pub fn dialect(&self) -> &'static Dialect {
        let weight = |dialect: &Dialect| -> u32 {
            dialect.marks.iter().filter(|(mark, _)| self.has(*mark)).map(|(_, weight)| u32::from(*weight)).sum()
        };
        let (mut best, mut most, mut second) = (&auto::DIALECT, 0, 0);
        for dialect in Dialect::ALL {
            let weight = weight(dialect);
            if weight > most {
                (best, most, second) = (dialect, weight, most);
            } else if weight > second {
                second = weight;
            }
        }
        if most >= ENOUGH && most >= second + AHEAD { best } else { &auto::DIALECT }
    }
}

/// The head of a request, as far as it tells something.
#[derive(Debug, Clone, Copy, Default)]
pub struct Head<'a> {
    /// `User-Agent`.
    pub agent: Option<&'a str>,
    /// Whether the request has a `Content-Type` although its method has no body.
    pub type_without_body: bool,
    /// Decoded query parameters.
    pub query: &'a [(String, String)],
}

/// What a request's head tells.
pub fn signs_of_head(head: &Head<'_>, seen: &mut Evidence) {
    match head.agent.map(str::trim) {
        None | Some("") => seen.see(Sign::EmptyAgent),
        Some(agent) if agent.starts_with("Okta SCIM Client") => seen.see(Sign::OktaAgent),
        Some(_) => {}
    }
    if head.type_without_body {
        seen.see(Sign::TypeWithoutBody);
    }
    for (name, value) in head.query {
        if name.eq_ignore_ascii_case("aadOptscim062020") || name.eq_ignore_ascii_case("AzureAdScimPatch2017") {
            seen.see(Sign::EntraFlag);
        } else if name.eq_ignore_ascii_case("excludedAttributes") && value.eq_ignore_ascii_case("members") {
            seen.see(Sign::WithoutMembers);
        }
    }
    if let [(count, thousand), (start, one)] = head.query
        && (count.as_str(), thousand.as_str()) == ("count", "1000")
        && (start.as_str(), one.as_str()) == ("startIndex", "1")
    {
        seen.see(Sign::PocketPage);
    }
}

/// What a filter tells.
pub fn signs_of_filter(filter: &Filter, seen: &mut Evidence) {
    let is = |path: &AttrPath, name: &str| path.sub.is_none() && path.attr.eq_ignore_ascii_case(name);
    match filter {
        Filter::Compare { path, op: Op::Eq, value: Value::String(text) } => {
            let sub = path.sub.as_deref().unwrap_or_default();
            if path.attr.eq_ignore_ascii_case("members") && sub.eq_ignore_ascii_case("value") {
                seen.see(Sign::MemberValueFilter);
            } else if is(path, "externalId") {
                external_id(text, seen);
            } else if (is(path, "userName") || is(path, "displayName")) && is_guid(text) {
                seen.see(Sign::GuidProbe);
            }
        }
        Filter::Compare { op: Op::Sw, .. } => seen.see(Sign::StartsWith),
        Filter::And(parts) => {
            let asks = |names: &[&str]| {
                parts.iter().any(|part| match part {
                    Filter::Compare { path, op: Op::Eq, .. } => names.iter().any(|name| is(path, name)),
                    _ => false,
                })
            };
            if parts.len() == 2 && asks(&["id"]) && asks(&["members", "manager"]) {
                seen.see(Sign::MemberQuestion);
            }
        }
        _ => {}
    }
}

/// What a body tells: of a POST (`creates`), PUT or PATCH.
pub fn signs_of_body(body: &Value, creates: bool, seen: &mut Evidence) {
    let Some(body) = body.as_object() else { return };
    if let Some(Value::Array(operations)) = get(body, "Operations") {
        operations.iter().take(4).filter_map(Value::as_object).for_each(|one| operation(one, seen));
        return;
    }
    if body.keys().next().is_some_and(|key| key == "externalId") {
        seen.see(Sign::ExternalIdFirst);
    }
    if let Some(Value::String(text)) = get(body, "externalId") {
        external_id(text, seen);
    }
    let texts =
        |name: &str, test: &dyn Fn(&str) -> bool| list(body, name).iter().take(4).filter_map(Value::as_str).any(test);
    if texts("schemas", &|uri| uri.starts_with("http://schemas.microsoft.com/")) {
        seen.see(Sign::MicrosoftSchema);
    }
    let elements = |name: &str, test: &dyn Fn(&Map<String, Value>) -> bool| {
        list(body, name).iter().take(4).filter_map(Value::as_object).any(test)
    };
    if elements("emails", &|email| get(email, "type").and_then(Value::as_str) == Some("other")) {
        seen.see(Sign::EmailTypeOther);
    }
    if elements("phoneNumbers", &|one| get(one, "value").and_then(Value::as_str).is_some_and(|v| v.starts_with("tel:")))
    {
        seen.see(Sign::TelUri);
    }
    if elements("addresses", &|one| one.len() == 1 && one.contains_key("type")) {
        seen.see(Sign::AddressOfTypeOnly);
    }
    if elements("members", &|one| get(one, "$ref").and_then(Value::as_str).is_some_and(|v| v.starts_with("Users/"))) {
        seen.see(Sign::RelativeRef);
    }
    // A client that sends back what it read has `$ref`s in them; one that invents them does not.
    if elements("groups", &|one| one.contains_key("value") && !one.contains_key("$ref")) {
        seen.see(Sign::GroupsOnUser);
    }
    if !creates {
        return;
    }
    if body.contains_key("password") && get(body, "groups").is_some_and(|v| v.as_array().is_some_and(Vec::is_empty)) {
        seen.see(Sign::OktaCreate);
    }
    if get(body, "members") == Some(&Value::Null) {
        seen.see(Sign::MembersNullCreate);
    }
    if get(body, "id").and_then(Value::as_str) == Some("")
        && get(body, "meta").is_some_and(|v| v.as_object().is_some_and(Map::is_empty))
    {
        seen.see(Sign::EmptyIdAndMeta);
    }
    if get(body, "active").is_some_and(Value::is_string) {
        seen.see(Sign::TextBooleanCreate);
    }
}

fn operation(one: &Map<String, Value>, seen: &mut Evidence) {
    let place = |name: &str| one.keys().position(|key| key == name);
    if let (Some(path), Some(op)) = (place("path"), place("op"))
        && path < op
    {
        seen.see(Sign::PathBeforeOp);
    }
    match (get(one, "path"), get(one, "value")) {
        (None, Some(Value::Object(value))) => {
            if value.contains_key("schemas") {
                seen.see(Sign::SchemasInPatch);
            }
            if let Some(Value::String(text)) = get(value, "externalId") {
                external_id(text, seen);
            }
        }
        (Some(Value::String(path)), Some(Value::Null)) if path == "members" => seen.see(Sign::MembersNullPatch),
        (Some(Value::String(path)), Some(Value::String(text))) if path == "externalId" => external_id(text, seen),
        _ => {}
    }
}

fn external_id(text: &str, seen: &mut Evidence) {
    let alphanumeric = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric());
    if text.len() == 20 && text.starts_with("00u") && alphanumeric(text) {
        seen.see(Sign::OktaExternalId);
    } else if text.len() == 24 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        seen.see(Sign::HexExternalId);
    } else if let Some((provider, id)) = text.split_once('|')
        && !provider.is_empty()
        && !id.is_empty()
        && provider.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    {
        seen.see(Sign::PipedExternalId);
    }
}

fn is_guid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
        && parts.iter().all(|part| part.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn get<'m>(map: &'m Map<String, Value>, name: &str) -> Option<&'m Value> {
    map.get(name).or_else(|| map.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

fn list<'m>(map: &'m Map<String, Value>, name: &str) -> &'m [Value] {
    get(map, name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}
