//! What pages are made of. Each part is a function that answers markup; forms have a file of their own.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{Markup, html};
use serde_json::Value;

use super::icons::{Icon, icon};
use super::text::{self, name};

/// What a colour means; never shown without words and an icon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the meanings")]
pub(super) enum Tone {
    Good,
    Busy,
    Warn,
    Bad,
    Quiet,
    Parked,
    Drift,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Busy => "busy",
            Self::Warn => "warn",
            Self::Bad => "bad",
            Self::Quiet => "quiet",
            Self::Parked => "parked",
            Self::Drift => "drift",
        }
    }

    fn icon(self) -> Icon {
        match self {
            Self::Good => Icon::Check,
            Self::Busy => Icon::Clock,
            Self::Warn => Icon::Hand,
            Self::Bad => Icon::Cross,
            Self::Quiet => Icon::Dash,
            Self::Parked => Icon::Park,
            Self::Drift => Icon::Differ,
        }
    }
}

/// A tag: a state in one or two words.
pub(super) fn tag(tone: Tone, words: &str) -> Markup {
    html! { span class={ "tag " (tone.class()) } { (icon(tone.icon())) (words) } }
}

/// The tag of a state's word: of operations (`open`, `applied` …), of work and `sync` (`todo`, `needs`, `settled` …), of
/// memberships, runs, holds and modes.
pub(super) fn state(word: &str) -> Markup {
    let (tone, words) = match word {
        "applied" => (Tone::Good, "Applied"),
        "settled" => (Tone::Good, "In sync"),
        "done" | "succeeded" => (Tone::Good, "Done"),
        "active" => (Tone::Good, "Active"),
        "enabled" => (Tone::Good, "Enabled"),
        "allowed" => (Tone::Good, "Allowed"),
        "open" | "pending" | "todo" => (Tone::Busy, "Pending"),
        "running" | "sending" => (Tone::Busy, "Running"),
        "waiting" => (Tone::Busy, "Waiting"),
        "invited" => (Tone::Busy, "Invited"),
        "rehearse" => (Tone::Busy, "Rehearsing"),
        "held" => (Tone::Warn, "Held"),
        "needs" => (Tone::Warn, "Needs somebody"),
        "paused" => (Tone::Warn, "Paused"),
        "unknown" => (Tone::Warn, "Outcome unknown"),
        "failed" => (Tone::Bad, "Failed"),
        "refused" => (Tone::Bad, "Refused"),
        "superseded" => (Tone::Quiet, "Superseded"),
        "withdrawn" => (Tone::Quiet, "Withdrawn"),
        "discarded" => (Tone::Quiet, "Discarded"),
        "unmanaged" => (Tone::Quiet, "Not managed"),
        "waived" => (Tone::Quiet, "Kept by decision"),
        "suspended" => (Tone::Quiet, "Suspended"),
        "disabled" => (Tone::Quiet, "Disabled"),
        "gone" => (Tone::Quiet, "Gone"),
        "absent" => (Tone::Quiet, "Absent"),
        "parked" => (Tone::Parked, "Parked"),
        "drifted" => (Tone::Drift, "Drifted"),
        other => (Tone::Quiet, other),
    };
    tag(tone, words)
}

/// A notice in the page.
pub(super) fn note(tone: Tone, body: &Markup) -> Markup {
    let sign = match tone {
        Tone::Good => Icon::Check,
        Tone::Bad | Tone::Warn => Icon::Warning,
        _ => Icon::Info,
    };
    html! { div class={ "note " (tone.class()) } { (icon(sign)) div { (body) } } }
}

/// A block with a heading. `actions` stand beside the heading.
pub(super) fn card(title: &str, actions: &Markup, body: &Markup) -> Markup {
    html! {
        section.card {
            header { h2 { (title) } @if !actions.0.is_empty() { div.act { (actions) } } }
            (body)
        }
    }
}

