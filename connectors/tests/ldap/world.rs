//! slapd as the kit's world, and as the way to it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use connector_sdk::kit::{Subject, World};
use connector_sdk::{Call, Connector, Cx, Fault, FaultKind, Person, Reply, Secrets, Step, Transport, Work};
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::slapd::{GATEWAY, GATEWAY_PASSWORD, Options, SUFFIX, Slapd, values};

/// A server with a connector for it.
pub(crate) struct Directory {
    slapd: Mutex<Slapd>,
    pub(crate) connector: Arc<dyn Connector>,
    loaded: Mutex<(usize, usize)>,
    pub(crate) settings: Value,
    /// The host's addresses, where not the server's own.
    pub(crate) port: Mutex<u16>,
    pub(crate) plain: bool,
    /// The steps that were taken, and the time.
    pub(crate) steps: Mutex<Vec<&'static str>>,
    pub(crate) now: Mutex<Timestamp>,
}

/// How the connector speaks to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Ldaps,
    StartTls,
    Plain,
}

pub(crate) fn settings(slapd: &Slapd, wire: Wire, more: &Value) -> Value {
    let mut all = json!({
        "bind_dn": GATEWAY,
        "user_base": format!("ou=people,{SUFFIX}"),
        "group_base": format!("ou=groups,{SUFFIX}"),
        "ca": slapd.ca,
        "page_size": 100,
        "lock": "attribute",
        "lock_attribute": "employeeType",
        "lock_value": "locked",
    });
    all["url"] = match wire {
        Wire::Ldaps => format!("ldaps://127.0.0.1:{}", slapd.tls_port),
        Wire::StartTls | Wire::Plain => format!("ldap://127.0.0.1:{}", slapd.port),
    }
    .into();
    all["start_tls"] = (wire != Wire::Plain).into();
    for (name, value) in more.as_object().into_iter().flatten() {
        all[name] = value.clone();
    }
    all
}

fn entry() -> connector_sdk::Entry {
    connectors::builtin().into_iter().find(|entry| entry.name == "ldap").expect("it is built in")
}

pub(crate) fn build(settings: &Value, password: &str) -> Arc<dyn Connector> {
    let secrets = Secrets::new([("password".to_owned(), SecretString::from(password.to_owned()))]);
    entry().build(settings, &secrets).expect("the settings are sound")
}

impl Directory {
    pub(crate) fn new(options: Options, wire: Wire, more: &Value) -> Arc<Self> {
        let slapd = Slapd::start(options);
        let settings = settings(&slapd, wire, more);
        let connector = build(&settings, GATEWAY_PASSWORD);
        let port = if wire == Wire::Ldaps { slapd.tls_port } else { slapd.port };
        Arc::new(Self {
            slapd: Mutex::new(slapd),
            connector,
            loaded: Mutex::default(),
            settings,
            port: Mutex::new(port),
            plain: wire == Wire::Plain,
            steps: Mutex::default(),
            now: Mutex::new("2026-01-02T03:04:05Z".parse().expect("a time")),
        })
    }

