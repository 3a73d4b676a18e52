//! A real slapd, started by the test on free loopback ports in a folder of its own, and ended with it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use tempfile::TempDir;

use crate::certificates::certificates;

pub(crate) const SUFFIX: &str = "dc=kit,dc=example";
pub(crate) const ADMIN: &str = "cn=admin,dc=kit,dc=example";
pub(crate) const ADMIN_PASSWORD: &str = "adm1n-passw0rd";
pub(crate) const GATEWAY: &str = "uid=gateway,ou=people,dc=kit,dc=example";
pub(crate) const GATEWAY_PASSWORD: &str = "g4teway-passw0rd";
const SLAPD: &str = "/usr/sbin/slapd";

/// What the server is like.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    /// With the overlays ppolicy, memberof and refint.
    pub(crate) overlays: bool,
    /// With Active Directory's attributes and classes.
    pub(crate) active_directory: bool,
    /// Lines before the database's configuration.
    pub(crate) global: &'static str,
    /// Further lines of the database's configuration.
    pub(crate) more: &'static str,
}

/// A running slapd.
pub(crate) struct Slapd {
    child: Child,
    folder: TempDir,
    pub(crate) port: u16,
    pub(crate) tls_port: u16,
    /// The certificate of the authority that signed the server's, in PEM.
    pub(crate) ca: String,
}

