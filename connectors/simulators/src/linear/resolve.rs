//! Resolves planned fields against the workspace.

use std::rc::Rc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::mutations;
use super::world::{Refusal, Role, URL_KEY, World};
use crate::graphql::plan::Plan;
use crate::graphql::{self, Resolver};

/// Items of a page where `first` and `last` are not given, and the most of a page
/// (linear.app/developers/pagination).
const DEFAULT_PAGE: usize = 50;
const LARGEST_PAGE: usize = 250;

/// An object that fields are asked of.
#[derive(Clone)]
pub(super) enum Obj {
    User(u64),
    Organization,
    Invite(u64),
    Team(u64),
    /// Team, membership.
    Membership(u64, u64),
    Page(Rc<Page>),
    /// Page, position.
    Edge(Rc<Page>, usize),
    PageInfo(Rc<Page>),
    /// Its type, and its fields beside `success` and `lastSyncId`.
    Payload(&'static str, Rc<Vec<(&'static str, Out)>>),
}

/// The value of a field.
pub(super) type Out = graphql::Out<Obj>;

/// One page of a connection over objects of type `node`, newest first.
pub(super) struct Page {
    node: &'static str,
    items: Vec<(u64, Obj)>,
    before: bool,
    after: bool,
}

/// One document being run.
pub(super) struct Run<'w> {
    pub(super) world: &'w mut World,
    pub(super) now: Timestamp,
}

impl Resolver for Run<'_> {
    type Obj = Obj;

    fn type_name(&self, obj: &Obj) -> String {
        match obj {
            Obj::User(_) => "User".to_owned(),
            Obj::Organization => "Organization".to_owned(),
            Obj::Invite(_) => "OrganizationInvite".to_owned(),
            Obj::Team(_) => "Team".to_owned(),
            Obj::Membership(..) => "TeamMembership".to_owned(),
            Obj::Page(page) => format!("{}Connection", page.node),
            Obj::Edge(page, _) => format!("{}Edge", page.node),
            Obj::PageInfo(_) => "PageInfo".to_owned(),
            Obj::Payload(ty, _) => (*ty).to_owned(),
        }
    }

    fn root(&mut self, plan: &Plan, mutation: bool) -> Result<Out, Value> {
        let out = if mutation { mutations::mutate(self.world, plan, self.now) } else { self.query(plan) };
        out.map_err(|refusal| refusal.error())
    }

    fn field(&mut self, obj: &Obj, plan: &Plan) -> Result<Out, Value> {
        self.resolve(obj, plan).map_err(|refusal| refusal.error())
    }
}

/// UTC with milliseconds, as the vendor writes times.
fn stamp(at: Timestamp) -> Value {
    Value::from(at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
}

fn time(at: Option<Timestamp>) -> Out {
    at.map_or(Out::Null, |at| Out::Leaf(stamp(at)))
}

fn id(id: Uuid) -> Out {
    Out::leaf(id.to_string())
}

fn text<'p>(plan: &'p Plan, name: &str) -> &'p str {
    plan.args.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn flag(plan: &Plan, name: &str) -> bool {
    plan.args.get(name).and_then(Value::as_bool).unwrap_or(false)
}

/// Whether a text passes a `StringComparator`.
fn passes(comparator: &Map<String, Value>, value: &str) -> bool {
    comparator.iter().all(|(how, wanted)| {
        let wanted_text = wanted.as_str().unwrap_or_default();
        match how.as_str() {
            _ if wanted.is_null() => true,
            "eq" => value == wanted_text,
            "neq" => value != wanted_text,
            "eqIgnoreCase" => value.to_lowercase() == wanted_text.to_lowercase(),
            "contains" => value.contains(wanted_text),
            "containsIgnoreCase" => value.to_lowercase().contains(&wanted_text.to_lowercase()),
            "startsWith" => value.starts_with(wanted_text),
            _ => wanted.as_array().is_some_and(|all| all.iter().any(|one| one == value)),
        }
    })
}

/// Whether an object passes the filter's comparators of text.
fn filtered(plan: &Plan, fields: &[(&str, &str)]) -> bool {
    let Some(filter) = plan.args.get("filter").and_then(Value::as_object) else {
        return true;
    };
    fields.iter().all(|(name, value)| {
        filter.get(*name).and_then(Value::as_object).is_none_or(|comparator| passes(comparator, value))
    })
}

