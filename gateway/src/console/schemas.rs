//! What an instance declares of schemas: see it, change it, take it away.
//!
//! The text is that of the admin API and of `--schema`. What a change would break is the service's to judge: it compares
//! the declarations with what is stored.

use std::sync::Arc;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use maud::{Markup, html};
use serde_json::{Map, Value, json};

use super::change::overtaken;
use super::extract::Path;
use super::form::{Errors, Field, Form, Sent, confirm};
use super::instances::fresh;
use super::layout::{Page, Tab};
use super::parts::{self, Table, Tone};
use super::text::{count, name, value};
use super::trouble::Trouble;
use super::visit::Visit;
use super::words::{list, text};
use super::{Answer, Sending};
use crate::service::App;
use crate::service::instances::InstanceChange;
use crate::service::members::Role;
use crate::service::records::AdminError;
use crate::service::types::Instance;

/// The lists of declarations.
const LISTS: [&str; 3] = ["attributes", "extensions", "resource_types"];
/// Attributes that the table shows; the text has all.
const SHOWN: usize = 100;
/// Rows of the text field.
const ROWS: u8 = 24;
/// What the text field begins with where nothing is declared.
const EXAMPLE: &str = r#"{
  "attributes": [
    {"resource_type": "User", "schema": "enterprise", "name": "team", "type": "string"}
  ]
}"#;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/instances/{id}/settings/schemas", get(show).post(save))
        .route("/instances/{id}/settings/schemas/remove", get(ask_remove).post(remove))
}

fn here(instance: &Instance) -> String {
    format!("/console/instances/{}/settings/schemas", instance.id)
}

/// The card on the page of settings.
pub(super) fn card(instance: &Instance) -> Markup {
    let said = summary(&instance.declared);
    parts::card(
        "Schemas",
        &html! {},
        &html! { div.pad.stack {
            p { @if said.is_empty() { "Beside the core schemas and what its connector adds, this instance declares nothing." } @else { "Declared here, beside the core schemas: " (said) "." } }
            p { a.btn href=(here(instance)) { @if said.is_empty() { "Declare attributes and resource types" } @else { "Look at the declarations" } } }
        } },
    )
}

/// How much is declared: `2 attributes, 1 resource type`.
fn summary(declared: &Value) -> String {
    let words = [("attribute", "attributes"), ("extension", "extensions"), ("resource type", "resource types")];
    let parts: Vec<String> = LISTS
        .iter()
        .zip(words)
        .map(|(field, words)| (i64::try_from(list(declared, field).len()).unwrap_or(0), words))
        .filter(|(many, _)| *many > 0)
        .map(|(many, (one, more))| count(many, one, more))
        .collect();
    parts.join(", ")
}

/// The declarations as they are edited.
fn pretty(declared: &Value) -> String {
    if declared.as_object().is_none_or(Map::is_empty) {
        return String::new();
    }
    serde_json::to_string_pretty(declared).unwrap_or_default()
}

/// Where an attribute stands: the word or URN of its schema.
fn of_schema(word: &str) -> Markup {
    match word {
        "core" => html! { "core" },
        "enterprise" => html! { "enterprise" },
        urn => html! { code { (name(urn)) } },
    }
}

/// What is said of an attribute beside its name and type.
fn characteristics(one: &Value) -> String {
    let mut said = Vec::new();
    for (field, words) in [("multiValued", "several values"), ("required", "required"), ("caseExact", "exact case")] {
        if one[field] == true {
            said.push(words.to_owned());
        }
    }
    for (field, usual) in [("mutability", "readWrite"), ("returned", "default"), ("uniqueness", "none")] {
        if let Some(word) = one[field].as_str().filter(|word| *word != usual) {
            said.push(format!("{field} {word}"));
        }
    }
    let values = list(one, "canonicalValues").len();
    if values > 0 {
        let values = count(i64::try_from(values).unwrap_or(0), "canonical value", "canonical values");
        said.push(if one["restrictCanonicalValues"] == true { format!("only {values}") } else { values });
    }
    said.join(", ")
}

fn attributes<'a>(rows: impl Iterator<Item = (&'a str, &'a str, &'a Value)>) -> Markup {
    let mut table =
        Table::new("Declared attributes").head("Attribute").head("Of").head("Schema").head("Type").less("More");
    for (of, schema, one) in rows {
        let kind = one["type"].as_str().unwrap_or("string");
        table.row(html! { tr {
            th scope="row" { (name(text(one, "name"))) }
            td { (name(of)) }
            td { (of_schema(schema)) }
            td { (name(kind)) }
            td.rank2 { (name(&characteristics(one))) }
        } });
    }
    if table.is_empty() {
        html! {}
    } else {
        table.draw()
    }
}

