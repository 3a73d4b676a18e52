//! Which addresses a target may have. Target URLs come from admins, and listings name further
//! pages by URL: neither may lead the gateway, which stands inside a network, to that network.
//!
//! Two walls: the URL is checked before a call (literal addresses; the `url` crate has turned
//! `0x7f.1` and `2130706433` into addresses by then), and the resolver that the connection itself
//! uses gives out public addresses only, so that a name cannot change its mind in between.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use connector_sdk::{Fault, FaultKind, Retry};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Why an address is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not https.
    Scheme,
    /// It names a user or password.
    UserInfo,
    /// It has no host, or port 0.
    Host,
    /// It is, or resolves only to, addresses that are not public.
    Private,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "it does not begin with https://",
            Self::UserInfo => "it contains a user name or password",
            Self::Host => "it has no host or no port",
            Self::Private => "it is not a public address",
        })
    }
}

impl std::error::Error for Refusal {}

/// Checks what can be seen in a URL.
///
/// # Errors
/// [`Refusal`]. With `allow_private`, plain http and any host pass.
pub fn check_url(url: &Url, allow_private: bool) -> Result<(), Refusal> {
    match url.scheme() {
        "https" => {}
        "http" if allow_private => {}
        _ => return Err(Refusal::Scheme),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Refusal::UserInfo);
    }
    if url.port_or_known_default().is_none_or(|port| port == 0) {
        return Err(Refusal::Host);
    }
    let public = match url.host().ok_or(Refusal::Host)? {
        Host::Ipv4(address) => public_v4(address),
        Host::Ipv6(address) => public_v6(address),
        Host::Domain(name) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            if name.is_empty() {
                return Err(Refusal::Host);
            }
            name != "localhost" && !name.ends_with(".localhost")
        }
    };
    if public || allow_private { Ok(()) } else { Err(Refusal::Private) }
}

/// Whether an address is one of the public internet.
pub fn public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => public_v4(address),
        IpAddr::V6(address) => public_v6(address),
    }
}

/// By IANA's registry of special-purpose IPv4 addresses (RFC 6890 and later).
fn public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(a == 0
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && (c == 0 || c == 2))
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19))
        || (a == 198 && b == 51 && c == 100)
        || (a == 203 && b == 0 && c == 113)
        || a >= 224)
}

/// Only global unicast (2000::/3), less the parts of it that are special or carry an IPv4 address
/// within. That leaves out `::ffff:0:0/96`, `64:ff9b::/96`, unique local, link-local and multicast.
fn public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let global = a & 0xE000 == 0x2000;
    let special = (a == 0x2001 && (b < 0x0200 || b == 0x0DB8)) // protocol assignments with Teredo; documentation
        || a == 0x2002 // 6to4
        || (a == 0x3FFF && b < 0x1000); // documentation
    global && !special
}

/// Looks a name up.
pub(super) type Lookup =
    Arc<dyn Fn(String) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>> + Send + Sync>;

/// The system's resolver.
pub(super) fn system_lookup() -> Lookup {
    Arc::new(|name| Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) }))
}

