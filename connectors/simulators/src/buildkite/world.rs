//! What the organisation holds, and what REST and GraphQL both need of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use uuid::Uuid;

use super::errors::Refusal;

/// The id of something that every simulator begins with: the same in all of them, because one that
/// takes another's place on its port is the same organisation.
pub(super) fn fixed(n: u8) -> Uuid {
    uuid::Builder::from_random_bytes([n; 16]).into_uuid()
}

/// The slug of the one organisation.
pub(super) const ORG_SLUG: &str = "acme";

/// Role of a member in the organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OrgRole {
    Admin,
    Member,
}

/// Role of a member in a team.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TeamRole {
    Maintainer,
    Member,
}

/// Whether a member has to use single sign-on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SsoMode {
    Required,
    Optional,
}

/// The two spellings of an enumeration: lower case in REST, upper in GraphQL.
macro_rules! spelled {
    ($type:ty { $($variant:ident = $lower:literal $upper:literal),+ $(,)? }) => {
        impl $type {
            pub(super) fn rest(self) -> &'static str {
                match self { $(Self::$variant => $lower),+ }
            }
            pub(super) fn graphql(self) -> &'static str {
                match self { $(Self::$variant => $upper),+ }
            }
            /// Reads the REST spelling, and the GraphQL one where `graphql`.
            pub(super) fn read(text: &str, graphql: bool) -> Option<Self> {
                $(if text == (if graphql { $upper } else { $lower }) {
                    return Some(Self::$variant);
                })+
                None
            }
        }
    };
}

spelled!(OrgRole { Admin = "admin" "ADMIN", Member = "member" "MEMBER" });
spelled!(TeamRole { Maintainer = "maintainer" "MAINTAINER", Member = "member" "MEMBER" });
spelled!(SsoMode { Required = "required" "REQUIRED", Optional = "optional" "OPTIONAL" });
spelled!(InviteState {
    Pending = "pending" "PENDING",
    Accepted = "accepted" "ACCEPTED",
    Revoked = "revoked" "REVOKED",
    Expired = "expired" "EXPIRED",
});
spelled!(Privacy { Visible = "visible" "VISIBLE", Secret = "secret" "SECRET" });

/// A person's account; it outlives every membership.
#[derive(Debug, Clone)]
pub(super) struct User {
    pub(super) uuid: Uuid,
    pub(super) name: String,
    pub(super) email: String,
    pub(super) login: String,
    pub(super) machine: bool,
    pub(super) created_at: Timestamp,
}

/// A membership in the organisation.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) uuid: Uuid,
    pub(super) user: Uuid,
    pub(super) role: OrgRole,
    pub(super) sso: SsoMode,
    pub(super) created_at: Timestamp,
    pub(super) created_by: Option<Uuid>,
}

/// State of an invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InviteState {
    Pending,
    Accepted,
    Revoked,
    Expired,
}

/// An invitation in any state.
#[derive(Debug, Clone)]
pub(super) struct Invitation {
    pub(super) uuid: Uuid,
    pub(super) email: String,
    pub(super) state: InviteState,
    pub(super) role: OrgRole,
    pub(super) sso: SsoMode,
    pub(super) teams: Vec<Assignment>,
    pub(super) created_at: Timestamp,
    pub(super) created_by: Uuid,
    /// When it was last mailed; the expiry counts from here.
    pub(super) sent_at: Timestamp,
    /// When it left `Pending`, and who did that.
    pub(super) closed_at: Option<Timestamp>,
    pub(super) closed_by: Option<Uuid>,
}

/// A team that an invited person joins on acceptance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Assignment {
    pub(super) id: Uuid,
    pub(super) team: u64,
    pub(super) role: TeamRole,
}

/// Who sees a team.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Privacy {
    Visible,
    Secret,
}

/// What the members of a team may do, in the order of [`CAPABILITIES`].
pub(super) type Capabilities = [bool; 5];

/// The capability flags that REST and GraphQL both know, as REST spells them
/// and with the default of a GraphQL create.
pub(super) const CAPABILITIES: [(&str, &str, bool); 5] = [
    ("members_can_create_pipelines", "membersCanCreatePipelines", true),
    ("members_can_create_suites", "membersCanCreateSuites", true),
    ("members_can_create_registries", "membersCanCreateRegistries", true),
    ("members_can_destroy_registries", "membersCanDestroyRegistries", false),
    ("members_can_destroy_packages", "membersCanDestroyPackages", false),
];

/// A team.
#[derive(Debug, Clone)]
pub(super) struct Team {
    pub(super) uuid: Uuid,
    pub(super) name: String,
    pub(super) slug: String,
    pub(super) description: String,
    pub(super) privacy: Privacy,
    pub(super) is_default: bool,
    pub(super) default_role: TeamRole,
    pub(super) can: Capabilities,
    pub(super) created_at: Timestamp,
    pub(super) created_by: Uuid,
    pub(super) members: BTreeMap<u64, TeamMember>,
    pub(super) by_user: HashMap<Uuid, u64>,
}

/// A membership in a team.
#[derive(Debug, Clone)]
pub(super) struct TeamMember {
    pub(super) uuid: Uuid,
    pub(super) user: Uuid,
    pub(super) role: TeamRole,
    pub(super) created_at: Timestamp,
}

