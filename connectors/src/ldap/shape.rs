//! The settings, checked and with the defaults of the kind of server: what entries look like.

use std::sync::Arc;

use connector_sdk::{Person, RemoteId, SettingsError};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use url::{Host, Url};

use super::dn;
use super::filter::{Filter, is_attribute};
use super::message::{Attributes, Entry};
use super::settings::{Directory, GroupClass, Lock, NewPassword, Settings};
use super::template::Template;

/// The time that OpenLDAP's ppolicy takes for a lock by an admin, without end (slapo-ppolicy(5)).
const FOR_EVER: &str = "000001010000Z";

/// How an account is locked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Locking {
    /// Bit 2 of `userAccountControl`.
    Uac,
    /// An attribute that has `locked`, and else `open` or nothing.
    Attribute { name: String, locked: String, open: Option<String> },
    /// Below this branch.
    Move(String),
    /// Not at all: who is deactivated is removed.
    Delete,
}

/// How the id is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IdForm {
    /// As it is.
    Text,
    /// The sixteen bytes of Active Directory's GUIDs, of which the first three fields are little-endian.
    Guid,
}

/// Where the server is and how it is spoken to.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    /// Whether TLS is spoken, and whether it begins by StartTLS.
    pub(super) tls: Option<bool>,
    /// The authorities of the admin; `None`: the system's.
    pub(super) roots: Option<Arc<RootCertStore>>,
    pub(super) bind_dn: String,
}

/// What people look like.
pub(super) struct People {
    pub(super) base: String,
    pub(super) classes: Vec<String>,
    pub(super) filter: Filter,
    pub(super) login: String,
    pub(super) mail: String,
    pub(super) rdn: (String, Template),
    pub(super) attributes: Vec<(String, Template)>,
    pub(super) new_password: NewPassword,
    pub(super) locking: Locking,
}

/// What groups look like.
pub(super) struct Groups {
    pub(super) base: String,
    pub(super) class: GroupClass,
    pub(super) filter: Filter,
    /// The attribute of members.
    pub(super) member: &'static str,
    /// Who is in a group that nobody is in, where a group may not be empty.
    pub(super) placeholder: Option<String>,
    pub(super) gid_min: u32,
}

/// All of it.
pub(super) struct Shape {
    pub(super) directory: Directory,
    pub(super) server: Server,
    pub(super) id: (String, IdForm),
    pub(super) people: People,
    pub(super) groups: Option<Groups>,
    pub(super) page_size: u32,
}

fn wrong<T>(field: &str, message: impl Into<String>) -> Result<T, SettingsError> {
    Err(SettingsError::new(field, message))
}

impl Shape {
    /// Checks the settings.
    pub(super) fn new(settings: &Settings) -> Result<Self, SettingsError> {
        if !(10..=1_000).contains(&settings.page_size) {
            return wrong("page_size", "must be between 10 and 1000");
        }
        let id = attribute(
            "id_attribute",
            settings.id_attribute.as_deref().unwrap_or(match settings.directory {
                Directory::Openldap => "entryUUID",
                Directory::Ds389 => "nsUniqueId",
                Directory::ActiveDirectory => "objectGUID",
            }),
        )?;
        let form = if id.eq_ignore_ascii_case("objectGUID") { IdForm::Guid } else { IdForm::Text };
        Ok(Self {
            directory: settings.directory,
            server: server(settings)?,
            id: (id, form),
            people: people(settings)?,
            groups: settings.group_base.as_deref().map(|base| groups(settings, base)).transpose()?,
            page_size: settings.page_size,
        })
    }

    /// The attributes that are read of people.
    pub(super) fn person_attributes(&self) -> Vec<&str> {
        let people = &self.people;
        let mut all = vec![self.id.0.as_str(), "cn", "displayName", people.login.as_str(), people.mail.as_str()];
        match &people.locking {
            Locking::Uac => all.push("userAccountControl"),
            Locking::Attribute { name, .. } => all.push(name),
            Locking::Move(_) | Locking::Delete => {}
        }
        if self.directory == Directory::ActiveDirectory {
            all.extend(["sAMAccountName", "userPrincipalName"]);
        }
        all
    }

    /// The branches in which people are.
    pub(super) fn user_bases(&self) -> Vec<&str> {
        match &self.people.locking {
            Locking::Move(base) if !dn::within(base, &self.people.base) => vec![&self.people.base, base],
            _ => vec![&self.people.base],
        }
    }