/// What is declared, as tables.
fn tables(declared: &Value) -> Markup {
    let single = list(declared, "attributes").iter().map(|one| (text(one, "resource_type"), text(one, "schema"), one));
    let extensions = list(declared, "extensions").iter().flat_map(|one| {
        let schema = &one["schema"];
        list(schema, "attributes").iter().map(|of| (text(one, "resource_type"), text(schema, "id"), of))
    });
    let mut types = Table::new("Declared resource types").head("Resource type").head("Endpoint").number("Attributes");
    for one in list(declared, "resource_types") {
        types.row(html! { tr {
            th scope="row" { (name(text(one, "name"))) }
            td { code { "/" (name(text(one, "endpoint"))) } }
            td.num { (list(&one["schema"], "attributes").len()) }
        } });
    }
    let all = single.clone().chain(extensions.clone()).count();
    html! {
        (attributes(single.chain(extensions).take(SHOWN)))
        @if all > SHOWN { p.pad.muted { "The first " (SHOWN) " of " (all) " attributes; the text below has all of them." } }
        @if !types.is_empty() { (types.draw()) }
    }
}

fn page(visit: &Visit, instance: &Arc<Instance>, sent: Option<&Sent>, errors: Errors) -> Page {
    let here = here(instance);
    let present = instance.config_rev.to_string();
    let rev = sent.map_or(present.as_str(), |sent| sent.text("config_rev")).to_owned();
    let failed = !errors.is_empty();
    let nothing = summary(&instance.declared).is_empty();
    let shown = sent.map_or_else(|| pretty(&instance.declared), |sent| sent.raw("schema").to_owned());
    let hint = "JSON with the lists attributes, extensions and resource_types. Paste a file, or change what stands here: what is saved takes the place of all that was declared before.";
    let form = Form::new(visit, here.as_str(), "Save the declarations")
        .hidden("config_rev", rev)
        .field(Field::area("schema", "Declarations", ROWS).code().hint(hint).value(shown))
        .errors(errors);
    let remove = html! { @if !nothing && visit.may(Role::Admin) { a.btn.danger href={ (here) "/remove" } { "Remove all\u{2026}" } } };
    let page = Page::of(instance, Tab::Settings, "Schemas")
        .crumb("Settings", format!("/console/instances/{}/settings", instance.id))
        .lead(html! { "Attributes, extensions and resource types that this instance speaks beside the core schemas. They are announced in /Schemas and /ResourceTypes, and enforced in every write." })
        .body(html! {
            @if let Some(problem) = &instance.schema_problem { (parts::note(Tone::Bad, &html! { p { (value(problem)) } })) }
            (parts::card("What is declared", &remove, &html! {
                @if nothing {
                    (parts::empty("Nothing is declared", &html! {
                        "An identity provider can send what the core schemas, the enterprise extension and the connector have. "
                        @if visit.may(Role::Admin) { "What is declared below comes beside that." } @else { "Admins declare more." }
                    }, &html! {}))
                } @else { (tables(&instance.declared)) }
            }))
            @if visit.may(Role::Admin) {
                (parts::card("Change it", &html! {}, &html! { div.pad.stack {
                    (form.draw())
                    (parts::more("An example, and what a change does to stored values", &html! { div.prose {
                        pre tabindex="0" role="region" aria-label="An example" { (EXAMPLE) }
                        ul {
                            li { "What is no longer declared is kept and not shown; declared again, it is there again." }
                            li { "A declaration has to fit what is stored under its name: another type is refused as long as somebody has a value that does not fit." }
                            li { "An attribute becomes unique only where no two have the same value." }
                        }
                        p { "All of it stands in the documentation: " code { "docs/schemas.md" } "." }
                    } }))
                } }))
            } @else if !nothing {
                (parts::card("As JSON", &html! {}, &html! { div.pad { pre tabindex="0" role="region" aria-label="The declarations as JSON" { (pretty(&instance.declared)) } } }))
            }
        });
    if failed { page.failed() } else { page }
}

async fn show(visit: Visit, Path(id): Path<String>) -> Answer {
    let instance = visit.instance(&id).await?;
    Ok(page(&visit, &instance, None, Errors::default()))
}

/// The declarations that were sent, as a change of those before: a list that is left out is taken away.
fn read(sent: &Sent) -> Result<Value, String> {
    let text = sent.text("schema");
    let given = if text.is_empty() { Ok(json!({})) } else { serde_json::from_str(text) };
    let mut given: Value = given.map_err(|error| format!("is not JSON: {error}"))?;
    // As it stands in the body of a request.
    if let Some(inner) = given.as_object().filter(|whole| whole.len() == 1).and_then(|whole| whole.get("schema")) {
        given = inner.clone();
    }
    let Value::Object(mut change) = given else {
        return Err("must be an object with the lists attributes, extensions and resource_types".to_owned());
    };
    for name in LISTS {
        change.entry(name).or_insert(Value::Null);
    }
    Ok(Value::Object(change))
}

