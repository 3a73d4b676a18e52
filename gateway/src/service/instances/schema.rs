//! The schemas of an instance: the core ones, what its connector adds, what its admin declares.

use std::sync::{Arc, LazyLock};

use connector_sdk::Entry;
use scim::Registry;
use scim::compare::fits;
use scim::resource::Document;
use scim::schema::{Attribute, Declarations, Located, ResourceType, Schema, extension_urn};
use sea_orm::Value as SqlValue;
use serde_json::{Map, Value, json};

use super::AdminError;
use crate::service::accept::{claims_of, own};
use crate::store::{Rows, Sql, StoreError, Tx};

/// Rows read at a time where stored values are looked at.
const BATCH: usize = 500;
/// With more changed attributes than this, every document is read rather than those that name one of them.
const NAMED: usize = 20;

/// The schemas of a connector: the core ones with its own extensions.
fn of_connector(entry: Option<&Entry>) -> Result<Registry, String> {
    let mut registry = Registry::core();
    for extension in
        entry.into_iter().flat_map(|entry| entry.extensions.iter().map(move |extension| (entry, extension)))
    {
        let (entry, extension) = extension;
        let attributes: Value = serde_json::from_str(extension.attributes).map_err(|error| error.to_string())?;
        let schema = json!({
            "id": extension_urn(entry.name, extension.resource_type),
            "name": format!("{}{}", entry.title.replace(' ', ""), extension.resource_type),
            "description": extension.description,
            "attributes": attributes,
        });
        registry = registry
            .with_extension(extension.resource_type, &schema.to_string(), false)
            .map_err(|error| error.to_string())?;
    }
    Ok(registry)
}

/// The extensions of a connector as the admin API and the shell describe them.
pub(crate) fn describe_extensions(entry: &Entry) -> Vec<Value> {
    let describe = |extension: &connector_sdk::Extension| {
        let attributes: Value = serde_json::from_str(extension.attributes).unwrap_or_default();
        let urn = extension_urn(entry.name, extension.resource_type);
        json!({"resource_type": extension.resource_type, "urn": urn, "description": extension.description, "attributes": attributes})
    };
    entry.extensions.iter().map(describe).collect()
}

/// The schemas that declarations make, or what is wrong with them, naming the place.
pub(super) fn registry(entry: Option<&Entry>, declared: &Value) -> Result<Registry, AdminError> {
    let base = of_connector(entry).map_err(|error| StoreError::Other(format!("the connector's extension: {error}")))?;
    let invalid = |error: scim::schema::DeclareError| {
        let place = if error.place.is_empty() { String::new() } else { format!(".{}", error.place) };
        AdminError::invalid(format!("schema{place}"), error.why)
    };
    let declarations = Declarations::read(declared).map_err(invalid)?;
    base.declare(&declarations).map_err(invalid)
}

/// The same for what is stored. Declarations that cannot be used any more (a later version may bring an attribute of
/// their name) are left out and reported: an instance that answers without them is worth more than one that does not
/// answer. Their values stay where they are.
pub(super) fn usable(entry: Option<&Entry>, declared: &Value) -> (Arc<Registry>, Option<String>) {
    static CORE: LazyLock<Arc<Registry>> = LazyLock::new(|| Arc::new(Registry::core()));
    let nothing = declared.as_object().is_none_or(Map::is_empty);
    if nothing && entry.is_none_or(|entry| entry.extensions.is_empty()) {
        return (Arc::clone(&CORE), None);
    }
    match registry(entry, declared) {
        Ok(registry) => (Arc::new(registry), None),
        Err(error) => {
            let base = of_connector(entry).map_or_else(|_| Arc::clone(&CORE), Arc::new);
            (
                base,
                Some(format!("The declared schemas cannot be used any more: {error}. Change or remove what is named.")),
            )
        }
    }
}

