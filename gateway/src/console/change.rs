//! The settings of an instance, later: name, connection, credential, policy.

use std::sync::Arc;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use maud::{Markup, html};
use serde_json::Value;

use super::declared::{self, Before};
use super::extract::Path;
use super::form::{Errors, Field, Form, Sent};
use super::instances::fresh;
use super::layout::{Page, Tab};
use super::parts::{self, Tone};
use super::text::{name, plain};
use super::trouble::Trouble;
use super::visit::Visit;
use super::wizard::taken;
use super::{Answer, Sending, policy};
use crate::service::App;
use crate::service::catalogue::Listed;
use crate::service::instances::InstanceChange;
use crate::service::members::Role;
use crate::service::types::Instance;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/instances/{id}/settings", get(show))
        .route("/instances/{id}/settings/connection", post(connection))
        .route("/instances/{id}/settings/policy", post(policies))
}

/// Which form was sent and what is wrong with it.
enum Wrong {
    Nothing,
    Connection(Sent, Errors),
    Policy(Sent, Errors),
}

async fn page(visit: &Visit, instance: &Arc<Instance>, wrong: Wrong) -> Result<Page, Trouble> {
    let root = format!("/console/instances/{}/settings", instance.id);
    let stored = visit.app.secret_names(instance.seq).await?;
    let entry =
        visit.app.catalogue.of_instance(&instance.connector_name, instance.connector_version.as_deref()).await?;
    let failed = !matches!(wrong, Wrong::Nothing);
    let (connection, policy) = match &wrong {
        Wrong::Nothing => (None, None),
        Wrong::Connection(sent, errors) => (Some((sent, errors)), None),
        Wrong::Policy(sent, errors) => (None, Some((sent, errors))),
    };
    // A page that was overtaken stays so: sent again as it is, it would write over a change that nobody here has seen.
    let present = instance.config_rev.to_string();
    let rev = match &wrong {
        Wrong::Nothing => present.clone(),
        Wrong::Connection(sent, _) | Wrong::Policy(sent, _) => sent.text("config_rev").to_owned(),
    };
    let stale = rev != present;
    let settings = match &entry {
        Err(why) => parts::note(Tone::Bad, &html! { p { (name(why)) } }),
        Ok(listed) if visit.may(Role::Admin) => {
            let shown = connection.map_or_else(|| plain(&instance.name), |(sent, _)| sent.raw("name").to_owned());
            let mut form = Form::new(visit, format!("{root}/connection"), "Save settings")
                .hidden("config_rev", rev.as_str())
                .field(Field::text("name", "Name").hint("For people here.").value(shown))
                .errors(connection.map(|(_, errors)| errors.clone()).unwrap_or_default());
            let before = match connection {
                None => Before::Stored(&instance.settings, &stored),
                Some((sent, _)) => Before::Sent(sent, &stored),
            };
            form = declared::fields(form, &listed.entry, &before);
            if connection.is_some_and(|(sent, _)| sent.under("settings.").any(|(_, value)| !value.is_empty())) {
                let force = Field::check("force", "Take a new credential untried")
                    .hint("Where the target cannot be asked now, or the credential is meant to be another identity's.");
                form = form.field(force);
            }
            form.draw()
        }
        Ok(listed) => as_stored(instance, listed, &stored),
    };
    let policies = if visit.may(Role::Admin) {
        let form =
            Form::new(visit, format!("{root}/policy"), "Save policies").hidden("config_rev", rev.as_str()).plain();
        let form = form.errors(policy.map(|(_, errors)| errors.clone()).unwrap_or_default());
        policy::fields(form, instance, policy.map(|(sent, _)| sent)).draw()
    } else {
        policies_as_stored(instance)
    };
    let version = super::version::card(visit, instance).await?;
    let page = Page::of(instance, Tab::Settings, "Settings").body(html! {
        @if stale {
            (parts::card("As it is stored now", &html! { a.btn href=(root) { "Load the page again" } }, &html! { div.pad.stack {
                @match (&wrong, &entry) {
                    (Wrong::Policy(..), _) | (_, Err(_)) => (policies_as_stored(instance)),
                    (_, Ok(listed)) => { (parts::facts(&[("Name", name(&instance.name))])) (as_stored(instance, listed, &stored)) },
                }
            } }))
        }
        (parts::card("Connection", &html! {}, &html! { div.pad { (settings) } }))
        (parts::card("Policies", &html! {}, &html! { div.pad.stack { p.muted { (policy::leaving(instance)) } (policies) } }))
        (version)
        (super::schemas::card(instance))
        (super::streams::card(instance))
        @if visit.may(Role::Owner) {
            (parts::card("Delete", &html! {}, &html! { div.pad.stack {
                p { "What was pushed is forgotten here; nothing changes at the target." }
                p { a.btn.danger href={ "/console/instances/" (instance.id) "/delete" } { "Delete this instance" } }
            } }))
        }
    });
    Ok(if failed { page.failed() } else { page })
}