    /// The server itself.
    pub(crate) fn server(&self) -> MutexGuard<'_, Slapd> {
        self.slapd.lock().expect("a lock")
    }

    pub(crate) fn cx(&self) -> Cx<'_> {
        Cx::new(self, *self.now.lock().expect("a lock"))
    }

    pub(crate) fn subject(this: &Arc<Self>) -> Subject {
        Subject {
            connector: Arc::clone(&this.connector),
            transport: Arc::clone(this) as Arc<dyn Transport>,
            world: Arc::clone(this) as Arc<dyn World>,
            secrets: vec![GATEWAY_PASSWORD.to_owned()],
            calls: entry().about.calls,
        }
    }

    fn is(&self, setting: &str, value: &str) -> bool {
        self.settings[setting] == value
    }

    fn is_active(&self, entry: &[(String, String)]) -> bool {
        let has = |name: &str, value: &str| values(entry, name).contains(&value);
        if self.is("lock", "move") {
            !values(entry, "dn")[0].ends_with(&format!("ou=locked,{SUFFIX}"))
        } else if self.is("lock", "uac") {
            !has("userAccountControl", "514")
        } else if self.is("lock", "pwd_account_locked_time") {
            !has("pwdAccountLockedTime", "000001010000Z")
        } else {
            !has("employeeType", "locked")
        }
    }

    fn state(&self) -> Value {
        let people = self.server().search(SUFFIX, "(|(objectClass=inetOrgPerson)(objectClass=user))");
        let ad = self.is("directory", "active_directory");
        let login = if ad { "userPrincipalName" } else { "uid" };
        let mut accounts = Vec::new();
        let mut by_name = BTreeMap::new();
        for entry in &people {
            let one = |name: &str| values(entry, name).first().map(|value| (*value).to_owned());
            let dn = one("dn").expect("a name");
            let account = json!({
                "id": one("entryUUID"), "login": one(login), "email": one("mail"), "active": self.is_active(entry),
                "role": null,
            });
            by_name.insert(dn.to_lowercase(), account.clone());
            by_name.insert(one(login).unwrap_or_default(), account.clone());
            if dn != GATEWAY {
                accounts.push(account);
            }
        }
        let classes =
            "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)(objectClass=posixGroup)(objectClass=group))";
        let groups: Vec<Value> = self
            .server()
            .search(&format!("ou=groups,{SUFFIX}"), classes)
            .iter()
            .map(|entry| {
                let members = ["member", "uniqueMember", "memberUid"].iter().flat_map(|name| values(entry, name));
                let members: Vec<Value> = members
                    .filter(|member| !member.to_lowercase().starts_with("cn=nobody"))
                    .map(|member| {
                        let known = by_name.get(&member.to_lowercase()).or_else(|| by_name.get(member));
                        known.cloned().unwrap_or_else(|| json!({ "id": format!("dangling {member}") }))
                    })
                    .collect();
                json!({ "id": values(entry, "entryUUID")[0], "name": values(entry, "cn")[0], "members": members })
            })
            .collect();
        json!({ "accounts": accounts, "invitations": [], "groups": groups })
    }

    pub(crate) fn load(&self, accounts: usize, groups: usize) {
        let mut loaded = self.loaded.lock().expect("a lock");
        let mut ldif = String::new();
        for number in loaded.0..accounts.max(loaded.0) {
            let name = format!("load{number:04}@example.com");
            if self.is("directory", "active_directory") {
                ldif += &format!(
                    "dn: cn={name},ou=people,{SUFFIX}\nobjectClass: user\ncn: {name}\nsn: Load\nuserPrincipalName: {name}\nsAMAccountName: load{number:04}\nuserAccountControl: 512\nmail: {name}\n\n"
                );
            } else {
                ldif += &format!(
                    "dn: uid={name},ou=people,{SUFFIX}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: Load {number}\nsn: Load\nmail: {name}\n\n"
                );
            }
        }
        let (class, rest) = match self.settings["group_class"].as_str() {
            Some("groupOfUniqueNames") => ("groupOfUniqueNames", "uniqueMember: cn=nobody\n".to_owned()),
            Some("posixGroup") => ("posixGroup", String::new()),
            _ if self.is("directory", "active_directory") => ("group", "groupType: -2147483646\n".to_owned()),
            _ => ("groupOfNames", "member: cn=nobody\n".to_owned()),
        };
        for number in loaded.1..groups.max(loaded.1) {
            let gid = if class == "posixGroup" { format!("gidNumber: {}\n", 20_000 + number) } else { String::new() };
            ldif += &format!(
                "dn: cn=load{number:04},ou=groups,{SUFFIX}\nobjectClass: {class}\ncn: load{number:04}\n{rest}{gid}\n"
            );
        }
        *loaded = (accounts.max(loaded.0), groups.max(loaded.1));
        if !ldif.is_empty() {
            self.server().add(&ldif);
        }
    }
}

#[async_trait]
impl Transport for Directory {
    async fn send(&self, call: Call) -> Result<Reply, Fault> {
        Err(Fault::new(FaultKind::NotSent, format!("{} is no step", call.name)))
    }

    async fn addresses(&self, _host: &str, _port: u16) -> Result<Vec<SocketAddr>, Fault> {
        Ok(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, *self.port.lock().expect("a lock")))])
    }

    fn allows_plain(&self) -> bool {
        self.plain
    }

    async fn perform(&self, step: Step, work: Work<'_>) -> Result<(), Fault> {
        self.steps.lock().expect("a lock").push(step.name);
        match tokio::time::timeout(Duration::from_secs(20), work).await {
            Ok(done) => done.result,
            Err(_) => panic!("{} does not end", step.name),
        }
    }
}

#[async_trait]
impl World for Directory {
    async fn control(&self, method: &str, path: &str, body: Value) -> Result<Value, String> {
        match (method, path) {
            ("GET", "/_sim/state") => Ok(self.state()),
            ("POST", "/_sim/load") => {
                let count = |name: &str| usize::try_from(body[name].as_u64().unwrap_or_default()).unwrap_or_default();
                self.load(count("accounts"), count("groups"));
                Ok(Value::Null)
            }
            _ => Err(format!("slapd has no {method} {path}")),
        }
    }

    fn now(&self) -> Timestamp {
        *self.now.lock().expect("a lock")
    }

    async fn person(&self, name: &str) -> Result<Person, String> {
        let mut person = Person::named(format!("{name}@kit.example"));
        person.email = Some(person.user_name.clone());
        person.display_name = Some(format!("Kit {name}"));
        Ok(person)
    }

    async fn revoke_credential(&self) -> Result<(), String> {
        self.server()
            .modify(&format!("dn: {GATEWAY}\nchangetype: modify\nreplace: userPassword\nuserPassword: another\n"));
        Ok(())
    }
}
