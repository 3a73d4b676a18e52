//! The frame: what every page has around it. A handler answers a [`Page`]; the guard draws it, because the frame needs
//! what only the guard knows (who looks, which holds wait).

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use connector_sdk::Kind;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use maud::{DOCTYPE, Markup, html};

use super::assets;
use super::icons::{Icon, icon};
use super::parts::{self, Tone};
use super::text::{count, name, number, plain};
use super::trouble::Trouble;
use super::visit::{Theme, Visit};
use crate::service::types::Instance;
use crate::store::StoreError;

/// The entries of the navigation. One stands in [`Nav::ALL`] once its page is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nav {
    Home,
    Instances,
    People,
    Groups,
    Operations,
    Holds,
    Tasks,
    Catalogue,
    Settings,
}

impl Nav {
    /// Those whose pages are there, in their order.
    pub(super) const ALL: &[Self] = &[
        Self::Home,
        Self::Instances,
        Self::People,
        Self::Groups,
        Self::Operations,
        Self::Holds,
        Self::Tasks,
        Self::Catalogue,
        Self::Settings,
    ];

    fn shown(self) -> (&'static str, &'static str, Icon) {
        match self {
            Self::Home => ("Home", "/console", Icon::Home),
            Self::Instances => ("Instances", "/console/instances", Icon::Instances),
            Self::People => ("People", "/console/people", Icon::People),
            Self::Groups => ("Groups", "/console/groups", Icon::Groups),
            Self::Operations => ("Operations", "/console/operations", Icon::Operations),
            Self::Holds => ("Holds", "/console/holds", Icon::Holds),
            Self::Tasks => ("Tasks", "/console/tasks", Icon::Tasks),
            Self::Catalogue => ("Catalogue", "/console/catalogue", Icon::Catalogue),
            Self::Settings => ("Settings", "/console/settings", Icon::Settings),
        }
    }
}

/// The tabs of an instance. One stands in [`Tab::ALL`] once its page is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tab {
    Overview,
    People,
    Groups,
    Operations,
    Plan,
    Holds,
    Budget,
    Keys,
    Settings,
}

impl Tab {
    /// Those whose pages are there, in their order.
    pub(super) const ALL: &[Self] = &[
        Self::Overview,
        Self::People,
        Self::Groups,
        Self::Operations,
        Self::Plan,
        Self::Holds,
        Self::Budget,
        Self::Keys,
        Self::Settings,
    ];

    fn shown(self) -> (&'static str, &'static str) {
        match self {
            Self::Overview => ("Overview", ""),
            Self::People => ("People", "/people"),
            Self::Groups => ("Groups", "/groups"),
            Self::Operations => ("Operations", "/operations"),
            Self::Plan => ("Plan", "/plan"),
            Self::Holds => ("Holds", "/holds"),
            Self::Budget => ("Budget", "/budget"),
            Self::Keys => ("Keys", "/keys"),
            Self::Settings => ("Settings", "/settings"),
        }
    }

    /// Whether an instance with such a connector has it.
    fn belongs(self, kind: Option<Kind>) -> bool {
        !(self == Self::Groups && kind == Some(Kind::User))
    }
}

/// A page, without its frame.
#[derive(Clone)]
pub(super) struct Page {
    nav: Option<Nav>,
    title: String,
    of: Option<String>,
    crumbs: Vec<(String, String)>,
    tabs: Option<Markup>,
    tags: Option<Markup>,
    lead: Option<Markup>,
    actions: Option<Markup>,
    body: Markup,
    failed: bool,
    live: bool,
    status: StatusCode,
    headers: HeaderMap,
}

impl Page {
    /// A page under an entry of the navigation. The title is the one `h1`, and the first part of the window's title.
    pub(super) fn new(nav: Nav, title: impl Into<String>) -> Self {
        Self {
            nav: Some(nav),
            title: title.into(),
            of: None,
            crumbs: Vec::new(),
            tabs: None,
            tags: None,
            lead: None,
            actions: None,
            body: html! {},
            failed: false,
            live: false,
            status: StatusCode::OK,
            headers: HeaderMap::new(),
        }
    }

