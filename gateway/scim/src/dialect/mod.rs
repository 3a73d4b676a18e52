//! Clients, each with the settings for what they mean differently, and how they are told apart.
//!
//! What conflicts with nothing is taken from every client ([`crate::quirks`]). A dialect decides where two clients mean
//! different things by the same request. The admin names it, or it is told by its requests ([`Evidence`]).

mod signs;

pub mod auth0;
pub mod authentik;
pub mod auto;
pub mod aws_style;
pub mod conductorone;
pub mod cyberark;
pub mod entra;
pub mod google_workspace;
pub mod jumpcloud;
pub mod keycloak;
pub mod lumos;
pub mod okta;
pub mod onelogin;
pub mod pingfederate;
pub mod pingone;
pub mod pocket_id;
pub mod sailpoint;
pub mod saviynt;
pub mod zluri;

#[cfg(test)]
mod tests;

pub use signs::{Evidence, Head, Sign, signs_of_body, signs_of_filter, signs_of_head};

use crate::quirks::Quirk;
use crate::resource::{AbsentActive, AbsentMembers};

/// How a PATCH of a group is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GroupPatchAnswer {
    /// 200 with the group, while it is small.
    #[default]
    Group,
    /// 204, unless the request names the attributes that it wants.
    Empty,
}

/// What a client means where clients differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// A PUT of a user without `active`.
    pub put_without_active: AbsentActive,
    /// A PUT of a group without `members`.
    pub put_without_members: AbsentMembers,
    /// The answer to a PATCH of a group.
    pub group_patch: GroupPatchAnswer,
    /// Milliseconds that an answer may wait for the target at most; None: as long as the policy allows.
    pub answer_within_ms: Option<u32>,
    /// Whether lists may show accounts that nobody manages, if the policy wants that. Never for clients that delete
    /// what they do not know.
    pub unmanaged_in_lists: bool,
    /// Whether `groups` of a user change memberships.
    pub groups_via_users: bool,
}

impl Settings {
    /// What RFC 7644 says, and where it leaves a choice what changes least.
    pub const DEFAULT: Settings = Settings {
        put_without_active: AbsentActive::Keep,
        put_without_members: AbsentMembers::Empty,
        group_patch: GroupPatchAnswer::Group,
        answer_within_ms: None,
        unmanaged_in_lists: true,
        groups_via_users: false,
    };

    /// Those of them that do no harm to a client that was mistaken for another: only the form of an answer and how
    /// long it takes. What would change data, or hide some, is taken from a dialect that the admin named alone.
    pub fn harmless(self) -> Settings {
        Settings { group_patch: self.group_patch, answer_within_ms: self.answer_within_ms, ..Settings::DEFAULT }
    }

    /// What differs from the default, in words.
    pub fn differences(self) -> Vec<String> {
        let mut out = Vec::new();
        if self.put_without_active == AbsentActive::Off {
            out.push("a PUT of a user without `active` switches the user off".to_owned());
        }
        if self.put_without_members == AbsentMembers::Keep {
            out.push("a PUT of a group without `members` leaves them as they are".to_owned());
        }
        if self.group_patch == GroupPatchAnswer::Empty {
            out.push("a PATCH of a group is answered 204".to_owned());
        }
        if let Some(most) = self.answer_within_ms {
            out.push(format!("an answer waits at most {most} ms for the target"));
        }
        if !self.unmanaged_in_lists {
            out.push("lists never show accounts that nobody manages".to_owned());
        }
        if self.groups_via_users {
            out.push("`groups` of a user change memberships".to_owned());
        }
        out
    }
}

/// Something about requests that tells a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Seen in a request's head, filter or body.
    Sign(Sign),
    /// A unit that a request used.
    Used(Quirk),
}

/// One client.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dialect {
    /// Its stable name.
    pub name: &'static str,
    /// The product.
    pub title: &'static str,
    /// How it is told by its requests, in words; `-` if it is not.
    pub recognition: &'static str,
    /// The same for the code: marks, each with how much it says. See [`Evidence::dialect`].
    pub marks: &'static [(Mark, u8)],
    /// What it means where clients differ.
    pub settings: Settings,
}

impl Dialect {
    /// Every dialect, `auto` first.
    pub const ALL: [&'static Dialect; 19] = [
        &auto::DIALECT,
        &entra::DIALECT,
        &okta::DIALECT,
        &onelogin::DIALECT,
        &auth0::DIALECT,
        &authentik::DIALECT,
        &aws_style::DIALECT,
        &conductorone::DIALECT,
        &cyberark::DIALECT,
        &google_workspace::DIALECT,
        &jumpcloud::DIALECT,
        &keycloak::DIALECT,
        &lumos::DIALECT,
        &pingfederate::DIALECT,
        &pingone::DIALECT,
        &pocket_id::DIALECT,
        &sailpoint::DIALECT,
        &saviynt::DIALECT,
        &zluri::DIALECT,
    ];

    /// The dialect of this name.
    pub fn by_name(name: &str) -> Option<&'static Dialect> {
        Self::ALL.into_iter().find(|dialect| dialect.name == name)
    }

    /// Whether it is `auto`: nobody in particular.
    pub fn is_auto(&self) -> bool {
        self.name == auto::DIALECT.name
    }
}
