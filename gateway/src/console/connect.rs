//! Connecting an identity provider: address, key, its guide with the values filled in, and whether it was heard of.

use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;
use url::{Host, Url};

use super::extract::{Path, Query};
use super::form::{Choice, Errors, Field, Form, Sent};
use super::layout::{Nav, Page, Tab};
use super::parts::{self, Table, Tone};
use super::text::{count, name, number};
use super::trouble::Trouble;
use super::visit::Visit;
use super::words::{int, text};
use super::{Answer, Sending, guide, keys, refused};
use crate::guides::{self, Guide, Values};
use crate::service::App;
use crate::service::members::Role;
use crate::service::records::OperationFilter;
use crate::service::types::{Instance, Mode};

/// Requests that are shown of each sort.
const SHOWN: i64 = 10;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/instances/{id}/connect", get(show).post(create))
        .route("/instances/{id}/connect/guide.md", get(markdown))
}

/// Which guide.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Chosen {
    idp: String,
}

fn values(visit: &Visit, instance: &Instance, key: Option<&str>) -> Values {
    Values::new(&visit.app.scim_base_url(&instance.id), key, &instance.name, &instance.id)
}

async fn page(
    visit: &Visit,
    instance: &Arc<Instance>,
    idp: &str,
    made: Option<&Value>,
    form: (Option<&Sent>, Errors),
) -> Answer {
    let root = format!("/console/instances/{}", instance.id);
    let here = format!("{root}/connect");
    let known = keys::of(visit, instance).await?;
    let chosen = guides::by_id(idp);
    let (sent, errors) = form;
    // The key is on the page that answers this form alone, so its guide is chosen with it.
    let mut guides = vec![Choice::new("", "Another, or not yet known", "")];
    guides.extend(guides::all().iter().map(|one| Choice::new(&one.id, &one.title, "")));
    let form = Form::new(visit, here.as_str(), "Create key").hidden("seen", keys::seen(&known)).errors(errors.clone());
    let create = keys::fields(
        form.field(
            Field::select("guide", "Identity provider", guides)
                .hint("Its guide is shown with the key filled in.")
                .value(chosen.map_or("", |chosen| chosen.id.as_str())),
        ),
        sent,
    )
    .draw();
    let after = if chosen.is_some() { format!("{here}?idp={idp}") } else { here.clone() };
    let live = known.iter().filter(|key| key["active"] == true).count();
    let key = html! { div.pad.stack {
        @match made {
            Some(made) => { (keys::revealed(made, "scim-key.txt")) p { @if chosen.is_some() { "The steps below have it filled in. " } @else { "The steps of an identity provider can be chosen again once it is stored. " } } p { a.btn.main href=(after) { "I have stored it" } } },
            None => {
                @if live > 0 { p { (count(i64::try_from(live).unwrap_or(0), "key is live", "keys are live")) ". Their texts were shown when they were made and cannot be shown again. " a href={ (root) "/keys" } { "Look at the keys" } } }
                @else { p { "The identity provider sends a key with every request. It is shown once, then never again." } }
                @if visit.may(Role::Admin) {
                    @if live > 0 && errors.is_empty() { (parts::more("Create another key", &create)) } @else { (create) }
                } @else { p.muted { "You are a Viewer. Admins here create keys." } }
            },
        }
    } };
    let shown = made.map(|made| text(made, "key"));
    Ok(Page::of(instance, Tab::Overview, "Connect an identity provider")
        .crumb(instance.name.as_str(), root.as_str())
        .tags(parts::state(instance.mode.as_str()))
        .live()
        .body(html! {
            @if instance.mode == Mode::Disabled {
                (parts::note(Tone::Warn, &html! { p { strong { "The instance is disabled." } " A connection test of the identity provider fails until it is enabled or rehearses. " @if visit.may(Role::Admin) { a href={ (root) "/setup/review" } { "Look and enable" } } } }))
            }
            (parts::card("Address", &html! {}, &html! { div.pad.tight {
                (parts::copy_field("base-url", "SCIM base URL", &visit.app.scim_base_url(&instance.id)))
                (unreachable(&visit.app.scim_base_url(&instance.id)))
                p.small.muted { "No slash at its end; one that the identity provider adds does no harm." }
            } }))
            (parts::card("Key", &html! {}, &key))
            // Another choice is another page, without the key.
            @if made.is_none() { (parts::card("Identity provider", &html! {}, &html! { div.pad { (choice(&here, chosen)) } })) }
            @if made.is_none() && visit.may(Role::Admin) { p { "Does somebody else run the identity provider? " a href={ (root) "/hand-over" } { "Make a hand-over link" } " by which they see this page and make the key themselves, without an account here." } }
            @if let Some(chosen) = chosen {
                p { a.btn href={ (here) "/guide.md?idp=" (chosen.id) } { "Download this guide (Markdown)" } }
                (guide::draw(chosen, &values(visit, instance, shown), &here))
            }
            (parts::live("contact", true, &contact(visit, instance, &known).await?))
        }))
}

