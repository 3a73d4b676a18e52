//! The chart of outcomes over time: drawn on the server, with the same numbers as a table.

use maud::{Markup, html};
use serde_json::Value;

use super::parts::{self, Table};
use super::text::{count, number};
use super::words::{int, list, text};
use crate::service::records::Span;

/// The picture's own units.
const WIDTH: i64 = 720;
const HEIGHT: i64 = 150;
/// Where the bars stand, and how high they may be.
const LEFT: i64 = 40;
const FLOOR: i64 = 122;
const HIGHEST: i64 = 100;

/// Applied and failed operations as bars, under their sum in words. `path` is where the span is chosen.
pub(super) fn outcomes(activity: &Value, span: Span, path: &str) -> Markup {
    let items = list(activity, "items");
    let sum = |field: &str| items.iter().map(|one| int(one, field)).sum::<i64>();
    let (applied, failed) = (sum("applied"), sum("failed"));
    let choice = |which: Span, label: &str| {
        html! { @if which == span { strong aria-current="true" { (label) } } @else { a href={ (path) "?span=" (which.as_str()) } { (label) } } }
    };
    let spoken = match span {
        Span::Day => "the last 24 hours",
        Span::Week => "the last 7 days",
    };
    let body = html! { div.pad.stack {
        p { (count(applied, "change", "changes")) " applied and " (number(failed)) " failed in " (spoken) "."
            @if activity["complete"] == false { " There were so many that the older part is not counted." } }
        @if applied + failed > 0 {
            (picture(items, span, spoken))
            p.inline.small.muted {
                span { span.key-chip.applied {} " Applied" }
                span { span.key-chip.failed {} " Failed, with the number above the bar" }
                span { "Times are UTC" }
            }
        }
        (parts::more("Show the numbers", &table(items, span, spoken)))
    } };
    parts::card(
        "Outcomes",
        &html! { span.inline.small { (choice(Span::Day, "24 hours")) (choice(Span::Week, "7 days")) } },
        &body,
    )
}

/// The hour or the day of a part, from a time in UTC.
fn label(one: &Value, span: Span) -> &str {
    let at = text(one, "at");
    match span {
        Span::Day => at.get(11..16).unwrap_or(at),
        Span::Week => at.get(5..10).unwrap_or(at),
    }
}

fn picture(items: &[Value], span: Span, spoken: &str) -> Markup {
    let parts = i64::try_from(items.len()).unwrap_or(1).max(1);
    let most = items.iter().map(|one| int(one, "applied") + int(one, "failed")).max().unwrap_or(0).max(1);
    let step = (WIDTH - LEFT) / parts;
    let wide = (step * 7 / 10).max(2);
    // What is there is seen: no bar is lower than 2.
    let high = |n: i64| if n == 0 { 0 } else { (n * HIGHEST / most).max(2) };
    let every = if span == Span::Day { 3 } else { 1 };
    html! {
        svg.chart viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-labelledby="chart-title chart-desc" {
            title #chart-title { "Changes applied and failed in " (spoken) }
            desc #chart-desc { "Stacked bars, at most " (number(most)) " in one bar. The same numbers stand in the table below." }
            line.axis x1=(LEFT) y1=(FLOOR) x2=(WIDTH) y2=(FLOOR) {}
            line.axis x1=(LEFT) y1=(FLOOR - HIGHEST) x2=(WIDTH) y2=(FLOOR - HIGHEST) {}
            text x=(LEFT - 6) y=(FLOOR - HIGHEST + 4) text-anchor="end" { (number(most)) }
            text x=(LEFT - 6) y=(FLOOR + 4) text-anchor="end" { "0" }
            @for (place, one) in (0_i64..).zip(items) {
                @let (good, bad) = (int(one, "applied"), int(one, "failed"));
                @let x = LEFT + place * step + (step - wide) / 2;
                @if one["counted"] == false {
                    text x=(x + wide / 2) y=(FLOOR - 4) text-anchor="middle" { "?" }
                } @else {
                    @if good > 0 { rect.applied x=(x) y=(FLOOR - high(good)) width=(wide) height=(high(good)) {} }
                    @if bad > 0 {
                        @let top = FLOOR - high(good) - high(bad) - 1;
                        rect.failed x=(x) y=(top) width=(wide) height=(high(bad)) {}
                        text x=(x + wide / 2) y=(top - 3) text-anchor="middle" { (number(bad)) }
                    }
                }
                @if place % every == 0 { text x=(x + wide / 2) y=(FLOOR + 18) text-anchor="middle" { (label(one, span)) } }
            }
        }
    }
}

fn table(items: &[Value], span: Span, spoken: &str) -> Markup {
    let head = if span == Span::Day { "Hour from (UTC)" } else { "Day (UTC)" };
    let mut table = Table::new(format!("Changes applied and failed in {spoken}"))
        .hush()
        .head(head)
        .number("Applied")
        .number("Failed");
    for one in items {
        let known = one["counted"] != false;
        table.row(html! { tr {
            th scope="row" { (label(one, span)) }
            td.num { @if known { (number(int(one, "applied"))) } @else { "not counted" } }
            td.num { @if known { (number(int(one, "failed"))) } @else { "not counted" } }
        } });
    }
    table.draw()
}
