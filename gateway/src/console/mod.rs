//! The console: pages for people, drawn on the server, on the service functions that the admin API calls.
//!
//! # How a page is written
//!
//! ```text
//! pub(super) fn routes() -> Router<Arc<App>> {                     // merged into `pages` below
//!     Router::new().route("/people", get(list)).route("/people/{id}/protect", post(protect))
//! }
//!
//! async fn list(visit: Visit) -> Answer {                          // Visit: who looks, when, and visit.app
//!     let found = visit.app.list_something().await?;               // a service's errors become a page of their own
//!     let mut table = Table::new("People").head("Name").number("Groups");
//!     for one in &found { table.row(html! { tr { th scope="row" { (name(&one.name)) } td.num { (one.groups) } } }); }
//!     Ok(Page::new(Nav::People, "People").body(html! { div.card { (table.draw()) } }))
//! }
//!
//! async fn protect(visit: Visit, Path(id): Path<String>, sent: Sent) -> Sending {   // CSRF and role are checked already
//!     match visit.app.protect(&visit.actor(), &id, sent.text("why")).await {
//!         Ok(()) => Ok(visit.done("/console/people", "Ada is protected.")),         // 303, with a note on that page
//!         Err(error) => Ok(form_page(&visit, Errors::from(error)?).failed().into_response()),
//!     }
//! }
//! ```
//!
//! `Path` and `Query` are those of `extract`. Text of others goes through `text::name` or `text::value`. Forms are drawn by
//! `form::Form` (nothing for who may not send them), acts that take something away by `form::confirm` on a page of their
//! own. Links are whole paths. No inline style or script: the policy of the pages forbids both. A new entry of the
//! navigation or tab goes into `Nav::ALL` or `Tab::ALL`. The tests walk every page that is linked, for each role.

mod alerts;
mod assets;
mod audit;
mod builder;
mod catalogue;
mod change;
mod chart;
mod compared;
mod connect;
mod declared;
mod download;
mod erase;
mod extract;
mod form;
mod guard;
mod guide;
mod handover;
mod holds;
mod home;
mod icons;
mod instances;
mod keys;
mod layout;
mod lenient;
mod lists;
mod members;
mod members_of;
mod operations;
mod parts;
mod person;
mod plan;
mod policy;
mod refused;
mod retry;
mod runs;
mod schemas;
mod search;
pub(crate) mod session;
mod settings;
mod sign_in;
mod streams;
mod tasks;
mod text;
mod ties;
mod timeline;
mod trouble;
mod version;
mod visit;
mod wizard;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderMap, StatusCode, header};

use crate::service::App;

use layout::Page;
use trouble::Trouble;

/// What a handler of a page answers.
type Answer = Result<Page, Trouble>;
/// What a handler of a form answers: mostly a redirection, or the page again with what is wrong.
type Sending = Result<Response, Trouble>;

/// Where the console is.
pub const PREFIX: &str = "/console";

fn pages() -> Router<Arc<App>> {
    Router::new()
        .merge(home::routes())
        .merge(instances::routes())
        .merge(runs::routes())
        .merge(wizard::routes())
        .merge(change::routes())
        .merge(schemas::routes())
        .merge(version::routes())
        .merge(streams::routes())
        .merge(keys::routes())
        .merge(connect::routes())
        .merge(handover::routes())
        .merge(lists::routes())
        .merge(retry::routes())
        .merge(person::routes())
        .merge(ties::routes())
        .merge(erase::routes())
        .merge(operations::routes())
        .merge(refused::routes())
        .merge(holds::routes())
        .merge(tasks::routes())
        .merge(plan::routes())
        .merge(search::routes())
        .merge(catalogue::routes())
        .merge(builder::routes())
        .merge(settings::routes())
        .merge(members::routes())
        .merge(alerts::routes())
        .merge(audit::routes())
}

/// The routes of the console.
pub fn router(app: Arc<App>) -> Router {
    let inner = pages()
        .route("/assets/{hash}/{file}", get(assets::serve))
        .route("/sign-in", get(session::show).post(session::submit))
        .merge(sign_in::routes())
        .merge(handover::guest())
        .route("/sign-out", post(session::sign_out))
        .route("/theme", post(session::theme))
        .fallback(async || Trouble::not_found())
        .method_not_allowed_fallback(async || {
            Trouble::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "This address takes something else",
                "It is where a form is sent to, or a page that takes none. Go back to the page you came from.",
            )
        })
        .layer(from_fn_with_state(Arc::clone(&app), guard::guard));
    // With a slash at its end it is the same address to whoever types it.
    let slash = get(async || visit::see(PREFIX));
    Router::new().route("/", get(root)).route("/console/", slash).nest(PREFIX, inner).with_state(app)
}

/// A person who opens the gateway's address is led to the console; a program is told that there is nothing.
async fn root(headers: HeaderMap) -> Response {
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accepts.contains("text/html") { visit::see(PREFIX) } else { crate::admin_api::nothing().await.into_response() }
}
