//! What happens by itself, and what a test sees and makes of the whole.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{GitHub, Role, TeamRole};

impl GitHub {
    /// Lets pass what time has ended.
    pub(super) fn settle(&mut self, now: Timestamp) {
        self.invitations.expire(now);
        if !self.leaving.is_empty() {
            self.leaving.retain(|_, until| now < *until);
        }
    }

    /// The body of `GET /_sim/state`.
    pub(super) fn snapshot(&self) -> Value {
        let others = self.members.iter().filter(|(id, _)| **id != self.me);
        let accounts: Vec<Value> = others.filter_map(|(id, role)| self.account_state(*id, *role)).collect();
        let invitations: Vec<Value> = self
            .invitations
            .pending()
            .map(|i| {
                let login = i.user.and_then(|id| self.people.get(id)).map(|p| &p.login);
                json!({ "id": i.id.to_string(), "email": i.email, "login": login })
            })
            .collect();
        let groups: Vec<Value> = self
            .teams
            .all()
            .map(|team| {
                let others = team.members.keys().filter(|id| **id != self.me);
                let members: Vec<Value> = others
                    .filter_map(|id| self.people.get(*id))
                    .map(|p| {
                        let id = p.id.to_string();
                        json!({ "id": id, "login": p.login, "email": p.emails.first() })
                    })
                    .collect();
                json!({ "id": team.id.to_string(), "name": team.name, "members": members })
            })
            .collect();
        json!({ "accounts": accounts, "invitations": invitations, "groups": groups })
    }

    /// Adds `load0000…`: members with an e-mail address and a SAML identity, and empty teams.
    pub(super) fn fill(&mut self, accounts: usize, groups: usize, now: Timestamp) {
        let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
        let mut number = 0;
        let mut added = 0;
        while added < accounts {
            let login = format!("load{number:04}");
            number += 1;
            let known = self.people.known(&login);
            if known.is_some_and(|id| self.members.contains_key(&id)) {
                continue;
            }
            added += 1;
            let email = format!("{login}@example.com");
            let id = self.people.add(&login, now);
            self.people.verify(id, &email);
            if let Some(pending) = self.invitations.of_user(id).map(|i| i.id) {
                self.invitations.cancel(pending);
            }
            self.become_member(id, Role::Member);
            self.sign_in(id, &email);
        }
        let (mut number, mut added) = (0, 0);
        while added < groups {
            let name = format!("load{number:04}");
            number += 1;
            if self.teams.with_slug(&name).is_some() {
                continue;
            }
            added += 1;
            self.teams.add(&name, now).privacy = "closed";
        }
    }

    /// Puts someone into a team, as a person with a browser would (`POST /_sim/set`).
    pub(super) fn put_in_team(&mut self, team: u64, person: u64, role: TeamRole) {
        if let Some(team) = self.teams.get_mut(team) {
            team.members.insert(person, role);
        }
    }
}
