//! The ids of Buildkite and how they go together.
//!
//! A person has three: the **user's** (REST `id` of a member, `user_id` of a team member,
//! `accepted_by.id` of an invitation; GraphQL `User.uuid`), the **organisation membership's**
//! (GraphQL `OrganizationMember`) and the **team membership's** (GraphQL `TeamMember`). Only the
//! user's is stable, and only it is kept: every REST path wants it. A GraphQL id is the base64 of
//! `Type---uuid` (REST shows it as `graphql_id`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use connector_sdk::{Fault, InviteId, RemoteId};

use crate::shared;

/// An id that we hold, for a path.
///
/// # Errors
/// `Refused`: it is not an id of Buildkite's.
pub(super) fn in_path(id: &str) -> Result<&str, Fault> {
    shared::held_id("Buildkite", id)
}

/// A user's or team's id that the target told.
///
/// # Errors
/// `Malformed`, without effect: it is none.
pub(super) fn remote(id: &str) -> Result<RemoteId, Fault> {
    shared::remote_id("Buildkite", id)
}

/// An invitation's id that the target told.
///
/// # Errors
/// As [`remote`].
pub(super) fn invite(id: &str) -> Result<InviteId, Fault> {
    shared::invite_id("Buildkite", id)
}

/// The GraphQL id of an object: base64 of `Type---uuid`.
pub(super) fn graphql(kind: &str, uuid: &str) -> String {
    STANDARD.encode(format!("{kind}---{uuid}"))
}

/// The uuid within a GraphQL id of that type; `None` if it is another's or none at all.
pub(super) fn uuid(kind: &str, graphql: &str) -> Option<String> {
    let bytes = STANDARD.decode(graphql.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let uuid = text.strip_prefix(kind)?.strip_prefix("---")?;
    in_path(uuid).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn graphql_ids_go_both_ways() {
        let id = graphql("Team", "c5e09619-8648-4896-a936-9d0b8b7b3fe9");
        assert_eq!(id, "VGVhbS0tLWM1ZTA5NjE5LTg2NDgtNDg5Ni1hOTM2LTlkMGI4YjdiM2ZlOQ==");
        assert_eq!(uuid("Team", &id).as_deref(), Some("c5e09619-8648-4896-a936-9d0b8b7b3fe9"));
        assert_eq!(uuid("User", &id), None);
        for bad in ["", "%%%", "VGVhbS0tLS4uLw==", "////"] {
            assert_eq!(uuid("Team", bad), None, "{bad}");
        }
    }
}