impl Run<'_> {
    fn query(&self, plan: &Plan) -> Result<Out, Refusal> {
        Ok(Out::One(match plan.def.name {
            "viewer" => Obj::User(self.world.owner),
            "organization" => Obj::Organization,
            "user" => Obj::User(self.world.user(text(plan, "id"))?),
            "organizationInvite" => Obj::Invite(self.world.invite(text(plan, "id"))?),
            "team" => Obj::Team(self.world.team(text(plan, "id"))?),
            "users" => return self.users(plan, self.world.users.keys().copied()),
            "organizationInvites" => {
                let archived = flag(plan, "includeArchived");
                let found = self.world.invites.iter().filter(|(_, it)| archived || it.archived_at.is_none());
                return page(plan, "OrganizationInvite", found.map(|(seq, _)| (*seq, Obj::Invite(*seq))));
            }
            // The key's user is an admin: it sees and may change all teams.
            _ => {
                let archived = flag(plan, "includeArchived");
                let found = self.world.teams.iter().filter(|(_, team)| {
                    (archived || team.archived_at.is_none())
                        && filtered(plan, &[("name", &team.name), ("key", &team.key)])
                });
                return page(plan, "Team", found.map(|(seq, _)| (*seq, Obj::Team(*seq))));
            }
        }))
    }

    fn users(&self, plan: &Plan, among: impl Iterator<Item = u64>) -> Result<Out, Refusal> {
        let disabled = flag(plan, "includeDisabled");
        let active = plan.args.get("filter").and_then(|filter| filter.get("active")).and_then(|is| is["eq"].as_bool());
        let email = plan
            .args
            .get("filter")
            .and_then(|filter| filter["email"].get("eqIgnoreCase").or_else(|| filter["email"].get("eq")))
            .and_then(Value::as_str);
        // An address is found by its index, so that a look costs the same in a workspace of any size.
        let by_index = email.map(|email| self.world.user_emails.get(&email.to_lowercase()).copied());
        let keep = |seq: &u64| {
            self.world.users.get(seq).is_some_and(|user| {
                (disabled || user.active)
                    && active.is_none_or(|wanted| wanted == user.active)
                    && filtered(plan, &[("email", &user.email), ("name", &user.name)])
            })
        };
        let item = |seq: u64| (seq, Obj::User(seq));
        match by_index {
            Some(one) => page(plan, "User", one.into_iter().filter(keep).map(item)),
            None => page(plan, "User", among.filter(keep).map(item)),
        }
    }

    fn resolve(&self, obj: &Obj, plan: &Plan) -> Result<Out, Refusal> {
        let name = plan.def.name;
        let gone = || Refusal::absent("Entity");
        Ok(match obj {
            Obj::User(seq) => return self.user(*seq, plan),
            Obj::Organization => match name {
                "id" => id(self.world.organization),
                "name" => Out::leaf("Acme"),
                "urlKey" => Out::leaf(URL_KEY),
                "scimEnabled" => Out::leaf(self.world.rules.scim),
                "userCount" => Out::leaf(self.world.users.values().filter(|user| user.active).count()),
                _ => Out::leaf(false),
            },
            Obj::Invite(seq) => {
                let invite = self.world.invites.get(seq).ok_or_else(gone)?;
                match name {
                    "acceptedAt" => time(invite.accepted_at),
                    "archivedAt" => time(invite.archived_at),
                    "createdAt" => time(Some(invite.created_at)),
                    "email" => Out::leaf(invite.email.as_str()),
                    "expiresAt" => time(invite.expires_at),
                    "external" => Out::leaf(false),
                    "id" => id(invite.id),
                    "invitee" => Out::maybe(invite.invitee.map(Obj::User)),
                    "inviter" => Out::One(Obj::User(self.world.owner)),
                    "role" => Out::leaf(invite.role.word()),
                    _ => time(invite.accepted_at.or(invite.archived_at).or(Some(invite.created_at))),
                }
            }
            Obj::Team(seq) => return self.team(*seq, plan),
            Obj::Membership(team, seq) => {
                let member = self.world.teams.get(team).and_then(|team| team.members.get(seq)).ok_or_else(gone)?;
                match name {
                    "archivedAt" => Out::Null,
                    "createdAt" => time(Some(member.created_at)),
                    "id" => id(member.id),
                    "owner" => Out::leaf(member.owner),
                    "team" => Out::One(Obj::Team(*team)),
                    _ => Out::One(Obj::User(member.user)),
                }
            }
            Obj::Page(page) => match name {
                "nodes" => Out::Many(page.items.iter().map(|(_, node)| node.clone()).collect()),
                "edges" => Out::Many((0..page.items.len()).map(|at| Obj::Edge(Rc::clone(page), at)).collect()),
                _ => Out::One(Obj::PageInfo(Rc::clone(page))),
            },
            Obj::Edge(page, at) => {
                let (seq, node) = page.items.get(*at).ok_or_else(gone)?;
                if name == "cursor" { Out::leaf(cursor(*seq)) } else { Out::One(node.clone()) }
            }
            Obj::PageInfo(page) => match name {
                "hasNextPage" => Out::leaf(page.after),
                "hasPreviousPage" => Out::leaf(page.before),
                "startCursor" => Out::Leaf(json!(page.items.first().map(|(seq, _)| cursor(*seq)))),
                _ => Out::Leaf(json!(page.items.last().map(|(seq, _)| cursor(*seq)))),
            },
            Obj::Payload(_, fields) => match name {
                "success" => Out::leaf(true),
                "lastSyncId" => Out::leaf(self.now.as_millisecond()),
                _ => fields.iter().find(|(field, _)| *field == name).map_or(Out::Null, |(_, out)| out.clone()),
            },
        })
    }

    fn user(&self, seq: u64, plan: &Plan) -> Result<Out, Refusal> {
        let user = self.world.users.get(&seq).ok_or_else(|| Refusal::absent("User"))?;
        Ok(match plan.def.name {
            "active" => Out::leaf(user.active),
            // An owner is an admin as well.
            "admin" => Out::leaf(matches!(user.role, Role::Owner | Role::Admin)),
            "app" => Out::leaf(false),
            "archivedAt" => Out::Null,
            "createdAt" => time(Some(user.created_at)),
            "displayName" => Out::leaf(user.login.as_str()),
            "email" => Out::leaf(user.email.as_str()),
            "guest" => Out::leaf(user.role == Role::Guest),
            "id" => id(user.id),
            "isMe" => Out::leaf(seq == self.world.owner),
            "name" => Out::leaf(user.name.as_str()),
            "owner" => Out::leaf(user.role == Role::Owner),
            "updatedAt" => time(Some(user.updated_at)),
            _ => {
                let living = self.world.teams.iter().filter(|(_, team)| team.archived_at.is_none());
                let found = living.filter_map(|(at, team)| Some((*at, *team.by_user.get(&seq)?)));
                return page(plan, "TeamMembership", found.map(|(team, at)| (at, Obj::Membership(team, at))));
            }
        })
    }

    fn team(&self, seq: u64, plan: &Plan) -> Result<Out, Refusal> {
        let team = self.world.teams.get(&seq).ok_or_else(|| Refusal::absent("Team"))?;
        Ok(match plan.def.name {
            "archivedAt" => time(team.archived_at),
            "createdAt" => time(Some(team.created_at)),
            "displayName" | "name" => Out::leaf(team.name.as_str()),
            "id" => id(team.id),
            "key" => Out::leaf(team.key.as_str()),
            "scimManaged" => Out::leaf(team.scim_managed),
            "members" => return self.users(plan, team.members.values().map(|member| member.user)),
            "membership" => {
                let user = self.world.user(text(plan, "userId"))?;
                Out::maybe(team.by_user.get(&user).map(|at| Obj::Membership(seq, *at)))
            }
            _ => return page(plan, "TeamMembership", team.members.keys().map(|at| (*at, Obj::Membership(seq, *at)))),
        })
    }
}

