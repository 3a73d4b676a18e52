//! The admin API: `/admin/v1`, and the pages of the machine room beside it.
//!
//! A guard stands before every route below `/admin/v1`, unknown ones included, and handlers take an
//! `Admin` that only the guard makes. A Viewer is let to no route that changes something. Errors are problem details (RFC 9457).

mod alerts;
mod catalogue;
mod decisions;
mod drift;
mod event_streams;
mod extract;
mod handovers;
mod health;
mod holds;
mod insight;
mod instances;
mod keys;
mod live;
mod manifests;
mod members;
mod problem;
mod records;
mod tasks;
mod well_known;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::FutureExt;
use http::{HeaderValue, StatusCode, header};
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::{self, Denied};
use crate::scim_api::{REQUEST_ID, method_label, request_id, status_label};
use crate::service::App;
use crate::service::types::Instance;
use crate::telemetry::names;

use extract::Admin;
use problem::Problem;

/// Where the admin API is.
pub const PREFIX: &str = "/admin/v1";

#[derive(OpenApi)]
#[openapi(
    info(title = "scimgate admin API", description = "Integration instances, their keys, and the record of what happened. Errors are problem details (RFC 9457)."),
    servers((url = "/admin/v1")),
    security(("admin_token" = [])),
    modifiers(&Secured)
)]
struct Described;

struct Secured;

impl utoipa::Modify for Secured {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(
            HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("The admin token")).build(),
        );
        openapi.components.get_or_insert_with(Default::default).add_security_scheme("admin_token", scheme);
    }
}

/// The admin API's routes with their description, without guard.
fn described() -> (Router<Arc<App>>, utoipa::openapi::OpenApi) {
    OpenApiRouter::with_openapi(Described::openapi())
        .routes(routes!(catalogue::connectors))
        .routes(routes!(manifests::list, manifests::upload))
        .routes(routes!(manifests::schema))
        .routes(routes!(manifests::check))
        .routes(routes!(manifests::preview))
        .routes(routes!(manifests::test))
        .routes(routes!(manifests::show, manifests::delete))
        .routes(routes!(manifests::show_version, manifests::delete_version))
        .routes(routes!(catalogue::budgets))
        .routes(routes!(catalogue::audit))
        .routes(routes!(members::whoami))
        .routes(routes!(members::list, members::create))
        .routes(routes!(members::show, members::change, members::remove))
        .routes(routes!(instances::list, instances::create))
        .routes(routes!(instances::show, instances::update, instances::delete))
        .routes(routes!(instances::probe))
        .routes(routes!(instances::upgrade))
        .routes(routes!(instances::import))
        .routes(routes!(instances::reconcile))
        .routes(routes!(instances::compare))
        .routes(routes!(instances::run))
        .routes(routes!(drift::runs))
        .routes(routes!(drift::drift))
        .routes(routes!(drift::repair))
        .routes(routes!(drift::dismiss))
        .routes(routes!(drift::plan))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::rotate))
        .routes(routes!(keys::revoke))
        .routes(routes!(handovers::list, handovers::create))
        .routes(routes!(handovers::revoke))
        .routes(routes!(event_streams::list, event_streams::create))
        .routes(routes!(event_streams::show, event_streams::change, event_streams::delete))
        .routes(routes!(records::users))
        .routes(routes!(records::groups))
        .routes(routes!(records::operations))
        .routes(routes!(records::work))
        .routes(routes!(records::why))
        .routes(routes!(records::operation))
        .routes(routes!(records::operation_of))
        .routes(routes!(records::retry))
        .routes(routes!(records::retry_all))
        .routes(routes!(insight::operations))
        .routes(routes!(insight::audit))
        .routes(routes!(insight::rejected))
        .routes(routes!(insight::erase))
        .routes(routes!(insight::attention))
        .routes(routes!(insight::overview))
        .routes(routes!(insight::activity))
        .routes(routes!(insight::search))
        .routes(routes!(live::events))
        .routes(routes!(records::dismiss))
        .routes(routes!(holds::list))
        .routes(routes!(holds::show))
        .routes(routes!(holds::allow))
        .routes(routes!(holds::discard))
        .routes(routes!(tasks::list))
        .routes(routes!(tasks::show))
        .routes(routes!(tasks::done))
        .routes(routes!(tasks::refuse))
        .routes(routes!(tasks::enter))
        .routes(routes!(alerts::list, alerts::create))
        .routes(routes!(alerts::show, alerts::delete))
        .routes(routes!(alerts::test))
        .routes(routes!(decisions::status))
        .routes(routes!(decisions::words))
        .routes(routes!(decisions::outcome))
        .routes(routes!(decisions::links, decisions::link))
        .routes(routes!(decisions::reject))
        .split_for_parts()
}

