//! The target's objects as the boundary's.

use connector_sdk::{Account, AccountStatus, InviteId, Member, RemoteGroup, RemoteId};
use minijinja::Value;

use crate::expr::{Expr, Failed, Scope};
use crate::plan::Fields;

/// The longest id, in bytes.
const LONGEST_ID: usize = 1_024;

/// Where an account stands, as a manifest tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Active,
    Suspended,
    Invited,
    Expired,
    Gone,
}

/// An account, and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Mapped {
    pub(crate) account: Account,
    /// The name of the SAML or SCIM identity that the target tells.
    pub(crate) saml_identity: Option<String>,
    pub(crate) standing: Standing,
}

/// Whether any of the fields asks whom the credential speaks for.
pub(crate) fn asks_own(fields: &Fields) -> bool {
    fields.iter().any(|(_, expr)| expr.uses("own"))
}

fn expr<'a>(fields: &'a Fields, name: &str) -> Option<&'a Expr> {
    fields.iter().find(|(one, _)| one == name).map(|(_, expr)| expr)
}

fn text(fields: &Fields, name: &str, scope: &Scope) -> Result<Option<String>, Failed> {
    expr(fields, name).map_or(Ok(None), |expr| expr.text(scope))
}

fn flag(fields: &Fields, name: &str, scope: &Scope) -> Result<bool, Failed> {
    expr(fields, name).map_or(Ok(false), |expr| Ok(expr.eval(scope)?.is_true()))
}

fn id(fields: &Fields, scope: &Scope) -> Result<String, Failed> {
    let id = text(fields, "id", scope)?.ok_or_else(|| Failed("an object without id".to_owned()))?;
    if id.len() > LONGEST_ID { Err(Failed("an id that is too long".to_owned())) } else { Ok(id) }
}

fn standing(fields: &Fields, scope: &Scope) -> Result<Standing, Failed> {
    Ok(match text(fields, "status", scope)?.as_deref() {
        None | Some("active") => Standing::Active,
        Some("suspended") => Standing::Suspended,
        Some("invited") => Standing::Invited,
        Some("expired") => Standing::Expired,
        Some("gone") => Standing::Gone,
        Some(_) => return Err(Failed("a `status` that is none of those there are".to_owned())),
    })
}

/// Whether an account is the credential's own by its id, where `protected` asks for that: an id is often a number in
/// answers, and `item.id == own` compares it with a text.
fn is_own(fields: &Fields, account: &Account, scope: &Scope) -> bool {
    expr(fields, "protected").is_some_and(|expr| expr.uses("own"))
        && scope
            .get("own")
            .and_then(Value::as_str)
            .is_some_and(|own| account.remote_id.as_ref().is_some_and(|id| id.as_str() == own))
}

/// An account of an item. `invitation` says that the listing holds nothing but invitations.
pub(crate) fn account(fields: &Fields, item: &Value, scope: &Scope, invitation: bool) -> Result<Mapped, Failed> {
    let mut scope = scope.clone();
    scope.insert("item", item.clone());
    let id = id(fields, &scope)?;
    let standing = match standing(fields, &scope)? {
        Standing::Active if invitation => Standing::Invited,
        other => other,
    };
    let mut account = match standing {
        Standing::Invited | Standing::Expired => {
            let mut account = Account::invited(InviteId::new(id));
            account.remote_id = None;
            account
        }
        _ => Account::active(RemoteId::new(id)),
    };
    if standing == Standing::Suspended {
        account.status = AccountStatus::Suspended;
    }
    account.login = text(fields, "login", &scope)?;
    account.email = text(fields, "email", &scope)?;
    account.email_verified = flag(fields, "email_verified", &scope)?;
    account.display_name = text(fields, "display_name", &scope)?;
    account.role = text(fields, "role", &scope)?;
    account.protected = flag(fields, "protected", &scope)? || is_own(fields, &account, &scope);
    account.expires_at = text(fields, "expires_at", &scope)?.and_then(|text| text.parse().ok());
    let saml_identity = text(fields, "saml_identity", &scope)?;
    Ok(Mapped { account, saml_identity, standing })
}

/// A group of an item.
pub(crate) fn group(fields: &Fields, item: &Value, scope: &Scope) -> Result<RemoteGroup, Failed> {
    let mut scope = scope.clone();
    scope.insert("item", item.clone());
    let name = text(fields, "name", &scope)?.ok_or_else(|| Failed("a group without name".to_owned()))?;
    let mut group = RemoteGroup::new(RemoteId::new(id(fields, &scope)?), name);
    group.slug = text(fields, "slug", &scope)?;
    group.protected = flag(fields, "protected", &scope)?;
    Ok(group)
}

/// A member of an item.
pub(crate) fn member(fields: &Fields, item: &Value, scope: &Scope) -> Result<Member, Failed> {
    let mapped = account(fields, item, scope, false)?;
    let mut scope = scope.clone();
    scope.insert("item", item.clone());
    let at = mapped.account.reference().ok_or_else(|| Failed("a member without id".to_owned()))?;
    let mut member = Member::of(at);
    member.pending = matches!(mapped.standing, Standing::Invited | Standing::Expired);
    member.inherited = flag(fields, "inherited", &scope)?;
    member.role = mapped.account.role;
    Ok(member)
}
