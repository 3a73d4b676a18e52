//! What the service says of itself (RFC 7644 section 4, RFC 7643 sections 5 to 7).
use serde_json::{Map, Value, json};

use crate::list::list_response;
use crate::schema::{Registry, ResourceType, Schema};
use crate::urn;

/// One way to authenticate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthScheme {
    /// `oauthbearertoken`, `httpbasic`, …
    pub kind: String,
    /// Name to show.
    pub name: String,
    /// What it is.
    pub description: String,
    /// Whether it is the preferred one.
    pub primary: bool,
}

/// What the service offers. It must do what it announces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Base URL of the SCIM endpoints, without a slash at its end.
    pub base_url: String,
    /// Bulk, with most operations and most bytes; None if not served.
    pub bulk: Option<(u64, u64)>,
    /// Most resources in one answer.
    pub max_results: u64,
    /// How lists are paged; None says nothing of it.
    pub pagination: Option<Pagination>,
    /// Whether lists are sorted on request.
    pub sort: bool,
    /// Whether resources have entity tags.
    pub etag: bool,
    /// Ways to authenticate.
    pub authentication: Vec<AuthScheme>,
    /// Where the documentation is.
    pub documentation_uri: Option<String>,
    /// Security events; None while they are off.
    pub security_events: Option<SecurityEvents>,
}

/// What is announced of security events (RFC 9967 section 4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityEvents {
    /// Whether `Prefer: respond-async` is followed.
    pub on_request: bool,
    /// The URIs of the events that are sent.
    pub uris: Vec<String>,
}

/// How lists are paged (RFC 9865 section 4): by index unless a request asks for a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pagination {
    /// Resources in a page when the request names no number.
    pub default_page_size: u64,
    /// Resources in a page at most.
    pub max_page_size: u64,
    /// Seconds that a cursor lives at least.
    pub cursor_timeout: u64,
}

impl Options {
    /// No bulk, 200 results, sorting, entity tags, bearer tokens.
    pub fn new(base_url: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            bulk: None,
            max_results: 200,
            pagination: None,
            sort: true,
            etag: true,
            authentication: vec![AuthScheme {
                kind: "oauthbearertoken".into(),
                name: "API key".into(),
                description: "A key of this instance in the Authorization header, as a bearer token.".into(),
                primary: true,
            }],
            documentation_uri: None,
            security_events: None,
        }
    }
}

fn base(url: &str) -> &str {
    url.trim_end_matches('/')
}

/// `/ServiceProviderConfig`.
pub fn service_provider_config(options: &Options) -> Value {
    let (operations, bytes) = options.bulk.unwrap_or((0, 0));
    let mut out = Map::new();
    out.insert("schemas".into(), json!([urn::SERVICE_PROVIDER_CONFIG]));
    if let Some(uri) = &options.documentation_uri {
        out.insert("documentationUri".into(), json!(uri));
    }
    out.insert("patch".into(), json!({"supported": true}));
    out.insert(
        "bulk".into(),
        json!({"supported": options.bulk.is_some(), "maxOperations": operations, "maxPayloadSize": bytes}),
    );
    out.insert("filter".into(), json!({"supported": true, "maxResults": options.max_results}));
    if let Some(pagination) = &options.pagination {
        out.insert(
            "pagination".into(),
            json!({
                "cursor": true,
                "index": true,
                "defaultPaginationMethod": "index",
                "defaultPageSize": pagination.default_page_size,
                "maxPageSize": pagination.max_page_size,
                "cursorTimeout": pagination.cursor_timeout,
            }),
        );
    }
    out.insert("changePassword".into(), json!({"supported": false}));
    out.insert("sort".into(), json!({"supported": options.sort}));
    out.insert("etag".into(), json!({"supported": options.etag}));
    let schemes: Vec<Value> = options
        .authentication
        .iter()
        .map(|s| json!({"type": s.kind, "name": s.name, "description": s.description, "primary": s.primary}))
        .collect();
    out.insert("authenticationSchemes".into(), Value::Array(schemes));
    if let Some(events) = &options.security_events {
        let asynchronous = if events.on_request { "request" } else { "none" };
        out.insert("securityEvents".into(), json!({"asyncRequest": asynchronous, "eventUris": events.uris}));
    }
    out.insert(
        "meta".into(),
        json!({
            "resourceType": "ServiceProviderConfig",
            "location": format!("{}/ServiceProviderConfig", base(&options.base_url)),
        }),
    );
    Value::Object(out)
}

/// One schema, as `/Schemas/{urn}` has it.
pub fn schema_document(schema: &Schema, base_url: &str) -> Value {
    json!({
        "schemas": [urn::SCHEMA],
        "id": schema.id,
        "name": schema.name,
        "description": schema.description,
        "attributes": schema.attributes,
        "meta": {
            "resourceType": "Schema",
            "location": format!("{}/Schemas/{}", base(base_url), schema.id),
        },
    })
}

/// One resource type, as `/ResourceTypes/{id}` has it.
pub fn resource_type_document(rt: &ResourceType, base_url: &str) -> Value {
    let extensions: Vec<Value> =
        rt.extensions.iter().map(|(schema, required)| json!({"schema": schema.id, "required": required})).collect();
    json!({
        "schemas": [urn::RESOURCE_TYPE],
        "id": rt.id,
        "name": rt.name,
        "endpoint": format!("/{}", rt.endpoint),
        "description": rt.description,
        "schema": rt.schema.id,
        "schemaExtensions": extensions,
        "meta": {
            "resourceType": "ResourceType",
            "location": format!("{}/ResourceTypes/{}", base(base_url), rt.id),
        },
    })
}

/// `/Schemas`.
pub fn schemas(registry: &Registry, base_url: &str) -> Value {
    whole(registry.schemas().map(|s| schema_document(s, base_url)).collect())
}

/// `/ResourceTypes`.
pub fn resource_types(registry: &Registry, base_url: &str) -> Value {
    whole(registry.resource_types().map(|t| resource_type_document(t, base_url)).collect())
}

fn whole(items: Vec<Value>) -> Value {
    list_response(u64::try_from(items.len()).unwrap_or(u64::MAX), 1, items)
}
