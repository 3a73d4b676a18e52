//! Whose account is it: the identity sources.

use std::collections::HashMap;
use std::fmt::Write as _;

use connector_sdk::{Account, Cx, Effect, Evidence, Fault, FaultKind, Found, Person, RemoteId};
use serde_json::{Map, Value, json};

use super::Org;
use super::client::MOST_PAGES;
use super::seats::{role, same};
use super::settings::{Identity, is_login};
use super::wire::{IdentityEdge, InOrg, MemberEdge, WithMembers, WithSaml};

const MEMBERS: &str = "query($org:String!,$after:String){organization(login:$org){membersWithRole(first:100,after:$after){pageInfo{hasNextPage endCursor}edges{role node{login databaseId name organizationVerifiedDomainEmails(login:$org)}}}}}";

const IDENTITIES: &str = "query($org:String!,$name:String!){organization(login:$org){samlIdentityProvider{externalIdentities(first:10,membersOnly:true,userName:$name){edges{node{samlIdentity{nameId username emails{value}}user{login databaseId}}}}}}}";

/// One page of members as GraphQL lists them.
pub(super) struct MemberPage {
    /// The members.
    pub(super) edges: Vec<MemberEdge>,
    /// The cursor of the next page.
    pub(super) next: Option<String>,
    /// False where GitHub left something out.
    pub(super) complete: bool,
}