/// Declarations with a change over them: each list that is given replaces the one before, null takes it away. What is
/// no object is kept for the reader to refuse.
pub(super) fn merged(old: &Value, change: &Value) -> Value {
    let Value::Object(change) = change else {
        return if change.is_null() { json!({}) } else { change.clone() };
    };
    let mut whole = old.as_object().cloned().unwrap_or_default();
    for (name, value) in change {
        if value.is_null() {
            whole.remove(name);
        } else {
            whole.insert(name.clone(), value.clone());
        }
    }
    Value::Object(whole)
}

/// A change of declarations.
///
/// Values of what is no longer declared are kept and not shown; they are there again when it is declared again. So a
/// declaration has to fit what is stored under its name: otherwise the change is refused.
pub(super) struct Redeclared {
    pub(super) from: Arc<Registry>,
    pub(super) to: Arc<Registry>,
    pub(super) declared: Value,
}

/// What changes of one resource type, and has to be compared with stored values.
#[derive(Default)]
struct Changes<'a> {
    /// Attributes that are new or have another shape.
    shapes: Vec<(Option<&'a Schema>, &'a Attribute)>,
    /// Paths that become unique, or are from now on compared otherwise.
    unique: Vec<String>,
    /// Paths whose claims go.
    released: Vec<String>,
}

impl Redeclared {
    /// Stores the declarations, and brings the claims of unique values to them.
    pub(super) async fn store(&self, tx: &Tx<'_>, instance: i64) -> Result<(), AdminError> {
        tx.conn
            .run("UPDATE instance SET declared = $2 WHERE seq = $1", vals![instance, self.declared.to_string()])
            .await?;
        for old in self.from.resource_types().filter(|old| self.to.resource_type(&old.name).is_none()) {
            release(tx, instance, old, &paths(old)).await?;
        }
        for rt in self.to.resource_types() {
            let old = self.from.resource_type(&rt.name);
            if old == Some(rt) {
                continue;
            }
            let changes = compare(old, rt);
            release(tx, instance, rt, &changes.released).await?;
            if !changes.shapes.is_empty() || !changes.unique.is_empty() {
                look_through(tx, instance, rt, &changes).await?;
            }
        }
        Ok(())
    }
}

fn paths(rt: &ResourceType) -> Vec<String> {
    rt.unique().map(|found| found.path()).collect()
}

fn compare<'a>(old: Option<&ResourceType>, new: &'a ResourceType) -> Changes<'a> {
    let known = |extension: Option<&Schema>, name: &str| {
        let found = |(schema, attr): &(Option<&Schema>, &Attribute)| {
            schema.map(|schema| &schema.id) == extension.map(|schema| &schema.id) && attr.name == name
        };
        old.and_then(|old| old.attributes().find(found)).map(|(_, attr)| attr)
    };
    let ways = |rt: &ResourceType| -> Vec<(String, bool)> {
        rt.unique().map(|found: Located<'_>| (found.path(), found.leaf().exact())).collect()
    };
    let (before, after) = (old.map(ways).unwrap_or_default(), ways(new));
    let gone = |(path, exact): &&(String, bool)| !after.iter().any(|(other, way)| other == path && way == exact);
    Changes {
        shapes: new
            .attributes()
            .filter(|(extension, attr)| !known(*extension, &attr.name).is_some_and(|before| same_shape(before, attr)))
            .collect(),
        unique: after.iter().filter(|way| !before.contains(way)).map(|(path, _)| path.clone()).collect(),
        released: before.iter().filter(gone).map(|(path, _)| path.clone()).collect(),
    }
}

fn same_shape(a: &Attribute, b: &Attribute) -> bool {
    a.kind == b.kind
        && a.multi_valued == b.multi_valued
        && a.sub_attributes.len() <= b.sub_attributes.len()
        && a.sub_attributes
            .iter()
            .all(|sub| b.sub_attributes.iter().any(|other| other.name == sub.name && same_shape(sub, other)))
}

