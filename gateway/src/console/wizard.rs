//! Setting up an instance, a question a page. After the settings a draft is stored (mode disabled), so each step has an
//! address, and can be left and gone on with.

use std::sync::Arc;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use connector_sdk::Kind;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::change::overtaken;
use super::declared::{self, Before};
use super::extract::{Path, Query};
use super::form::{Errors, Field, Form, Sent, button};
use super::instances::fresh;
use super::layout::{Nav, Page, Tab};
use super::parts::{self, Tone};
use super::text::{count, name, prose};
use super::trouble::Trouble;
use super::visit::{Visit, see};
use super::words::{int, list, text};
use super::{Answer, Sending, policy, runs};
use crate::service::App;
use crate::service::catalogue::Listed;
use crate::service::instances::{InstanceChange, NewInstance, is_id, new_id};
use crate::service::members::Role;
use crate::service::plan;
use crate::service::records::AdminError;
use crate::service::types::{Instance, Mode};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/instances/new", get(choose).post(create))
        .route("/instances/{id}/setup/check", get(check))
        .route("/instances/{id}/setup/policy", get(policies).post(set_policies))
        .route("/instances/{id}/setup/preview", get(preview).post(rehearse))
        .route("/instances/{id}/setup/review", get(review).post(finish))
}

const STEPS: [&str; 6] = ["Target", "Settings", "Credential", "Policies", "Preview", "Enable"];

/// Where in the setup one is.
fn bar(at: usize) -> Markup {
    html! {
        nav.steps-bar aria-label="Steps of the setup" { ol {
            @for (n, step) in STEPS.iter().enumerate() {
                li aria-current=[(n + 1 == at).then_some("step")] { (n + 1) ". " (step) }
            }
        } }
    }
}

/// What a kind of connector manages.
pub(super) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::User => "People",
        Kind::Group => "Groups",
        Kind::UserAndGroup => "People and groups",
    }
}

/// The connector of a name that a new instance gets.
pub(super) async fn listed(visit: &Visit, connector: &str) -> Result<Listed, Trouble> {
    visit.app.catalogue.for_new(connector, None).await?.map_err(|_| Trouble::not_found())
}

/// The connectors that fit a search, as cards that lead somewhere.
pub(super) async fn cards(visit: &Visit, q: &str, to: impl Fn(&str) -> String) -> Result<Markup, Trouble> {
    let word = q.trim().to_lowercase();
    let all = visit.app.catalogue.all().await?;
    let found: Vec<&Listed> = all
        .iter()
        .filter(|one| {
            word.is_empty() || one.entry.title.to_lowercase().contains(&word) || one.entry.name.contains(&word)
        })
        .collect();
    if found.is_empty() {
        let body =
            html! { "No target of this gateway is called so. If it has an HTTP API, a manifest can describe it." };
        let body = parts::empty(
            "No target matches",
            &body,
            &html! { a.btn href="/console/catalogue/build" { "Build your own" } },
        );
        return Ok(parts::card("Targets", &html! {}, &body));
    }
    Ok(html! { div.cols {
        @for one in found {
            @let entry = &one.entry;
            section.card { div.pad.tight {
                h2 { a href=(to(entry.name)) { (name(entry.title)) } }
                p.inline { (parts::tag(Tone::Quiet, kind(entry.kind))) @if let Some(version) = &one.version { span.small.muted { "manifest, version " (name(version)) } } }
                @if let Some(cannot) = entry.about.cannot.first() { p.brief { span.muted { "Not possible: " } (prose(cannot)) } }
                @if let Some(needs) = entry.about.needs.first() { p.brief { span.muted { "Needs: " } (prose(needs)) } }
            } }
        }
    } })
}

