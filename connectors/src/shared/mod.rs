//! What more than one connector needs: addresses, ids in paths, and words of a target that are passed on.

pub(crate) mod answer;
pub(crate) mod probe;

use connector_sdk::{
    AccountRef, Cx, Effect, Fault, FaultKind, Groups, InviteId, Membership, PageToken, Person, RemoteId, Reply,
    SettingsError,
};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// How much of a target's own words is passed on.
const LONGEST_REASON: usize = 300;
/// Pages that a search for a member reads before it gives up.
const MOST_PAGES: usize = 1_000;
/// The longest id accepted; a UUID has 36 characters.
const LONGEST_ID: usize = 64;

/// The address of an API, as a setting gives it.
///
/// # Errors
/// What is no http or https URL, or has a query or fragment; names the field.
pub(crate) fn address(field: &str, text: &str) -> Result<Url, SettingsError> {
    let url = Url::parse(text).map_err(|_| SettingsError::new(field, "must be an http or https URL"))?;
    if url.cannot_be_a_base() || url.host_str().is_none() {
        return Err(SettingsError::new(field, "must be an http or https URL"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(SettingsError::new(field, "must be an address without query and fragment"));
    }
    Ok(url)
}

/// A credential that can stand in a header.
///
/// # Errors
/// It is not there, or holds blanks or characters that none can have.
pub(crate) fn credential<'a>(
    secrets: &'a connector_sdk::Secrets,
    name: &'static str,
) -> Result<&'a SecretString, SettingsError> {
    let secret = secrets.get(name).ok_or_else(|| SettingsError::new(name, "is required, under `secrets`"))?;
    if !secret.expose_secret().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(SettingsError::new(name, "holds blanks or characters that a key cannot have; copy it again"));
    }
    Ok(secret)
}

/// A host with its port, for driver keys.
pub(crate) fn authority(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default())
}

/// The address that a person is created and found by, in lower case.
pub(crate) fn email(who: &Person) -> Option<String> {
    who.email
        .as_deref()
        .or_else(|| who.user_name.contains('@').then_some(who.user_name.as_str()))
        .map(|email| email.trim().to_lowercase())
        .filter(|email| !email.is_empty())
}

/// Whether an address that a target shows is the one given in lower case.
pub(crate) fn same_address(one: Option<&str>, lower: &str) -> bool {
    one.is_some_and(|one| one.trim().to_lowercase() == lower)
}

/// Whether a text holds one of these words, without case.
pub(crate) fn says(text: &str, words: &[&str]) -> bool {
    let text = text.to_lowercase();
    words.iter().any(|word| text.contains(word))
}

/// A target's own words: bounded, without control characters and credentials.
pub(crate) fn clean<'a>(text: &str, secrets: impl IntoIterator<Item = &'a SecretString>) -> String {
    let mut text = text.to_owned();
    for secret in secrets {
        text = text.replace(secret.expose_secret(), "[redacted]");
    }
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_REASON).collect()
}

/// The context of a fault: the call, the status and the target's request id.
pub(crate) fn context(call: &str, reply: &Reply) -> String {
    let request: String = reply
        .header("x-request-id")
        .unwrap_or("none")
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .take(64)
        .collect();
    format!("{call}: status {}, request {request}", reply.status.as_u16())
}

/// Whether a text can stand in a path or body as an id: letters, digits, `-` and `_`, so that `..` or
/// an empty id never reshape a path.
fn sound(id: &str) -> bool {
    !id.is_empty()
        && id.len() <= LONGEST_ID
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// A write that was answered as if its object were not there, although the target shows it.
pub(crate) fn shown_all_the_same(target: &str) -> Fault {
    Fault::new(
        FaultKind::Permission,
        format!(
            "{target} answers as if it were not there, and shows it all the same. Give the credential what the connector's page names under needs."
        ),
    )
}

/// What a 404 for taking somebody out of a group that is there means: they are in it no more, unless the target lists
/// them all the same.
pub(crate) async fn taken_out(
    groups: &dyn Groups,
    cx: &Cx<'_>,
    target: &str,
    id: &RemoteId,
    who: &AccountRef,
) -> Result<Membership, Fault> {
    let key = |at: &AccountRef| match at {
        AccountRef::Account { id, .. } => id.as_str().to_owned(),
        AccountRef::Invite { id, .. } => id.as_str().to_owned(),
    };
    let mut page: Option<PageToken> = None;
    for _ in 0..MOST_PAGES {
        let listed = groups.members(cx, id, page.as_ref()).await?;
        if listed.items.iter().any(|member| key(&member.account) == key(who)) {
            return Err(shown_all_the_same(target));
        }
        page = listed.next;
        if page.is_none() {
            return Ok(Membership::Absent);
        }
    }
    Err(endless(target, MOST_PAGES))
}

/// An id that we hold, for a path.
///
/// # Errors
/// `Refused`: it is none of the target's.
pub(crate) fn held_id<'a>(target: &str, id: &'a str) -> Result<&'a str, Fault> {
    if sound(id) {
        return Ok(id);
    }
    Err(Fault::new(
        FaultKind::Refused,
        format!("The stored id is not an id of {target}'s. Import again to find the object."),
    )
    .context(format!("id of {} bytes", id.len())))
}

/// An account's or group's id that the target told.
///
/// # Errors
/// `Malformed`, without effect: it is none.
pub(crate) fn remote_id(target: &str, id: &str) -> Result<RemoteId, Fault> {
    told(target, id).map(RemoteId::new)
}

/// An invitation's id that the target told.
///
/// # Errors
/// As [`remote_id`].
pub(crate) fn invite_id(target: &str, id: &str) -> Result<InviteId, Fault> {
    told(target, id).map(InviteId::new)
}

fn told<'a>(target: &str, id: &'a str) -> Result<&'a str, Fault> {
    if sound(id) {
        return Ok(id);
    }
    Err(Fault::new(
        FaultKind::Malformed,
        format!("{target} answered with an id that is none. If this goes on, its API has changed."),
    )
    .effect(Effect::None)
    .context(format!("id of {} bytes", id.len())))
}

/// A stored page token that is none of ours.
pub(crate) fn bad_token(what: &str) -> Fault {
    Fault::new(FaultKind::Refused, "The listing cannot go on from where it stopped. Start it again.")
        .context(format!("page token without a {what}"))
}

/// A listing that does not end.
pub(crate) fn endless(target: &str, pages: usize) -> Fault {
    Fault::new(FaultKind::Malformed, format!("{target}'s listing does not end. If this goes on, its API has changed."))
        .effect(Effect::None)
        .context(format!("more than {pages} pages"))
}

/// A person who cannot be created for want of an address.
pub(crate) fn no_address(target: &str, who: &Person) -> Fault {
    Fault::new(
        FaultKind::Incomplete,
        format!(
            "{} has no e-mail address, and {target} knows people by it. Send the attribute emails, or a userName that is an address.",
            who.user_name
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_never_reshapes_a_path() {
        for bad in ["", ".", "..", "a/b", "a%2fb", "a?b", "ä", &"a".repeat(65)] {
            assert!(held_id("X", bad).is_err(), "{bad}");
            assert!(remote_id("X", bad).is_err(), "{bad}");
        }
        assert!(held_id("X", "0190bbbb-0000-4000-8000-000000000003").is_ok());
    }

    #[test]
    fn what_is_passed_on_holds_no_secret() {
        let secret = SecretString::from("k1");
        assert_eq!(clean("bad\nkey k1", [&secret]), "bad key [redacted]");
        assert_eq!(clean(&"x".repeat(1000), []).len(), LONGEST_REASON);
    }
}
