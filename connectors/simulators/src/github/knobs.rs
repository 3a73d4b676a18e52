//! What a test can turn: `POST /_sim/set`.

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use super::limits::RateStyle;
use super::people::{is_email, is_login};
use super::{GitHub, Role, Sso, TeamRole};

#[derive(Debug)]
pub(super) struct Knobs {
    /// Members and pending invitations that are paid for.
    pub(super) seats: Option<usize>,
    /// How long listings lag behind.
    lag: SignedDuration,
    pub(super) sso: Sso,
    /// The personal access token is dead.
    pub(super) revoked: bool,
    /// The scopes of the personal access token.
    pub(super) scopes: Vec<String>,
    pub(super) rate: RateStyle,
    pub(super) offers_app: bool,
    /// Whether the organisation has a SAML identity provider.
    pub(super) saml: bool,
    /// Domains that the organisation has verified; `None` is all.
    pub(super) domains: Option<Vec<String>>,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            seats: None,
            lag: SignedDuration::ZERO,
            sso: Sso::Authorized,
            revoked: false,
            scopes: vec!["admin:org".to_owned()],
            rate: RateStyle::default(),
            offers_app: false,
            saml: true,
            domains: None,
        }
    }
}

impl Knobs {
    /// Until when a change made now is not seen; `None` if it is seen at once.
    pub(super) fn lag_until(&self, now: Timestamp) -> Option<Timestamp> {
        (!self.lag.is_zero()).then(|| now.saturating_add(self.lag).unwrap_or(Timestamp::MAX))
    }

    pub(super) fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|s| s == scope)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Set {
    /// A number, or null for no limit.
    #[serde(default, deserialize_with = "said")]
    seats: Option<Option<usize>>,
    lag_seconds: Option<u32>,
    any_login: Option<bool>,
    sso: Option<SsoSet>,
    token: Option<TokenSet>,
    scopes: Option<Vec<String>>,
    auth: Option<AuthSet>,
    /// Of a refusal for a primary or secondary limit: 403 or 429.
    rate_status: Option<u16>,
    /// Whether the secondary limits are on.
    secondary: Option<bool>,
    /// Whether a secondary refusal has a `retry-after`.
    retry_after: Option<bool>,
    saml: Option<bool>,
    /// Domains, or null for all.
    #[serde(default, deserialize_with = "said")]
    verified_domains: Option<Option<Vec<String>>>,
    /// The credential's own standing.
    caller: Option<CallerSet>,
    /// Of the app: active or suspended.
    installation: Option<InstallationSet>,
    rename: Option<Rename>,
    /// Accounts on github.com.
    users: Option<Vec<User>>,
    /// People who joined by themselves.
    members: Option<Vec<Foreign>>,
    /// A login that left the organisation by itself.
    leave: Option<String>,
    /// An address or a login that declines its invitation.
    decline: Option<String>,
    /// A member whom an owner took out of a team by hand.
    leave_team: Option<LeaveTeam>,
    /// A team that an owner gave another name by hand: from a slug to a name.
    rename_team: Option<Rename>,
    /// The slug of a team that an owner deleted by hand.
    delete_team: Option<String>,
}

