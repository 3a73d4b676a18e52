//! References of one resource to another, as answers show them: `manager`, and whatever an admin declares in its shape.
//!
//! A complex attribute with `value` and a `$ref` to resource types of the instance names a resource by its id. Nobody
//! checks on a write whether there is such a resource (managers come after the people they manage), so the answer shows
//! what can be followed: a `$ref` that can be read where the resource is there, with its name where the schema has a
//! place for it that is the service's to fill (RFC 7643 sections 2.3.7 and 4.3). Entity tags do not follow such names.

use std::collections::HashMap;

use scim::Document;
use scim::schema::{AttrType, Attribute, Mutability, ResourceType, Schema};
use scim::syntax::is_relative;
use sea_orm::Value as SqlValue;
use serde_json::{Map, Value};

use super::render::{Renderer, location};
use crate::service::directory::Listed;
use crate::store::{Rows, Sql, StoreError};

/// Ids per statement.
const CHUNK: usize = 400;
/// Longer texts are no ids of this gateway.
const LONGEST_ID: usize = 64;

/// An attribute that refers to resources.
struct Link<'a> {
    extension: Option<&'a Schema>,
    attr: &'a Attribute,
    /// What it may refer to.
    types: Vec<&'a ResourceType>,
    /// Whether `value` holds an id.
    by_id: bool,
    /// Its key as it stands in a document's text.
    key: String,
}

/// A resource that is referred to.
struct Target {
    kind: String,
    name: String,
}

/// The documents of those resources that refer to others, by row, with their references filled in.
pub(super) async fn fill(renderer: &Renderer<'_>, items: &[Listed]) -> Result<HashMap<i64, Document>, StoreError> {
    let mut filled = HashMap::new();
    let links = links(renderer);
    for item in items {
        // Most documents refer to nobody: they are not read for it.
        if links.iter().any(|link| item.doc.contains(&link.key)) {
            let doc = item.document()?;
            if links.iter().any(|link| holder(link, &doc).is_some()) {
                filled.insert(item.seq, doc);
            }
        }
    }
    if filled.is_empty() {
        return Ok(filled);
    }
    let mut ids: Vec<String> = Vec::new();
    for doc in filled.values() {
        for link in links.iter().filter(|link| link.by_id) {
            let elements = holder(link, doc).map(spread).unwrap_or_default();
            let named = elements.iter().filter_map(|element| element.get("value").and_then(Value::as_str));
            ids.extend(named.filter(|id| !id.is_empty() && id.len() <= LONGEST_ID).map(str::to_owned));
        }
    }
    ids.sort_unstable();
    ids.dedup();
    let targets = targets(renderer, &ids).await?;
    for doc in filled.values_mut() {
        for link in &links {
            let Some(value) = holder_mut(link, doc) else { continue };
            let elements = match value {
                Value::Array(items) => items.as_mut_slice(),
                one => std::slice::from_mut(one),
            };
            for element in elements {
                show(renderer, link, &targets, element);
            }
        }
    }
    Ok(filled)
}

/// The attributes of the answer that refer to resources of this instance.
fn links<'a>(renderer: &Renderer<'a>) -> Vec<Link<'a>> {
    let registry = &renderer.instance.registry;
    let types = |attr: &'a Attribute| -> Vec<&'a ResourceType> {
        attr.reference_types.iter().filter_map(|name| registry.resource_type(name)).collect()
    };
    let mut links = Vec::new();
    for (extension, attr) in renderer.rt.attributes() {
        if attr.mutability == Mutability::ReadOnly || renderer.rt.relation.as_deref() == Some(attr.name.as_str()) {
            continue;
        }
        let (types, by_id) = match attr.kind {
            AttrType::Complex => match attr.sub("$ref") {
                Some(address) => (types(address), attr.sub("value").is_some()),
                None => continue,
            },
            AttrType::Reference => (types(attr), false),
            _ => continue,
        };
        let path = extension.map_or_else(|| attr.name.clone(), |schema| format!("{}:{}", schema.id, attr.name));
        if !types.is_empty() && renderer.projection.wants(renderer.rt, &path) {
            links.push(Link { extension, attr, types, by_id, key: format!("\"{}\"", attr.name) });
        }
    }
    links
}

