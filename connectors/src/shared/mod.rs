//! What more than one connector needs: addresses, ids in paths, and words of a target that are passed on.

pub(crate) mod answer;
pub(crate) mod probe;

use connector_sdk::{
    AccountRef, Cx, Effect, Fault, FaultKind, Groups, InviteId, Membership, Person, RemoteId, Reply, SettingsError,
    lists_member,
};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// How much of a target's own words is passed on.
const LONGEST_REASON: usize = 300;
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
    match lists_member(groups, cx, id, who).await? {
        Some(true) => Err(shown_all_the_same(target)),
        Some(false) => Ok(Membership::Absent),
        None => Err(Fault::new(
            FaultKind::Malformed,
            format!("{target} does not list the group's members to the end, so nobody knows who is in it."),
        )),
    }
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
    use async_trait::async_trait;
    use connector_sdk::{
        Call, GroupChange, GroupCreated, GroupUpdated, GroupWant, Member, Page, PageToken, RemoteGroup, Removed,
        Transport,
    };

    use super::*;

    /// A group whose members are listed page by page, to the end or not.
    struct Listed {
        pages: Vec<Vec<&'static str>>,
        /// The page that leaves something out.
        cut: Option<usize>,
    }

    fn nothing() -> Fault {
        Fault::new(FaultKind::Malformed, "The group can only be listed.")
    }

    #[async_trait]
    impl Groups for Listed {
        async fn list(&self, _: &Cx<'_>, _: Option<&PageToken>) -> Result<Page<RemoteGroup>, Fault> {
            Err(nothing())
        }
        async fn find(&self, _: &Cx<'_>, _: &str) -> Result<Vec<RemoteGroup>, Fault> {
            Err(nothing())
        }
        async fn get(&self, _: &Cx<'_>, _: &RemoteId) -> Result<Option<RemoteGroup>, Fault> {
            Err(nothing())
        }
        async fn create(&self, _: &Cx<'_>, _: &GroupWant) -> Result<GroupCreated, Fault> {
            Err(nothing())
        }
        async fn update(&self, _: &Cx<'_>, _: &RemoteId, _: &GroupChange) -> Result<GroupUpdated, Fault> {
            Err(nothing())
        }
        async fn remove(&self, _: &Cx<'_>, _: &RemoteId) -> Result<Removed, Fault> {
            Err(nothing())
        }
        async fn members(&self, _: &Cx<'_>, _: &RemoteId, page: Option<&PageToken>) -> Result<Page<Member>, Fault> {
            let at: usize = page.map_or(0, |page| page.0.parse().unwrap());
            let items = self.pages[at].iter().map(|id| Member::of(person(id)));
            let next = (at + 1 < self.pages.len()).then(|| PageToken((at + 1).to_string()));
            Ok(Page { items: items.collect(), next, complete: self.cut != Some(at) })
        }
        async fn change_members(
            &self,
            _: &Cx<'_>,
            _: &RemoteId,
            _: &[AccountRef],
            _: &[AccountRef],
        ) -> Vec<Result<Membership, Fault>> {
            Vec::new()
        }
    }

    #[async_trait]
    impl Transport for Listed {
        async fn send(&self, _: Call) -> Result<connector_sdk::Reply, Fault> {
            Err(nothing())
        }
    }

    fn person(id: &str) -> AccountRef {
        AccountRef::Account { id: RemoteId::new(id), login: None }
    }

    #[tokio::test]
    async fn a_listing_that_was_not_complete_counted_as_a_finished_removal() {
        for (pages, cut, want) in [
            (vec![vec!["1"], vec!["2"]], None, Ok(Membership::Absent)),
            (vec![vec!["1"], vec!["2"]], Some(0), Err(FaultKind::Malformed)),
            (vec![vec!["1"], vec!["2"]], Some(1), Err(FaultKind::Malformed)),
            (vec![vec!["1"], vec!["ada"]], Some(1), Err(shown_all_the_same("X").kind)),
            (vec![vec!["ada"], vec!["2"]], None, Err(shown_all_the_same("X").kind)),
            (vec![vec![]], None, Ok(Membership::Absent)),
        ] {
            let group = Listed { pages, cut };
            let cx = Cx::new(&group, jiff::Timestamp::UNIX_EPOCH);
            let got = taken_out(&group, &cx, "X", &RemoteId::new("7"), &person("ada")).await;
            assert_eq!(got.map_err(|fault| fault.kind), want, "{:?} {cut:?}", group.pages);
        }
    }

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
