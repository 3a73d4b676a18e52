//! Wanted and actual, side by side: what differs is open, what is equal or kept here alone is folded.

use maud::{Markup, html};
use scim::fold::fold_text;
use serde_json::Value;

use super::parts::{self, Table, Tone};
use super::person::Record;
use super::text::{count, name, value};
use super::visit::Visit;
use super::words::{list, status, text};
use crate::service::types::Instance;

/// How the two sides of a row are to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// The target has another value.
    Differs,
    /// The same.
    Equal,
    /// The target has one of its own, and is not asked for ours.
    Own,
    /// The target has none, or does not tell.
    Here,
}

struct Row {
    attribute: String,
    wanted: String,
    actual: String,
    side: Side,
}

/// A value in words.
pub(super) fn words(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(on) => if *on { "yes" } else { "no" }.to_owned(),
        Value::Array(all) => all.iter().map(words).filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => match fields.get("value") {
            Some(value) if value.is_string() => {
                let kind = fields.get("type").and_then(Value::as_str).map(|kind| format!(" ({kind})"));
                format!("{}{}", words(value), kind.unwrap_or_default())
            }
            _ => {
                fields.iter().map(|(field, value)| format!("{field}: {}", words(value))).collect::<Vec<_>>().join(", ")
            }
        },
        other => other.to_string(),
    }
}

/// The values of a list of SCIM.
fn values(doc: &Value, attribute: &str) -> Vec<String> {
    list(doc, attribute).iter().filter_map(|one| one["value"].as_str().or(one.as_str()).map(fold_text)).collect()
}

/// The first part of a path, without the schema's name: `emails[type eq "work"].value` as `emails`.
fn root(path: &str) -> &str {
    let tail = if path.starts_with("urn:") { path.rsplit(':').next().unwrap_or(path) } else { path };
    tail.split(['.', '[']).next().unwrap_or(tail)
}

fn rows(told: &Record, group: bool) -> Vec<Row> {
    let sheet = &told.sheet;
    let past = told.until.is_some();
    let doc = if past { &told.why["then"]["attributes"] } else { &sheet["doc"] };
    let known = if past { &Value::Null } else { &sheet["account"] };
    let mut rows = Vec::new();
    let mut push = |attribute: &str, wanted: String, actual: String, side: Side| {
        rows.push(Row { attribute: attribute.to_owned(), wanted, actual, side });
    };
    let then = &told.why["then"];
    let at_target = status(if past { text(then, "at_target") } else { text(&sheet["link"], "status") });
    let there = !matches!(at_target, "no account" | "gone");
    let exists = if past { then["in_directory"] == true } else { !sheet["deleted_at"].is_string() };
    let managed = sheet["managed"] == true;
    if group {
        let side = if !managed {
            Side::Own
        } else if exists == there {
            Side::Equal
        } else {
            Side::Differs
        };
        push(
            "the group",
            if !managed {
                "nobody asked"
            } else if exists {
                "shall be there"
            } else {
                "shall be gone"
            }
            .to_owned(),
            if there { "there" } else { "not there" }.to_owned(),
            side,
        );
    } else {
        let active = exists && if past { then["active"] == true } else { sheet["active"] == true };
        let side = match (managed, active, at_target) {
            (false, ..) => Side::Own,
            (_, true, "active") | (_, false, "suspended" | "gone" | "no account") => Side::Equal,
            _ => Side::Differs,
        };
        let wanted = if !managed {
            "nobody asked"
        } else if active {
            "yes"
        } else {
            "no"
        };
        push("active", wanted.to_owned(), at_target.to_owned(), side);
    }
    let own = |field: &str| known[field].as_str().map(str::to_owned);
    if let Some(login) = own("login") {
        let wanted = text(sheet, "name").to_owned();
        let side = if fold_text(&login) == fold_text(&wanted) { Side::Equal } else { Side::Own };
        push("userName / login", wanted, login, side);
    }
    if let Some(email) = own("email") {
        let wanted = values(doc, "emails");
        let side = if wanted.contains(&fold_text(&email)) || wanted.is_empty() { Side::Equal } else { Side::Differs };
        push("emails", words(&doc["emails"]), email, side);
    }
    if let Some(shown) = own("display_name").or(own("name")) {
        let wanted = if group { text(sheet, "name") } else { sheet["called"].as_str().unwrap_or_default() }.to_owned();
        let side = match (fold_text(&shown) == fold_text(&wanted), group) {
            (true, _) => Side::Equal,
            (false, true) => Side::Differs,
            (false, false) => Side::Own,
        };
        push("displayName", wanted, shown, side);
    }
    if let Some(role) = own("role") {
        let wanted = values(doc, "roles");
        let side = if wanted.is_empty() {
            Side::Own
        } else if wanted.contains(&fold_text(&role)) {
            Side::Equal
        } else {
            Side::Differs
        };
        push("roles", words(&doc["roles"]), role, side);
    }
    let told_already: Vec<String> = rows.iter().map(|row| row.attribute.clone()).collect();
    for (attribute, value) in doc.as_object().into_iter().flatten() {
        let known = told_already.iter().any(|told| told.split(" / ").any(|part| part == attribute));
        if known || matches!(attribute.as_str(), "active" | "members" | "schemas" | "id" | "meta" | "groups") {
            continue;
        }
        rows.push(Row { attribute: attribute.clone(), wanted: words(value), actual: String::new(), side: Side::Here });
    }
    rows
}