/// The description of the admin API.
pub fn openapi() -> utoipa::openapi::OpenApi {
    described().1
}

/// The routes of the admin side: the API, `/healthz`, `/readyz`, `/metrics`, and the answer to
/// every path that nobody serves.
pub fn router(app: Arc<App>) -> Router {
    let (routes, description) = described();
    let description = Arc::new(description);
    let api = routes
        .route("/openapi.json", get(move || async move { Json(Arc::unwrap_or_clone(description)) }))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_verb)
        .layer(from_fn_with_state(Arc::clone(&app), guard));
    Router::new()
        .nest(PREFIX, api)
        .merge(health::routes())
        .merge(well_known::routes())
        .fallback(nothing)
        .method_not_allowed_fallback(wrong_verb)
        .with_state(app)
}

/// Lets the admin in, and gives every answer what all of them have.
async fn guard(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let started = app.clock.now();
    let id = request_id(request.headers());
    let method = method_label(request.method());
    let mut response = match auth::admin(&app, request.headers()).await {
        Ok(who) => match Admin::new(who).may(request.method()) {
            Err(refused) => refused.into_response(),
            Ok(admin) => {
                request.extensions_mut().insert(admin);
                AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|_| {
                    tracing::error!(request_id = ?id, "an admin request made the gateway panic");
                    Problem::new(
                        StatusCode::INTERNAL_SERVER_ERROR,
                        "The gateway made a mistake; it is in its log under the id in x-request-id.",
                    )
                    .into_response()
                })
            }
        },
        Err(denied) => {
            metrics::counter!(names::REJECTED_REQUESTS_TOTAL, "reason" => "admin_credentials").increment(1);
            denied_to(denied).into_response()
        }
    };
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    metrics::counter!(names::HTTP_REQUESTS_TOTAL, "surface" => "admin", "method" => method, "status" => status_label(response.status().as_u16())).increment(1);
    metrics::histogram!(names::HTTP_REQUEST_SECONDS, "surface" => "admin")
        .record(app.clock.now().duration_since(started).as_secs_f64());
    response
}

fn denied_to(denied: Denied) -> Problem {
    let (status, detail, challenge) = match denied {
        Denied::Absent => (
            StatusCode::UNAUTHORIZED,
            "Send the admin token in the Authorization header, as a bearer token.",
            "Bearer realm=\"scimgate admin\"",
        ),
        Denied::Wrong => (
            StatusCode::UNAUTHORIZED,
            "The admin token is not valid. Keys of instances do not open the admin API.",
            "Bearer realm=\"scimgate admin\", error=\"invalid_token\"",
        ),
        Denied::Twice | Denied::Malformed => (
            StatusCode::BAD_REQUEST,
            "The request carries more than one Authorization header.",
            "Bearer realm=\"scimgate admin\", error=\"invalid_request\"",
        ),
        Denied::Store(error) => return error.into(),
    };
    Problem::new(status, detail).header(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
}

async fn unknown() -> Problem {
    Problem::not_found("The admin API has no such route; /admin/v1/openapi.json lists those there are.")
}

/// The answer to a path that nobody serves.
pub(crate) async fn nothing() -> Problem {
    Problem::not_found(
        "There is nothing here. The console is under /console, the admin API is under /admin/v1, SCIM under /i/{instance}/scim/v2.",
    )
}

async fn wrong_verb() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "This route does not take that method; the Allow header lists those it takes.",
    )
}

/// The instance of an id in a path.
async fn instance(app: &App, id: &str) -> Result<Arc<Instance>, Problem> {
    app.instances.get(id).await?.ok_or_else(|| Problem::not_found("There is no such instance."))
}