/// The resolver of the client's connections.
pub(super) struct GuardedResolver {
    pub(super) lookup: Lookup,
    pub(super) allow_private: bool,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let found = (self.lookup)(name.as_str().to_owned());
        let allow_private = self.allow_private;
        Box::pin(async move {
            let allowed = allowed(found.await?, allow_private)?;
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// The addresses that may be used; refused if there are addresses, but none that may be.
pub(super) fn allowed(found: Vec<SocketAddr>, allow_private: bool) -> Result<Vec<SocketAddr>, Refusal> {
    let none_found = found.is_empty();
    let allowed: Vec<_> = found.into_iter().filter(|address| allow_private || public(address.ip())).collect();
    if allowed.is_empty() && !none_found { Err(Refusal::Private) } else { Ok(allowed) }
}

/// The path of a file that is a target: it is there, and links followed it lies below the folder that
/// the operator named. The gateway's own disk is nobody's target otherwise.
pub(super) async fn file(folder: Option<&Path>, name: &str) -> Result<PathBuf, Fault> {
    let refused = |message: String, why: &str| {
        Fault::new(FaultKind::NotSent, message).retry(Retry::AfterOperator).context(format!("file of a target: {why}"))
    };
    let Some(folder) = folder else {
        let message =
            "Files are no targets of this gateway. Its operator can name a folder for them with SCIMGATE_TARGET_FILES.";
        return Err(refused(message.to_owned(), "no folder"));
    };
    let within = async {
        let folder = tokio::fs::canonicalize(folder).await?;
        let path = tokio::fs::canonicalize(folder.join(name)).await?;
        let is_file = tokio::fs::metadata(&path).await?.is_file();
        io::Result::Ok((path.starts_with(&folder) && path != folder && is_file).then_some(path))
    };
    match within.await {
        Ok(Some(path)) => Ok(path),
        Ok(None) => Err(refused(
            format!(
                "{name} is no file below the folder for targets' files. Put the file there; a link that leads out of it does not do."
            ),
            "outside",
        )),
        Err(error) => Err(refused(
            format!("{name} could not be opened below the folder for targets' files: {}.", error.kind()),
            "not readable",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, allow_private: bool, expected: Result<(), Refusal>) {
        let url = Url::parse(url).unwrap();
        assert_eq!(check_url(&url, allow_private), expected, "{url}");
    }

    #[test]
    fn public_https_passes() {
        for url in [
            "https://api.github.com/orgs",
            "https://ghe.example.com:8443/",
            "https://140.82.112.5/",
            "https://[2606:50c0:8000::153]/",
            "https://192.1.2.3/",
            "https://100.128.0.1/",
        ] {
            check(url, false, Ok(()));
        }
    }

    #[test]
    fn addresses_that_are_not_public_are_refused_in_every_spelling() {
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "0x7f.1",
            "127.0.0.1.",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.127.255.255",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "[::]",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:8.8.8.8]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[64:ff9b:1::1]",
            "[fc00::1]",
            "[fd12:3456::1]",
            "[fe80::1]",
            "[fec0::1]",
            "[ff02::1]",
            "[2001:db8::1]",
            "[2001::1]",
            "[2002:7f00:1::]",
            "[100::1]",
            "localhost",
            "LOCALHOST",
            "localhost.",
            "a.localhost",
            "１２７.0.0.1",
        ] {
            check(&format!("https://{host}/"), false, Err(Refusal::Private));
            check(&format!("http://{host}:8080/"), true, Ok(()));
        }
    }

    #[test]
    fn other_schemes_users_and_ports_are_refused() {
        check("http://api.github.com/", false, Err(Refusal::Scheme));
        for (url, refusal) in [
            ("ftp://api.github.com/", Refusal::Scheme),
            ("file:///etc/passwd", Refusal::Scheme),
            ("https://user@api.github.com/", Refusal::UserInfo),
            ("https://:secret@api.github.com/", Refusal::UserInfo),
            ("https://api.github.com:0/", Refusal::Host),
            ("https://./", Refusal::Host),
        ] {
            check(url, false, Err(refusal));
            check(url, true, Err(refusal));
        }
    }

    #[test]
    fn only_public_addresses_of_a_name_are_used() {
        let private: SocketAddr = "10.0.0.1:0".parse().unwrap();
        let public: SocketAddr = "8.8.8.8:0".parse().unwrap();
        assert_eq!(allowed(vec![private, public], false), Ok(vec![public]));
        assert_eq!(allowed(vec![private], false), Err(Refusal::Private));
        assert_eq!(allowed(vec![private], true), Ok(vec![private]));
        assert_eq!(allowed(vec![], false), Ok(vec![]));
    }

    #[tokio::test]
    async fn a_file_is_a_target_only_below_the_folder_that_the_operator_names() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("targets");
        std::fs::create_dir_all(folder.join("hr")).unwrap();
        std::fs::write(folder.join("hr/people.db"), "").unwrap();
        std::fs::write(place.path().join("master.key"), "").unwrap();
        std::os::unix::fs::symlink(place.path().join("master.key"), folder.join("link.db")).unwrap();
        let outside = place.path().join("master.key").display().to_string();
        let refused = async |folder: Option<&Path>, name: &str| {
            let fault = file(folder, name).await.unwrap_err();
            assert_eq!((fault.kind, fault.retry), (FaultKind::NotSent, Retry::AfterOperator), "{name}");
        };
        let found = file(Some(&folder), "hr/people.db").await.unwrap();
        assert!(found.ends_with("targets/hr/people.db"));
        refused(None, "hr/people.db").await;
        for name in ["../master.key", "hr/../../master.key", "link.db", "hr", "", ".", "absent.db", outside.as_str()] {
            refused(Some(&folder), name).await;
        }
    }
}
