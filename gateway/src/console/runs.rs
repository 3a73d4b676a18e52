//! Imports and comparisons of an instance, and what its limits leave.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::extract::{Path, Query};
use super::form::{Sent, button};
use super::layout::{Page, Tab};
use super::parts::{self, Table, Tone};
use super::text::{count, name, number, span};
use super::trouble::Trouble;
use super::visit::{Visit, see};
use super::words::{int, list, text};
use super::{Answer, Sending};
use crate::reconcile::RunKind;
use crate::service::App;
use crate::service::members::Role;
use crate::service::types::{Instance, Mode};

/// Instances that are shown of those that share a credential.
const SHARING: i64 = 50;
/// Runs of a page.
const SHOWN: i64 = 50;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/instances/{id}/runs", get(all).post(start))
        .route("/instances/{id}/runs/{run}", get(one))
        .route("/instances/{id}/probe", get(probed).post(probe))
        .route("/instances/{id}/budget", get(budget))
}

/// The buttons that start a run, where the target is read at all.
pub(super) fn starts(visit: &Visit, instance: &Instance) -> Markup {
    let act = format!("/console/instances/{}/runs", instance.id);
    html! {
        @if matches!(instance.mode, Mode::Enabled | Mode::Rehearse) {
            (button(visit, &act, "Import now", &[("kind", "import")]))
            (button(visit, &act, "Compare now", &[("kind", "reconcile")]))
        }
        @if visit.may(Role::Admin) { a.btn href={ "/console/instances/" (instance.id) "/probe" } { "Check credential" } }
    }
}

fn title(run: &Value) -> &'static str {
    if text(run, "kind") == "import" { "Import" } else { "Comparison" }
}

/// Runs as a table.
pub(super) fn table(visit: &Visit, instance: &Instance, runs: &[Value]) -> Markup {
    if runs.is_empty() {
        return parts::empty(
            "None yet",
            &html! { "An import reads which accounts and groups the target has. A comparison looks every day whether they are as asked." },
            &html! {},
        );
    }
    let mut table = Table::new("Imports and comparisons")
        .hush()
        .head("Started")
        .head("What")
        .head("State")
        .number("Accounts")
        .number("Groups")
        .number("Drift");
    for run in runs {
        let counts = &run["counts"];
        table.row(html! { tr {
            th scope="row" { a href={ "/console/instances/" (instance.id) "/runs/" (text(run, "id")) } { (parts::ago_or(visit.now, &run["started_at"], "")) } }
            td { (title(run)) }
            td { (parts::state(text(run, "state"))) }
            td.num { (number(int(counts, "accounts"))) } td.num { (number(int(counts, "groups"))) } td.num { (number(int(counts, "drift"))) }
        } });
    }
    table.draw()
}

#[derive(Deserialize)]
struct Cursor {
    before: Option<i64>,
}

async fn all(visit: Visit, Path(id): Path<String>, Query(cursor): Query<Cursor>) -> Answer {
    let instance = visit.instance(&id).await?;
    let slice = visit.app.list_runs(&instance, cursor.before.unwrap_or(i64::MAX), SHOWN).await?;
    let root = format!("/console/instances/{}/runs", instance.id);
    let next = slice.next.map(|row| format!("{root}?before={row}"));
    let shown = count(i64::try_from(slice.items.len()).unwrap_or(0), "run on this page", "runs on this page");
    Ok(Page::of(&instance, Tab::Overview, "Imports and comparisons")
        .crumb(instance.name.as_str(), format!("/console/instances/{}", instance.id))
        .body(html! {
            (parts::card("Newest first", &starts(&visit, &instance), &html! {
                (table(&visit, &instance, &slice.items))
                (parts::pager(&shown, cursor.before.map(|_| root.as_str()), next.as_deref()))
            }))
        }))
}