/// The settings as they are stored.
fn as_stored(instance: &Instance, listed: &Listed, stored: &[String]) -> Markup {
    let value = |setting: &connector_sdk::Setting| match &instance.settings[setting.name] {
        Value::Null if stored.iter().any(|one| one == setting.name) => "stored".to_owned(),
        Value::Null => "not set".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let rows: Vec<_> = listed.entry.settings.iter().map(|setting| (setting.title, name(&value(setting)))).collect();
    parts::facts(&rows)
}

fn policies_as_stored(instance: &Instance) -> Markup {
    let lines = policy::summary(&instance.policy);
    parts::facts(&lines.iter().map(|(what, value)| (*what, name(value))).collect::<Vec<_>>())
}

async fn show(visit: Visit, Path(id): Path<String>) -> Answer {
    let instance = visit.instance(&id).await?;
    page(&visit, &instance, Wrong::Nothing).await
}

/// Somebody else's change is not written over.
pub(super) fn overtaken(instance: &Instance, sent: &Sent) -> Option<Errors> {
    (sent.text("config_rev") != instance.config_rev.to_string()).then(|| {
        let mut errors = Errors::default();
        errors.add("", "Somebody else changed this instance since the page was loaded. Nothing of yours was saved. Compare what stands below, load the page again, and repeat your change.");
        errors
    })
}

async fn entry_of(visit: &Visit, instance: &Instance) -> Result<Listed, Trouble> {
    let found =
        visit.app.catalogue.of_instance(&instance.connector_name, instance.connector_version.as_deref()).await?;
    found.map_err(Trouble::form)
}

async fn connection(visit: Visit, Path(id): Path<String>, sent: Sent) -> Sending {
    let instance = fresh(&visit, &id).await?;
    let listed = entry_of(&visit, &instance).await?;
    let stored = visit.app.secret_names(instance.seq).await?;
    let (given, mut errors) = declared::read(&listed.entry, &sent, &stored);
    if sent.text("name").is_empty() {
        errors.add("name", "is required");
    }
    let other = match sent.some("name").filter(|name| *name != plain(&instance.name)) {
        Some(name) => visit.app.instance_called(&name).await?.filter(|id| *id != instance.id),
        None => None,
    };
    if let Some(other) = other {
        errors.add("name", taken(&other));
    }
    if let Some(overtaken) = overtaken(&instance, &sent) {
        errors = overtaken;
    }
    if errors.is_empty() {
        let patch = declared::patch(&listed.entry, &instance.settings, &given);
        let change = InstanceChange {
            // What cannot be seen of a name is not shown, and no reason to change it.
            name: sent.some("name").filter(|name| *name != plain(&instance.name)),
            settings: (!patch.is_empty()).then_some(patch),
            secrets: given.secrets.into_iter().map(|(name, secret)| (name, Some(secret))).collect(),
            force: sent.ticked("force"),
            ..InstanceChange::default()
        };
        match visit.app.update_instance(&visit.actor(), &instance, change).await {
            Ok(_) => {
                return Ok(
                    visit.done(&format!("/console/instances/{}/settings", instance.id), "The settings are saved.")
                );
            }
            Err(error) => errors = Errors::from(error)?.renamed(|field| declared::field_name(&listed.entry, field)),
        }
    }
    Ok(page(&visit, &instance, Wrong::Connection(sent, errors)).await?.into_response())
}

async fn policies(visit: Visit, Path(id): Path<String>, sent: Sent) -> Sending {
    let instance = fresh(&visit, &id).await?;
    let errors = match overtaken(&instance, &sent).map_or_else(|| policy::read(&instance, &sent), Err) {
        Err(errors) => errors,
        Ok(patch) => {
            let change = InstanceChange { policy: Some(patch), ..InstanceChange::default() };
            match visit.app.update_instance(&visit.actor(), &instance, change).await {
                Ok(_) => {
                    return Ok(
                        visit.done(&format!("/console/instances/{}/settings", instance.id), "The policies are saved.")
                    );
                }
                Err(error) => Errors::from(error)?.renamed(policy::field_name),
            }
        }
    };
    Ok(page(&visit, &instance, Wrong::Policy(sent, errors)).await?.into_response())
}
