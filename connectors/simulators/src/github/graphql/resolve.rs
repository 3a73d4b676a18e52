//! What a field of the schema gives.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::schema::Kind;
use crate::github::members::Identity;
use crate::github::{Caller, Cx, GitHub, ORG, ORG_ID, Role, render};

/// One object.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Query,
    Organization,
    Provider,
    Identities(Page),
    IdentityEdge(u64),
    Identity(u64),
    Saml(u64),
    Email(String),
    User(u64),
    Members(Page),
    MemberEdge(u64),
    PageInfo(Page),
}

impl Node {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Node::Query => Kind::Query,
            Node::Organization => Kind::Organization,
            Node::Provider => Kind::Provider,
            Node::Identities(_) => Kind::Identities,
            Node::IdentityEdge(_) => Kind::IdentityEdge,
            Node::Identity(_) => Kind::Identity,
            Node::Saml(_) => Kind::Saml,
            Node::Email(_) => Kind::Email,
            Node::User(_) => Kind::User,
            Node::Members(_) => Kind::Members,
            Node::MemberEdge(_) => Kind::MemberEdge,
            Node::PageInfo(_) => Kind::PageInfo,
        }
    }
}

/// One page of a connection.
#[derive(Clone, Debug)]
pub(super) struct Page {
    ids: Vec<u64>,
    total: usize,
    more_before: bool,
    more_after: bool,
}

/// The value of a field.
#[derive(Debug)]
pub(super) enum Out {
    Leaf(Value),
    One(Node),
    Many(Vec<Node>),
}

impl Out {
    fn null() -> Self {
        Out::Leaf(Value::Null)
    }
}

