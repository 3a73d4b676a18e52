//! A real domain controller: Samba's, provisioned into a folder of its own and run as a plain process on a loopback
//! address of its own. LDAP's ports cannot be chosen there, so it takes who may bind them.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use base64::Engine as _;
use connector_sdk::kit::{self, Subject, World};
use connector_sdk::{Call, Connector, Fault, FaultKind, Person, Reply, Step, Transport, Work};
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::slapd::certificates;
use crate::world::{build, calls};

const DOMAIN: &str = "DC=corp,DC=example";
const BRANCH: &str = "OU=kit,DC=corp,DC=example";
const ADMIN: &str = "Administrator@corp.example";
const ADMIN_PASSWORD: &str = "Adm1n-Passw0rd";
const GATEWAY: &str = "gateway@corp.example";
const GATEWAY_PASSWORD: &str = "Gateway-Passw0rd-1";

/// A running domain controller.
struct Samba {
    child: Child,
    folder: TempDir,
    address: Ipv4Addr,
    ca: String,
}

impl Drop for Samba {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Samba {
    /// `None` where there is no Samba, or its ports may not be bound; says so.
    fn start() -> Option<Self> {
        if !Path::new("/usr/sbin/samba").exists() || !Path::new("/usr/share/samba/setup").exists() {
            println!("skipped: Samba's domain controller is not installed (samba-ad-dc, samba-ad-provision)");
            return None;
        }
        let free =
            |address: &Ipv4Addr| [389, 636, 3268, 3269].iter().all(|port| TcpListener::bind((*address, *port)).is_ok());
        let own = u8::try_from(std::process::id() % 200).unwrap_or_default();
        let Some(address) = (1..200).map(|last| Ipv4Addr::new(127, 77, own, last)).find(free) else {
            println!("skipped: port 389 of no loopback address may be bound");
            return None;
        };
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().display().to_string();
        let ca = certificates(folder.path(), &address.to_string());
        let output = Command::new("samba-tool")
            .args([
                "domain",
                "provision",
                "--realm=CORP.EXAMPLE",
                "--domain=CORP",
                "--server-role=dc",
                "--dns-backend=NONE",
                "--host-name=dc1",
            ])
            .args([&format!("--targetdir={place}"), &format!("--adminpass={ADMIN_PASSWORD}")])
            .arg(format!("--option=posix:eadb={place}/eadb.tdb"))
            .stdin(Stdio::null())
            .output()
            .expect("samba-tool can be run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let conf = folder.path().join("run.conf");
        let text = format!(
            "[global]\nnetbios name = DC1\nrealm = CORP.EXAMPLE\nworkgroup = CORP\n\
             server role = active directory domain controller\nserver services = ldap\n\
             interfaces = {address}/8\nbind interfaces only = yes\ndisable netbios = yes\n\
             private dir = {place}/private\nlock directory = {place}\nstate directory = {place}/state\n\
             cache directory = {place}/cache\npid directory = {place}\nncalrpc dir = {place}/ncalrpc\n\
             binddns dir = {place}/bind-dns\nlog file = {place}/log\nposix:eadb = {place}/eadb.tdb\n\
             tls cafile = {place}/ca.pem\ntls certfile = {place}/cert.pem\ntls keyfile = {place}/key.pem\n"
        );
        std::fs::write(&conf, text).expect("a file");
        let child = Command::new("/usr/sbin/samba")
            .args(["-i", "-M", "single", "-s"])
            .arg(&conf)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("samba can be run");
        let mut samba = Self { child, folder, address, ca };
        let until = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect((address, 636)).is_err() {
            assert!(samba.child.try_wait().expect("a child").is_none(), "samba ended");
            assert!(Instant::now() < until, "samba does not listen");
            std::thread::yield_now();
        }
        Some(samba)
    }

    fn tool(&self, name: &str, args: &[&str], input: &str) -> (bool, String) {
        let mut child = Command::new(name)
            .args(["-x", "-H", &format!("ldaps://{}/", self.address), "-D", ADMIN, "-w", ADMIN_PASSWORD])
            .args(args)
            .env("LDAPTLS_CACERT", self.folder.path().join("ca.pem"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a tool of ldap-utils can be run");
        let mut stdin = child.stdin.take().expect("a pipe");
        let input = input.to_owned();
        let writer = std::thread::spawn(move || {
            let _ = stdin.write_all(input.as_bytes());
        });
        let output = child.wait_with_output().expect("an end");
        writer.join().expect("a writer");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.success(), said + &String::from_utf8_lossy(&output.stderr))
    }

    fn change(&self, ldif: &str) {
        let (ok, said) = self.tool("ldapmodify", &[], ldif);
        assert!(ok, "{said}");
    }

    /// Entries as lists of attributes and values; binary ones as base64.
    fn search(&self, filter: &str) -> Vec<Vec<(String, String)>> {
        let wanted = ["objectGUID", "userPrincipalName", "mail", "userAccountControl", "member", "cn", "objectClass"];
        let mut args = vec!["-LLL", "-o", "ldif-wrap=no", "-E", "pr=500/noprompt", "-b", BRANCH, filter];
        args.extend(wanted);
        let (ok, said) = self.tool("ldapsearch", &args, "");
        assert!(ok, "{said}");
        let blocks = said.split("\n\n").map(|block| {
            let lines = block.lines().filter_map(|line| line.split_once(": "));
            lines.map(|(name, value)| (name.trim_end_matches(':').to_owned(), value.to_owned())).collect::<Vec<_>>()
        });
        blocks.filter(|entry| entry.iter().any(|(name, _)| name == "dn")).collect()
    }

    /// An empty branch with the gateway's account in it.
    fn clear(&self) {
        let _ = self.tool("ldapdelete", &["-r", BRANCH], "");
        self.change(&format!(
            "dn: {BRANCH}\nchangetype: add\nobjectClass: organizationalUnit\n\n\
             dn: OU=people,{BRANCH}\nchangetype: add\nobjectClass: organizationalUnit\n\n\
             dn: OU=groups,{BRANCH}\nchangetype: add\nobjectClass: organizationalUnit\n\n\
             dn: CN=gateway,OU=people,{BRANCH}\nchangetype: add\nobjectClass: user\nsAMAccountName: gateway\nuserPrincipalName: {GATEWAY}\nuserAccountControl: 512\nunicodePwd:: {}\n\n\
             dn: CN=Domain Admins,CN=Users,{DOMAIN}\nchangetype: modify\nadd: member\nmember: CN=gateway,OU=people,{BRANCH}\n",
            unicode(GATEWAY_PASSWORD)
        ));
    }
}

/// A password as the directory takes it.
fn unicode(password: &str) -> String {
    let bytes: Vec<u8> = format!("\"{password}\"").encode_utf16().flat_map(u16::to_le_bytes).collect();
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn one<'a>(entry: &'a [(String, String)], name: &str) -> Option<&'a str> {
    entry.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

fn guid(entry: &[(String, String)]) -> String {
    const ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    let bytes =
        base64::engine::general_purpose::STANDARD.decode(one(entry, "objectGUID").expect("a GUID")).expect("base64");
    let digits: Vec<String> = ORDER.iter().map(|place| format!("{:02x}", bytes[*place])).collect();
    [&digits[..4], &digits[4..6], &digits[6..8], &digits[8..10], &digits[10..]].map(|part| part.concat()).join("-")
}

struct Forest {
    samba: Arc<Samba>,
    loaded: Mutex<(usize, usize)>,
}

impl Forest {
    fn subject(samba: &Arc<Samba>) -> Subject {
        samba.clear();
        let settings = json!({
            "url": format!("ldaps://{}", samba.address), "ca": samba.ca, "bind_dn": GATEWAY,
            "directory": "active_directory", "page_size": 100,
            "user_base": format!("OU=people,{BRANCH}"), "group_base": format!("OU=groups,{BRANCH}"),
        });
        let connector: Arc<dyn Connector> = build(&settings, GATEWAY_PASSWORD);
        let forest = Arc::new(Self { samba: Arc::clone(samba), loaded: Mutex::default() });
        Subject {
            connector,
            transport: Arc::clone(&forest) as Arc<dyn Transport>,
            world: forest,
            secrets: vec![GATEWAY_PASSWORD.to_owned()],
            calls: calls(),
        }
    }

    fn state(&self) -> Value {
        let mut accounts = Vec::new();
        let mut by_name = std::collections::BTreeMap::new();
        for entry in self.samba.search("(objectClass=user)") {
            let control: u32 = one(&entry, "userAccountControl").and_then(|text| text.parse().ok()).unwrap_or_default();
            let account = json!({
                "id": guid(&entry), "login": one(&entry, "userPrincipalName"), "email": one(&entry, "mail"),
                "active": control & 2 == 0, "role": null,
            });
            by_name.insert(one(&entry, "dn").unwrap_or_default().to_lowercase(), account.clone());
            if account["login"] != GATEWAY {
                accounts.push(account);
            }
        }
        let groups: Vec<Value> = self
            .samba
            .search("(objectClass=group)")
            .iter()
            .map(|entry| {
                let members = entry.iter().filter(|(name, _)| name.eq_ignore_ascii_case("member"));
                let members: Vec<Value> = members.map(|(_, dn)| by_name[&dn.to_lowercase()].clone()).collect();
                json!({ "id": guid(entry), "name": one(entry, "cn"), "members": members })
            })
            .collect();
        json!({ "accounts": accounts, "invitations": [], "groups": groups })
    }

    fn load(&self, accounts: usize, groups: usize) {
        let mut loaded = self.loaded.lock().expect("a lock");
        let mut ldif = String::new();
        for number in loaded.0..accounts.max(loaded.0) {
            let name = format!("load{number:04}");
            ldif += &format!(
                "dn: CN={name},OU=people,{BRANCH}\nchangetype: add\nobjectClass: user\nuserPrincipalName: {name}@example.com\nsAMAccountName: {name}\nmail: {name}@example.com\nuserAccountControl: 544\n\n"
            );
        }
        for number in loaded.1..groups.max(loaded.1) {
            ldif += &format!(
                "dn: CN=group{number:04},OU=groups,{BRANCH}\nchangetype: add\nobjectClass: group\nsAMAccountName: group{number:04}\n\n"
            );
        }
        *loaded = (accounts.max(loaded.0), groups.max(loaded.1));
        if !ldif.is_empty() {
            self.samba.change(&ldif);
        }
    }
}

#[async_trait]
impl Transport for Forest {
    async fn send(&self, call: Call) -> Result<Reply, Fault> {
        Err(Fault::new(FaultKind::NotSent, format!("{} is no step", call.name)))
    }

    async fn addresses(&self, _host: &str, port: u16) -> Result<Vec<SocketAddr>, Fault> {
        Ok(vec![SocketAddr::from((self.samba.address, port))])
    }

    async fn perform(&self, step: Step, work: Work<'_>) -> Result<(), Fault> {
        match tokio::time::timeout(Duration::from_secs(60), work).await {
            Ok(done) => done.result,
            Err(_) => panic!("{} does not end", step.name),
        }
    }
}

#[async_trait]
impl World for Forest {
    async fn control(&self, method: &str, path: &str, body: Value) -> Result<Value, String> {
        match (method, path) {
            ("GET", "/_sim/state") => Ok(self.state()),
            ("POST", "/_sim/load") => {
                let count = |name: &str| usize::try_from(body[name].as_u64().unwrap_or_default()).unwrap_or_default();
                self.load(count("accounts"), count("groups"));
                Ok(Value::Null)
            }
            _ => Err(format!("Samba has no {method} {path}")),
        }
    }

    fn now(&self) -> Timestamp {
        "2026-01-02T03:04:05Z".parse().expect("a time")
    }

    async fn person(&self, name: &str) -> Result<Person, String> {
        let mut person = Person::named(format!("{name}@kit.example"));
        person.email = Some(person.user_name.clone());
        person.display_name = Some(format!("Kit {name}"));
        Ok(person)
    }

    async fn revoke_credential(&self) -> Result<(), String> {
        self.samba.change(&format!(
            "dn: CN=gateway,OU=people,{BRANCH}\nchangetype: modify\nreplace: unicodePwd\nunicodePwd:: {}\n",
            unicode("An0ther-Passw0rd")
        ));
        Ok(())
    }
}

#[tokio::test]
async fn a_domain_controller_keeps_the_contract() {
    let Some(samba) = Samba::start() else { return };
    let samba = &Arc::new(samba);
    let report = kit::run(|| async move { Forest::subject(samba) }).await;
    println!("Samba's domain controller\n{report}\n");
    assert!(report.failed.is_empty(), "Samba's domain controller breaks the contract:\n{report}");
    assert!(!report.passed.is_empty(), "nothing was played");
}