/// What the service says of the declarations, at the one field there is, with the place in them.
fn wrong(error: AdminError) -> Result<Errors, Trouble> {
    let mut errors = Errors::default();
    match error {
        AdminError::Invalid { field, message } => {
            let place = field.strip_prefix("schema").unwrap_or(&field).trim_start_matches('.').to_owned();
            errors.add("schema", if place.is_empty() { message } else { format!("{place}: {message}") });
        }
        AdminError::Conflict(why) => errors.add("schema", why),
        other => return Err(other.into()),
    }
    Ok(errors)
}

async fn save(visit: Visit, Path(id): Path<String>, sent: Sent) -> Sending {
    let instance = fresh(&visit, &id).await?;
    let refused = |errors| Ok(page(&visit, &instance, Some(&sent), errors).into_response());
    if let Some(errors) = overtaken(&instance, &sent) {
        return refused(errors);
    }
    let schema = match read(&sent) {
        Ok(schema) => schema,
        Err(words) => {
            let mut errors = Errors::default();
            errors.add("schema", words);
            return refused(errors);
        }
    };
    let change = InstanceChange { schema: Some(schema), ..InstanceChange::default() };
    match visit.app.update_instance(&visit.actor(), &instance, change).await {
        Ok(now) => {
            let said = summary(&now.declared);
            let note = if said.is_empty() {
                "Nothing is declared any more.".to_owned()
            } else {
                format!("Saved: {said}. Other replicas follow within five seconds.")
            };
            Ok(visit.done(&here(&instance), &note))
        }
        Err(error) => refused(wrong(error)?),
    }
}

fn remove_page(visit: &Visit, instance: &Arc<Instance>, errors: Errors) -> Page {
    let here = here(instance);
    let failed = !errors.is_empty();
    let form = Form::new(visit, format!("{here}/remove"), "Remove the declarations")
        .hidden("config_rev", instance.config_rev.to_string())
        .errors(errors)
        .cancel(here.as_str())
        .danger();
    let types = list(&instance.declared, "resource_types");
    let consequence = html! {
        p { "This instance declares " (summary(&instance.declared)) "." }
        p { "Values that were sent for them stay stored, and are no longer shown, filtered or changed. What an identity provider sends of them is from then on an attribute that nobody knows." }
        @if !types.is_empty() { p {
            @for (n, one) in types.iter().enumerate() { @if n > 0 { ", " } code { "/" (name(text(one, "endpoint"))) } }
            " answer 404 from then on; the resources stay."
        } }
        p { "Declared again, all of it is there again." }
    };
    let page = Page::of(instance, Tab::Settings, "Remove all declarations?")
        .crumb("Settings", format!("/console/instances/{}/settings", instance.id))
        .crumb("Schemas", here)
        .body(confirm(form, &consequence, None));
    if failed { page.failed() } else { page }
}

async fn ask_remove(visit: Visit, Path(id): Path<String>) -> Sending {
    visit.require(Role::Admin)?;
    let instance = visit.instance(&id).await?;
    if summary(&instance.declared).is_empty() {
        return Ok(visit.done(&here(&instance), "Nothing is declared."));
    }
    Ok(remove_page(&visit, &instance, Errors::default()).into_response())
}

async fn remove(visit: Visit, Path(id): Path<String>, sent: Sent) -> Sending {
    let instance = fresh(&visit, &id).await?;
    if let Some(errors) = overtaken(&instance, &sent) {
        return Ok(remove_page(&visit, &instance, errors).into_response());
    }
    let change = InstanceChange { schema: Some(Value::Null), ..InstanceChange::default() };
    match visit.app.update_instance(&visit.actor(), &instance, change).await {
        Ok(_) => Ok(visit.done(&here(&instance), "The declarations are removed. What was stored under them is kept.")),
        Err(error) => Ok(remove_page(&visit, &instance, wrong(error)?).into_response()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_takes_the_place_of_all_that_was_declared() {
        let sent = |text: &str| {
            let body = url::form_urlencoded::Serializer::new(String::new()).append_pair("schema", text).finish();
            read(&Sent::parse(body.as_bytes()))
        };
        let nothing = json!({"attributes": null, "extensions": null, "resource_types": null});
        assert_eq!(sent(" ").unwrap(), nothing);
        let some = json!({"attributes": [], "extensions": null, "resource_types": null});
        assert_eq!(sent(r#"{"attributes": []}"#).unwrap(), some);
        assert_eq!(sent(r#"{"schema": {"attributes": []}}"#).unwrap(), some);
        assert!(sent("{").unwrap_err().contains("line 1"));
        assert!(sent("[]").unwrap_err().contains("an object"));
        assert_eq!(sent(r#"{"nonsense": 1}"#).unwrap()["nonsense"], 1);
    }
}
