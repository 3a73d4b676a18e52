//! Why there is no page: what the frame shows in its place.

use axum::response::{IntoResponse, Response};
use http::StatusCode;

use crate::service::records::AdminError;
use crate::store::StoreError;

/// A page that cannot be shown, in words for whoever asked for it. The frame turns it into a page of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    /// The status of the answer.
    pub(super) status: StatusCode,
    /// The heading.
    pub(super) title: String,
    /// What happened, what was kept, and the way on.
    pub(super) text: String,
}

impl Trouble {
    /// Any trouble.
    pub(super) fn new(status: StatusCode, title: impl Into<String>, text: impl Into<String>) -> Self {
        Self { status, title: title.into(), text: text.into() }
    }

    /// There is no such page, person, group, operation.
    pub(super) fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "Page not found",
            "There is nothing at this address. If you typed it, check it; if you followed a link, what it named may have \
             been removed since. The search box finds people, groups and operations by name or id.",
        )
    }

    /// The role does not suffice.
    pub(super) fn role(own: crate::service::members::Role, needed: crate::service::members::Role) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            format!("This needs the role {needed}"),
            format!(
                "You are signed in as {own}. Nothing was changed. Ask an Owner of this gateway if you should be able to do this."
            ),
        )
    }

    /// The form cannot be used, for a reason that is not a field's.
    pub(super) fn form(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "This form could not be used", text)
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "a page of the console met trouble of the store");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "The database does not answer",
            "Nothing was lost. Identity providers are answered 503 and try again by themselves. Reload this page in a moment.",
        )
    }
}

impl From<AdminError> for Trouble {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::NotFound(what) => Self::new(StatusCode::NOT_FOUND, "Not found", what),
            AdminError::Conflict(why) => Self::new(StatusCode::CONFLICT, "Nothing was changed", why),
            AdminError::Store(error) => error.into(),
            other => Self::form(other.to_string()),
        }
    }
}
