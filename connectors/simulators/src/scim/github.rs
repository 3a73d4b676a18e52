//! What GitHub's SCIM APIs do otherwise than the RFCs.

use serde_json::{Map, Value, json};

use super::Flavour;
use super::document::{Refusal, child};
use super::filter::Filter;
use super::rules::Rules;
use super::world::Kind;

const DOCS: &str = "https://docs.github.com/enterprise-cloud@latest/rest/scim/scim";

/// Nothing is discovered, there are no versions and no bulk, a PATCH of a group has a bound, and names are unique.
pub(super) fn rules() -> Rules {
    Rules {
        discovery: false,
        etag: false,
        bulk: 0,
        path_filters: true,
        page_cap: 100,
        members_cap: Some(1_000),
        unique_groups: true,
        ..Rules::default()
    }
}

/// A refusal as GitHub writes it: a number as the status, and a message beside.
pub(super) fn refusal(flavour: Flavour, refusal: &Refusal) -> Value {
    if flavour == Flavour::GithubEmu && refusal.status == 404 {
        // The enterprise's API has the REST API's own form here, with the status as a text.
        return json!({ "message": "Not Found", "documentation_url": DOCS, "status": "404" });
    }
    let message = match refusal.status {
        401 => "Bad credentials",
        404 => "Not Found",
        _ => refusal.detail.as_str(),
    };
    json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"], "status": refusal.status,
        "scimType": refusal.scim_type, "detail": refusal.detail, "message": message, "documentation_url": DOCS,
    })
}

/// "Too many calls".
pub(super) fn too_many() -> Value {
    json!({
        "message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
        "documentation_url": "https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api",
    })
}

/// That a filter is one `eq` of an attribute that the API names.
pub(super) fn filter(flavour: Flavour, kind: Kind, filter: &Filter) -> Result<(), Refusal> {
    let names: &[&str] = match (flavour, kind) {
        (Flavour::GithubOrg, _) => &["id", "userName", "emails", "externalId"],
        (_, Kind::User) => &["userName", "externalId", "id", "displayName"],
        (_, Kind::Group) => &["externalId", "id", "displayName"],
    };
    match filter.single_eq() {
        Some(name) if names.iter().any(|one| one.eq_ignore_ascii_case(name)) => Ok(()),
        _ => Err(Refusal::bad("invalidFilter", "the filter must be one eq of an attribute that can be filtered by")),
    }
}

/// That a body has what GitHub requires.
pub(super) fn complete(flavour: Flavour, kind: Kind, body: &Map<String, Value>) -> Result<(), Refusal> {
    let required: &[&str] = match (flavour, kind) {
        (Flavour::Plain, _) => return Ok(()),
        (Flavour::GithubOrg, _) => &["userName", "name", "emails"],
        (Flavour::GithubEmu, Kind::User) => &["schemas", "externalId", "userName", "active", "displayName", "emails"],
        (Flavour::GithubEmu, Kind::Group) => &["schemas", "externalId", "displayName"],
    };
    let missing = required.iter().find(|name| child(body, name).is_none_or(Value::is_null));
    if let Some(name) = missing {
        return Err(Refusal::bad("invalidValue", format!("{name} is required")));
    }
    if let Some(name) = child(body, "name").filter(|_| kind == Kind::User)
        && (!name["givenName"].is_string() || !name["familyName"].is_string())
    {
        return Err(Refusal::bad("invalidValue", "name needs givenName and familyName"));
    }
    let emails = child(body, "emails").and_then(Value::as_array);
    if kind == Kind::User
        && emails.is_none_or(|emails| emails.is_empty() || emails.iter().any(|one| !one["value"].is_string()))
    {
        return Err(Refusal::bad("invalidValue", "emails needs an entry with a value"));
    }
    Ok(())
}

/// A PATCH without the operations whose path holds a filter: "will be ineffective".
pub(super) fn message(mut body: Map<String, Value>) -> Value {
    if let Some(Value::Array(operations)) = body.get_mut("Operations") {
        let ineffective = |operation: &Value| operation["path"].as_str().is_some_and(|path| path.contains('['));
        for operation in operations.iter_mut().filter(|operation| ineffective(operation)) {
            *operation = json!({ "op": "replace", "value": {} });
        }
    }
    Value::Object(body)
}

/// A resource as GitHub shows it: members with their addresses, people always with addresses.
pub(super) fn shown(mut resource: Value, prefix: &str) -> Value {
    if let Some(Value::Array(members)) = resource.get_mut("members") {
        for member in members {
            let id = member["value"].as_str().unwrap_or_default().to_owned();
            *member = json!({ "value": id, "$ref": format!("https://api.github.com/{prefix}/Users/{id}") });
        }
    }
    if resource["meta"]["resourceType"] == "User" && resource["emails"].is_null() {
        resource["emails"] = json!([]);
    }
    if let Some(Value::Array(groups)) = resource.get_mut("groups") {
        for group in groups {
            let id = group["value"].as_str().unwrap_or_default().to_owned();
            group["$ref"] = json!(format!("https://api.github.com/{prefix}/Groups/{id}"));
        }
    }
    resource
}
