//! Settings of sign-in through an OpenID Connect provider.

use std::net::IpAddr;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{ConfigError, Overrides, value};
use crate::service::members::Role;

/// The most pairs of a claim's value and a role.
const MOST_ROLES: usize = 200;

/// An OpenID Connect provider that people sign in to the console through.
#[derive(Clone, Debug)]
pub struct Oidc {
    /// Its issuer identifier, exactly as the provider writes it.
    pub issuer: String,
    /// What the gateway is called there.
    pub client_id: String,
    /// The gateway's secret there; a public client has none.
    pub client_secret: Option<SecretString>,
    /// What people know the provider by.
    pub name: String,
    /// The scopes that are asked for, `openid` among them.
    pub scopes: String,
    /// Who may sign in by what the provider says of them, without an invitation.
    pub roles: Option<ClaimRoles>,
}

/// Roles that follow from a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRoles {
    /// The claim: its name, or a path of names with dots between.
    pub claim: String,
    /// Values of it, with the role of each.
    pub of: Vec<(String, Role)>,
}

/// Checks the settings; `None` where no provider is named.
pub(super) fn check(said: &Overrides) -> Result<Option<Oidc>, ConfigError> {
    let Some(issuer) = &said.oidc_issuer else {
        let alone = [
            ("oidc_client_id", said.oidc_client_id.is_some()),
            ("oidc_client_secret", said.oidc_client_secret.is_some()),
            ("oidc_name", said.oidc_name.is_some()),
            ("oidc_scopes", said.oidc_scopes.is_some()),
            ("oidc_role_claim", said.oidc_role_claim.is_some()),
            ("oidc_roles", said.oidc_roles.is_some()),
        ];
        return match alone.iter().find(|(_, given)| *given) {
            Some((setting, _)) => Err(value(setting, "it has no effect without oidc_issuer")),
            None => Ok(None),
        };
    };
    let url = issuer_url(issuer)?;
    if said.public_url.is_none() {
        return Err(value(
            "oidc_issuer",
            "public_url is not set. The provider sends people back to an address below it, and has to be told that address",
        ));
    }
    let client_id = said.oidc_client_id.as_deref().map(str::trim).filter(|id| !id.is_empty());
    let Some(client_id) = client_id else {
        return Err(value("oidc_client_id", "it is not set. It is the client id that the provider gave the gateway"));
    };
    if said.oidc_client_secret.as_ref().is_some_and(|secret| secret.expose_secret().trim().is_empty()) {
        return Err(value("oidc_client_secret", "it is empty. Leave it out, or give it a value"));
    }
    let name = match said.oidc_name.as_deref().map(str::trim) {
        None | Some("") => url.host_str().unwrap_or_default().to_owned(),
        Some(name) if name.len() > 50 || name.chars().any(char::is_control) => {
            return Err(value("oidc_name", "it is longer than 50 bytes, or has control characters"));
        }
        Some(name) => name.to_owned(),
    };
    Ok(Some(Oidc {
        issuer: issuer.clone(),
        client_id: client_id.to_owned(),
        client_secret: said.oidc_client_secret.clone(),
        name,
        scopes: scopes(said.oidc_scopes.as_deref().unwrap_or("openid profile email")),
        roles: roles(said.oidc_role_claim.as_deref(), said.oidc_roles.as_deref())?,
    }))
}

/// The issuer is compared as it stands, so nothing of it is changed.
fn issuer_url(text: &str) -> Result<Url, ConfigError> {
    let refused = |problem: &str| value("oidc_issuer", format!("{text:?} {problem}"));
    let url = Url::parse(text).map_err(|_| refused("is not a URL such as https://login.example.com"))?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refused("must have neither ? nor #"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(value("oidc_issuer", "it must not hold a user name or password"));
    }
    if url.scheme() == "https" || is_local(&url) {
        Ok(url)
    } else {
        Err(refused("must begin with https:// (plain http is for a provider on this machine only)"))
    }
}

/// Whether a URL leads by plain http to this very machine.
pub(crate) fn is_local(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    url.scheme() == "http" && (host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()))
}

fn scopes(said: &str) -> String {
    let mut all: Vec<&str> = vec!["openid"];
    for scope in said.split_whitespace() {
        if !all.contains(&scope) {
            all.push(scope);
        }
    }
    all.join(" ")
}