/// That an identity provider in the cloud cannot reach an address, where that can be seen of it.
fn unreachable(base: &str) -> Markup {
    let Ok(url) = Url::parse(base) else { return html! {} };
    let own = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    };
    if !own && url.scheme() == "https" {
        return html! {};
    }
    parts::note(
        Tone::Warn,
        &html! {
            p {
                strong { @if own { "This address is of this machine alone." } @else { "This address is plain http." } }
                " Entra ID, Okta and others in the cloud cannot use it: they want https, at an address that they can reach. Put a proxy or tunnel with a certificate in front of scimgate, and set " code { "SCIMGATE_PUBLIC_URL" } " to its address."
            }
        },
    )
}

/// Choosing the identity provider whose steps are shown.
pub(super) fn choice(here: &str, chosen: Option<&Guide>) -> Markup {
    html! { form.filters method="get" action=(here) {
        div.field.wide {
            label for="f-idp" { "Which one do you use?" }
            select #f-idp name="idp" {
                option value="" selected[chosen.is_none()] { "Choose one" }
                @for one in guides::all() { option value=(one.id) selected[chosen.is_some_and(|chosen| chosen.id == one.id)] { (one.title) } }
            }
        }
        button.btn type="submit" { "Show the steps" }
    } }
}

/// What was heard of the identity provider.
async fn contact(visit: &Visit, instance: &Arc<Instance>, known: &[Value]) -> Result<Markup, Trouble> {
    let operations = visit.app.list_operations(instance, &OperationFilter::default(), i64::MAX, SHOWN).await?;
    let (rejected, _) = visit.app.list_rejected(instance, None, SHOWN).await?;
    let used: Vec<&Value> = known.iter().filter(|key| !key["last_used_at"].is_null()).collect();
    let root = format!("/console/instances/{}", instance.id);
    let last = used.iter().filter_map(|key| key["last_used_at"].as_str()).max().map_or(Value::Null, Value::from);
    let stranger = visit.app.stranger(instance).await?;
    let stranger = refused::stranger(visit, stranger.as_ref(), &last, &root);
    if used.is_empty() && operations.items.is_empty() && rejected.is_empty() {
        let card = parts::card(
            "First contact",
            &html! {},
            &parts::empty(
                "Waiting for the first call",
                &html! { "Nothing with a key of this instance has come yet. The usual reasons: the address was copied without its last part, the key with a blank at its end, or the identity provider cannot reach this gateway through your firewall. A call with a wrong key, or with none, is shown here within seconds." },
                &html! {},
            ),
        );
        return Ok(html! { (stranger) (card) });
    }
    let mut asked = Table::new("Newest changes").hush().head("When").head("Asked for").head("Of").head("State");
    for one in &operations.items {
        let of = one["resource"]["name"].as_str().unwrap_or("nobody");
        asked.row(html! { tr {
            th scope="row" { (parts::ago_or(visit.now, &one["at"], "")) }
            td { @if Nav::ALL.contains(&Nav::Operations) { a href={ "/console/operations/" (text(one, "id")) } { (text(one, "verb")) } } @else { (text(one, "verb")) } }
            td { (name(of)) }
            td { (parts::state(text(one, "state"))) }
        } });
    }
    let mut turned_away =
        Table::new("Refused requests").hush().head("Last seen").head("Request").head("Answer").number("Times");
    for one in &rejected {
        turned_away.row(html! { tr {
            th scope="row" { (parts::ago_or(visit.now, &one["last_at"], "")) }
            td { code { (text(one, "method")) " " (name(text(one, "path"))) } }
            td { (int(one, "status")) ": " (name(text(one, "detail"))) }
            td.num { (number(int(one, "count"))) }
        } });
    }
    Ok(html! {
        (stranger)
        (parts::card("First contact", &html! {}, &html! { ul.list {
            @for key in used { li { div.inline {
                (parts::tag(Tone::Good, "Heard of"))
                span { "Key " @if text(key, "name").is_empty() { code { (text(key, "id")) } } @else { (name(text(key, "name"))) } " was last used " (parts::ago_or(visit.now, &key["last_used_at"], ""))
                    @if let Some(client) = key["client"].as_str() { ", recognised as " (name(client)) } "." }
            } } }
            @if operations.items.is_empty() { li { "It has read, and not yet asked for a change." } }
        } }))
        @if !operations.items.is_empty() { (parts::card("Newest changes", &html! {}, &asked.draw())) }
        @if !rejected.is_empty() { (parts::card("Refused requests", &html! { a href={ (root) "/rejected" } { "All of them" } }, &turned_away.draw())) }
    })
}