/// A field that cannot be had: GitHub's `type`, and the message.
pub(super) type Failed = (&'static str, String);

type Arguments = Map<String, Value>;

impl GitHub {
    pub(super) fn resolve(&self, cx: &Cx<'_>, node: &Node, field: &str, arguments: &Arguments) -> Result<Out, Failed> {
        let leaf = |value: Value| Ok(Out::Leaf(value));
        if field == "__typename" {
            return leaf(node.kind().name().into());
        }
        match node {
            Node::Query => self.resolve_query(cx, field, arguments),
            Node::Organization => match field {
                "id" => leaf(render::node_id("O", ORG_ID).into()),
                "databaseId" => leaf(ORG_ID.into()),
                "samlIdentityProvider" => self.provider(cx),
                "membersWithRole" => {
                    self.member_reads(cx).map_err(|_| forbidden())?;
                    let ids = self.members.keys().copied().collect();
                    Ok(Out::One(Node::Members(page(ids, field, arguments)?)))
                }
                _ => leaf(ORG.into()),
            },
            Node::Provider => match field {
                "organization" => Ok(Out::One(Node::Organization)),
                "externalIdentities" => {
                    let ids = self.chosen_identities(arguments)?;
                    Ok(Out::One(Node::Identities(page(ids, field, arguments)?)))
                }
                "id" => leaf("OIP_simulated".into()),
                "issuer" => leaf("https://idp.example/saml".into()),
                _ => leaf("https://idp.example/saml/sso".into()),
            },
            Node::Identities(page) => Ok(connection(page, field, Node::IdentityEdge, Node::Identity)),
            Node::Members(page) => Ok(connection(page, field, Node::MemberEdge, Node::User)),
            Node::IdentityEdge(seq) => match field {
                "node" => Ok(Out::One(Node::Identity(*seq))),
                _ => leaf(cursor(*seq).into()),
            },
            Node::MemberEdge(id) => match field {
                "node" => Ok(Out::One(Node::User(*id))),
                "role" => leaf(match self.members.get(id) {
                    Some(Role::Admin) => "ADMIN".into(),
                    Some(Role::Member) => "MEMBER".into(),
                    None => Value::Null,
                }),
                "hasTwoFactorEnabled" => leaf(true.into()),
                _ => leaf(cursor(*id).into()),
            },
            Node::Identity(seq) => {
                let Some(identity) = self.identities.get(*seq) else {
                    return Ok(Out::null());
                };
                Ok(match field {
                    "guid" => Out::Leaf(identity.guid.to_string().into()),
                    "id" => Out::Leaf(render::node_id("EI", *seq).into()),
                    "samlIdentity" => Out::One(Node::Saml(*seq)),
                    "user" => Out::One(Node::User(identity.user)),
                    // No identity here was provisioned by SCIM.
                    _ => Out::null(),
                })
            }
            Node::Saml(seq) => {
                let Some(identity) = self.identities.get(*seq) else {
                    return Ok(Out::null());
                };
                Ok(match field {
                    "nameId" | "username" => Out::Leaf(identity.name_id.clone().into()),
                    "emails" => Out::Many(vec![Node::Email(identity.name_id.clone())]),
                    _ => Out::null(),
                })
            }
            Node::Email(value) => leaf(match field {
                "value" => value.clone().into(),
                "primary" => true.into(),
                _ => Value::Null,
            }),
            Node::User(id) => Ok(self.resolve_user(*id, field, arguments)?),
            Node::PageInfo(page) => leaf(match field {
                "hasNextPage" => page.more_after.into(),
                "hasPreviousPage" => page.more_before.into(),
                "startCursor" => page.ids.first().map(|id| cursor(*id)).into(),
                _ => page.ids.last().map(|id| cursor(*id)).into(),
            }),
        }
    }

    fn resolve_query(&self, cx: &Cx<'_>, field: &str, arguments: &Arguments) -> Result<Out, Failed> {
        match field {
            "organization" => {
                let login = text(field, "login", arguments)?.unwrap_or_default();
                if login.eq_ignore_ascii_case(ORG) {
                    return Ok(Out::One(Node::Organization));
                }
                Err(missing("an Organization", login))
            }
            "user" => {
                let login = text(field, "login", arguments)?.unwrap_or_default();
                let id = self.people.known(login);
                id.map(|id| Out::One(Node::User(id))).ok_or_else(|| missing("a User", login))
            }
            _ if cx.caller == Caller::Account => Ok(Out::One(Node::User(self.me))),
            _ => Err(forbidden()),
        }
    }

    fn provider(&self, cx: &Cx<'_>) -> Result<Out, Failed> {
        self.owner_reads(cx).map_err(|_| forbidden())?;
        Ok(if self.knobs.saml { Out::One(Node::Provider) } else { Out::null() })
    }

    fn resolve_user(&self, id: u64, field: &str, arguments: &Arguments) -> Result<Out, Failed> {
        let Some(person) = self.people.get(id) else {
            return Ok(Out::null());
        };
        Ok(Out::Leaf(match field {
            "databaseId" => person.id.into(),
            "login" => person.login.clone().into(),
            "id" => render::node_id("U", person.id).into(),
            // The profile's address, which nobody shows here.
            "email" => "".into(),
            "organizationVerifiedDomainEmails" => {
                let org = text(field, "login", arguments)?.unwrap_or_default();
                let here = org.eq_ignore_ascii_case(ORG) && self.members.contains_key(&id);
                let emails = person.emails.iter().filter(|email| {
                    let domain = email.rsplit('@').next().unwrap_or_default();
                    let known = self.knobs.domains.as_ref();
                    here && known.is_none_or(|d| d.iter().any(|d| d.eq_ignore_ascii_case(domain)))
                });
                json!(emails.collect::<Vec<_>>())
            }
            _ => Value::Null,
        }))
    }

    fn chosen_identities(&self, arguments: &Arguments) -> Result<Vec<u64>, Failed> {
        let field = "externalIdentities";
        let user_name = text(field, "userName", arguments)?;
        let login = text(field, "login", arguments)?;
        let members_only = match arguments.get("membersOnly") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(only)) => *only,
            Some(other) => return Err(mistyped(field, "membersOnly", other, "Boolean")),
        };
        let fits = |identity: &&Identity| {
            user_name.is_none_or(|name| identity.name_id.eq_ignore_ascii_case(name))
                && login.is_none_or(|login| self.people.known(login) == Some(identity.user))
                && (!members_only || self.members.contains_key(&identity.user))
        };
        Ok(self.identities.all().filter(fits).map(|i| i.seq).collect())
    }
}