async fn release(tx: &Tx<'_>, instance: i64, rt: &ResourceType, paths: &[String]) -> Result<(), StoreError> {
    for path in paths {
        tx.conn
            .run(
                "DELETE FROM claim WHERE instance_seq = $1 AND kind = $2 AND path = $3",
                vals![instance, rt.name.as_str(), path.as_str()],
            )
            .await?;
    }
    Ok(())
}

/// Looks through the stored documents: whether their values fit, and whose the unique ones are. On PostgreSQL nobody
/// else is kept waiting; on SQLite other writers are, for about a second per hundred thousand documents.
async fn look_through(tx: &Tx<'_>, instance: i64, rt: &ResourceType, changes: &Changes<'_>) -> Result<(), AdminError> {
    let mut names: Vec<&str> = changes.shapes.iter().map(|(_, attr)| attr.name.as_str()).collect();
    let of_path = |path: &String| rt.resolve_str(path).attribute().map(|found| found.attr.name.as_str());
    names.extend(changes.unique.iter().filter_map(of_path));
    names.sort_unstable();
    names.dedup();
    let mut values = vals![instance, rt.name.as_str(), 0_i64];
    let mut condition = String::new();
    if names.len() <= NAMED {
        let likes: Vec<String> = (4..4 + names.len()).map(|place| format!("LOWER(doc) LIKE ${place}")).collect();
        values.extend(names.iter().map(|name| SqlValue::from(format!("%\"{}\"%", name.to_ascii_lowercase()))));
        condition = format!(" AND ({})", likes.join(" OR "));
    }
    let text = format!(
        "SELECT seq, id, doc, managed FROM resource WHERE instance_seq = $1 AND kind = $2 AND deleted_at IS NULL AND seq > $3{condition} \
         ORDER BY seq LIMIT {BATCH}"
    );
    loop {
        let rows = tx.conn.all(&text, values.clone()).await?;
        for row in &rows {
            let id: String = row.col("id")?;
            let seq: i64 = row.col("seq")?;
            let doc: Document = serde_json::from_str(&row.col::<String>("doc")?)
                .map_err(|error| StoreError::damaged(format!("resource.doc: {error}")))?;
            for (extension, attr) in &changes.shapes {
                if let Some(path) = misfit(*extension, attr, &doc) {
                    return Err(AdminError::Conflict(format!(
                        "schema: {} {id}, and perhaps others, holds a value of {path} that the declaration of {} does not fit. \
                         Declare it as it was, under the same spelling, clear the values, and then change it.",
                        rt.name, attr.name
                    )));
                }
            }
            if row.col::<i16>("managed")? == 1 {
                for claim in claims_of(rt, &doc).iter().filter(|claim| changes.unique.contains(&claim.path)) {
                    if let Some(holder) = own(tx, instance, rt, seq, claim).await? {
                        return Err(AdminError::Conflict(format!(
                            "schema: {} cannot be unique: the {}s {id} and {holder} have one value of it. Change one of them first.",
                            claim.path, rt.name
                        )));
                    }
                }
            }
            if let Some(after) = values.get_mut(2) {
                *after = seq.into();
            }
        }
        if rows.len() < BATCH {
            return Ok(());
        }
    }
}

/// The path of a value that does not fit: it has another shape, or stands under another spelling of the name.
fn misfit(extension: Option<&Schema>, attr: &Attribute, doc: &Document) -> Option<String> {
    let (prefix, holder) = match extension {
        None => (String::new(), Some(doc)),
        Some(schema) => {
            let (key, inner) = doc.iter().find(|(key, _)| key.eq_ignore_ascii_case(&schema.id))?;
            if *key != schema.id {
                return Some(key.clone());
            }
            (format!("{key}:"), inner.as_object())
        }
    };
    let (key, value) = holder?.iter().find(|(key, _)| key.eq_ignore_ascii_case(&attr.name))?;
    (*key != attr.name || !fits(attr, value)).then(|| format!("{prefix}{key}"))
}
