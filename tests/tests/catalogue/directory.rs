//! A real slapd: every client has a branch of its own, which is read by ldapsearch.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::{Value, json};
use tests::{Db, Gateway, facts};

use crate::check::{CLIENTS, NOTHING, Target, check, single};
use crate::slapd::{GATEWAY, GATEWAY_PASSWORD, Options, SUFFIX, Slapd, installed, values};

/// A branch of a directory.
struct Branch<'a> {
    slapd: &'a Slapd,
    base: String,
    /// With the attributes of Active Directory.
    windows: bool,
}

impl<'a> Branch<'a> {
    fn new(slapd: &'a Slapd, name: &str, windows: bool) -> Self {
        let base = format!("ou={name},{SUFFIX}");
        slapd.add(&format!(
            "dn: {base}\nobjectClass: organizationalUnit\nou: {name}\n\n\
             dn: ou=people,{base}\nobjectClass: organizationalUnit\nou: people\n\n\
             dn: ou=groups,{base}\nobjectClass: organizationalUnit\nou: groups\n"
        ));
        Self { slapd, base, windows }
    }
}

#[async_trait(?Send)]
impl Target for Branch<'_> {
    fn instance(&self) -> Value {
        let mut settings = json!({
            "url": format!("ldaps://127.0.0.1:{}", self.slapd.tls_port), "ca": self.slapd.ca, "bind_dn": GATEWAY,
            "user_base": format!("ou=people,{}", self.base), "group_base": format!("ou=groups,{}", self.base),
            "lock": "pwd_account_locked_time",
        });
        if self.windows {
            settings["directory"] = json!("active_directory");
            settings["id_attribute"] = json!("entryUUID");
            settings["lock"] = json!("uac");
            // Active Directory's person needs no sn; OpenLDAP's does.
            settings["attributes"] = json!("sn={name.familyName|displayName|userName}");
        }
        json!({ "connector": "ldap", "settings": settings, "secrets": { "password": GATEWAY_PASSWORD } })
    }

    async fn state(&self) -> Value {
        let (class, login) = if self.windows { ("user", "userprincipalname") } else { ("inetOrgPerson", "uid") };
        let mut accounts = Vec::new();
        let mut people = BTreeMap::new();
        for entry in self.slapd.search(&format!("ou=people,{}", self.base), &format!("(objectClass={class})")) {
            let one = single(&entry);
            let locked = if self.windows {
                one["useraccountcontrol"].parse::<u32>().unwrap_or_else(|error| panic!("{one:?}: {error}")) & 2 != 0
            } else {
                one.contains_key("pwdaccountlockedtime")
            };
            let account = json!({
                "id": one["entryuuid"], "login": one[login], "email": one.get("mail"), "active": !locked,
                "addresses": values(&entry, "mail"),
                "shown": {
                    "/displayName": one.get("displayname"), "/name/familyName": one.get("sn"),
                    "/name/givenName": one.get("givenname"), "/title": one.get("title"),
                },
            });
            people.insert(one["dn"].to_lowercase(), account.clone());
            accounts.push(account);
        }
        let class = if self.windows { "group" } else { "groupOfNames" };
        let groups = self.slapd.search(&format!("ou=groups,{}", self.base), &format!("(objectClass={class})"));
        let groups: Vec<Value> = groups
            .iter()
            .map(|entry| {
                let members = values(entry, "member").into_iter().map(str::to_lowercase);
                let members = members.filter(|member| !member.starts_with("cn=nobody"));
                let members: Vec<Value> = members
                    .map(|dn| people.get(&dn).cloned().unwrap_or_else(|| json!({ "id": format!("dangling {dn}") })))
                    .collect();
                json!({ "name": single(entry)["cn"], "members": members })
            })
            .collect();
        json!({ "accounts": accounts, "invitations": [], "groups": groups })
    }
}

async fn everyone(title: &str, options: Options) {
    let Some(facts) = facts(title) else { return };
    if !installed() {
        return;
    }
    let slapd = Slapd::start(options);
    let gateway = Gateway::start(Db::Sqlite).await;
    for client in CLIENTS {
        let branch = Branch::new(&slapd, client.0, options.active_directory);
        check(&facts, &gateway, (title, &branch), NOTHING, client).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_every_client_asks_for_is_at_openldap() {
    everyone("OpenLDAP", Options { overlays: true, ..Options::default() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_every_client_asks_for_is_in_active_directorys_attributes() {
    everyone("Active Directory's attributes", Options { active_directory: true, ..Options::default() }).await;
}