impl Org {
    /// The GitHub login that the directory names for a person, where that is the identity source.
    pub(super) fn handle<'p>(&self, who: &'p Person) -> Option<&'p str> {
        if self.identity != Identity::Handle {
            return None;
        }
        who.text_at(self.settings.handle_attribute.trim()).map(str::trim).filter(|login| is_login(login, 39))
    }

    /// The active accounts that the identity source says are this person's.
    pub(super) async fn accounts_of(&self, cx: &Cx<'_>, who: &Person) -> Result<Vec<Found>, Fault> {
        match self.identity {
            Identity::Manual => Ok(Vec::new()),
            Identity::Handle => {
                let Some(login) = self.handle(who) else {
                    return Ok(Vec::new());
                };
                match self.membership(cx, login).await? {
                    Some(membership) if !membership.pending() => {
                        Ok(vec![Found { account: self.account(cx, &membership).await?, evidence: Evidence::Login }])
                    }
                    _ => Ok(Vec::new()),
                }
            }
            Identity::Saml => self.by_saml(cx, who).await,
            Identity::VerifiedDomain => self.by_address(cx, who).await,
        }
    }

    async fn by_saml(&self, cx: &Cx<'_>, who: &Person) -> Result<Vec<Found>, Fault> {
        let mut names = vec![who.user_name.as_str()];
        if let Some(email) = who.email.as_deref()
            && !email.eq_ignore_ascii_case(&who.user_name)
        {
            names.push(email);
        }
        let mut found: Vec<Found> = Vec::new();
        for name in names {
            for edge in self.identities(cx, name).await? {
                let Some(node) = edge.node else { continue };
                // The filter is GitHub's; that the name is really in the identity is ours to see.
                let matches = node
                    .saml_identity
                    .as_ref()
                    .is_some_and(|saml| saml.names().any(|text| text.eq_ignore_ascii_case(name)));
                let Some(user) = node.user.filter(|_| matches) else {
                    continue;
                };
                let id = user.database_id.to_string();
                if found.iter().any(|one| one.account.remote_id.as_ref().is_some_and(|known| known.as_str() == id)) {
                    continue;
                }
                let membership = self.membership(cx, &user.login).await?;
                let Some(membership) = membership.filter(|seat| seat.user.id == user.database_id && !seat.pending())
                else {
                    continue;
                };
                let mut account = self.account(cx, &membership).await?;
                account.email = node.saml_identity.as_ref().and_then(|saml| saml.email()).map(str::to_owned);
                found.push(Found { account, evidence: Evidence::SamlIdentity });
            }
        }
        Ok(found)
    }

    /// The SAML identities of a name.
    async fn identities(&self, cx: &Cx<'_>, name: &str) -> Result<Vec<IdentityEdge>, Fault> {
        let call = "find SAML identity";
        let (data, complete): (InOrg<WithSaml>, bool) =
            self.client.query(cx, call, IDENTITIES, json!({ "org": self.client.org, "name": name })).await?;
        if !complete {
            return Err(self.left_out(call));
        }
        let provider = data.organization.and_then(|org| org.saml_identity_provider).ok_or_else(|| self.no_saml())?;
        Ok(provider.into_values().flat_map(|connection| connection.edges).collect())
    }

    /// The fault for an organisation that shows no SAML identities.
    pub(super) fn no_saml(&self) -> Fault {
        Fault::new(
            FaultKind::Permission,
            format!(
                "The organisation {} shows no SAML identities: it has no SAML single sign-on of its own, or the credential is not an owner's. Choose another identity source or give an owner's credential.",
                self.client.org
            ),
        )
        .context("find SAML identity: no identity provider")
    }

    /// The address in the SAML identity of each login, by id. One query for a page of members.
    pub(super) async fn saml_addresses(&self, cx: &Cx<'_>, logins: &[&str]) -> Result<HashMap<u64, String>, Fault> {
        if logins.is_empty() {
            return Ok(HashMap::new());
        }
        let mut query = String::from("query($org:String!");
        let mut variables = Map::new();
        variables.insert("org".to_owned(), json!(self.client.org));
        for (n, login) in logins.iter().enumerate() {
            let _ = write!(query, ",$l{n}:String!");
            variables.insert(format!("l{n}"), json!(login));
        }
        query.push_str("){organization(login:$org){samlIdentityProvider{");
        for n in 0..logins.len() {
            let _ = write!(
                query,
                "a{n}:externalIdentities(first:1,membersOnly:true,login:$l{n}){{edges{{node{{samlIdentity{{nameId username emails{{value}}}}user{{login databaseId}}}}}}}} "
            );
        }
        query.push_str("}}}");
        let (data, _): (InOrg<WithSaml>, bool) =
            self.client.query(cx, "read SAML identities", &query, Value::Object(variables)).await?;
        let provider = data.organization.and_then(|org| org.saml_identity_provider);
        Ok(provider
            .unwrap_or_default()
            .into_values()
            .flat_map(|connection| connection.edges)
            .filter_map(|edge| {
                let node = edge.node?;
                let email = node.saml_identity?.email()?.to_owned();
                Some((node.user?.database_id, email))
            })
            .collect())
    }

    async fn by_address(&self, cx: &Cx<'_>, who: &Person) -> Result<Vec<Found>, Fault> {
        let Some(email) = who.email.as_deref() else {
            return Ok(Vec::new());
        };
        let mut after = None;
        for _ in 0..MOST_PAGES {
            let page = self.members_with_addresses(cx, after.as_deref()).await?;
            if !page.complete {
                return Err(self.left_out("list members with addresses"));
            }
            // An address can be verified by one GitHub account only, so the first is the only one.
            for edge in page.edges {
                let matches = edge.node.as_ref().is_some_and(|node| {
                    node.organization_verified_domain_emails.iter().any(|address| same(Some(address), email))
                });
                if matches && let Some(mut account) = self.member_account(cx, edge).await? {
                    account.email = Some(email.to_owned());
                    return Ok(vec![Found { account, evidence: Evidence::VerifiedEmail }]);
                }
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(Vec::new()),
            }
        }
        self.follow_on(Some(MOST_PAGES + 1)).map(|_| Vec::new())
    }

    /// One page of the members with role and verified addresses.
    pub(super) async fn members_with_addresses(&self, cx: &Cx<'_>, after: Option<&str>) -> Result<MemberPage, Fault> {
        let name = "list members with addresses";
        let (data, complete): (InOrg<WithMembers>, bool) =
            self.client.query(cx, name, MEMBERS, json!({ "org": self.client.org, "after": after })).await?;
        let members = data.organization.ok_or_else(|| self.client.hidden(name))?.members_with_role;
        let next = members.page_info.filter(|info| info.has_next_page).map(|info| info.end_cursor.unwrap_or_default());
        if next.as_deref().is_some_and(|next| next.is_empty() || Some(next) == after) {
            return Err(Fault::new(
                FaultKind::Malformed,
                "GitHub's list of members goes on at no new place. If this goes on, its API has changed.",
            )
            .effect(Effect::None)
            .context(format!("{name}: cursor does not move")));
        }
        Ok(MemberPage { edges: members.edges, next, complete })
    }

    /// A member of a GraphQL page as an account.
    pub(super) async fn member_account(&self, cx: &Cx<'_>, edge: MemberEdge) -> Result<Option<Account>, Fault> {
        let Some(node) = edge.node else {
            return Ok(None);
        };
        let role = edge.role.as_deref().and_then(role);
        let own = self.own(cx).await?;
        let owners = if role.as_deref() == Some("admin") { self.owners(cx).await? } else { std::sync::Arc::default() };
        let mut account = Account::active(RemoteId::new(node.database_id.to_string()));
        account.protected = Self::untouchable(own.as_ref(), &owners, node.database_id);
        account.login = Some(node.login);
        account.display_name = node.name.filter(|name| !name.is_empty());
        account.role = role;
        account.email = node.organization_verified_domain_emails.into_iter().next();
        account.email_verified = account.email.is_some();
        Ok(Some(account))
    }
}