/// `engineers=viewer; admins=admin`: the role stands behind the last `=`, since names of groups may have some.
fn roles(claim: Option<&str>, pairs: Option<&str>) -> Result<Option<ClaimRoles>, ConfigError> {
    let (claim, pairs) = match (claim.map(str::trim).filter(|claim| !claim.is_empty()), pairs) {
        (None, None) => return Ok(None),
        (Some(claim), Some(pairs)) => (claim, pairs),
        (Some(_), None) => {
            return Err(value("oidc_role_claim", "oidc_roles is not set: it says which value gives which role"));
        }
        (None, Some(_)) => {
            return Err(value("oidc_roles", "oidc_role_claim is not set: it says which claim holds the values"));
        }
    };
    let mut of = Vec::new();
    for pair in pairs.split(';').map(str::trim).filter(|pair| !pair.is_empty()) {
        let read = pair.rsplit_once('=').and_then(|(text, role)| {
            let text = text.trim();
            Some((text.to_owned(), Role::parse(role.trim()).filter(|_| !text.is_empty())?))
        });
        let Some(read) = read else {
            return Err(value(
                "oidc_roles",
                format!(
                    "{pair:?} is not a value and a role such as platform-team=admin; roles are viewer, admin, owner"
                ),
            ));
        };
        of.push(read);
    }
    if of.is_empty() || of.len() > MOST_ROLES {
        return Err(value("oidc_roles", format!("it must have 1 to {MOST_ROLES} pairs such as platform-team=admin")));
    }
    Ok(Some(ClaimRoles { claim: claim.to_owned(), of }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn said() -> Overrides {
        Overrides {
            public_url: Some("https://scim.example.com".into()),
            oidc_issuer: Some("https://login.example.com/t1/".into()),
            oidc_client_id: Some("gate".into()),
            ..Overrides::default()
        }
    }

    #[test]
    fn a_provider_needs_an_issuer_a_client_and_our_own_address() {
        assert!(Config::load(Overrides::default()).unwrap().oidc.is_none());
        let oidc = Config::load(said()).unwrap().oidc.unwrap();
        assert_eq!((oidc.issuer.as_str(), oidc.name.as_str()), ("https://login.example.com/t1/", "login.example.com"));
        assert_eq!(oidc.scopes, "openid profile email");
        assert!(oidc.client_secret.is_none() && oidc.roles.is_none());
        let scopes = Overrides { oidc_scopes: Some("email openid groups email".into()), ..said() };
        assert_eq!(Config::load(scopes).unwrap().oidc.unwrap().scopes, "openid email groups");
        let local = Overrides { oidc_issuer: Some("http://[::1]:8080".into()), ..said() };
        assert!(Config::load(local).is_ok());

        type Change = fn(&mut Overrides);
        let cases: [(&str, Change); 13] = [
            ("oidc_issuer", |o| o.public_url = None),
            ("oidc_issuer", |o| o.oidc_issuer = Some("login.example.com".into())),
            ("oidc_issuer", |o| o.oidc_issuer = Some("http://login.example.com".into())),
            ("oidc_issuer", |o| o.oidc_issuer = Some("https://login.example.com/?a".into())),
            ("oidc_issuer", |o| o.oidc_issuer = Some("https://u:hunter2@login.example.com".into())),
            ("oidc_client_id", |o| o.oidc_client_id = Some(" ".into())),
            ("oidc_client_id", |o| o.oidc_issuer = None),
            ("oidc_client_secret", |o| o.oidc_client_secret = Some(" ".into())),
            ("oidc_name", |o| o.oidc_name = Some("a\nb".into())),
            ("oidc_role_claim", |o| o.oidc_role_claim = Some("groups".into())),
            ("oidc_roles", |o| o.oidc_roles = Some("a=admin".into())),
            ("oidc_roles", |o| {
                (o.oidc_role_claim, o.oidc_roles) = (Some("groups".into()), Some("a=king".into()));
            }),
            ("oidc_roles", |o| (o.oidc_role_claim, o.oidc_roles) = (Some("groups".into()), Some(" ; ".into()))),
        ];
        for (setting, change) in cases {
            let mut overrides = said();
            change(&mut overrides);
            let message = Config::load(overrides).unwrap_err().to_string();
            assert!(message.starts_with(&format!("{setting}: ")) && !message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn roles_stand_behind_the_last_equals_sign() {
        let overrides = Overrides {
            oidc_role_claim: Some("realm_access.roles".into()),
            oidc_roles: Some("CN=ops,DC=example=owner; viewers = viewer;".into()),
            ..said()
        };
        let roles = Config::load(overrides).unwrap().oidc.unwrap().roles.unwrap();
        assert_eq!(roles.claim, "realm_access.roles");
        let want = [("CN=ops,DC=example", Role::Owner), ("viewers", Role::Viewer)];
        assert_eq!(roles.of, want.map(|(text, role)| (text.to_owned(), role)));
    }

    #[test]
    fn no_secret_is_shown() {
        let overrides = Overrides { oidc_client_secret: Some("hunter2".into()), ..said() };
        assert!(!format!("{overrides:?}").contains("hunter2"));
        assert!(!format!("{:?}", Config::load(overrides).unwrap()).contains("hunter2"));
    }
}