    /// A page of an instance: with its tabs, and its name in title and breadcrumbs.
    pub(super) fn of(instance: &Arc<Instance>, tab: Tab, title: impl Into<String>) -> Self {
        let base = format!("/console/instances/{}", instance.id);
        let kind = instance.connector.as_ref().ok().map(|connector| connector.traits().kind);
        let mut page = Self::new(Nav::Instances, title);
        if Nav::ALL.contains(&Nav::Instances) {
            page = page.crumb("Instances", "/console/instances");
            if tab != Tab::Overview {
                page = page.crumb(instance.name.as_str(), base.as_str());
            }
        }
        page.of = Some(instance.name.clone()).filter(|name| *name != page.title);
        page.tabs = Some(html! {
            nav.tabs aria-label="This instance" {
                ul {
                    @for one in Tab::ALL.iter().filter(|one| one.belongs(kind)) {
                        @let (label, path) = one.shown();
                        li { a href={ (base) (path) } aria-current=[(*one == tab).then_some("page")] { (label) } }
                    }
                }
            }
        });
        page
    }

    /// A step of the way to this page.
    pub(super) fn crumb(mut self, label: impl Into<String>, href: impl Into<String>) -> Self {
        self.crumbs.push((label.into(), href.into()));
        self
    }

    /// State tags beside the heading.
    pub(super) fn tags(mut self, tags: Markup) -> Self {
        self.tags = Some(tags);
        self
    }

    /// One sentence under the heading.
    pub(super) fn lead(mut self, lead: Markup) -> Self {
        self.lead = Some(lead);
        self
    }

    /// Buttons beside the heading; at most one of them `main`.
    pub(super) fn actions(mut self, actions: Markup) -> Self {
        self.actions = Some(actions);
        self
    }

    /// What the page holds.
    pub(super) fn body(mut self, body: Markup) -> Self {
        self.body = body;
        self
    }

    /// A form was refused: the title says so, and the answer is a 422.
    pub(super) fn failed(mut self) -> Self {
        self.failed = true;
        self.status = StatusCode::UNPROCESSABLE_ENTITY;
        self
    }

    /// The page has regions that renew themselves ([`parts::live`]): a switch for that is shown.
    pub(super) fn live(mut self) -> Self {
        self.live = true;
        self
    }

    pub(super) fn from_trouble(trouble: &Trouble, reference: &str) -> Self {
        let body = html! {
            div.card { div.pad.prose {
                p { (trouble.text) }
                p.muted.small { "Reference " span.mono { (reference) } }
                p { a href="/console" { "Go to Home" } }
            } }
        };
        let mut page = Self::new(Nav::Home, trouble.title.as_str()).body(body);
        page.nav = None;
        page.status = trouble.status;
        page
    }

    fn window_title(&self) -> String {
        let mut title = String::new();
        if self.failed {
            title.push_str("Error: ");
        }
        title.push_str(&plain(&self.title));
        if let Some(of) = &self.of {
            title.push_str(&format!(" \u{b7} {}", plain(of)));
        }
        title
    }