    /// The id of an entry; `None` where the server did not show one.
    pub(super) fn id_of(&self, entry: &Entry) -> Option<RemoteId> {
        let (name, form) = &self.id;
        match form {
            IdForm::Text => entry.text(name).filter(|text| !text.is_empty()).map(RemoteId::new),
            IdForm::Guid => entry.bytes(name).and_then(guid_text).map(RemoteId::new),
        }
    }

    /// The filter that finds an id; `None` where it can be none of this server's.
    pub(super) fn by_id(&self, id: &RemoteId) -> Option<Filter> {
        let (name, form) = &self.id;
        match form {
            IdForm::Text => Some(Filter::equal(name, id.as_str())),
            IdForm::Guid => guid_bytes(id.as_str()).map(|bytes| Filter::equal(name, bytes)),
        }
    }
}

/// The text of a GUID's bytes as Microsoft's tools show it (MS-DTYP, section 2.3.4).
pub(super) fn guid_text(bytes: &[u8]) -> Option<String> {
    const ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    let bytes: [u8; 16] = bytes.try_into().ok()?;
    let mut text = String::with_capacity(36);
    for (at, place) in ORDER.into_iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{:02x}", bytes[place]));
    }
    Some(text)
}

/// The bytes of a GUID's text.
pub(super) fn guid_bytes(text: &str) -> Option<[u8; 16]> {
    const ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| *c != '-')
        .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()))
        .collect::<Option<_>>()?;
    let mut bytes = [0; 16];
    if digits.len() != 32 {
        return None;
    }
    for (place, pair) in ORDER.into_iter().zip(digits.chunks(2)) {
        bytes[place] = pair[0] * 16 + pair[1];
    }
    Some(bytes)
}

fn server(settings: &Settings) -> Result<Server, SettingsError> {
    const FORM: &str = "must be ldaps://HOST[:PORT] or ldap://HOST[:PORT], with nothing after it";
    let url = Url::parse(&settings.url).map_err(|_| SettingsError::new("url", FORM))?;
    let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    if !bare || !url.username().is_empty() || url.password().is_some() {
        return wrong("url", FORM);
    }
    let (port, tls) = match url.scheme() {
        "ldaps" => (636, Some(false)),
        "ldap" => (389, settings.start_tls.then_some(true)),
        _ => return wrong("url", FORM),
    };
    let host = match url.host() {
        Some(Host::Domain(name)) if !name.is_empty() => name.to_ascii_lowercase(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        _ => return wrong("url", FORM),
    };
    if settings.bind_dn.trim().is_empty() {
        // A bind without a name is anonymous, whatever the password (RFC 4513, section 5.1.2).
        return wrong("bind_dn", "is empty");
    }
    Ok(Server {
        host,
        port: url.port().unwrap_or(port),
        tls,
        roots: settings.ca.as_deref().map(roots).transpose()?,
        bind_dn: settings.bind_dn.trim().to_owned(),
    })
}

fn roots(pem: &str) -> Result<Arc<RootCertStore>, SettingsError> {
    let mut store = RootCertStore::empty();
    for one in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let added =
            one.map_err(|error| error.to_string()).and_then(|one| store.add(one).map_err(|error| error.to_string()));
        if let Err(why) = added {
            return wrong("ca", format!("holds a certificate that cannot be read: {why}"));
        }
    }
    if store.is_empty() {
        return wrong("ca", "holds no certificate: give it in PEM, beginning with -----BEGIN CERTIFICATE-----");
    }
    Ok(Arc::new(store))
}

impl Server {
    /// What TLS goes by. Certificates are always verified.
    pub(super) fn tls_config(&self) -> Result<Arc<ClientConfig>, String> {
        use rustls_platform_verifier::BuilderVerifierExt;

        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let config = match &self.roots {
            Some(roots) => builder.with_root_certificates(Arc::clone(roots)),
            None => builder.with_platform_verifier().map_err(|error| error.to_string())?,
        };
        Ok(Arc::new(config.with_no_client_auth()))
    }
}

fn attribute(field: &str, name: &str) -> Result<String, SettingsError> {
    let name = name.trim();
    if is_attribute(name) { Ok(name.to_owned()) } else { wrong(field, format!("{name:?} is no name of an attribute")) }
}

fn base(field: &str, text: &str) -> Result<String, SettingsError> {
    match dn::canonical(text) {
        Some(parts) if !parts.is_empty() => Ok(text.trim().to_owned()),
        _ => wrong(field, "must be a distinguished name, such as ou=people,dc=example,dc=com"),
    }
}