/// The newest operation that set an attribute: its id and time.
fn set_by<'a>(told: &'a Record, attribute: &str) -> Option<(&'a str, &'a Value)> {
    let first = attribute.split(" / ").next().unwrap_or(attribute);
    list(&told.why, "operations")
        .iter()
        .find(|operation| {
            matches!(text(operation, "verb"), "create" | "adopt")
                || (text(operation, "verb") == "delete" && matches!(attribute, "active" | "the group"))
                || list(operation, "changes").iter().any(|change| {
                    let path = text(change, "path");
                    path == first || root(path) == root(first)
                })
        })
        .map(|operation| (text(operation, "id"), &operation["at"]))
}

/// The table.
pub(super) fn table(visit: &Visit, told: &Record, instance: &Instance, group: bool) -> Markup {
    let rows = rows(told, group);
    let of = |side: Side| rows.iter().filter(|row| row.side == side).collect::<Vec<_>>();
    let draw = |rows: &[&Row], caption: &str| {
        let mut table = Table::new(caption).hush().head("Attribute").head("Identity provider says").head("Target has");
        table = table.less("Set by").less("Since");
        for row in rows {
            let set = set_by(told, &row.attribute);
            table.row(html! { tr {
                th scope="row" { (name(&row.attribute)) @if row.side == Side::Differs { " " (parts::tag(Tone::Drift, "Differs")) } }
                td { @if row.wanted.is_empty() { span.muted { "nothing" } } @else { (value(&row.wanted)) } }
                td { @if row.side == Side::Here { span.muted { "not asked for, or not told" } } @else { (value(&row.actual)) } }
                td.rank2 { @if let Some((operation, _)) = set { a href={ "/console/operations/" (operation) } { "the change" } } @else { span.muted { "before the record" } } }
                td.rank2 { @if let Some((_, at)) = set { (parts::ago_or(visit.now, at, "")) } }
            } });
        }
        table.draw()
    };
    let folded = |rows: Vec<&Row>, one: &str, many: &str, caption: &str| {
        let n = i64::try_from(rows.len()).unwrap_or(0);
        html! { @if n > 0 { div.pad { (parts::more(&count(n, one, many), &draw(&rows, caption))) } } }
    };
    let differing = of(Side::Differs);
    parts::card(
        "Wanted and actual",
        &html! {},
        &html! {
            @if differing.is_empty() { div.pad.inline { (parts::tag(Tone::Good, "Nothing differs")) } } @else { (draw(&differing, "Attributes that differ")) }
            (folded(of(Side::Equal), "is equal", "are equal", "Attributes that are equal"))
            (folded(of(Side::Own), "has a value of the target's own", "have values of the target's own", "Values of the target's own"))
            (folded(of(Side::Here), "attribute is kept here", "attributes are kept here", "Attributes that are kept here"))
            @if told.until.is_none() && told.sheet["seen_at"].is_string() {
                p.pad.small.muted { "What " (name(&instance.name)) " has was last read " (parts::ago_or(visit.now, &told.sheet["seen_at"], "")) "." }
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;

    fn told(sheet: Value) -> Record {
        Record { sheet, why: json!({"operations": [], "then": {}}), until: None::<Timestamp> }
    }

    #[test]
    fn rows_tell_what_differs_from_what_is_only_kept_here() {
        let sheet = json!({
            "name": "ada@example.com", "called": "Ada", "active": true, "managed": true, "deleted_at": null,
            "link": {"status": "suspended"},
            "doc": {"emails": [{"value": "ada@example.com"}], "title": "Dr", "roles": [{"value": "admin"}]},
            "account": {"login": "ada-1", "email": "Ada@Example.com", "role": "member", "display_name": "Ada"},
        });
        let found: Vec<(String, Side)> =
            rows(&told(sheet), false).into_iter().map(|row| (row.attribute, row.side)).collect();
        let want = [
            ("active", Side::Differs),
            ("userName / login", Side::Own),
            ("emails", Side::Equal),
            ("displayName", Side::Equal),
            ("roles", Side::Differs),
            ("title", Side::Here),
        ];
        let want: Vec<(String, Side)> = want.into_iter().map(|(name, side)| (name.to_owned(), side)).collect();
        assert_eq!(found, want);
    }

    #[test]
    fn a_path_has_a_root() {
        for (path, want) in [
            ("emails[type eq \"work\"].value", "emails"),
            ("name.givenName", "name"),
            ("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", "department"),
            ("title", "title"),
        ] {
            assert_eq!(root(path), want);
        }
    }
}
