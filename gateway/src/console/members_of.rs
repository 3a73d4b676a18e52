//! The members of a group: wanted and at the target, a page at a time.

use std::sync::Arc;

use maud::{Markup, html};
use serde_json::Value;

use super::form::{Choice, Field};
use super::parts::{self, Table};
use super::person::Asked;
use super::text::{count, name, number};
use super::trouble::Trouble;
use super::visit::Visit;
use super::words::{filters, int, link, membership, place, status, text, waits_for};
use crate::service::types::Instance;

/// Members of a page.
const PAGE: i64 = 50;
const STATES: [(&str, &str); 4] =
    [("settled", "In sync"), ("todo", "To be sent"), ("parked", "Parked"), ("refused", "Refused or left so")];

/// The table, with its filters and numbers.
pub(super) async fn table(
    visit: &Visit,
    instance: &Arc<Instance>,
    sheet: &Value,
    why: &Value,
    query: &Asked,
    here: &str,
) -> Result<Markup, Trouble> {
    let state = STATES.iter().map(|(word, _)| *word).find(|word| *word == query.state);
    let word: String = query.q.trim().chars().filter(|c| *c != '\0').take(200).collect();
    let wanted = (state, Some(word.as_str()).filter(|word| !word.is_empty()));
    let after = query.after.unwrap_or(0);
    let slice = visit.app.list_group_members(instance, text(sheet, "id"), wanted, after, PAGE).await?;
    let narrowed = state.is_some() || !word.is_empty();
    let fields = [("q", word.as_str()), ("state", state.unwrap_or_default())];
    let mut rows = Table::new("Members").hush().head("Person").head("Identity provider says").head("Target has");
    rows = rows.head("State").less("Account").less("Why");
    for one in &slice.items {
        let at_target = match text(one, "at_target") {
            "yes" => "member",
            "no" => "not a member",
            "pending" => "with the invitation",
            _ => "not read yet",
        };
        rows.row(html! { tr {
            th scope="row" { a href=(place(&instance.id, "User", text(one, "id"))) { (name(text(one, "userName"))) } }
            td { (if one["wanted"] == true { "member" } else { "not a member" }) }
            td { (at_target) }
            td { (membership(one)) }
            td.rank2 { (status(text(one, "account"))) }
            td.rank2 {
                @if let Some(operation) = one["operation"].as_str() { a href={ "/console/operations/" (operation) } { "the change" } " " }
                @if text(one, "state") != "settled" { (waits_for(text(one, "state"), text(one, "reason"), one["hold"].is_string())) }
            }
        } });
    }
    let mut choices = vec![Choice::new("", "Any state", "")];
    choices.extend(STATES.iter().map(|(word, label)| Choice::new(word, label, "")));
    let controls = [
        Field::text("q", "User name begins with").value(word.as_str()),
        Field::select("state", "State", choices).value(state.unwrap_or_default()),
    ];
    let counts = &why["then"]["members"];
    let next = slice.next.map(|row| {
        let row = row.to_string();
        link(here, &[fields[0], fields[1], ("after", row.as_str())])
    });
    let first = query.after.map(|_| link(here, &fields));
    let shown = count(i64::try_from(slice.items.len()).unwrap_or(0), "member here", "members here");
    let numbers = html! { span.muted.small { (number(int(counts, "wanted"))) " wanted, " (number(int(counts, "at_target"))) " at the target" } };
    Ok(parts::card(
        "Members",
        &numbers,
        &html! {
            (filters(here, &controls, narrowed))
            @if slice.items.is_empty() {
                (parts::empty(if narrowed { "No members match" } else { "No members" }, &html! {
                    @if narrowed { "Nobody in this group has such a name and state." } @else { "Nobody is asked for in this group, and the target has nobody in it." }
                }, &html! {}))
            } @else { (rows.draw()) (parts::pager(&shown, first.as_deref(), next.as_deref())) }
        },
    ))
}