impl Drop for Slapd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether slapd is installed; says so where it is not.
pub(crate) fn installed() -> bool {
    let there = Path::new(SLAPD).exists();
    if !there {
        println!("skipped: slapd and ldap-utils are not installed");
    }
    there
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

fn config(folder: &Path, options: Options) -> String {
    let place = folder.display();
    let mut text = String::new();
    for schema in ["core", "cosine", "nis", "inetorgperson"] {
        text += &format!("include /etc/ldap/schema/{schema}.schema\n");
    }
    if options.active_directory {
        text += include_str!("active_directory.schema");
    }
    text += "modulepath /usr/lib/ldap\nmoduleload back_mdb\n";
    if options.overlays {
        text += "moduleload ppolicy\nmoduleload memberof\nmoduleload refint\n";
    }
    text += options.global;
    text += &format!(
        "pidfile {place}/pid\nTLSCertificateFile {place}/cert.pem\nTLSCertificateKeyFile {place}/key.pem\n\
         database mdb\nsuffix \"{SUFFIX}\"\nrootdn \"{ADMIN}\"\nrootpw {ADMIN_PASSWORD}\ndirectory {place}/data\n\
         maxsize 268435456\ndbnosync\nindex objectClass,entryUUID,uid,mail,cn,member,uniqueMember,memberUid eq\n\
         access to attrs=userPassword by dn.exact=\"{GATEWAY}\" write by anonymous auth by * none\n\
         access to * by dn.exact=\"{GATEWAY}\" write by * none\n{}\n",
        options.more
    );
    if !options.more.contains("limits") {
        text += &format!("limits dn.exact=\"{GATEWAY}\" size=unlimited size.prtotal=unlimited\n");
    }
    if options.overlays {
        text += "overlay ppolicy\noverlay memberof\noverlay refint\nrefint_attributes member uniqueMember\n\
                 refint_nothing cn=nobody\n";
    }
    text
}

/// Starts it and waits until it serves; `None` where it ended instead.
fn run(folder: &Path, port: u16, tls_port: u16) -> Option<Child> {
    let mut child = Command::new(SLAPD)
        .args(["-d", "none", "-f"])
        .arg(folder.join("slapd.conf"))
        .args(["-h", &format!("ldap://127.0.0.1:{port}/ ldaps://127.0.0.1:{tls_port}/")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("slapd can be run");
    let mut said = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut all = String::new();
    loop {
        let mut line = String::new();
        if said.read_line(&mut line).unwrap_or_default() == 0 {
            let _ = child.wait();
            println!("slapd ended:\n{all}");
            return None;
        }
        all += &line;
        if line.contains("slapd starting") {
            break;
        }
    }
    // What it says later would fill the pipe.
    std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
    // It says so a moment before it listens.
    let until = Instant::now() + Duration::from_secs(20);
    while [port, tls_port].iter().any(|port| TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).is_err()) {
        assert!(Instant::now() < until, "slapd does not listen");
        std::thread::yield_now();
    }
    Some(child)
}

impl Slapd {
    /// Kills it and starts it again, with the same data at the same place.
    pub(crate) fn restart(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.child = run(self.folder.path(), self.port, self.tls_port).expect("it starts again");
    }

    pub(crate) fn start(options: Options) -> Self {
        for _ in 0..5 {
            if let Some(slapd) = Self::attempt(options) {
                return slapd;
            }
        }
        panic!("slapd does not start");
    }

    fn attempt(options: Options) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("data")).expect("a folder");
        let ca = certificates(folder.path(), &["127.0.0.1", "localhost"]);
        let conf = folder.path().join("slapd.conf");
        std::fs::write(&conf, config(folder.path(), options)).expect("a file");
        let (port, tls_port) = (free_port(), free_port());
        let child = run(folder.path(), port, tls_port)?;
        let slapd = Self { child, folder, port, tls_port, ca };
        slapd.add(&format!(
            "dn: {SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\no: Kit\ndc: kit\n\n\
             dn: ou=people,{SUFFIX}\nobjectClass: organizationalUnit\nou: people\n\n\
             dn: ou=groups,{SUFFIX}\nobjectClass: organizationalUnit\nou: groups\n\n\
             dn: ou=locked,{SUFFIX}\nobjectClass: organizationalUnit\nou: locked\n\n\
             dn: {GATEWAY}\nobjectClass: {}\nuid: gateway\ncn: gateway\nsn: gateway\nuserPassword: {GATEWAY_PASSWORD}\n{}\n",
            if options.active_directory { "user" } else { "inetOrgPerson" },
            if options.active_directory { "userPrincipalName: gateway@kit.example\nuserAccountControl: 512\n" } else { "" },
        ));
        Some(slapd)
    }

    fn tool(&self, name: &str, args: &[&str], input: &str) -> (bool, String) {
        let mut child = Command::new(name)
            .args(["-x", "-H", &format!("ldap://127.0.0.1:{}/", self.port), "-D", ADMIN, "-w", ADMIN_PASSWORD])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} (package ldap-utils) can be run: {error}"));
        let mut stdin = child.stdin.take().expect("a pipe");
        let input = input.to_owned();
        let writer = std::thread::spawn(move || {
            let _ = stdin.write_all(input.as_bytes());
        });
        let output = child.wait_with_output().expect("an end");
        writer.join().expect("a writer");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (
            output.status.success(),
            if output.status.success() { text } else { text + &String::from_utf8_lossy(&output.stderr) },
        )
    }

    /// Adds entries of LDIF.
    pub(crate) fn add(&self, ldif: &str) {
        let (ok, said) = self.tool("ldapadd", &[], ldif);
        assert!(ok, "{said}");
    }

    /// Changes entries by LDIF.
    pub(crate) fn modify(&self, ldif: &str) {
        let (ok, said) = self.tool("ldapmodify", &[], ldif);
        assert!(ok, "{said}");
    }

    /// Entries as lists of attributes and values, the name under `dn`; operational attributes included.
    pub(crate) fn search(&self, base: &str, filter: &str) -> Vec<Vec<(String, String)>> {
        let args = ["-LLL", "-o", "ldif-wrap=no", "-E", "pr=500/noprompt", "-b", base, filter, "*", "+"];
        let (ok, said) = self.tool("ldapsearch", &args, "");
        assert!(ok, "{said}");
        let mut entries = Vec::new();
        let mut entry = Vec::new();
        for line in said.lines() {
            if line.is_empty() {
                if !entry.is_empty() {
                    entries.push(std::mem::take(&mut entry));
                }
            } else if let Some((name, value)) = line.split_once(": ").or_else(|| line.split_once(':')) {
                let plain = match name.strip_suffix(':') {
                    Some(_) => {
                        let bytes = base64::engine::general_purpose::STANDARD.decode(value.trim()).expect("base64");
                        String::from_utf8_lossy(&bytes).into_owned()
                    }
                    None => value.to_owned(),
                };
                entry.push((name.trim_end_matches(':').to_owned(), plain));
            }
        }
        entries.extend((!entry.is_empty()).then_some(entry));
        entries.retain(|entry| entry.iter().any(|(name, _)| name == "dn"));
        entries
    }
}

/// The values of an attribute.
pub(crate) fn values<'a>(entry: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    entry.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect()
}