fn filter(field: &str, class: &str, given: Option<&str>, usual: Option<Filter>) -> Result<Filter, SettingsError> {
    let mut parts = vec![Filter::equal("objectClass", class)];
    match given {
        Some(text) => parts.push(Filter::read(text).map_err(|why| SettingsError::new(field, why))?),
        None => parts.extend(usual),
    }
    Ok(if parts.len() == 1 { parts.remove(0) } else { Filter::And(parts) })
}

fn people(settings: &Settings) -> Result<People, SettingsError> {
    let ad = settings.directory == Directory::ActiveDirectory;
    let classes: Vec<String> = settings
        .user_classes
        .as_deref()
        .unwrap_or(if ad {
            "top,person,organizationalPerson,user"
        } else {
            "top,person,organizationalPerson,inetOrgPerson"
        })
        .split(',')
        .map(|class| attribute("user_classes", class))
        .collect::<Result<_, _>>()?;
    let class = classes.last().cloned().unwrap_or_default();
    let no_computers = ad.then(|| Filter::Not(Box::new(Filter::equal("objectClass", "computer"))));
    let login = attribute(
        "login_attribute",
        settings.login_attribute.as_deref().unwrap_or(if ad { "userPrincipalName" } else { "uid" }),
    )?;
    let mail = attribute("mail_attribute", &settings.mail_attribute)?;
    let rdn = settings.rdn.as_deref().unwrap_or(if ad { "cn={userName}" } else { "uid={userName}" });
    let Some((name, template)) = rdn.split_once('=') else {
        return wrong("rdn", "must be ATTRIBUTE=TEMPLATE, such as uid={userName}");
    };
    let template = Template::read(template.trim()).map_err(|why| SettingsError::new("rdn", why))?;
    Ok(People {
        base: base("user_base", &settings.user_base)?,
        filter: filter("user_filter", &class, settings.user_filter.as_deref(), no_computers)?,
        attributes: attributes(settings, ad, &login, &mail)?,
        classes,
        login,
        mail,
        rdn: (attribute("rdn", name)?, template),
        new_password: settings.new_password.unwrap_or(if ad { NewPassword::Random } else { NewPassword::None }),
        locking: locking(settings)?,
    })
}

/// The usual attributes (RFC 2798, RFC 4519; Active Directory's schema), changed by the admin's lines.
fn attributes(
    settings: &Settings,
    ad: bool,
    login: &str,
    mail: &str,
) -> Result<Vec<(String, Template)>, SettingsError> {
    let mut all: Vec<(String, &str)> = vec![
        (login.to_owned(), "{userName}"),
        ("cn".to_owned(), "{displayName|userName}"),
        ("givenName".to_owned(), "{name.givenName}"),
        ("displayName".to_owned(), "{displayName}"),
        (mail.to_owned(), "{emails}"),
        ("title".to_owned(), "{title}"),
        ("employeeNumber".to_owned(), "{externalId}"),
        ("employeeType".to_owned(), "{userType}"),
        ("preferredLanguage".to_owned(), "{preferredLanguage}"),
    ];
    if ad {
        all.extend([("sAMAccountName".to_owned(), "{userName:local}"), ("sn".to_owned(), "{name.familyName}")]);
        // Single-valued there.
        all.retain(|(name, _)| name != mail && name != "preferredLanguage");
        all.push((mail.to_owned(), "{email}"));
    } else {
        all.push(("sn".to_owned(), "{name.familyName|displayName|userName}"));
    }
    let mut read = Vec::new();
    for (name, template) in all {
        read.push((name, Template::read(template).map_err(|why| SettingsError::new("attributes", why))?));
    }
    for line in
        settings.attributes.as_deref().unwrap_or_default().lines().map(str::trim).filter(|line| !line.is_empty())
    {
        let Some((name, template)) = line.split_once('=') else {
            return wrong("attributes", format!("the line {line:?} is not ATTRIBUTE=TEMPLATE"));
        };
        let name = attribute("attributes", name)?;
        read.retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
        if !template.trim().is_empty() {
            let template = Template::read(template.trim()).map_err(|why| SettingsError::new("attributes", why))?;
            read.push((name, template));
        }
    }
    Ok(read)
}