async fn start(visit: Visit, Path(id): Path<String>, sent: Sent) -> Sending {
    let instance = visit.instance(&id).await?;
    let kind = match sent.text("kind") {
        "import" => RunKind::Import,
        "reconcile" => RunKind::Reconcile,
        _ => return Err(Trouble::form("The form does not say what to start. Nothing was changed.")),
    };
    let root = format!("/console/instances/{}/runs", instance.id);
    if let Some(run) = visit.app.start_run(&instance, kind, &visit.actor()).await? {
        return Ok(visit.done(&format!("{root}/{run}"), "It has begun. You can leave this page."));
    }
    // The one that runs is what was asked for, or has to end first: its page says which.
    let newest = visit.app.list_runs(&instance, i64::MAX, 1).await?;
    let to = newest.items.first().map_or(root.clone(), |run| format!("{root}/{}", text(run, "id")));
    Ok(visit
        .done(&to, "An import or comparison of this instance runs already. This is the one; nothing else was started."))
}

/// The steps of a run, in words.
const PHASES: [(&str, &str); 10] = [
    ("invitations", "Listing pending invitations"),
    ("accounts", "Listing accounts"),
    ("confirm_accounts", "Looking again at accounts that were not listed"),
    ("groups", "Listing groups"),
    ("confirm_groups", "Looking again at groups that were not listed"),
    ("people", "Comparing people"),
    ("group_names", "Comparing groups"),
    ("strangers", "Looking for accounts nobody asked for"),
    ("members", "Comparing members"),
    ("finish", "Ending"),
];

async fn one(visit: Visit, Path((id, run)): Path<(String, String)>) -> Answer {
    let instance = visit.instance(&id).await?;
    let run = visit.app.run(&instance, &run).await?.ok_or_else(Trouble::not_found)?;
    let root = format!("/console/instances/{}", instance.id);
    Ok(Page::of(&instance, Tab::Overview, title(&run))
        .crumb(instance.name.as_str(), root.as_str())
        .crumb("Imports and comparisons", format!("{root}/runs"))
        .tags(parts::state(text(&run, "state")))
        .live()
        .body(html! { (parts::live("run", true, &progress(&visit, &run, &root))) }))
}

/// How far a run is and what it found.
pub(super) fn progress(visit: &Visit, run: &Value, root: &str) -> Markup {
    let counts = &run["counts"];
    let phase = text(run, "phase");
    let at = PHASES.iter().position(|(word, _)| *word == phase);
    let n = |field: &str| html! { (number(int(counts, field))) };
    html! {
        section.card { div.pad.stack {
            @match (text(run, "state"), at) {
                ("running", Some(at)) => {
                    @let done = i64::try_from(at).unwrap_or(0);
                    (parts::progress(PHASES.get(at).map_or("", |(_, words)| words), done, Some(10), &format!("Step {} of {}. {} so far.", done + 1, PHASES.len(), count(int(counts, "calls"), "call", "calls"))))
                    p.muted { "It goes on by itself, also where the target's limits make it wait. You can leave this page." }
                }
                ("running", None) => { (parts::progress("Waiting to begin", 0, None, "It begins within seconds.")) }
                ("failed", _) => { (parts::note(Tone::Bad, &html! { p { strong { "It stopped." } " " (name(text(run, "error"))) } p { "What was read is kept. It is repeated by itself; starting it again soon goes on where it was." } })) }
                _ if run["complete"] == false => { (parts::note(Tone::Warn, &html! { p { "It ended, but the target did not show everything. Nobody is taken for gone on that." } })) }
                _ => { (parts::note(Tone::Good, &html! { p { "It is done." } })) }
            }
            (parts::facts(&[
                ("Started", parts::when_or(visit.now, &run["started_at"], "")),
                ("Ended", parts::when_or(visit.now, &run["ended_at"], "not yet")),
                ("Accounts listed", n("accounts")),
                ("Groups listed", n("groups")),
                ("Invitations pending", n("invitations")),
                ("New here", n("imported")),
                ("Gone at the target", n("vanished")),
                ("Members looked at", n("members")),
                ("Calls to the target", n("calls")),
                ("Differences", html! { (number(int(counts, "drift"))) ", " (number(int(counts, "repaired"))) " of them being repaired" }),
            ]))
            @if Tab::ALL.contains(&Tab::Plan) && int(counts, "drift") > 0 { p { a href={ (root) "/plan" } { "Look at the differences" } } }
        } }
    }
}

