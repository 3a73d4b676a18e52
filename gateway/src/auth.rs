//! Who asks. SCIM requests are asked for a key of their instance, admin requests for the
//! token of a member; neither opens the other's doors. Handlers cannot run without what these functions answer.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::inbound::Rate;
use crate::keys::{self, KeyType, ParsedKey};
use crate::service::App;
use crate::service::keys::Scope;
use crate::service::members::Who;
use crate::service::records::Kept;
use crate::service::types::Instance;
use crate::store::StoreError;

/// In which form a key was presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `Bearer KEY`.
    Bearer,
    /// As the password of `Basic`.
    Basic,
    /// The key alone.
    Bare,
}

/// Who asks on the SCIM side.
pub struct Principal {
    /// In which form the key came.
    pub form: Form,
    /// The key's public id.
    pub key_id: String,
    /// What the key may do.
    pub scope: Scope,
    /// The SCIM id of the User that the key belongs to.
    pub person: Option<String>,
    /// The key's own limit of requests.
    pub rate_limit: Option<Rate>,
    /// Whether it may poll security events.
    pub polls: bool,
    /// The instance that the key belongs to, which is the one of the URL.
    pub instance: Arc<Instance>,
}

/// Why nobody is let in.
#[derive(Debug)]
pub enum Denied {
    /// No credentials were sent (RFC 6750 section 3: the challenge has no error code).
    Absent,
    /// Wrong ones, or for another instance, or one that does not exist: which, nobody is told.
    Wrong,
    /// Credentials were sent in more than one way (RFC 6750 section 3.1).
    Twice,
    /// What follows `Bearer` is no token: it has a blank in it (RFC 6750 section 2.1).
    Malformed,
    /// It could not be found out.
    Store(StoreError),
}

impl From<StoreError> for Denied {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The credential of a request: a bearer token, the password of Basic, or the bare text.
fn presented(headers: &HeaderMap) -> Result<(Cow<'_, str>, Form), Denied> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Err(Denied::Absent) };
    if values.next().is_some() {
        return Err(Denied::Twice);
    }
    let text = value.to_str().map_err(|_| Denied::Wrong)?.trim();
    match text.split_once(' ') {
        None => Ok((Cow::Borrowed(text), Form::Bare)),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer") => match rest.trim() {
            token if token.contains([' ', '\t']) => Err(Denied::Malformed),
            token => Ok((Cow::Borrowed(token), Form::Bearer)),
        },
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("basic") => {
            let decoded = STANDARD.decode(rest.trim()).map_err(|_| Denied::Wrong)?;
            let decoded = String::from_utf8(decoded).map_err(|_| Denied::Wrong)?;
            let (_, password) = decoded.split_once(':').ok_or(Denied::Wrong)?;
            Ok((Cow::Owned(password.to_owned()), Form::Basic))
        }
        Some(_) => Err(Denied::Wrong),
    }
}

/// What was sent where a key should be, without its secret part: for the record of calls that were not let in.
pub(crate) fn meant(headers: &HeaderMap) -> Kept {
    let Ok((text, _)) = presented(headers) else { return Kept::NoKey };
    match keys::parse(&text) {
        Some(ParsedKey { kind: KeyType::Instance, key_id }) => Kept::Key(key_id),
        Some(ParsedKey { kind: KeyType::Admin, .. }) => Kept::AdminToken,
        Some(ParsedKey { kind: KeyType::Handover, .. }) | None => Kept::NoKey,
    }
}

/// Checks a SCIM request for the instance that its URL names. The key is looked up by its own id,
/// never the instance by the URL's: an instance that does not exist costs and answers what a wrong
/// key does.
///
/// # Errors
/// [`Denied`].
pub async fn scim(app: &App, headers: &HeaderMap, instance_id: &str) -> Result<Principal, Denied> {
    let (text, form) = presented(headers)?;
    let key = app.verify_key(&text).await?.ok_or(Denied::Wrong)?;
    let instance = app.instances.by_seq(key.instance_seq).await?.ok_or(Denied::Wrong)?;
    if instance.id != instance_id {
        return Err(Denied::Wrong);
    }
    let (key_id, person) = (key.key_id.clone(), key.person.clone());
    Ok(Principal { form, key_id, scope: key.scope, person, rate_limit: key.rate_limit, polls: key.polls, instance })
}

/// Checks an admin request: the token of a member as a bearer token.
///
/// # Errors
/// [`Denied`].
pub async fn admin(app: &App, headers: &HeaderMap) -> Result<Who, Denied> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Err(Denied::Absent) };
    if values.next().is_some() {
        return Err(Denied::Twice);
    }
    // An operator's token may be any text, so it is compared as bytes of the header.
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| Denied::Wrong)?;
    match text.trim().split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            app.verify_member(token.trim()).await?.ok_or(Denied::Wrong)
        }
        _ => Err(Denied::Wrong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn check(headers: &[&str], want: Result<(&str, Form), &str>) {
        let mut map = HeaderMap::new();
        for value in headers {
            map.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        let got = presented(&map).map_err(|denied| format!("{denied:?}"));
        let got = got.as_ref().map(|(key, form)| (key.as_ref(), *form));
        assert_eq!(got.map_err(String::as_str), want, "{headers:?}");
    }

    #[test]
    fn credentials_are_read_in_three_forms() {
        check(&["Bearer abc"], Ok(("abc", Form::Bearer)));
        check(&["bEARER   abc "], Ok(("abc", Form::Bearer)));
        check(&["Basic dXNlcjphYmM6ZA=="], Ok(("abc:d", Form::Basic)));
        check(&["basic OmFiYw=="], Ok(("abc", Form::Basic)));
        check(&["abc"], Ok(("abc", Form::Bare)));
        check(&["Bearer"], Ok(("Bearer", Form::Bare)));
        check(&[], Err("Absent"));
        check(&["Bearer a", "Bearer b"], Err("Twice"));
        check(&["Bearer a b"], Err("Malformed"));
        check(&["Basic !!"], Err("Wrong"));
        check(&["Basic YWJj"], Err("Wrong"));
        check(&["Digest abc"], Err("Wrong"));
    }
}