fn locking(settings: &Settings) -> Result<Locking, SettingsError> {
    let lock = match (settings.lock, settings.directory) {
        (Some(lock), _) => lock,
        (None, Directory::ActiveDirectory) => Lock::Uac,
        (None, Directory::Ds389) => Lock::NsAccountLock,
        (None, Directory::Openldap) => {
            return wrong(
                "lock",
                "must be chosen for OpenLDAP: pwd_account_locked_time (with the ppolicy overlay), attribute, move or delete",
            );
        }
    };
    let of =
        |name: &str, locked: &str| Locking::Attribute { name: name.to_owned(), locked: locked.to_owned(), open: None };
    Ok(match lock {
        Lock::Uac => Locking::Uac,
        Lock::PwdAccountLockedTime => of("pwdAccountLockedTime", FOR_EVER),
        Lock::NsAccountLock => of("nsAccountLock", "true"),
        Lock::Delete => Locking::Delete,
        Lock::Attribute => {
            let Some(name) = settings.lock_attribute.as_deref() else {
                return wrong("lock_attribute", "is required where lock is attribute");
            };
            let Some(locked) = settings.lock_value.clone().filter(|value| !value.is_empty()) else {
                return wrong("lock_value", "is required where lock is attribute");
            };
            let open = settings.unlock_value.clone().filter(|value| !value.is_empty());
            if open.as_deref().is_some_and(|open| open.eq_ignore_ascii_case(&locked)) {
                return wrong("unlock_value", "is the same as lock_value");
            }
            Locking::Attribute { name: attribute("lock_attribute", name)?, locked, open }
        }
        Lock::Move => {
            let Some(place) = settings.lock_base.as_deref() else {
                return wrong("lock_base", "is required where lock is move");
            };
            let place = base("lock_base", place)?;
            if dn::within(&settings.user_base, &place) {
                return wrong("lock_base", "may not be the branch of people or stand above it");
            }
            Locking::Move(place)
        }
    })
}

fn groups(settings: &Settings, branch: &str) -> Result<Groups, SettingsError> {
    let class = settings.group_class.unwrap_or(match settings.directory {
        Directory::ActiveDirectory => GroupClass::Group,
        Directory::Openldap | Directory::Ds389 => GroupClass::GroupOfNames,
    });
    let (name, member, never_empty) = match class {
        GroupClass::GroupOfNames => ("groupOfNames", "member", true),
        GroupClass::GroupOfUniqueNames => ("groupOfUniqueNames", "uniqueMember", true),
        GroupClass::PosixGroup => ("posixGroup", "memberUid", false),
        GroupClass::Group => ("group", "member", false),
    };
    let branch = base("group_base", branch)?;
    let placeholder = match settings.placeholder_member.as_deref() {
        _ if !never_empty => None,
        Some(given) => Some(base("placeholder_member", given)?),
        None => Some(format!("cn=nobody,{branch}")),
    };
    Ok(Groups {
        filter: filter("group_filter", name, settings.group_filter.as_deref(), None)?,
        base: branch,
        class,
        member,
        placeholder,
        gid_min: settings.gid_min,
    })
}

impl People {
    /// The name and attributes of a new entry.
    ///
    /// # Errors
    /// What is missing, for the admin.
    pub(super) fn entry(&self, who: &Person) -> Result<(String, Attributes), String> {
        let (rdn_name, rdn_template) = &self.rdn;
        let Some(rdn_value) = rdn_template.value(who) else {
            return Err(format!("the person has nothing that the entry could be named by ({rdn_name})"));
        };
        let mut attributes: Attributes =
            vec![("objectClass".to_owned(), self.classes.iter().map(|class| class.clone().into_bytes()).collect())];
        for (name, template) in &self.attributes {
            let values: Vec<Vec<u8>> = template.values(who).into_iter().map(String::into_bytes).collect();
            if !values.is_empty() {
                attributes.push((name.clone(), values));
            }
        }
        // The naming value must be among the attribute's; a plain `cn` gives way to it.
        match attributes.iter_mut().find(|(name, _)| name.eq_ignore_ascii_case(rdn_name)) {
            Some((_, values)) => *values = vec![rdn_value.clone().into_bytes()],
            None => attributes.push((rdn_name.clone(), vec![rdn_value.clone().into_bytes()])),
        }
        if attributes.iter().all(|(name, _)| !name.eq_ignore_ascii_case(&self.login)) {
            return Err(format!("the person has nothing for {}", self.login));
        }
        Ok((format!("{rdn_name}={},{}", dn::escape(&rdn_value), self.base), attributes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guid_reads_as_microsofts_tools_show_it() {
        let bytes = [0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF];
        let text = "00112233-4455-6677-8899-aabbccddeeff";
        assert_eq!(guid_text(&bytes).as_deref(), Some(text));
        assert_eq!(guid_bytes(text), Some(bytes));
        assert_eq!((guid_text(&bytes[1..]), guid_bytes("x"), guid_bytes(&text[1..])), (None, None, None));
    }
}
