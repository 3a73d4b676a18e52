//! The organisation's connections: what they filter by and how they sort.

use serde_json::Value;
use uuid::Uuid;

use super::super::errors::Refusal;
use super::super::ids::parse_uuid;
use super::super::world::{InviteState, Member, OrgRole, Privacy, SsoMode};
use super::execute::{Obj, Out, Run};
use super::page::{Order, page};
use crate::graphql::plan::Plan;

impl Run<'_> {
    pub(super) fn member_name(&self, user: Uuid) -> String {
        self.world.users.get(&user).map_or_else(String::new, |user| user.name.to_lowercase())
    }

    /// Whether a name or e-mail contains what is searched for.
    pub(super) fn matches(&self, user: Uuid, search: Option<&str>) -> bool {
        search.is_none_or(|search| {
            let search = search.to_lowercase();
            self.world.users.get(&user).is_some_and(|user| {
                user.name.to_lowercase().contains(&search) || user.email.to_lowercase().contains(&search)
            })
        })
    }

    pub(super) fn members(&self, plan: &Plan) -> Result<Out, Refusal> {
        let world = &*self.world;
        let text = |name: &str| plan.args.get(name).and_then(Value::as_str);
        let roles = list(plan, "role", |text| OrgRole::read(text, true));
        let sso = plan
            .args
            .get("sso")
            .and_then(|sso| sso.get("mode"))
            .and_then(Value::as_str)
            .and_then(|mode| SsoMode::read(mode, true));
        let team = text("team").map(|selector| {
            let (slug, wanted) = negated(selector);
            let team = world.team_slugs.get(slug).and_then(|seq| world.teams.get(seq));
            (team, wanted)
        });
        let by_name = text("order") == Some("NAME");
        let keep = |member: &Member| {
            roles.as_ref().is_none_or(|roles| roles.contains(&member.role))
                && sso.is_none_or(|sso| sso == member.sso)
                && team.is_none_or(|(team, wanted)| {
                    team.is_some_and(|team| team.by_user.contains_key(&member.user)) == wanted
                })
                && self.matches(member.user, text("search"))
        };
        let entry = |(seq, member): (&u64, &Member)| {
            let key = if by_name { self.member_name(member.user) } else { String::new() };
            (key, *seq, Obj::Member(*seq))
        };
        let found = match text("email") {
            Some(email) => world
                .users_by_email
                .get(&email.to_lowercase())
                .and_then(|user| world.member_of_user.get(user))
                .and_then(|seq| world.members.get_key_value(seq))
                .into_iter()
                .filter(|(_, member)| keep(member))
                .map(entry)
                .collect(),
            None => world.members.iter().filter(|(_, member)| keep(member)).map(entry).collect(),
        };
        let order = if by_name { Order::Key } else { Order::Newest };
        Ok(Out::One(page("OrganizationMember", found, order, plan)?))
    }

    pub(super) fn invitations(&self, plan: &Plan) -> Result<Out, Refusal> {
        let world = &*self.world;
        let states = list(plan, "state", |text| InviteState::read(text, true));
        let by_email = plan.args.get("order").and_then(Value::as_str) == Some("EMAIL");
        let found = world
            .invitations
            .iter()
            .filter(|(_, it)| states.as_ref().is_none_or(|states| states.contains(&it.state)))
            .map(|(seq, it)| {
                let key = if by_email { it.email.to_lowercase() } else { String::new() };
                (key, *seq, Obj::Invitation(*seq))
            })
            .collect();
        let order = if by_email { Order::Key } else { Order::Newest };
        Ok(Out::One(page("OrganizationInvitation", found, order, plan)?))
    }

    pub(super) fn teams(&self, plan: &Plan) -> Result<Out, Refusal> {
        let world = &*self.world;
        if world.teams_usable().is_err() {
            return Ok(Out::Null);
        }
        let text = |name: &str| plan.args.get(name).and_then(Value::as_str);
        let privacy = list(plan, "privacy", |text| Privacy::read(text, true));
        let search = text("search").map(str::to_lowercase);
        let user = text("user").map(|selector| {
            let (uuid, wanted) = negated(selector);
            (parse_uuid(uuid), wanted)
        });
        let order = match text("order") {
            None | Some("NAME") => Order::Key,
            Some(_) => Order::Newest,
        };
        let found = world
            .teams
            .iter()
            .filter(|(_, team)| {
                privacy.as_ref().is_none_or(|some| some.contains(&team.privacy))
                    && search.as_ref().is_none_or(|search| team.name.to_lowercase().contains(search))
                    && user.is_none_or(|(user, wanted)| {
                        user.is_some_and(|user| team.by_user.contains_key(&user)) == wanted
                    })
            })
            .map(|(seq, team)| {
                let key = match order {
                    Order::Key => team.name.to_lowercase(),
                    Order::Newest => String::new(),
                };
                (key, *seq, Obj::Team(*seq))
            })
            .collect();
        Ok(Out::One(page("Team", found, order, plan)?))
    }
}

/// A selector, and whether it is meant or, with a leading `!`, excluded.
fn negated(selector: &str) -> (&str, bool) {
    match selector.strip_prefix('!') {
        Some(rest) => (rest, false),
        None => (selector, true),
    }
}

/// An argument that is a list of enumeration values.
pub(super) fn list<T>(plan: &Plan, name: &str, read: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    let values = plan.args.get(name)?.as_array()?;
    Some(values.iter().filter_map(|value| value.as_str().and_then(&read)).collect())
}
