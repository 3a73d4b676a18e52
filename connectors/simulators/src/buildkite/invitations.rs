//! Invitations: sending, accepting, revoking, expiring.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use uuid::Uuid;

use super::errors::Refusal;
use super::world::{Assignment, Invitation, InviteState, OrgRole, SsoMode, TeamRole, World};

/// Pending invitations per organisation (Buildkite documentation, platform limits).
const PENDING_QUOTA: usize = 20;

/// What one batch of invitations asks for, already read from REST or GraphQL.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) emails: Vec<String>,
    pub(super) role: OrgRole,
    pub(super) sso: Option<SsoMode>,
    pub(super) teams: Vec<(Uuid, TeamRole)>,
}

impl World {
    /// Invites a batch, all of it or nothing. Answers the sequence numbers.
    pub(super) fn invite(&mut self, batch: &Batch, now: Timestamp) -> Result<Vec<u64>, Refusal> {
        if batch.emails.is_empty() {
            return Err(Refusal::invalid("Emails can't be blank"));
        }
        if let Some(bad) = batch.emails.iter().find(|email| !is_email(email)) {
            return Err(Refusal::invalid(format!("Email {bad:?} is invalid")));
        }
        let sso = match (batch.sso, self.rules.sso) {
            (Some(mode), _) => mode,
            (None, false) => SsoMode::Required,
            (None, true) => {
                return Err(Refusal::invalid("SSO mode is required when SSO is enabled for the organization"));
            }
        };
        let teams = self.assignments(&batch.teams)?;
        let mut seen = HashSet::new();
        let mut wanted: Vec<(String, &str)> = Vec::new();
        for email in &batch.emails {
            let key = email.to_lowercase();
            if seen.insert(key.clone()) {
                wanted.push((key, email));
            }
        }
        let mut resent: HashMap<&str, u64> = HashMap::new();
        for (key, email) in &wanted {
            let member = self.users_by_email.get(key).is_some_and(|user| self.member_of_user.contains_key(user));
            if member {
                return Err(Refusal::invalid(format!("{email} is already a member of this organization")));
            }
            if let Some(seq) = self.pending_by_email.get(key) {
                if !self.rules.resend_pending {
                    return Err(Refusal::invalid(format!("{email} has already been invited to this organization")));
                }
                resent.insert(key, *seq);
            }
        }
        let after = self.pending.len() + wanted.len() - resent.len();
        if self.rules.quotas && wanted.len() > resent.len() && after > PENDING_QUOTA {
            return Err(Refusal::invalid(format!(
                "This organization can have at most {PENDING_QUOTA} pending invitations"
            )));
        }
        let seats = u64::try_from(self.members.len() + after).unwrap_or(u64::MAX);
        if self.rules.users_limit.is_some_and(|limit| seats > limit) {
            return Err(Refusal::invalid("This organization has reached its user limit"));
        }
        let mut out = Vec::with_capacity(wanted.len());
        for (key, email) in &wanted {
            let seq = match resent.get(key.as_str()) {
                Some(seq) => {
                    self.mail_again(*seq, now)?;
                    *seq
                }
                None => self.add_invitation(key, email, batch.role, sso, &teams, now),
            };
            out.push(seq);
        }
        Ok(out)
    }

    /// Reads the team assignments of a batch: known teams, each once.
    fn assignments(&self, teams: &[(Uuid, TeamRole)]) -> Result<Vec<(u64, TeamRole)>, Refusal> {
        if !teams.is_empty() {
            self.teams_usable().map_err(|refusal| Refusal::invalid(refusal.message))?;
        }
        let mut out: Vec<(u64, TeamRole)> = Vec::new();
        let mut seen = HashSet::new();
        for (uuid, role) in teams {
            let seq = self.team_ids.get(uuid).ok_or_else(|| Refusal::invalid(format!("Team {uuid} does not exist")))?;
            if !seen.insert(*seq) {
                return Err(Refusal::invalid(format!("Team {uuid} is assigned more than once")));
            }
            out.push((*seq, *role));
        }
        Ok(out)
    }

