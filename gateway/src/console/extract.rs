//! Path and query of a page, with pages for those that cannot be read. Pages take these, never axum's own.

use axum::extract::FromRequestParts;
use axum::extract::rejection::{PathRejection, QueryRejection};
use http::StatusCode;
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::trouble::Trouble;

/// Segments of the path.
pub(super) struct Path<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Trouble;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Trouble> {
        // No database knows a text with a NUL in it, so nothing of that name is here.
        if parts.uri.path().contains("%00") {
            return Err(Trouble::not_found());
        }
        let axum::extract::Path(found) = axum::extract::Path::from_request_parts(parts, state).await?;
        Ok(Self(found))
    }
}

/// The query. Fields that are not named are ignored: a link may carry more than a page knows.
pub(super) struct Query<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Trouble;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Trouble> {
        if parts.uri.query().is_some_and(|query| query.contains("%00")) {
            return Err(Trouble::not_found());
        }
        let axum::extract::Query(found) = axum::extract::Query::from_request_parts(parts, state).await?;
        Ok(Self(found))
    }
}

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