async fn show(visit: Visit, Path(id): Path<String>, Query(chosen): Query<Chosen>) -> Answer {
    let instance = visit.instance(&id).await?;
    page(&visit, &instance, &chosen.idp, None, (None, Errors::default())).await
}

async fn create(visit: Visit, Path(id): Path<String>, sent: Sent) -> Sending {
    let guide = sent.text("guide");
    let instance = visit.instance(&id).await?;
    let known = keys::of(&visit, &instance).await?;
    if sent.text("seen") != keys::seen(&known) {
        let root = format!("/console/instances/{}", instance.id);
        let body = html! { (keys::shown_before(&visit, &known)) p { a.btn href={ (root) "/connect" } { "Back" } " " a.btn href={ (root) "/keys" } { "To the keys" } } };
        return Ok(Page::of(&instance, Tab::Overview, "Connect an identity provider").body(body).into_response());
    }
    let errors = match keys::read(&sent, visit.now) {
        Err(errors) => errors,
        Ok(new) => match visit.app.create_key(&visit.actor(), &instance, new).await {
            Ok(made) => {
                return Ok(page(&visit, &instance, guide, Some(&made), (None, Errors::default()))
                    .await?
                    .into_response());
            }
            Err(error) => Errors::from(error)?,
        },
    };
    Ok(page(&visit, &instance, guide, None, (Some(&sent), errors)).await?.failed().into_response())
}

async fn markdown(visit: Visit, Path(id): Path<String>, Query(chosen): Query<Chosen>) -> Result<Response, Trouble> {
    let instance = visit.instance(&id).await?;
    let guide = guides::by_id(&chosen.idp).ok_or_else(Trouble::not_found)?;
    let text = guide.markdown(&values(&visit, &instance, None));
    let name = format!("attachment; filename=\"connect-{}.md\"", guide.id);
    Ok(([(header::CONTENT_TYPE, "text/markdown; charset=utf-8".to_owned()), (header::CONTENT_DISPOSITION, name)], text)
        .into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_no_cloud_reaches_is_told_of() {
        let check = |base: &str, words: &str| {
            let said = unreachable(base).into_string();
            assert_eq!(said.contains("SCIMGATE_PUBLIC_URL"), !words.is_empty(), "{base}: {said}");
            assert!(said.contains(words), "{base}: {said}");
        };
        check("http://127.0.0.1:8080/i/in_1/scim/v2", "of this machine alone");
        check("https://localhost/i/in_1/scim/v2", "of this machine alone");
        check("http://[::1]:8080/i/in_1/scim/v2", "of this machine alone");
        check("http://scim.example.com/i/in_1/scim/v2", "plain http");
        check("https://scim.example.com/i/in_1/scim/v2", "");
    }
}
