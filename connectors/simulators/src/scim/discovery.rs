//! /ServiceProviderConfig, /ResourceTypes and /Schemas (RFC 7643 sections 5 to 7).

use serde_json::{Value, json};

use super::rules::Rules;

pub(super) const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
pub(super) const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
pub(super) const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

pub(super) fn list(resources: Vec<Value>) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": resources.len(), "itemsPerPage": resources.len(), "startIndex": 1, "Resources": resources,
    })
}

pub(super) fn config(rules: &Rules) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": { "supported": rules.patch || !rules.patch_told },
        "bulk": { "supported": rules.bulk > 0, "maxOperations": rules.bulk, "maxPayloadSize": 1_048_576 },
        "filter": { "supported": rules.filter, "maxResults": rules.page_cap },
        "changePassword": { "supported": false },
        "sort": { "supported": false },
        "etag": { "supported": rules.etag },
        "pagination": { "cursor": rules.cursor, "index": true, "defaultPaginationMethod": "index" },
        "authenticationSchemes": [{
            "type": "oauthbearertoken", "name": "OAuth Bearer Token", "description": "A bearer token (RFC 6750)",
        }],
    })
}

pub(super) fn resource_types() -> Value {
    let one = |name: &str, endpoint: &str, schema: &str, extensions: Value| {
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
            "id": name, "name": name, "endpoint": endpoint, "schema": schema, "schemaExtensions": extensions,
        })
    };
    list(vec![
        one("User", "/Users", USER, json!([{ "schema": ENTERPRISE, "required": false }])),
        one("Group", "/Groups", GROUP, json!([])),
    ])
}

fn attribute(name: &str, multi: bool, mutability: &str, sub: Value) -> Value {
    let mut attribute = json!({
        "name": name, "type": if sub.is_null() { "string" } else { "complex" }, "multiValued": multi,
        "required": false, "caseExact": false, "mutability": mutability, "returned": "default", "uniqueness": "none",
    });
    if !sub.is_null() {
        attribute["subAttributes"] = sub;
    }
    attribute
}

fn texts(names: &[&str], mutability: &str) -> Vec<Value> {
    names.iter().map(|name| attribute(name, false, mutability, Value::Null)).collect()
}

/// A list of the usual shape: value, display, type, primary.
fn plural(name: &str) -> Value {
    let mut sub = texts(&["value", "display", "type"], "readWrite");
    let mut primary = attribute("primary", false, "readWrite", Value::Null);
    primary["type"] = json!("boolean");
    sub.push(primary);
    attribute(name, true, "readWrite", Value::Array(sub))
}

pub(super) fn schemas() -> Value {
    let mut user = texts(
        &[
            "userName",
            "displayName",
            "nickName",
            "profileUrl",
            "title",
            "userType",
            "preferredLanguage",
            "locale",
            "timezone",
        ],
        "readWrite",
    );
    user[0]["required"] = json!(true);
    user[0]["uniqueness"] = json!("server");
    let mut active = attribute("active", false, "readWrite", Value::Null);
    active["type"] = json!("boolean");
    user.push(active);
    let name = texts(
        &["formatted", "familyName", "givenName", "middleName", "honorificPrefix", "honorificSuffix"],
        "readWrite",
    );
    user.push(attribute("name", false, "readWrite", Value::Array(name)));
    user.extend(["emails", "phoneNumbers", "ims", "photos", "entitlements", "roles", "x509Certificates"].map(plural));
    let address =
        texts(&["formatted", "streetAddress", "locality", "region", "postalCode", "country", "type"], "readWrite");
    user.push(attribute("addresses", true, "readWrite", Value::Array(address)));
    user.push(attribute("groups", true, "readOnly", Value::Array(texts(&["value", "$ref", "display"], "readOnly"))));
    let mut enterprise =
        texts(&["employeeNumber", "costCenter", "organization", "division", "department"], "readWrite");
    let mut manager = texts(&["value", "$ref"], "readWrite");
    manager.extend(texts(&["displayName"], "readOnly"));
    enterprise.push(attribute("manager", false, "readWrite", Value::Array(manager)));
    let mut group = texts(&["displayName"], "readWrite");
    group[0]["required"] = json!(true);
    let mut member = texts(&["value", "$ref", "type"], "immutable");
    member.extend(texts(&["display"], "readOnly"));
    group.push(attribute("members", true, "readWrite", Value::Array(member)));
    let schema = |id: &str, name: &str, attributes: Vec<Value>| {
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
            "id": id, "name": name, "attributes": attributes,
        })
    };
    list(vec![
        schema(USER, "User", user),
        schema(ENTERPRISE, "EnterpriseUser", enterprise),
        schema(GROUP, "Group", group),
    ])
}
