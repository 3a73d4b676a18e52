//! What a field of the schema gives.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::github::members::Identity;
use crate::github::{Caller, Cx, GitHub, ORG, ORG_ID, Role, render};
use crate::graphql::plan::Plan;
use crate::graphql::{self, Resolver};

/// One object.
#[derive(Clone, Debug)]
pub(super) enum Node {
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
    /// The vendor's name of its type.
    fn kind(&self) -> &'static str {
        match self {
            Node::Organization => "Organization",
            Node::Provider => "OrganizationIdentityProvider",
            Node::Identities(_) => "ExternalIdentityConnection",
            Node::IdentityEdge(_) => "ExternalIdentityEdge",
            Node::Identity(_) => "ExternalIdentity",
            Node::Saml(_) => "ExternalIdentitySamlAttributes",
            Node::Email(_) => "UserEmailMetadata",
            Node::User(_) => "User",
            Node::Members(_) => "OrganizationMemberConnection",
            Node::MemberEdge(_) => "OrganizationMemberEdge",
            Node::PageInfo(_) => "PageInfo",
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
type Out = graphql::Out<Node>;

/// A field that cannot be had: GitHub's `type`, and the message.
type Failed = (&'static str, String);

type Arguments = Map<String, Value>;

/// One document being answered.
pub(super) struct Run<'r> {
    pub(super) hub: &'r GitHub,
    pub(super) cx: &'r Cx<'r>,
}

impl Resolver for Run<'_> {
    type Obj = Node;

    fn type_name(&self, obj: &Node) -> String {
        obj.kind().to_owned()
    }

    fn root(&mut self, plan: &Plan, _mutation: bool) -> Result<Out, Value> {
        self.hub.resolve_query(self.cx, plan.def.name, &plan.args).map_err(failed)
    }

    fn field(&mut self, obj: &Node, plan: &Plan) -> Result<Out, Value> {
        self.hub.resolve(self.cx, obj, plan.def.name, &plan.args).map_err(failed)
    }
}

/// A refusal, as a member of `errors`.
fn failed((kind, message): Failed) -> Value {
    json!({ "type": kind, "message": message })
}

impl GitHub {
    fn resolve(&self, cx: &Cx<'_>, node: &Node, field: &str, arguments: &Arguments) -> Result<Out, Failed> {
        let leaf = |value: Value| Ok(Out::Leaf(value));
        match node {
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
                    let ids = self.chosen_identities(arguments);
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
                    return Ok(Out::Null);
                };
                Ok(match field {
                    "guid" => Out::Leaf(identity.guid.to_string().into()),
                    "id" => Out::Leaf(render::node_id("EI", *seq).into()),
                    "samlIdentity" => Out::One(Node::Saml(*seq)),
                    "user" => Out::One(Node::User(identity.user)),
                    // No identity here was provisioned by SCIM.
                    _ => Out::Null,
                })
            }
            Node::Saml(seq) => {
                let Some(identity) = self.identities.get(*seq) else {
                    return Ok(Out::Null);
                };
                Ok(match field {
                    "nameId" | "username" => Out::Leaf(identity.name_id.clone().into()),
                    "emails" => Out::Many(vec![Node::Email(identity.name_id.clone())]),
                    _ => Out::Null,
                })
            }
            Node::Email(value) => leaf(match field {
                "value" => value.clone().into(),
                "primary" => true.into(),
                _ => Value::Null,
            }),
            Node::User(id) => Ok(self.resolve_user(*id, field, arguments)),
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
                let login = text("login", arguments).unwrap_or_default();
                if login.eq_ignore_ascii_case(ORG) {
                    return Ok(Out::One(Node::Organization));
                }
                Err(missing("an Organization", login))
            }
            "user" => {
                let login = text("login", arguments).unwrap_or_default();
                let id = self.people.known(login);
                id.map(|id| Out::One(Node::User(id))).ok_or_else(|| missing("a User", login))
            }
            _ if cx.caller == Caller::Account => Ok(Out::One(Node::User(self.me))),
            _ => Err(forbidden()),
        }
    }

    fn provider(&self, cx: &Cx<'_>) -> Result<Out, Failed> {
        self.owner_reads(cx).map_err(|_| forbidden())?;
        Ok(if self.knobs.saml { Out::One(Node::Provider) } else { Out::Null })
    }

    fn resolve_user(&self, id: u64, field: &str, arguments: &Arguments) -> Out {
        let Some(person) = self.people.get(id) else {
            return Out::Null;
        };
        Out::Leaf(match field {
            "databaseId" => person.id.into(),
            "login" => person.login.clone().into(),
            "id" => render::node_id("U", person.id).into(),
            // The profile's address, which nobody shows here.
            "email" => "".into(),
            "organizationVerifiedDomainEmails" => {
                let org = text("login", arguments).unwrap_or_default();
                let here = org.eq_ignore_ascii_case(ORG) && self.members.contains_key(&id);
                let emails = person.emails.iter().filter(|email| {
                    let domain = email.rsplit('@').next().unwrap_or_default();
                    let known = self.knobs.domains.as_ref();
                    here && known.is_none_or(|d| d.iter().any(|d| d.eq_ignore_ascii_case(domain)))
                });
                json!(emails.collect::<Vec<_>>())
            }
            _ => Value::Null,
        })
    }

    fn chosen_identities(&self, arguments: &Arguments) -> Vec<u64> {
        let (user_name, login) = (text("userName", arguments), text("login", arguments));
        let members_only = arguments.get("membersOnly").is_some_and(|only| only == true);
        let fits = |identity: &&Identity| {
            user_name.is_none_or(|name| identity.name_id.eq_ignore_ascii_case(name))
                && login.is_none_or(|login| self.people.known(login) == Some(identity.user))
                && (!members_only || self.members.contains_key(&identity.user))
        };
        self.identities.all().filter(fits).map(|i| i.seq).collect()
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

fn text<'a>(argument: &str, arguments: &'a Arguments) -> Option<&'a str> {
    arguments.get(argument).and_then(Value::as_str)
}

fn count(field: &str, argument: &str, arguments: &Arguments) -> Result<Option<usize>, Failed> {
    let Some(value) = arguments.get(argument) else { return Ok(None) };
    match value.as_i64() {
        None => Ok(None),
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
        let Some(given) = text(argument, arguments) else {
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