fn holder<'d>(link: &Link<'_>, doc: &'d Map<String, Value>) -> Option<&'d Value> {
    match link.extension {
        Some(schema) => doc.get(&schema.id)?.get(&link.attr.name),
        None => doc.get(&link.attr.name),
    }
}

fn holder_mut<'d>(link: &Link<'_>, doc: &'d mut Map<String, Value>) -> Option<&'d mut Value> {
    match link.extension {
        Some(schema) => doc.get_mut(&schema.id)?.get_mut(&link.attr.name),
        None => doc.get_mut(&link.attr.name),
    }
}

fn spread(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) => items,
        one => std::slice::from_ref(one),
    }
}

async fn targets(renderer: &Renderer<'_>, ids: &[String]) -> Result<HashMap<String, Target>, StoreError> {
    let mut targets = HashMap::with_capacity(ids.len());
    for chunk in ids.chunks(CHUNK) {
        let places: Vec<String> = (2..2 + chunk.len()).map(|place| format!("${place}")).collect();
        let mut values = vals![renderer.instance.seq];
        values.extend(chunk.iter().map(|id| SqlValue::from(id.as_str())));
        let text = format!(
            "SELECT id, kind, name, doc, managed FROM resource WHERE instance_seq = $1 AND deleted_at IS NULL AND id IN ({})",
            places.join(",")
        );
        for row in renderer.app.store.reader().all(&text, values).await? {
            let kind: String = row.col("kind")?;
            if row.col::<i16>("managed")? == 0 && !renderer.instance.adopts(&kind) {
                continue;
            }
            let doc: Value = serde_json::from_str(&row.col::<String>("doc")?)
                .map_err(|error| StoreError::damaged(format!("resource.doc: {error}")))?;
            let written = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
            let name = written(&doc["displayName"]).or_else(|| written(&doc["name"]["formatted"]));
            let name = name.map_or_else(|| row.col("name"), Ok)?;
            targets.insert(row.col("id")?, Target { kind, name });
        }
    }
    Ok(targets)
}

/// Shows one element.
fn show(renderer: &Renderer<'_>, link: &Link<'_>, targets: &HashMap<String, Target>, element: &mut Value) {
    let map = match element {
        Value::Object(map) => map,
        Value::String(address) => {
            *address = resolved(renderer, link, address);
            return;
        }
        _ => return,
    };
    let found = map.get("value").and_then(Value::as_str).and_then(|id| Some((id.to_owned(), targets.get(id)?)));
    let rt = found.as_ref().and_then(|(_, target)| link.types.iter().find(|rt| rt.name == target.kind));
    if let (Some((id, target)), Some(rt)) = (found.as_ref(), rt) {
        map.insert("$ref".to_owned(), Value::String(location(renderer.base, rt, id)));
        for sub in link.attr.sub_attributes.iter().filter(|sub| sub.mutability == Mutability::ReadOnly) {
            if sub.name == "displayName" || sub.name == "display" {
                map.insert(sub.name.clone(), Value::String(target.name.clone()));
            }
        }
    } else if let Some(Value::String(address)) = map.get_mut("$ref") {
        *address = resolved(renderer, link, address);
    }
}

/// A relative address against the base URL: its last two segments name the endpoint and the resource, whatever the
/// client took for the base (`../Users/1`, `/v2/Users/1`, `Users/1`). Anything else stays as it was written.
fn resolved(renderer: &Renderer<'_>, link: &Link<'_>, address: &str) -> String {
    if !is_relative(address) || address.starts_with("//") {
        return address.to_owned();
    }
    let segments: Vec<&str> = address.split('/').filter(|segment| !segment.is_empty()).collect();
    if let [.., endpoint, id] = segments.as_slice()
        && let Some(rt) = link.types.iter().find(|rt| rt.endpoint.eq_ignore_ascii_case(endpoint))
    {
        return location(renderer.base, rt, id);
    }
    address.to_owned()
}