fn connection(page: &Page, field: &str, edge: fn(u64) -> Node, node: fn(u64) -> Node) -> Out {
    match field {
        "edges" => Out::Many(page.ids.iter().copied().map(edge).collect()),
        "nodes" => Out::Many(page.ids.iter().copied().map(node).collect()),
        "totalCount" => Out::Leaf(page.total.into()),
        _ => Out::One(Node::PageInfo(page.clone())),
    }
}

fn forbidden() -> Failed {
    ("FORBIDDEN", "You do not have permission to view this information.".to_owned())
}

fn missing(what: &str, login: &str) -> Failed {
    ("NOT_FOUND", format!("Could not resolve to {what} with the login of '{login}'."))
}

fn mistyped(field: &str, argument: &str, value: &Value, kind: &str) -> Failed {
    let message = format!(
        "Argument '{argument}' on Field '{field}' has an invalid value ({value}). Expected type \
         '{kind}'."
    );
    ("argumentLiteralsIncompatible", message)
}

fn text<'a>(field: &str, argument: &str, arguments: &'a Arguments) -> Result<Option<&'a str>, Failed> {
    match arguments.get(argument) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(mistyped(field, argument, other, "String")),
    }
}

fn count(field: &str, argument: &str, arguments: &Arguments) -> Result<Option<usize>, Failed> {
    let value = match arguments.get(argument) {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value,
    };
    match value.as_i64() {
        None => Err(mistyped(field, argument, value, "Int")),
        Some(1..=100) => Ok(value.as_u64().and_then(|n| usize::try_from(n).ok())),
        Some(n) => Err((
            "EXCESSIVE_PAGINATION",
            format!(
                "Requesting {n} records on the `{field}` connection is outside of the `{argument}` \
                 limit of 1 to 100 records."
            ),
        )),
    }
}

/// The page of a connection that the arguments ask for; `ids` rise.
fn page(mut ids: Vec<u64>, field: &str, arguments: &Arguments) -> Result<Page, Failed> {
    let total = ids.len();
    let (first, last) = (count(field, "first", arguments)?, count(field, "last", arguments)?);
    if first.is_none() && last.is_none() {
        return Err((
            "MISSING_PAGINATION_BOUNDARIES",
            format!(
                "You must provide a `first` or `last` value to properly paginate the `{field}` \
                 connection."
            ),
        ));
    }
    let at = |argument| -> Result<Option<u64>, Failed> {
        let Some(given) = text(field, argument, arguments)? else {
            return Ok(None);
        };
        let id = STANDARD.decode(given).ok().and_then(|bytes| {
            let text = String::from_utf8(bytes).ok()?;
            text.strip_prefix("cursor:v1:")?.parse().ok()
        });
        let invalid = || {
            let message = format!("`{given}` does not appear to be a valid cursor.");
            ("INVALID_CURSOR_ARGUMENTS", message)
        };
        id.map(Some).ok_or_else(invalid)
    };
    let (after, before) = (at("after")?, at("before")?);
    let all = ids.len();
    ids.retain(|id| after.is_none_or(|after| *id > after));
    let mut more_before = ids.len() < all;
    let all = ids.len();
    ids.retain(|id| before.is_none_or(|before| *id < before));
    let mut more_after = ids.len() < all;
    if let Some(first) = first.filter(|first| *first < ids.len()) {
        ids.truncate(first);
        more_after = true;
    }
    if let Some(last) = last.filter(|last| *last < ids.len()) {
        ids.drain(..ids.len() - last);
        more_before = true;
    }
    Ok(Page { ids, total, more_before, more_after })
}

fn cursor(id: u64) -> String {
    STANDARD.encode(format!("cursor:v1:{id}"))
}