/// What a check of the credential found.
pub(super) fn checks(visit: &Visit, instance: &Instance) -> Markup {
    let Some(probed) = visit.app.last_probe(instance) else {
        return parts::empty(
            "Not checked yet",
            &html! { "The check asks the target who the credential speaks for and what it may do. It changes nothing there. What was found is shown for a day, by the process that asked, while settings and credential stay as they are." },
            &html! {},
        );
    };
    let mut table = Table::new("Checks").hush().head("Check").head("Result").head("What was found, and what to do");
    for check in &probed.checks {
        table.row(html! { tr {
            th scope="row" { (name(&check.name)) }
            td { @if check.ok { (parts::tag(Tone::Good, "Passed")) } @else { (parts::tag(Tone::Bad, "Failed")) } }
            td { (super::text::value(&check.detail)) }
        } });
    }
    html! {
        div.pad.inline {
            @if probed.ok { (parts::tag(Tone::Good, "The credential works")) } @else { (parts::tag(Tone::Bad, "Something is missing")) }
            @if let Some(identity) = &probed.identity { span { "It speaks for " strong { (name(identity)) } "." } }
            span.muted { "Asked " (parts::ago(visit.now, probed.at)) }
        }
        (table.draw())
    }
}

async fn probed(visit: Visit, Path(id): Path<String>) -> Answer {
    let instance = visit.instance(&id).await?;
    let root = format!("/console/instances/{}", instance.id);
    let silent = !visit.app.is_draft(&instance).await? && matches!(instance.mode, Mode::Paused | Mode::Disabled);
    let again = html! { @if !silent { (button(&visit, &format!("{root}/probe"), if visit.app.last_probe(&instance).is_some() { "Check again" } else { "Check now" }, &[])) } };
    Ok(Page::of(&instance, Tab::Overview, "Credential check").crumb(instance.name.as_str(), root.as_str()).body(html! {
        @if silent { (parts::note(Tone::Warn, &html! { p { "The instance is " (instance.mode.as_str()) ": nothing is sent to its target, this check neither. Enable it, or let it rehearse, first." } })) }
        (parts::card("Checks", &again, &checks(&visit, &instance)))
    }))
}

/// Asks the target, and goes back to the page that shows what was found.
async fn probe(visit: Visit, Path(id): Path<String>, sent: Sent) -> Sending {
    let instance = visit.instance(&id).await?;
    visit.app.probe(&instance).await?;
    let page = if sent.text("from") == "setup" { "setup/check" } else { "probe" };
    Ok(see(&format!("/console/instances/{}/{page}", instance.id)))
}

/// A warning where another instance writes to the same target, or nothing.
pub(super) async fn rivals(visit: &Visit, instance: &Instance) -> Result<Markup, Trouble> {
    let rivals = visit.app.instances.sharing(instance, true, 5).await?;
    Ok(html! {
        @if !rivals.is_empty() && instance.mode != Mode::Paused {
            (parts::note(Tone::Warn, &html! { p {
                strong { "Another instance writes to the same target with the same credential: " }
                @for other in &rivals { (parts::instance_link(&other.id, &other.name)) " " }
                "Whoever one of them takes away loses the access that the other gave. Keep one, unless they serve different people."
            } }))
        }
    })
}

