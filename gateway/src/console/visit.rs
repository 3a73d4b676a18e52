//! Who looks at a page, and with what. Made by the guard alone, so a page without a session cannot be written.

use std::ops::Deref;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use jiff::Timestamp;
use secrecy::SecretString;

use super::trouble::Trouble;
use crate::keys;
use crate::service::App;
use crate::service::members::{Role, Who};
use crate::service::types::Instance;

/// The longest note that is carried to the next page, in bytes.
const MAX_NOTE: usize = 1_000;

/// The colours that were chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Theme {
    /// As the system has it.
    #[default]
    System,
    Light,
    Dark,
}

impl Theme {
    pub(super) const ALL: [Self; 3] = [Self::Light, Self::Dark, Self::System];
    pub(super) const COOKIE: &str = "scimgate_theme";

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::System => "System",
            Self::Light => "Light",
            Self::Dark => "Dark",
        }
    }

    pub(super) fn of(headers: &HeaderMap) -> Self {
        let word = cookie(headers, Self::COOKIE).unwrap_or_default();
        Self::ALL.into_iter().find(|theme| theme.as_str() == word).unwrap_or_default()
    }
}

/// The value of a cookie.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// A visit: who looks, when, and the gateway. Handlers take it as an argument.
#[derive(Clone)]
pub(super) struct Visit(Arc<Seen>);

/// What a visit holds.
pub(super) struct Seen {
    /// The gateway.
    pub(super) app: Arc<App>,
    /// Who looks.
    pub(super) who: Who,
    /// The time, the same for the whole page.
    pub(super) now: Timestamp,
    /// The colours that were chosen.
    pub(super) theme: Theme,
    /// The path and query of the page.
    pub(super) here: String,
    /// What forms carry.
    pub(super) token: String,
    /// The session's cookie, to end it.
    pub(super) session: SecretString,
    /// A note that the page before left.
    pub(super) note: Option<String>,
}

impl Deref for Visit {
    type Target = Seen;

    fn deref(&self) -> &Seen {
        &self.0
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visit {
    type Rejection = Trouble;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Trouble> {
        parts.extensions.get::<Self>().cloned().ok_or_else(Trouble::not_found)
    }
}

impl Visit {
    pub(super) const NOTE: &str = "scimgate_note";

    pub(super) fn new(seen: Seen) -> Self {
        Self(Arc::new(seen))
    }

    /// How the record names who looks.
    pub(super) fn actor(&self) -> String {
        self.who.actor()
    }

    /// Whether who looks may do what this role may: whether a button is shown.
    pub(super) fn may(&self, role: Role) -> bool {
        self.who.role >= role
    }

    /// Refuses who has a lesser role. Every POST asks for Admin already; this is for what only Owners may, and for pages.
    pub(super) fn require(&self, role: Role) -> Result<(), Trouble> {
        if self.may(role) { Ok(()) } else { Err(Trouble::role(self.who.role, role)) }
    }

    /// The instance of an id in the path.
    pub(super) async fn instance(&self, id: &str) -> Result<Arc<Instance>, Trouble> {
        self.app.instances.get(id).await?.ok_or_else(Trouble::not_found)
    }

    /// Goes to another page after a form was sent, and says there what was done.
    pub(super) fn done(&self, to: &str, note: &str) -> Response {
        let mut response = see(to);
        let note = note.chars().scan(0, |size, c| {
            *size += c.len_utf8();
            (*size <= MAX_NOTE).then_some(c)
        });
        let text = URL_SAFE_NO_PAD.encode(note.collect::<String>());
        let value = format!(
            "{}={text}.{}; Path=/console; Max-Age=60; HttpOnly; SameSite=Strict",
            Self::NOTE,
            seal(&self.token, &text)
        );
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().append(header::SET_COOKIE, value);
        }
        response
    }
}

/// Goes to another page.
pub(super) fn see(to: &str) -> Response {
    let to = HeaderValue::from_str(to).unwrap_or(HeaderValue::from_static("/console"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response()
}

/// What proves that a note is ours: nobody else knows the session's form token.
fn seal(token: &str, text: &str) -> String {
    let key: [u8; 32] = keys::mac(&[0; 32], token.as_bytes());
    keys::hash(&key, text).chars().take(32).collect()
}

/// The note that the page before left in a cookie.
pub(super) fn note(headers: &HeaderMap, token: &str) -> Option<String> {
    let (text, sealed) = cookie(headers, Visit::NOTE)?.split_once('.')?;
    if sealed != seal(token, text) {
        return None;
    }
    String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

/// A path of the console to go back to; anything else becomes its first page.
pub(super) fn back(path: &str) -> String {
    let ours = path == "/console" || path.starts_with("/console/") || path.starts_with("/console?");
    let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') && !path.contains("//");
    let leads_on = !path.starts_with("/console/sign-");
    if ours && plain && leads_on && path.len() <= 2_000 { path.to_owned() } else { "/console".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_goes_back_to_the_console_and_nowhere_else() {
        for path in ["/console", "/console/people?q=a%20b", "/console?x=1"] {
            assert_eq!(back(path), path);
        }
        for path in [
            "",
            "/",
            "//evil.example",
            "https://evil.example/console",
            "/consoles",
            "/console//evil.example",
            "/console/\\evil",
            "/console/a b",
            "/console/sign-in",
            "/console/\r\nx: y",
            "javascript:alert(1)",
        ] {
            assert_eq!(back(path), "/console", "{path:?}");
        }
    }

    #[test]
    fn a_note_is_read_by_the_session_that_left_it_only() {
        let mut headers = HeaderMap::new();
        let text = URL_SAFE_NO_PAD.encode("Done.");
        let value = format!("a=b; {}={text}.{}", Visit::NOTE, seal("t", &text));
        headers.insert(header::COOKIE, value.parse().unwrap());
        assert_eq!(note(&headers, "t").as_deref(), Some("Done."));
        assert_eq!(note(&headers, "u"), None);
    }
}