/// A search box over the catalogue.
pub(super) fn search(action: &str, q: &str) -> Markup {
    html! {
        form.filters method="get" action=(action) {
            div.field.wide { label for="f-q" { "Target" } input #f-q type="search" name="q" value=(q) maxlength="100"; }
            button.btn type="submit" { "Search" }
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Chosen {
    q: String,
    connector: String,
}

async fn choose(visit: Visit, Query(chosen): Query<Chosen>) -> Answer {
    visit.require(Role::Admin)?;
    if !chosen.connector.is_empty() {
        let listed = listed(&visit, &chosen.connector).await?;
        let name = free_name(&visit, listed.entry.title).await?;
        return Ok(settings(&visit, &listed, Filled::New(name), Errors::default()));
    }
    let cards = cards(&visit, &chosen.q, |name| format!("/console/instances/new?connector={name}")).await?;
    Ok(Page::new(Nav::Instances, "Choose a target").crumb("Instances", "/console/instances").body(html! {
        (bar(1))
        (search("/console/instances/new", &chosen.q))
        (cards)
        p { "Not among them? " a href="/console/catalogue/build" { "Describe any HTTP API by a manifest" } "." }
    }))
}

/// A name that no instance has: the target's title, or that with a number.
async fn free_name(visit: &Visit, title: &str) -> Result<String, Trouble> {
    let mut name = title.to_owned();
    for number in 2..20 {
        if visit.app.instance_called(&name).await?.is_none() {
            break;
        }
        name = format!("{title} {number}");
    }
    Ok(name)
}

/// What stands in the form.
enum Filled<'a> {
    /// This name, and the defaults.
    New(String),
    /// What was sent.
    Sent(&'a Sent),
}

fn settings(visit: &Visit, listed: &Listed, filled: Filled<'_>, errors: Errors) -> Page {
    let entry = &listed.entry;
    let (name, sent) = match filled {
        Filled::New(name) => (name, None),
        Filled::Sent(sent) => (sent.raw("name").to_owned(), Some(sent)),
    };
    let form = Form::new(visit, "/console/instances/new", "Save and check the credential")
        .hidden("connector", entry.name)
        .hidden("made", sent.map_or_else(new_id, |sent| sent.text("made").to_owned()))
        .field(Field::text("name", "Name").hint("For people here, such as \u{201c}GitHub acme\u{201d}.").value(name))
        .errors(errors)
        .cancel("/console/instances/new");
    let before = sent.map_or(Before::New, |sent| Before::Sent(sent, &[]));
    let form = declared::fields(form, entry, &before);
    Page::new(Nav::Instances, format!("Settings for {}", entry.title))
        .crumb("Instances", "/console/instances")
        .crumb("Choose a target", "/console/instances/new")
        .body(html! {
            (bar(2))
            @if !entry.about.needs.is_empty() { (parts::card("What you need", &html! {}, &html! { div.pad.prose { ul { @for one in &entry.about.needs { li { (prose(one)) } } } } })) }
            (parts::card("Settings", &html! {}, &html! { div.pad { (form.draw()) } }))
        })
}

/// What is said of a name that another instance has: commands could not tell the two apart.
pub(super) fn taken(id: &str) -> String {
    format!("is the name of another instance ({id}) already; choose one that tells them apart")
}

async fn create(visit: Visit, sent: Sent) -> Sending {
    // The page named the instance that it makes: sent twice, it makes one.
    let id = sent.text("made");
    if !is_id(id) {
        return Err(Trouble::form("The form is not whole. Nothing was made; open the page again."));
    }
    let there = see(&format!("/console/instances/{id}/setup/check"));
    if visit.app.instances.get(id).await?.is_some() {
        return Ok(there);
    }
    let listed = listed(&visit, sent.text("connector")).await?;
    let (given, mut errors) = declared::read(&listed.entry, &sent, &[]);
    if sent.text("name").is_empty() {
        errors.add("name", "is required");
    }
    // The form that was sent before made this one: it is sent once more.
    if let Some(known) = visit.app.instance_called(sent.text("name")).await?.filter(|known| known != id) {
        errors.add("name", taken(&known));
    }
    if errors.is_empty() {
        let new = NewInstance {
            name: sent.text("name").to_owned(),
            connector: listed.entry.name.to_owned(),
            connector_version: None,
            settings: Value::Object(given.settings),
            secrets: given.secrets,
            mode: Mode::Disabled,
            policy: Value::Null,
            schema: Value::Null,
        };
        match visit.app.create_instance_as(id.to_owned(), &visit.actor(), new).await {
            Ok(_) => return Ok(there),
            Err(_) if visit.app.instances.get(id).await?.is_some() => return Ok(there),
            Err(error) => errors = Errors::from(error)?.renamed(|field| declared::field_name(&listed.entry, field)),
        }
    }
    Ok(settings(&visit, &listed, Filled::Sent(&sent), errors).failed().into_response())
}

/// A page of the setup of an instance that is there.
fn step(instance: &Arc<Instance>, at: usize, title: &str, body: Markup) -> Page {
    Page::of(instance, Tab::Overview, title)
        .crumb(instance.name.as_str(), format!("/console/instances/{}", instance.id))
        .tags(parts::state(instance.mode.as_str()))
        .body(html! { (bar(at)) (body) })
}

async fn check(visit: Visit, Path(id): Path<String>) -> Answer {
    visit.require(Role::Admin)?;
    let instance = visit.instance(&id).await?;
    let root = format!("/console/instances/{}", instance.id);
    let probed = visit.app.last_probe(&instance);
    let silent = !visit.app.is_draft(&instance).await? && matches!(instance.mode, Mode::Paused | Mode::Disabled);
    let ask = html! { @if !silent {
        (button(&visit, &format!("{root}/probe"), if probed.is_some() { "Check again" } else { "Check the credential" }, &[("from", "setup")]))
    } };
    let works = probed.as_ref().is_some_and(|one| one.ok);
    Ok(step(
        &instance,
        3,
        "Check the credential",
        html! {
            @if let Err(why) = &instance.connector { (parts::note(Tone::Bad, &html! { p { (name(why)) } })) }
            @if silent { (parts::note(Tone::Warn, &html! { p { "The instance is " (instance.mode.as_str()) " and was in use before: nothing is sent to its target, this check neither." } })) }
            (parts::card("Checks", &ask, &runs::checks(&visit, &instance)))
            div.buttons {
                a.btn href={ (root) "/settings" } { "Change the settings" }
                @if works { a.btn.main href={ (root) "/setup/policy" } { "Continue" } }
                @else if probed.is_none() { a.btn href={ (root) "/setup/policy" } { "Continue without a check" } }
                @else { a.btn href={ (root) "/setup/policy" } { "Continue although something is missing" } }
            }
        },
    ))
}

fn policy_page(visit: &Visit, instance: &Arc<Instance>, sent: Option<&Sent>, errors: Errors) -> Page {
    let root = format!("/console/instances/{}", instance.id);
    // What was overtaken stays so until the page is loaded again.
    let rev = sent.map_or_else(|| instance.config_rev.to_string(), |sent| sent.text("config_rev").to_owned());
    let stale = rev != instance.config_rev.to_string();
    let form = Form::new(visit, format!("{root}/setup/policy"), "Save and continue")
        .hidden("config_rev", rev)
        .errors(errors)
        .cancel(format!("{root}/setup/check"));
    let form = policy::fields(form, instance, sent);
    step(
        instance,
        4,
        "Policies",
        html! {
            (parts::note(Tone::Quiet, &html! { p { strong { "Who leaves: " } (policy::leaving(instance)) } }))
            @if stale {
                (parts::card("As it is stored now", &html! { a.btn href={ (root) "/setup/policy" } { "Load the page again" } }, &html! { div.pad {
                    (parts::facts(&policy::summary(&instance.policy).iter().map(|(what, value)| (*what, name(value))).collect::<Vec<_>>()))
                } }))
            }
            (parts::card("Policies", &html! {}, &html! { div.pad { (form.draw()) } }))
        },
    )
}

async fn policies(visit: Visit, Path(id): Path<String>) -> Answer {
    visit.require(Role::Admin)?;
    let instance = visit.instance(&id).await?;
    Ok(policy_page(&visit, &instance, None, Errors::default()))
}

async fn set_policies(visit: Visit, Path(id): Path<String>, sent: Sent) -> Sending {
    let instance = fresh(&visit, &id).await?;
    let errors = match overtaken(&instance, &sent).map_or_else(|| policy::read(&instance, &sent), Err) {
        Err(errors) => errors,
        Ok(patch) => {
            let change = InstanceChange { policy: Some(patch), ..InstanceChange::default() };
            match visit.app.update_instance(&visit.actor(), &instance, change).await {
                Ok(_) => return Ok(see(&format!("/console/instances/{}/setup/preview", instance.id))),
                Err(error) => Errors::from(error)?.renamed(policy::field_name),
            }
        }
    };
    Ok(policy_page(&visit, &instance, Some(&sent), errors).failed().into_response())
}

async fn preview(visit: Visit, Path(id): Path<String>) -> Answer {
    visit.require(Role::Admin)?;
    let instance = visit.instance(&id).await?;
    let root = format!("/console/instances/{}", instance.id);
    let newest = visit.app.list_runs(&instance, i64::MAX, 1).await?;
    let standing = visit.app.standing(&instance).await?;
    let reads = matches!(instance.mode, Mode::Rehearse | Mode::Enabled);
    let body = html! {
        @match newest.items.first() {
            None => {
                (parts::card("Nothing was read yet", &html! {}, &html! { div.pad.stack {
                    p { "scimgate can read which accounts and groups the target has, and change nothing there. The instance rehearses then: what the identity provider sends is accepted and planned, and not carried out until you enable it." }
                    (button(&visit, &format!("{root}/setup/preview"), "Read the target", &[]))
                } }))
            },
            Some(run) => {
                (parts::live("run", true, &runs::progress(&visit, run, &root)))
                (parts::card("What is there", &html! { @if reads { (button(&visit, &format!("{root}/setup/preview"), "Read it again", &[])) } }, &html! { div.pad { (found(&visit, &instance, &standing)) } }))
            },
        }
        div.buttons {
            a.btn href={ (root) "/setup/policy" } { "Back to the policies" }
            a.btn.main href={ (root) "/setup/review" } { "Continue" }
        }
    };
    Ok(step(&instance, 5, "Look at what is there", body).live())
}

/// What an import found, and what becomes of it.
fn found(visit: &Visit, instance: &Instance, standing: &Value) -> Markup {
    let people = int(&standing["people"], "count");
    let accounts = int(&standing["accounts"], "count");
    let more = standing["accounts"]["more"] == true;
    let adopt = policy::summary(&instance.policy).into_iter().find(|(what, _)| what.contains("accounts are taken"));
    let _ = visit;
    parts::facts(&[
        ("Accounts at the target", html! { (count(accounts, "account", "accounts")) @if more { " or more" } }),
        (
            "Asked for by the identity provider",
            html! { (count(people, "person", "people")) ". Before its first push it has asked for nobody." },
        ),
        (
            "Not managed",
            html! { "Accounts that nobody asks for stay as they are: they are neither changed nor removed." },
        ),
        ("Taken over", html! { @if let Some((_, how)) = adopt { "When a person is pushed: " (how) "." } }),
        (
            "Protected",
            html! { (count(i64::try_from(instance.policy.protected.len()).unwrap_or(0), "account is listed", "accounts are listed")) ", and the credential's own where the target tells it." },
        ),
        (
            "Needs a decision",
            html! { (count(list(standing, "needs").iter().map(|one| int(one, "count")).sum(), "person or group", "people and groups")) ", such as one that fits several accounts." },
        ),
    ])
}

async fn rehearse(visit: Visit, Path(id): Path<String>) -> Sending {
    let instance = fresh(&visit, &id).await?;
    let root = format!("/console/instances/{}/setup/preview", instance.id);
    if matches!(instance.mode, Mode::Rehearse | Mode::Enabled) {
        visit.app.start_run(&instance, crate::reconcile::RunKind::Import, &visit.actor()).await?;
        return Ok(see(&root));
    }
    let had = visit.app.has_runs(instance.seq).await?;
    let change = InstanceChange { mode: Some(Mode::Rehearse), ..InstanceChange::default() };
    let instance = visit.app.update_instance(&visit.actor(), &instance, change).await?;
    if had {
        // Only the first import begins by itself.
        visit.app.start_run(&instance, crate::reconcile::RunKind::Import, &visit.actor()).await?;
    }
    Ok(see(&root))
}

async fn review_page(visit: &Visit, instance: &Arc<Instance>, errors: Errors) -> Result<Page, Trouble> {
    let root = format!("/console/instances/{}", instance.id);
    let secrets = visit.app.secret_names(instance.seq).await?;
    let plan = if instance.rehearsed { Some(visit.app.plan(instance, 0, 20).await?) } else { None };
    let entry =
        visit.app.catalogue.of_instance(&instance.connector_name, instance.connector_version.as_deref()).await?.ok();
    let probed = visit.app.last_probe(instance);
    let change = |to: &str, what: &str| html! { " " a href={ (root) (to) } { "Change" span.hush { " the " (what) } } };
    let act = format!("{root}/setup/review");
    let rev = instance.config_rev.to_string();
    let mut enable = Form::new(visit, act.as_str(), "Enable")
        .hidden("mode", "enabled")
        .hidden("config_rev", rev.as_str())
        .errors(errors);
    if let Some(plan) = &plan {
        enable = enable.hidden("plan_digest", plan.digest.as_str());
    }
    let settings: Vec<(&str, String)> = entry
        .iter()
        .flat_map(|listed| listed.entry.settings.iter())
        .map(|setting| {
            let value = match &instance.settings[setting.name] {
                Value::Null if secrets.iter().any(|one| one == setting.name) => "stored".to_owned(),
                Value::Null => setting.default.map_or("not set".to_owned(), |default| format!("{default} (default)")),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            (setting.title, value)
        })
        .collect();
    let rivals = super::runs::rivals(visit, instance).await?;
    let facts = |items: &[(&str, String)]| {
        parts::facts(&items.iter().map(|(what, value)| (*what, name(value))).collect::<Vec<_>>())
    };
    Ok(step(
        instance,
        6,
        "Check and enable",
        html! {
            (rivals)
            (parts::card("Settings", &change("/settings", "settings"), &html! { div.pad.stack {
                (facts(&[("Name", instance.name.clone()), ("Target", entry.as_ref().map_or(instance.connector_name.clone(), |one| one.entry.title.to_owned()))]))
                (facts(&settings))
            } }))
            (parts::card("Credential", &change("/setup/check", "credential"), &html! { div.pad {
                @match &probed {
                    Some(one) if one.ok => { (parts::tag(Tone::Good, "It works")) },
                    Some(_) => { (parts::tag(Tone::Bad, "Something is missing")) " Changes will wait until that is mended." },
                    None => { (parts::tag(Tone::Warn, "Not checked")) " Nobody checked it with these settings." },
                }
            } }))
            (parts::card("Policies", &change("/setup/policy", "policies"), &html! { div.pad.stack { (facts(&policy::summary(&instance.policy))) p { (policy::leaving(instance)) } } }))
            (parts::card("What happens when you enable it", &html! {}, &html! { div.pad.stack {
                @match &plan {
                    Some(plan) => { (planned(&plan.totals, &plan.warnings, &root)) },
                    None => p { "Accounts and groups of the target are read first. Then what the identity provider sends is carried out. Nobody is changed before it sends something." },
                }
            } }))
            @if instance.mode == Mode::Enabled {
                (parts::note(Tone::Good, &html! { p { "This instance is enabled. " a href={ (root) "/connect" } { "Connect the identity provider" } } }))
            } @else {
                div.card { div.pad.stack {
                    (enable.draw())
                    div.buttons {
                        @if instance.mode != Mode::Rehearse { (button(visit, &act, "Enable in rehearse mode", &[("mode", "rehearse"), ("config_rev", rev.as_str())])) }
                        (button(visit, &act, "Save as disabled", &[("mode", "disabled"), ("config_rev", rev.as_str())]))
                    }
                } }
            }
        },
    ))
}

/// What a plan would do, in numbers.
fn planned(totals: &Value, warnings: &Value, root: &str) -> Markup {
    let none = serde_json::Map::new();
    let steps = totals["steps"].as_object().unwrap_or(&none);
    html! {
        @if steps.is_empty() { p { "Nothing is planned: nothing was pushed yet, or everything is as asked." } }
        @else {
            p { "While it rehearsed, changes of " (count(int(totals, "resources"), "person or group", "people and groups")) " were planned. Enabling carries out exactly this plan:" }
            (parts::facts(&steps.iter().map(|(word, n)| (word.as_str(), html! { (super::text::number(n.as_i64().unwrap_or(0))) })).collect::<Vec<_>>()))
            @if Tab::ALL.contains(&Tab::Plan) { p { a href={ (root) "/plan" } { "Look at every step" } } }
        }
        @for warning in list(warnings, "items").iter().take(10) { (parts::note(Tone::Warn, &html! { p { (name(text(warning, "message"))) } })) }
    }
}

async fn review(visit: Visit, Path(id): Path<String>) -> Answer {
    visit.require(Role::Admin)?;
    let instance = visit.instance(&id).await?;
    review_page(&visit, &instance, Errors::default()).await
}

async fn finish(visit: Visit, Path(id): Path<String>, sent: Sent) -> Sending {
    let instance = fresh(&visit, &id).await?;
    let Some(mode) = Mode::parse(sent.text("mode")) else {
        return Err(Trouble::form("The form names no mode. Nothing was changed."));
    };
    if overtaken(&instance, &sent).is_some() {
        let mut errors = Errors::default();
        errors.add("", "Somebody else changed this instance since the page was loaded. Nothing was done. Below is how it is now; look at it, and decide again.");
        return Ok(review_page(&visit, &instance, errors).await?.failed().into_response());
    }
    let change =
        InstanceChange { mode: Some(mode), plan_digest: sent.some("plan_digest"), ..InstanceChange::default() };
    match visit.app.update_instance(&visit.actor(), &instance, change).await {
        Ok(instance) if mode == Mode::Disabled => {
            let note = format!("{} is kept disabled. Go on whenever you want.", instance.name);
            Ok(visit.done(&format!("/console/instances/{}", instance.id), &note))
        }
        Ok(instance) => {
            let word = if mode == Mode::Enabled { "enabled" } else { "rehearsing" };
            let note = format!("{} is {word}. What is left is to connect the identity provider.", instance.name);
            Ok(visit.done(&format!("/console/instances/{}/connect", instance.id), &note))
        }
        Err(error) => {
            let stale = matches!(&error, AdminError::Conflict(why) if why == plan::STALE);
            let mut errors = Errors::from(error)?;
            if stale {
                errors = Errors::default();
                errors.add("", "The plan has changed since this page was loaded: something was accepted or found. Nothing was enabled. Below is the present plan; look at it, and enable again.");
            }
            Ok(review_page(&visit, &instance, errors).await?.failed().into_response())
        }
    }
}