async fn budget(visit: Visit, Path(id): Path<String>) -> Answer {
    let instance = visit.instance(&id).await?;
    let budgets = visit.app.driver.budgets();
    let mut all = budgets.as_array().map(Vec::as_slice).unwrap_or_default().iter();
    let own = all.find(|one| text(one, "driver_key") == instance.driver_key.as_str());
    let standing = visit.app.standing(&instance).await?;
    let mut sharing = visit.app.instances.sharing(&instance, false, SHARING + 1).await?;
    let others = i64::try_from(sharing.len()).is_ok_and(|many| many > SHARING);
    sharing.truncate(usize::try_from(SHARING).unwrap_or_default());
    Ok(Page::of(&instance, Tab::Budget, "Budget")
        .lead(html! { "What the target's limits leave, and what waits for them. Deprovisions go first; an initial sync takes what is left." })
        .live()
        .body(html! {
            (parts::live("limits", false, &parts::card("Limits of the target", &html! {}, &limits(&visit, &instance, own))))
            (parts::live("lanes", false, &parts::card("Lanes", &html! {}, &lanes(&visit, &standing, own))))
            (parts::card("Who shares them", &html! {}, &html! { div.pad.stack {
                p { "Limits follow the credential: " code { (name(instance.driver_key.as_str())) } "." }
                @if sharing.is_empty() { p { "No other instance uses it." } } @else { ul.tight { @for other in &sharing { li { (parts::instance_link(&other.id, &other.name)) } } @if others { li { "And others." } } } }
            } }))
        }))
}

fn limits(visit: &Visit, instance: &Instance, own: Option<&Value>) -> Markup {
    let Some(own) = own else {
        let declared: Vec<&str> = instance
            .connector
            .as_ref()
            .map_or_else(|_| Vec::new(), |one| one.traits().buckets.iter().map(|bucket| bucket.title).collect());
        let body = html! {
            "This process has sent nothing to it since its start, so it counted nothing."
            @if !declared.is_empty() { " Declared are: " (declared.join(", ")) "." }
        };
        return parts::empty("Nothing was used yet", &body, &html! {});
    };
    let breaker = &own["breaker"];
    html! { div.pad.stack {
        @if text(breaker, "state") != "closed" {
            (parts::note(Tone::Bad, &html! { p { strong { "The target does not answer." } " It is asked again " (parts::ago_or(visit.now, &breaker["next_probe_at"], "soon")) "." } }))
        }
        @if let Some(until) = parts::instant(&own["blocked_until"]) { (parts::note(Tone::Warn, &html! { p { "The target asked for a pause. It ends " (parts::ago(visit.now, until)) "." } })) }
        @for bucket in list(own, "buckets") {
            @let used = int(bucket, "used");
            @match bucket["limit"].as_i64() {
                Some(limit) => {
                    @let left = bucket["remaining"].as_i64().unwrap_or((limit - used).max(0));
                    (parts::meter(text(bucket, "title"), left, limit, &format!("{} of {} left", number(left), number(limit))))
                    @if let Some(end) = parts::instant(&bucket["window_ends_at"]) { p.small.muted { "More is free " (parts::ago(visit.now, end)) "." } }
                },
                None => p { (text(bucket, "title")) ": the target has not said how much it allows. " (count(used, "call was counted", "calls were counted")) "." },
            }
        }
        (parts::facts(&[
            ("Pace", html! { @match own["pace_ms"].as_u64() { Some(ms) => { "a call every " (ms) " ms, learned from refusals" }, None => "not slowed down: the target refuses nothing" } }),
            ("Repeats left", html! { (number(int(own, "retries_left"))) }),
        ]))
    } }
}

fn lanes(visit: &Visit, standing: &Value, own: Option<&Value>) -> Markup {
    let mut table =
        Table::new("Lanes").hush().head("Lane").number("Waiting").number("Calls that wait for room").head("Oldest");
    for one in list(standing, "lanes") {
        let waiting = own.map(|own| list(own, "waiting")).unwrap_or_default();
        let calls = waiting.iter().find(|lane| lane["lane"] == one["lane"]).map_or(0, |lane| int(lane, "calls"));
        table.row(html! { tr {
            th scope="row" { (super::instances::lane(text(one, "lane"))) }
            td.num { (number(int(one, "pending"))) } td.num { (number(calls)) }
            td { @match parts::instant(&one["since"]) { Some(at) => (span(visit.now.duration_since(at).as_secs())), None => "nothing waits" } }
        } });
    }
    table.draw()
}
