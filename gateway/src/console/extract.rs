//! Path and query of a page, with pages for those that cannot be read. Pages take these, never axum's own.

use axum::extract::FromRequestParts;
use axum::extract::rejection::{PathRejection, QueryRejection};
use http::StatusCode;

use super::trouble::Trouble;

/// Segments of the path.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Trouble))]
pub(super) struct Path<T>(pub(super) T);

/// The query. Fields that are not named are ignored: a link may carry more than a page knows.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Trouble))]
pub(super) struct Query<T>(pub(super) T);

impl From<PathRejection> for Trouble {
    fn from(_: PathRejection) -> Self {
        Self::not_found()
    }
}

impl From<QueryRejection> for Trouble {
    fn from(_: QueryRejection) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "This address cannot be read",
            "What stands behind the question mark has not the form that this page expects. Go to the page without it.",
        )
    }
}