    /// The whole page as an answer.
    pub(super) fn draw(self, visit: &Visit, frame: &Frame) -> Response {
        let markup = document(
            &self.window_title(),
            visit.theme,
            &html! {
                a.skip href="#main" { "Skip to content" }
                (top(visit, self.nav, frame))
                div.shell {
                    nav.side aria-label="Console" { (navigation(self.nav, frame)) }
                    main #main tabindex="-1" {
                        (frame.banner())
                        @if !self.crumbs.is_empty() {
                            nav.crumbs aria-label="Breadcrumb" { ol {
                                @for (label, href) in &self.crumbs { li { a href=(href) { (name(label)) } } }
                            } }
                        }
                        div.head {
                            div.row {
                                h1 { (name(&self.title)) }
                                @if let Some(tags) = &self.tags { (tags) }
                                @if let Some(actions) = &self.actions { div.act { (actions) } }
                            }
                            @if let Some(lead) = &self.lead { p.lead { (lead) } }
                        }
                        @if let Some(tabs) = &self.tabs { (tabs) }
                        @if let Some(note) = &visit.note { (parts::note(Tone::Good, &html! { p { (name(note)) } })) }
                        (self.body)
                    }
                }
                footer.foot {
                    div.inline {
                        span { "scimgate " (env!("CARGO_PKG_VERSION")) }
                        @if self.live { button #pause .link type="button" aria-pressed="false" hidden { "Pause updates" } }
                        }
                }
                div #status .hush role="status" {}
            },
        );
        let mut response = (self.status, markup).into_response();
        response.headers_mut().extend(self.headers);
        response
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// What the frame shows of the gateway's state.
#[derive(Default)]
pub(super) struct Frame {
    holds: i64,
    /// Tasks that are open; none where no target is done by hand.
    tasks: Option<i64>,
    /// Instances whose credential the target refuses: the first one's id and name, and how many there are.
    dead: Option<(String, String, usize)>,
}

impl Frame {
    /// Reads it.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn read(visit: &Visit) -> Result<Self, StoreError> {
        let app = &visit.app;
        let degraded = app.driver.degraded().await?;
        let dead = match degraded.first() {
            None => None,
            Some(first) => {
                let name = app.instances.get(&first.instance).await?.map(|instance| instance.name.clone());
                Some((first.instance.clone(), name.unwrap_or_default(), degraded.len()))
            }
        };
        Ok(Self { holds: app.count_open_holds().await?, tasks: app.count_open_tasks().await?, dead })
    }

    /// Trouble of the whole system, the worst alone.
    fn banner(&self) -> Markup {
        if let Some((id, instance, many)) = &self.dead {
            let more = i64::try_from(many - 1).unwrap_or(0);
            return parts::note(
                Tone::Bad,
                &html! {
                    p {
                        strong { (name(instance)) " does not accept its credential." }
                        " Changes wait until it is replaced."
                        @if more > 0 { " So do those of " (count(more, "other instance", "other instances")) "." }
                        @if Nav::ALL.contains(&Nav::Instances) { " " a href={ "/console/instances/" (id) } { "Look at it" } }
                    }
                },
            );
        }
        if self.holds > 0 && Nav::ALL.contains(&Nav::Holds) {
            return parts::note(
                Tone::Warn,
                &html! {
                    p {
                        strong { (count(self.holds, "hold waits", "holds wait")) " for a decision." }
                        " The brake stopped changes that take access away. " a href="/console/holds" { "Decide" }
                    }
                },
            );
        }
        html! {}
    }
}

fn navigation(current: Option<Nav>, frame: &Frame) -> Markup {
    html! {
        ul.navlist {
            @for one in Nav::ALL.iter().filter(|one| **one != Nav::Tasks || frame.tasks.is_some() || current == Some(Nav::Tasks)) {
                @let (label, href, sign) = one.shown();
                li { a href=(href) aria-current=[(current == Some(*one)).then_some("page")] {
                    (icon(sign)) (label)
                    @if *one == Nav::Holds && frame.holds > 0 {
                        span.count { (number(frame.holds)) span.hush { " waiting" } }
                    }
                    @if let (Nav::Tasks, Some(open)) = (*one, frame.tasks.filter(|open| *open > 0)) {
                        span.count { (number(open)) span.hush { " open" } }
                    }
                } }
            }
        }
    }
}

fn top(visit: &Visit, current: Option<Nav>, frame: &Frame) -> Markup {
    html! {
        header.top {
            div.only-narrow {
                details.menu.nav {
                    summary aria-label="Menu" { (icon(Icon::Menu)) }
                    div { nav aria-label="Console, small" { (navigation(current, frame)) } }
                }
            }
            a.brand href="/console" { (mark()) "scimgate" }
            form.search role="search" action="/console/search" method="get" {
                (icon(Icon::Search))
                label.hush for="search" { "Search people, groups, operations" }
                input #search type="search" name="q" placeholder="Search people, groups, operations" autocomplete="off" maxlength="200";
                kbd aria-hidden="true" { "/" }
            }
            div.end {
                span.role { (visit.who.role.title()) }
                details.menu {
                    summary { (icon(Icon::User)) span.only-wide { (name(&visit.who.name)) } span.hush { "Account and theme" } }
                    div {
                        div.who {
                            strong { (name(&visit.who.name)) }
                            span.muted.small { (visit.who.role.meaning()) }
                        }
                        (theme_choice(visit))
                        form method="post" action="/console/sign-out" {
                            input type="hidden" name="csrf" value=(visit.token);
                            button.btn type="submit" { "Sign out" }
                        }
                    }
                }
            }
        }
    }
}

/// The choice of colours, as a form.
pub(super) fn theme_choice(visit: &Visit) -> Markup {
    html! {
        form method="post" action="/console/theme" {
            input type="hidden" name="csrf" value=(visit.token);
            input type="hidden" name="back" value=(visit.here);
            div.seg role="group" aria-label="Theme" {
                @for theme in Theme::ALL {
                    button type="submit" name="theme" value=(theme.as_str()) aria-pressed=(if theme == visit.theme { "true" } else { "false" }) {
                        (theme.title())
                    }
                }
            }
        }
    }
}

/// The mark: a gate.
pub(super) fn mark() -> Markup {
    html! {
        svg width="20" height="20" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2.2" stroke-linecap="round" aria-hidden="true" focusable="false" {
            path d="M4 21V9a8 8 0 0 1 16 0v12M9 21V10a3 3 0 0 1 6 0v11M2.5 21h19";
        }
    }
}