/// A cursor in the form of the vendor's, which are UUIDs.
fn cursor(seq: u64) -> String {
    Uuid::from_u128(u128::from(seq)).to_string()
}

fn position(text: &str) -> Result<u64, Refusal> {
    let seq = Uuid::try_parse(text).ok().and_then(|id| u64::try_from(id.as_u128()).ok());
    seq.ok_or_else(|| Refusal::input("The cursor is not valid."))
}

/// Cuts one page, newest first. Cursors are places in time, so a walk stays complete while things come and go.
fn page(plan: &Plan, node: &'static str, found: impl Iterator<Item = (u64, Obj)>) -> Result<Out, Refusal> {
    let mut items: Vec<(u64, Obj)> = found.collect();
    items.sort_by_key(|(seq, _)| std::cmp::Reverse(*seq));
    let count = |name: &str| plan.args.get(name).and_then(Value::as_i64);
    let size = match (count("first"), count("last")) {
        (Some(n), _) | (None, Some(n)) => usize::try_from(n).unwrap_or(0),
        (None, None) => DEFAULT_PAGE,
    };
    if size == 0 || size > LARGEST_PAGE {
        return Err(Refusal::input(format!("Argument Validation Error: first must be between 1 and {LARGEST_PAGE}.")));
    }
    let place = |name: &str| plan.args.get(name).and_then(Value::as_str).map(position).transpose();
    let mut start = place("after")?.map_or(0, |at| items.partition_point(|(seq, _)| *seq >= at));
    let mut end = place("before")?.map_or(items.len(), |at| items.partition_point(|(seq, _)| *seq > at)).max(start);
    let total = items.len();
    if count("first").is_none() && count("last").is_some() {
        start = start.max(end.saturating_sub(size));
    } else {
        end = end.min(start.saturating_add(size));
    }
    let items = items.drain(start..end).collect();
    Ok(Out::One(Obj::Page(Rc::new(Page { node, items, before: start > 0, after: end < total }))))
}

/// Complexity in tenths of a point: a property 1, an object 10, a connection as often as its page
/// (linear.app/developers/rate-limiting).
pub(super) fn tenths(plan: &Plan) -> u64 {
    use crate::graphql::plan::Sub;
    let below = match &plan.sub {
        Sub::Leaf => return 1,
        Sub::Fields(plans) => plans.iter().fold(0u64, |sum, plan| sum.saturating_add(tenths(plan))),
        Sub::ByType(types) => types
            .iter()
            .map(|(_, plans)| plans.iter().fold(0u64, |sum, plan| sum.saturating_add(tenths(plan))))
            .max()
            .unwrap_or(0),
    };
    if plan.def.ty.trim_end_matches('!').ends_with("Connection") {
        let asked = plan.args.get("first").or_else(|| plan.args.get("last")).and_then(Value::as_u64);
        below.saturating_mul(asked.unwrap_or(DEFAULT_PAGE as u64).max(1))
    } else {
        below.saturating_add(10)
    }
}
