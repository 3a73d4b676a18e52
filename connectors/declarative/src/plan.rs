//! A manifest, compiled: what [`crate::compile`] makes of it and everything else works with.

use connector_sdk::{Kind, Suspend};
use http::HeaderName;

use crate::expr::{Expr, Text};
use crate::model::{MatchModel, Model};
use crate::request::Request;
use crate::rules::Rule;

/// A compiled manifest.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) model: Model,
    pub(crate) base_url: Text,
    pub(crate) driver_key: Option<Text>,
    pub(crate) auth: Vec<Auth>,
    pub(crate) headers: Vec<(HeaderName, Text)>,
    pub(crate) error_text: Option<Expr>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) maps: minijinja::Value,
    pub(crate) default_role: Option<Text>,
    pub(crate) probe: Request,
    pub(crate) who: Option<Request>,
    pub(crate) identity: Text,
    pub(crate) checks: Vec<(String, Expr, String)>,
    pub(crate) accounts: Option<AccountsPlan>,
    pub(crate) groups: Option<GroupsPlan>,
}

/// One way of authorising, compiled.
#[derive(Debug)]
pub(crate) enum Auth {
    Header { name: HeaderName, prefix: String, secret: String },
    Basic { username: Text, secret: String },
    Query { parameter: String, secret: String },
    Oauth2 { url: Text, client: Text, secret: String, in_body: bool, parameters: Vec<(String, Text)> },
}

/// The fields of an object, as expressions over `item`.
pub(crate) type Fields = Vec<(String, Expr)>;

#[derive(Debug)]
pub(crate) struct AccountsPlan {
    pub(crate) fields: Fields,
    pub(crate) login: Option<Expr>,
    pub(crate) saml_identity: Option<Expr>,
    pub(crate) matches: Vec<MatchModel>,
    pub(crate) requires: Vec<(Expr, String)>,
    /// Whether a creation invites, over the settings; nothing where it never does.
    pub(crate) invites: Option<Expr>,
    pub(crate) invitations_end: bool,
    pub(crate) list: Request,
    pub(crate) invitations: Option<Request>,
    pub(crate) find: Option<Request>,
    pub(crate) get: Option<Request>,
    pub(crate) create: Option<Request>,
    pub(crate) update: Vec<Request>,
    pub(crate) suspend: Option<Request>,
    pub(crate) restore: Option<Request>,
    pub(crate) remove: Option<Request>,
    pub(crate) revoke: Option<Request>,
}

#[derive(Debug)]
pub(crate) struct GroupsPlan {
    pub(crate) fields: Fields,
    pub(crate) list: Request,
    pub(crate) find: Option<Request>,
    pub(crate) get: Option<Request>,
    pub(crate) create: Request,
    pub(crate) update: Request,
    pub(crate) remove: Request,
    pub(crate) members: Request,
    pub(crate) add: Request,
    pub(crate) take_out: Request,
    pub(crate) pending_members: bool,
}

impl Plan {
    pub(crate) fn kind(&self) -> Kind {
        match (self.accounts.as_ref().is_some_and(|accounts| accounts.create.is_some()), &self.groups) {
            (true, Some(_)) => Kind::UserAndGroup,
            (true, None) => Kind::User,
            (false, _) => Kind::Group,
        }
    }

    pub(crate) fn suspend(&self) -> Suspend {
        match &self.accounts {
            Some(AccountsPlan { suspend: Some(_), restore: Some(_), .. }) => Suspend::Native,
            _ => Suspend::Removes,
        }
    }

    /// Every request, each behind what is asked before it, in the order of the page.
    pub(crate) fn requests(&self) -> Vec<&Request> {
        let mut all = vec![&self.probe];
        all.extend(&self.who);
        if let Some(a) = &self.accounts {
            all.push(&a.list);
            let some = [&a.invitations, &a.find, &a.get, &a.create];
            all.extend(some.into_iter().flatten());
            all.extend(&a.update);
            all.extend([&a.suspend, &a.restore, &a.remove, &a.revoke].into_iter().flatten());
        }
        if let Some(g) = &self.groups {
            all.push(&g.list);
            all.extend([&g.find, &g.get].into_iter().flatten());
            all.extend([&g.create, &g.update, &g.remove, &g.members, &g.add, &g.take_out]);
        }
        all.into_iter().flat_map(|request| request.before.as_deref().into_iter().chain([request])).collect()
    }
}

/// What a request is for, where the manifest does not say.
pub(crate) fn purpose(op: &str) -> &'static str {
    match op {
        "probe" => "Checks the credential.",
        "probe.who" => "Tells whom the credential speaks for.",
        "before" => "Looks whether the next call may be made.",
        "accounts.list" => "Lists people.",
        "accounts.invitations" => "Lists pending invitations.",
        "accounts.find" => "Looks for a person.",
        "accounts.get" => "Reads an account.",
        "accounts.create" => "Creates or invites a person.",
        "accounts.update" => "Changes an account.",
        "accounts.suspend" => "Suspends an account.",
        "accounts.restore" => "Restores a suspended account.",
        "accounts.remove" => "Removes an account.",
        "accounts.revoke" => "Takes an invitation back.",
        "groups.list" => "Lists groups.",
        "groups.find" => "Looks for a group.",
        "groups.get" => "Reads a group.",
        "groups.create" => "Creates a group.",
        "groups.update" => "Renames a group.",
        "groups.remove" => "Deletes a group.",
        "groups.members" => "Lists the members of a group.",
        "groups.add_members" => "Adds members to a group.",
        "groups.remove_members" => "Takes members out of a group.",
        _ => "Calls the target.",
    }
}