    fn add_invitation(
        &mut self,
        key: &str,
        email: &str,
        role: OrgRole,
        sso: SsoMode,
        teams: &[(u64, TeamRole)],
        now: Timestamp,
    ) -> u64 {
        let seq = self.seq();
        let uuid = Uuid::new_v4();
        self.invitation_ids.insert(uuid, seq);
        self.pending.insert(seq);
        self.pending_by_email.insert(key.to_owned(), seq);
        self.next_expiry = None;
        self.invitations.insert(
            seq,
            Invitation {
                uuid,
                email: email.to_owned(),
                state: InviteState::Pending,
                role,
                sso,
                teams: teams
                    .iter()
                    .map(|(team, role)| Assignment { id: Uuid::new_v4(), team: *team, role: *role })
                    .collect(),
                created_at: now,
                created_by: self.owner,
                sent_at: now,
                closed_at: None,
                closed_by: None,
            },
        );
        seq
    }

    /// The invitation with this UUID, in any state.
    pub(super) fn invitation(&self, uuid: Uuid) -> Result<u64, Refusal> {
        self.invitation_ids.get(&uuid).copied().ok_or_else(|| Refusal::not_found("organization invitation"))
    }

    /// Withdraws a pending invitation.
    pub(super) fn revoke(&mut self, seq: u64, now: Timestamp) -> Result<(), Refusal> {
        self.must_be_pending(seq, "revoked")?;
        let owner = self.owner;
        self.close(seq, InviteState::Revoked, Some(owner), now);
        Ok(())
    }

    /// Mails a pending invitation once more; its time starts again (the vendor
    /// does not say whether it does).
    pub(super) fn mail_again(&mut self, seq: u64, now: Timestamp) -> Result<(), Refusal> {
        self.must_be_pending(seq, "resent")?;
        if let Some(invitation) = self.invitations.get_mut(&seq) {
            invitation.sent_at = now;
        }
        self.next_expiry = None;
        Ok(())
    }

    fn must_be_pending(&self, seq: u64, act: &str) -> Result<(), Refusal> {
        match self.invitations.get(&seq).map(|i| i.state) {
            Some(InviteState::Pending) => Ok(()),
            Some(state) => Err(Refusal::unprocessable(format!(
                "The invitation can't be {act} because it has already been {}",
                match state {
                    InviteState::Expired => "expired",
                    other => other.rest(),
                }
            ))),
            None => Err(Refusal::not_found("organization invitation")),
        }
    }

    /// Takes an invitation out of the pending ones.
    pub(super) fn close(&mut self, seq: u64, state: InviteState, by: Option<Uuid>, at: Timestamp) {
        self.pending.remove(&seq);
        if let Some(invitation) = self.invitations.get_mut(&seq) {
            invitation.state = state;
            invitation.closed_at = Some(at);
            invitation.closed_by = by;
            self.pending_by_email.remove(&invitation.email.to_lowercase());
        }
    }

    /// The invited person accepts, with the account named by `login` or with
    /// one of the invited e-mail. Answers the user's UUID.
    pub(super) fn accept_invitation(&mut self, seq: u64, login: Option<&str>, now: Timestamp) -> Option<Uuid> {
        let invitation = self.invitations.get(&seq)?.clone();
        let local = local_part(&invitation.email);
        let user = match login {
            Some(login) if login != local => self.user(&format!("{login}@other.example"), login, false, now),
            _ => self.user(&invitation.email, local, false, now),
        };
        self.close(seq, InviteState::Accepted, Some(user), now);
        self.join(user, invitation.role, invitation.sso, Some(invitation.created_by), now);
        for assignment in &invitation.teams {
            self.put_in_team(assignment.team, user, Some(assignment.role), now);
        }
        Some(user)
    }
}

/// What stands before the last `@`.
pub(super) fn local_part(email: &str) -> &str {
    email.rsplit_once('@').map_or(email, |(local, _)| local)
}

/// One `@`, something on both sides, nothing that no address has.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else {
        return false;
    };
    let clean = |part: &str| {
        !part.is_empty()
            && !part.chars().any(|c| c == '@' || c.is_whitespace() || c.is_control() || "<>,;\"()".contains(c))
    };
    text.len() <= 254
        && clean(local)
        && clean(domain)
        && !domain.starts_with('.')
        && !domain.ends_with('.')
        && !domain.contains("..")
}