/// Tells a null from a key that is not there.
fn said<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum SsoSet {
    Authorized,
    Required,
    Partial,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum TokenSet {
    Valid,
    Revoked,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum AuthSet {
    Token,
    App,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum CallerSet {
    Owner,
    Member,
    Outsider,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum InstallationSet {
    Active,
    Suspended,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rename {
    from: String,
    to: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LeaveTeam {
    login: String,
    /// The team's slug.
    team: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct User {
    login: String,
    email: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Foreign {
    login: String,
    email: Option<String>,
    #[serde(default)]
    role: RoleSet,
    /// Slugs.
    #[serde(default)]
    teams: Vec<String>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RoleSet {
    Admin,
    #[default]
    Member,
}

impl GitHub {
    /// Turns all the knobs named, or none.
    pub(super) fn turn(&mut self, what: &Value) -> Result<(), String> {
        let set = Set::deserialize(what).map_err(|e| e.to_string())?;
        self.check(&set)?;
        // The only step left that can fail goes first.
        if let Some(Rename { from, to }) = &set.rename {
            self.people.rename(from, to)?;
        }
        self.turn_settings(&set);
        self.turn_people(set);
        Ok(())
    }

    fn check(&self, set: &Set) -> Result<(), String> {
        let users = set.users.iter().flatten().map(|u| (&u.login, &u.email));
        let members = set.members.iter().flatten().map(|m| (&m.login, &m.email));
        for (login, email) in users.chain(members) {
            if !is_login(login) {
                return Err(format!("`{login}` is not a valid login"));
            }
            if email.as_deref().is_some_and(|e| !is_email(e)) {
                return Err(format!("the e-mail of `{login}` is not an address"));
            }
        }
        for slug in set.members.iter().flatten().flat_map(|m| &m.teams) {
            if self.teams.with_slug(slug).is_none() {
                return Err(format!("`{slug}` is no team's slug"));
            }
        }
        if set.rate_status.is_some_and(|s| s != 403 && s != 429) {
            return Err("`rate_status` is 403 or 429".to_owned());
        }
        let left = set.leave_team.iter().map(|one| &one.team);
        for slug in left.chain(set.rename_team.iter().map(|one| &one.from)).chain(&set.delete_team) {
            if self.teams.with_slug(slug).is_none() {
                return Err(format!("`{slug}` is no team's slug"));
            }
        }
        if let Some(LeaveTeam { login, team }) = &set.leave_team {
            let team = self.teams.with_slug(team).and_then(|id| self.teams.get(id));
            let member = self.people.known(login).zip(team).filter(|(id, team)| team.members.contains_key(id));
            if member.is_none() {
                return Err(format!("`{login}` is not in that team"));
            }
        }
        if let Some(login) = &set.leave {
            let member = self.people.known(login).filter(|id| self.members.contains_key(id));
            if member.is_none() {
                return Err("`leave` is no member's login".to_owned());
            }
        }
        if let Some(who) = &set.decline
            && self.invitation_of(who).is_none()
        {
            return Err("`decline` is neither an invited address nor an invited login".to_owned());
        }
        Ok(())
    }

    fn invitation_of(&self, who: &str) -> Option<u64> {
        let by_login = || self.people.known(who).and_then(|id| self.invitations.of_user(id));
        self.invitations.of_email(who).or_else(by_login).map(|i| i.id)
    }

    fn turn_settings(&mut self, set: &Set) {
        let knobs = &mut self.knobs;
        if let Some(seats) = set.seats {
            knobs.seats = seats;
        }
        if let Some(seconds) = set.lag_seconds {
            knobs.lag = SignedDuration::from_secs(seconds.into());
        }
        if let Some(any) = set.any_login {
            self.people.any_login = any;
        }
        if let Some(sso) = &set.sso {
            knobs.sso = match sso {
                SsoSet::Authorized => Sso::Authorized,
                SsoSet::Required => Sso::Required,
                SsoSet::Partial => Sso::Partial,
            };
        }
        if let Some(token) = &set.token {
            knobs.revoked = *token == TokenSet::Revoked;
        }
        if let Some(scopes) = &set.scopes {
            knobs.scopes.clone_from(scopes);
        }
        if let Some(auth) = &set.auth {
            knobs.offers_app = *auth == AuthSet::App;
        }
        if let Some(status) = set.rate_status {
            knobs.rate.status = if status == 429 { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::FORBIDDEN };
        }
        if let Some(on) = set.secondary {
            knobs.rate.secondary = on;
        }
        if let Some(on) = set.retry_after {
            knobs.rate.retry_after = on;
        }
        if let Some(on) = set.saml {
            knobs.saml = on;
        }
        if let Some(domains) = &set.verified_domains {
            knobs.domains.clone_from(domains);
        }
        if let Some(state) = &set.installation {
            self.auth.suspended = *state == InstallationSet::Suspended;
        }
    }

    fn turn_people(&mut self, set: Set) {
        // They have been there all along.
        let since = Timestamp::UNIX_EPOCH;
        match set.caller {
            Some(CallerSet::Owner) => self.become_member(self.me, Role::Admin),
            Some(CallerSet::Member) => self.become_member(self.me, Role::Member),
            Some(CallerSet::Outsider) => {
                self.members.remove(&self.me);
                self.teams.drop_person(self.me);
            }
            None => {}
        }
        for User { login, email } in set.users.into_iter().flatten() {
            let id = self.people.add(&login, since);
            if let Some(email) = email {
                self.people.verify(id, &email);
            }
        }
        for foreign in set.members.into_iter().flatten() {
            let id = self.people.add(&foreign.login, since);
            if let Some(email) = &foreign.email {
                self.people.verify(id, email);
                self.sign_in(id, email);
            }
            if let Some(pending) = self.invitations.of_user(id).map(|i| i.id) {
                self.invitations.cancel(pending);
            }
            let (role, in_team) = match foreign.role {
                RoleSet::Admin => (Role::Admin, TeamRole::Maintainer),
                RoleSet::Member => (Role::Member, TeamRole::Member),
            };
            self.become_member(id, role);
            for team in foreign.teams.iter().filter_map(|slug| self.teams.with_slug(slug)).collect::<Vec<_>>() {
                self.put_in_team(team, id, in_team);
            }
        }
        if let Some(id) = set.leave.and_then(|login| self.people.known(&login)) {
            self.members.remove(&id);
            self.teams.drop_person(id);
        }
        if let Some(LeaveTeam { login, team }) = set.leave_team
            && let (Some(id), Some(team)) = (self.people.known(&login), self.teams.with_slug(&team))
            && let Some(team) = self.teams.get_mut(team)
        {
            team.members.remove(&id);
        }
        if let Some(Rename { from, to }) = set.rename_team
            && let Some(team) = self.teams.with_slug(&from)
        {
            self.teams.rename(team, &to);
        }
        if let Some(team) = set.delete_team.and_then(|slug| self.teams.with_slug(&slug)) {
            self.drop_team(team);
        }
        if let Some(id) = set.decline.and_then(|who| self.invitation_of(&who)) {
            self.invitations.cancel(id);
        }
    }
}