/// What an organisation's plan and settings decide; changed by the knobs.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    /// 20 pending invitations and 250 teams.
    pub(super) quotas: bool,
    /// Single sign-on is on, so `sso_mode` has to be named in an invitation.
    pub(super) sso: bool,
    /// Inviting a pending address mails it again instead of being refused.
    pub(super) resend_pending: bool,
    /// Days until a pending invitation expires. The vendor documents that it
    /// does, not when; 14 is this simulator's choice.
    pub(super) invitation_days: i64,
    /// The most members and pending invitations together.
    pub(super) users_limit: Option<u64>,
    /// The plan has team permissions.
    pub(super) plan_teams: bool,
    /// Teams are switched on.
    pub(super) teams_enabled: bool,
    /// `POST` and `PATCH` of a team answer with the whole team, not with the
    /// documented echo of the request.
    pub(super) create_team_returns_id: bool,
    /// The credential's own account counts as an administrator for the rule
    /// that one has to remain.
    pub(super) machine_admin_counts: bool,
}

/// The organisation.
#[derive(Debug)]
pub(super) struct World {
    pub(super) org: Uuid,
    pub(super) viewer: Uuid,
    /// The credential's own account.
    pub(super) owner: Uuid,
    pub(super) created_at: Timestamp,
    pub(super) rules: Rules,
    last_seq: u64,
    pub(super) users: HashMap<Uuid, User>,
    pub(super) users_by_email: HashMap<String, Uuid>,
    pub(super) members: BTreeMap<u64, Member>,
    pub(super) member_of_user: HashMap<Uuid, u64>,
    pub(super) member_ids: HashMap<Uuid, u64>,
    pub(super) invitations: BTreeMap<u64, Invitation>,
    pub(super) invitation_ids: HashMap<Uuid, u64>,
    pub(super) pending: BTreeSet<u64>,
    pub(super) pending_by_email: HashMap<String, u64>,
    /// The earliest expiry of a pending invitation, where it is known.
    pub(super) next_expiry: Option<Timestamp>,
    pub(super) teams: BTreeMap<u64, Team>,
    pub(super) team_ids: HashMap<Uuid, u64>,
    pub(super) team_slugs: HashMap<String, u64>,
    pub(super) team_member_ids: HashMap<Uuid, (u64, u64)>,
}

impl World {
    /// An organisation that holds only the credential's own account.
    pub(super) fn new(quotas: bool) -> Self {
        let founded = Timestamp::UNIX_EPOCH;
        let mut world = Self {
            org: fixed(2),
            viewer: fixed(3),
            owner: Uuid::nil(),
            created_at: founded,
            rules: Rules {
                quotas,
                sso: false,
                resend_pending: false,
                invitation_days: 14,
                users_limit: None,
                plan_teams: true,
                teams_enabled: true,
                create_team_returns_id: false,
                machine_admin_counts: true,
            },
            last_seq: 0,
            users: HashMap::new(),
            users_by_email: HashMap::new(),
            members: BTreeMap::new(),
            member_of_user: HashMap::new(),
            member_ids: HashMap::new(),
            invitations: BTreeMap::new(),
            invitation_ids: HashMap::new(),
            pending: BTreeSet::new(),
            pending_by_email: HashMap::new(),
            next_expiry: None,
            teams: BTreeMap::new(),
            team_ids: HashMap::new(),
            team_slugs: HashMap::new(),
            team_member_ids: HashMap::new(),
        };
        let owner = fixed(4);
        world.add_user(owner, "gateway@acme.example", "gateway", true, founded);
        world.owner = owner;
        world.join(owner, OrgRole::Admin, SsoMode::Optional, None, founded);
        world
    }

    /// The next sequence number; larger means newer.
    pub(super) fn seq(&mut self) -> u64 {
        self.last_seq += 1;
        self.last_seq
    }

    /// The account with this e-mail, made where there is none.
    pub(super) fn user(&mut self, email: &str, login: &str, machine: bool, now: Timestamp) -> Uuid {
        let key = email.to_lowercase();
        if let Some(uuid) = self.users_by_email.get(&key) {
            return *uuid;
        }
        let uuid = Uuid::new_v4();
        self.add_user(uuid, email, login, machine, now);
        uuid
    }

    fn add_user(&mut self, uuid: Uuid, email: &str, login: &str, machine: bool, now: Timestamp) {
        self.users_by_email.insert(email.to_lowercase(), uuid);
        self.users.insert(
            uuid,
            User {
                uuid,
                name: login.to_owned(),
                email: email.to_owned(),
                login: login.to_owned(),
                machine,
                created_at: now,
            },
        );
    }

    /// Whether a pending invitation has run out; called before everything else.
    pub(super) fn expire(&mut self, now: Timestamp) {
        if self.next_expiry.is_some_and(|at| at > now) || self.pending.is_empty() {
            return;
        }
        let mut next: Option<Timestamp> = None;
        let mut expired = Vec::new();
        for seq in &self.pending {
            let Some(invitation) = self.invitations.get(seq) else {
                continue;
            };
            let life = jiff::SignedDuration::from_hours(self.rules.invitation_days * 24);
            let end = invitation.sent_at.saturating_add(life).unwrap_or(Timestamp::MAX);
            if end <= now {
                expired.push((*seq, end));
            } else {
                next = Some(next.map_or(end, |n| n.min(end)));
            }
        }
        for (seq, end) in expired {
            self.close(seq, InviteState::Expired, None, end);
        }
        self.next_expiry = next;
    }

    /// Refuses while teams are not to be had. What the vendor answers then is
    /// not documented, save for the text about the plan.
    pub(super) fn teams_usable(&self) -> Result<(), Refusal> {
        if !self.rules.plan_teams {
            return Err(plan_without_teams());
        }
        if !self.rules.teams_enabled {
            return Err(Refusal::forbidden("Teams have not been enabled for this organization"));
        }
        Ok(())
    }
}

/// The refusal of `teams/enable` on a plan without teams.
pub(super) fn plan_without_teams() -> Refusal {
    Refusal::forbidden("Your plan doesn't include team permissions. Please upgrade your plan to enable teams.")
}