/// A whole document.
fn document(title: &str, theme: Theme, body: &Markup) -> Html {
    let chosen = (theme != Theme::System).then(|| theme.as_str());
    Html(html! {
        (DOCTYPE)
        html lang="en" data-theme=[chosen] {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                title { (title) " \u{b7} scimgate" }
                link rel="stylesheet" href=(assets::path("console.css"));
                link rel="icon" type="image/svg+xml" href=(assets::path("mark.svg"));
                script src=(assets::path("console.js")) defer {}
            }
            body { (body) }
        }
    })
}

/// A page without the frame, for who is not signed in.
pub(super) fn gate(status: StatusCode, title: &str, theme: Theme, body: &Markup) -> Response {
    let page = document(title, theme, &html! { div.gate { main #main { (body) } } div #status .hush role="status" {} });
    (status, page).into_response()
}

/// A page without the frame for who has a link and no account.
pub(super) fn open(status: StatusCode, title: &str, theme: Theme, body: &Markup) -> Response {
    let page = document(
        title,
        theme,
        &html! {
            header.top.plain { span.brand { (mark()) "scimgate" } }
            div.open { main #main tabindex="-1" { h1 { (title) } (body) } }
            div #status .hush role="status" {}
        },
    );
    (status, page).into_response()
}

/// A page that leads on at once: a browser sends no `SameSite=Strict` cookie with a link from elsewhere, but with one of
/// this page's own.
pub(super) fn lead_on(to: &str) -> Response {
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="refresh" content={ "0;url=" (to) };
                title { "scimgate" }
            }
            body { main { h1 { "scimgate" } p { a href=(to) { "Continue" } } } }
        }
    };
    Html(markup).into_response()
}

/// Markup as an answer.
struct Html(Markup);

impl IntoResponse for Html {
    fn into_response(self) -> Response {
        let kind = HeaderValue::from_static("text/html; charset=utf-8");
        ([(header::CONTENT_TYPE, kind)], self.0.into_string()).into_response()
    }
}