/// The time of an RFC 3339 text, as services answer it.
pub(super) fn instant(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

fn exactly(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%-d %b %Y, %H:%M:%S UTC").to_string()
}

/// How long ago, or in how long: `3 min ago`, `in 2 h`.
pub(super) fn relative(now: Timestamp, at: Timestamp) -> String {
    let seconds = now.duration_since(at).as_secs();
    match seconds {
        -4..=4 => "just now".to_owned(),
        s if s < 0 => format!("in {}", text::span(-s)),
        s => format!("{} ago", text::span(s)),
    }
}

/// A point in time, relative; the exact one on hover, in the viewer's zone where there is script.
pub(super) fn ago(now: Timestamp, at: Timestamp) -> Markup {
    html! { time.nowrap datetime=(at.to_string()) title=(exactly(at)) { (relative(now, at)) } }
}

/// A point in time, absolute and relative.
pub(super) fn when(now: Timestamp, at: Timestamp) -> Markup {
    let shown = at.to_zoned(TimeZone::UTC).strftime("%-d %b %Y, %H:%M UTC").to_string();
    html! {
        time.nowrap data-show="at" datetime=(at.to_string()) title=(exactly(at)) { (shown) }
        " " span.muted.small.nowrap { (relative(now, at)) }
    }
}

/// [`ago`] of a field that may be null; `otherwise` in its place then.
pub(super) fn ago_or(now: Timestamp, value: &Value, otherwise: &str) -> Markup {
    match instant(value) {
        Some(at) => ago(now, at),
        None => html! { span.muted { (otherwise) } },
    }
}

/// [`when`] of a field that may be null; `otherwise` in its place then.
pub(super) fn when_or(now: Timestamp, value: &Value, otherwise: &str) -> Markup {
    match instant(value) {
        Some(at) => when(now, at),
        None => html! { span.muted { (otherwise) } },
    }
}

/// A button that copies a text. `what` is read out: `Copy the base URL`.
pub(super) fn copy(value: &str, what: &str) -> Markup {
    html! {
        button.copy type="button" data-copy=(value) aria-label={ "Copy " (what) } { (icon(Icon::Copy)) span { "Copy" } }
    }
}

/// An id, with a button that copies it.
pub(super) fn id(value: &str) -> Markup {
    html! { span.nowrap { code { (value) } " " button.copy type="button" data-copy=(value) aria-label={ "Copy " (value) } { (icon(Icon::Copy)) span {} } } }
}

/// A read-only value in a field, with a button that copies it: a base URL, a command.
pub(super) fn copy_field(key: &str, label: &str, value: &str) -> Markup {
    html! {
        div.field {
            label for=(key) { (label) }
            div.pair {
                input.code type="text" id=(key) value=(value) readonly;
                (copy(value, label))
            }
        }
    }
}

/// A command or document, with a button that copies it.
pub(super) fn code(text: &str, what: &str) -> Markup {
    html! { div.tight { pre tabindex="0" role="region" aria-label=(what) { (text) } div { (copy(text, what)) } } }
}

/// An empty list: what this is, why it is empty, and one action.
pub(super) fn empty(title: &str, body: &Markup, action: &Markup) -> Markup {
    html! { div.empty { h2 { (title) } p { (body) } @if !action.0.is_empty() { div { (action) } } } }
}

/// A table within a region that scrolls sideways and can be reached by keyboard. Rows are `tr`s; the first cell of a row
/// is a `th scope="row"`. `hush` hides the caption where a heading says the same.
pub(super) struct Table {
    caption: String,
    hush: bool,
    heads: Vec<(String, &'static str, bool)>,
    rows: Vec<Markup>,
}

impl Table {
    /// A table with a caption.
    pub(super) fn new(caption: impl Into<String>) -> Self {
        Self { caption: caption.into(), hush: false, heads: Vec::new(), rows: Vec::new() }
    }

    /// The caption is read out and not shown.
    pub(super) fn hush(mut self) -> Self {
        self.hush = true;
        self
    }

    /// A column.
    pub(super) fn head(mut self, label: &str) -> Self {
        self.heads.push((label.to_owned(), "", false));
        self
    }

    /// A column of numbers.
    pub(super) fn number(mut self, label: &str) -> Self {
        self.heads.push((label.to_owned(), "num", false));
        self
    }

    /// A column that a narrow screen goes without; its cells have the class `rank2`.
    pub(super) fn less(mut self, label: &str) -> Self {
        self.heads.push((label.to_owned(), "rank2", false));
        self
    }

    /// The column of buttons: its heading is read out and not shown.
    pub(super) fn acts(mut self) -> Self {
        self.heads.push(("Actions".to_owned(), "", true));
        self
    }

    /// A row: the whole `tr`.
    pub(super) fn row(&mut self, row: Markup) {
        self.rows.push(row);
    }

    /// Whether it has no row.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Draws it.
    pub(super) fn draw(&self) -> Markup {
        html! {
            div.scroll role="region" aria-label=(self.caption) tabindex="0" {
                table {
                    caption.hush[self.hush] { (self.caption) }
                    thead { tr {
                        @for (label, class, hush) in &self.heads {
                            th scope="col" class=[(!class.is_empty()).then_some(*class)] {
                                @if *hush { span.hush { (label) } } @else { (label) }
                            }
                        }
                    } }
                    tbody { @for row in &self.rows { (row) } }
                }
            }
        }
    }
}

/// The foot of a list: how many are shown, and the links to the first and next page. The links keep the filters.
pub(super) fn pager(shown: &str, first: Option<&str>, next: Option<&str>) -> Markup {
    html! {
        nav.pager aria-label="Pages" {
            span.muted.small { (shown) }
            span.inline {
                @if let Some(first) = first { a.btn.small href=(first) { "First page" } }
                @if let Some(next) = next { a.btn.small href=(next) rel="next" { "Next page " (icon(Icon::Arrow)) } }
            }
        }
    }
}

/// Terms and what they are.
pub(super) fn facts(items: &[(&str, Markup)]) -> Markup {
    html! { dl.facts { @for (term, what) in items { dt { (term) } dd { (what) } } } }
}

/// What can be opened.
pub(super) fn more(summary: &str, body: &Markup) -> Markup {
    html! { details.more { summary { (summary) } (body) } }
}

/// A gauge of what is used or left, with its numbers in words: `3,912 of 5,000 left`.
pub(super) fn meter(label: &str, value: i64, most: i64, words: &str) -> Markup {
    html! {
        div.gauge {
            span { (label) }
            meter min="0" max=(most.max(1)) value=(value.clamp(0, most.max(1))) aria-label=(label) { (words) }
            span.muted.small { (words) }
        }
    }
}

/// How far a run is, with its numbers in words. Without `most` it is not known how far.
pub(super) fn progress(label: &str, done: i64, most: Option<i64>, words: &str) -> Markup {
    html! {
        div.gauge {
            span { (label) }
            @match most {
                Some(most) => progress max=(most.max(1)) value=(done.clamp(0, most.max(1))) aria-label=(label) { (words) },
                None => progress aria-label=(label) { (words) },
            }
            span.muted.small { (words) }
        }
    }
}

/// A secret that is shown this once: copy, download, and what to do with it. The answer must not be cached, which the
/// guard sees to.
pub(super) fn secret_once(title: &str, file: &str, secret: &str, body: &Markup) -> Markup {
    html! {
        section.secret aria-label=(title) {
            h2 { (title) }
            output #secret { (secret) }
            div.buttons {
                (copy(secret, "the secret"))
                button.copy type="button" data-download=(file) data-from="secret" { span { "Download .txt" } }
            }
            p { strong { "It is shown this once and cannot be shown again." } " Store it now." }
            (body)
        }
    }
}

/// A region that renews itself every ten seconds while the page is open ([`super::layout::Page::live`]); it needs a key of
/// its own on its page. `say`: a change is read out.
pub(super) fn live(key: &str, say: bool, body: &Markup) -> Markup {
    html! { div data-live=(key) data-say=[say.then_some("1")] { (body) } }
}

/// A link to an instance's page, or its name where there is none.
pub(super) fn instance_link(id: &str, label: &str) -> Markup {
    let there = super::layout::Nav::ALL.contains(&super::layout::Nav::Instances);
    html! { @if there { a href={ "/console/instances/" (id) } { (name(label)) } } @else { (name(label)) } }
}
