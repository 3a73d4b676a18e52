//! What an instance of this connector is told.

use connector_sdk::{Class, Describe, Setting, SettingKind};
use serde::Deserialize;

/// Which server it is; it decides the defaults of most other settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Directory {
    /// OpenLDAP, and what follows the RFCs.
    #[default]
    Openldap,
    /// 389 Directory Server, Red Hat Directory Server, FreeIPA's.
    #[serde(rename = "389ds")]
    Ds389,
    /// Microsoft Active Directory, Samba.
    ActiveDirectory,
}

/// What `active = false` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lock {
    /// Bit 2 of `userAccountControl`.
    Uac,
    /// `pwdAccountLockedTime` of OpenLDAP's ppolicy overlay, for ever.
    PwdAccountLockedTime,
    /// `nsAccountLock` of 389-ds.
    NsAccountLock,
    /// An attribute and values of the admin's choice.
    Attribute,
    /// The entry moves to another branch.
    Move,
    /// The entry is deleted.
    Delete,
}

/// What a group is at the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum GroupClass {
    /// Members by name, at least one (RFC 4519).
    #[serde(rename = "groupOfNames")]
    GroupOfNames,
    /// The same with `uniqueMember`.
    #[serde(rename = "groupOfUniqueNames")]
    GroupOfUniqueNames,
    /// Members by login, a number (RFC 2307).
    #[serde(rename = "posixGroup")]
    PosixGroup,
    /// Active Directory's.
    #[serde(rename = "group")]
    Group,
}

/// What password a new account gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NewPassword {
    /// None.
    None,
    /// One that nobody knows.
    Random,
}

/// The settings of one instance; [`Describe`] says what each means.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The server.
    pub url: String,
    /// Whether an `ldap://` connection becomes TLS.
    #[serde(default = "yes")]
    pub start_tls: bool,
    /// The certificates that may sign the server's.
    pub ca: Option<String>,
    /// Whom the gateway signs in as.
    pub bind_dn: String,
    /// Which server it is.
    #[serde(default)]
    pub directory: Directory,
    /// The branch of people.
    pub user_base: String,
    /// The branch of groups.
    pub group_base: Option<String>,
    /// Which entries below the base are people.
    pub user_filter: Option<String>,
    /// The object classes of new people.
    pub user_classes: Option<String>,
    /// The attribute that holds the userName.
    pub login_attribute: Option<String>,
    /// The attribute that holds addresses.
    #[serde(default = "mail")]
    pub mail_attribute: String,
    /// The name of new entries.
    pub rdn: Option<String>,
    /// Attributes beside the usual.
    pub attributes: Option<String>,
    /// The attribute that never changes.
    pub id_attribute: Option<String>,
    /// The password of new accounts.
    pub new_password: Option<NewPassword>,
    /// What deactivation does.
    pub lock: Option<Lock>,
    /// Of `lock` = `attribute`.
    pub lock_attribute: Option<String>,
    /// Of `lock` = `attribute`.
    pub lock_value: Option<String>,
    /// Of `lock` = `attribute`.
    pub unlock_value: Option<String>,
    /// Of `lock` = `move`.
    pub lock_base: Option<String>,
    /// What a group is.
    pub group_class: Option<GroupClass>,
    /// Which entries below the base are groups.
    pub group_filter: Option<String>,
    /// Who is in a group that nobody is in.
    pub placeholder_member: Option<String>,
    /// The smallest number of a new `posixGroup`.
    #[serde(default = "gid_min")]
    pub gid_min: u32,
    /// Entries per page.
    #[serde(default = "page_size")]
    pub page_size: u32,
}

fn yes() -> bool {
    true
}

fn mail() -> String {
    "mail".to_owned()
}

fn gid_min() -> u32 {
    10_000
}

fn page_size() -> u32 {
    500
}

impl Describe for Settings {
    fn describe() -> Vec<Setting> {
        let mut all = server();
        all.extend(people());
        all.extend(groups());
        all
    }
}

fn server() -> Vec<Setting> {
    vec![
        Setting::new(
            "url",
            "Server",
            "ldaps://HOST[:636], or ldap://HOST[:389]. One writable server, not a name that stands for several: replicas lag behind one another.",
        )
        .class(Class::Identity)
        .required(),
        Setting::new(
            "start_tls",
            "StartTLS",
            "Whether an ldap:// connection becomes TLS before anything else is said. Without it everything, the password included, is readable on the way; that is allowed only where the operator allows private targets.",
        )
        .kind(SettingKind::Flag)
        .class(Class::Identity)
        .default("true"),
        Setting::new(
            "ca",
            "Certificates of the authority",
            "In PEM. Only what these signed is trusted. Needed where the server's certificate is signed by an authority of your own. The certificate is always verified.",
        )
        .default("the system's authorities"),
        Setting::new(
            "bind_dn",
            "Sign in as",
            "The distinguished name of the gateway's own account (on Active Directory its userPrincipalName will do). It needs to read and write the branches below.",
        )
        .class(Class::Identity)
        .required(),
        Setting::new("password", "Password", "The password of that account.").class(Class::Credential).required(),
        Setting::new(
            "directory",
            "Kind of server",
            "Decides the defaults of classes, attributes and ids. openldap fits whatever follows the RFCs.",
        )
        .kind(SettingKind::choice(&["openldap", "389ds", "active_directory"]))
        .class(Class::Identity)
        .default("openldap"),
    ]
}

fn people() -> Vec<Setting> {
    vec![
        Setting::new("user_base", "Branch of people", "The distinguished name below which people are looked for, and right below which new ones are made.")
            .class(Class::Identity)
            .required(),
        Setting::new("user_filter", "Filter of people", "Which entries below the branch are people, as a filter of RFC 4515; it is added to the class.")
            .class(Class::Identity)
            .default("all of the class; on Active Directory no computers"),
        Setting::new("user_classes", "Classes of people", "The object classes of new people, separated by commas; the last one tells people from other entries.")
            .default("top, person, organizationalPerson, inetOrgPerson; on Active Directory user in place of the last"),
        Setting::new("login_attribute", "Attribute of the login", "The attribute that holds the SCIM userName, by which people are found.")
            .class(Class::Identity)
            .default("uid; on Active Directory userPrincipalName"),
        Setting::new("mail_attribute", "Attribute of the address", "The attribute that holds e-mail addresses.").default("mail"),
        Setting::new("rdn", "Name of new entries", "How a new entry is named below the branch: ATTRIBUTE={path} with paths of the SCIM user. Values are escaped.")
            .default("uid={userName}; on Active Directory cn={userName}"),
        Setting::new(
            "attributes",
            "Further attributes",
            "A line each, ATTRIBUTE=TEMPLATE, over and in place of the usual ones: title={title}, homeDirectory=/home/{userName:local}. {a|b} takes b where a is empty. An attribute of which a path is empty is not sent; ATTRIBUTE= alone takes a usual one out.",
        )
        .default("none"),
        Setting::new("id_attribute", "Attribute of the id", "The attribute that identifies an entry for ever.")
            .class(Class::Identity)
            .default("entryUUID; 389-ds nsUniqueId; Active Directory objectGUID"),
        Setting::new("new_password", "Password of new people", "none, or a random one that nobody knows; Active Directory enables no account without one.")
            .kind(SettingKind::choice(&["none", "random"]))
            .default("none; on Active Directory random"),
        Setting::new(
            "lock",
            "Deactivation",
            "What happens to people who are deactivated. uac: userAccountControl of Active Directory. pwd_account_locked_time: OpenLDAP with the ppolicy overlay. ns_account_lock: 389-ds. attribute: lock_attribute takes lock_value. move: the entry moves below lock_base. delete: the entry is deleted, and made anew on return.",
        )
        .kind(SettingKind::choice(&["uac", "pwd_account_locked_time", "ns_account_lock", "attribute", "move", "delete"]))
        .class(Class::Identity)
        .default("uac on Active Directory, ns_account_lock on 389-ds; for OpenLDAP it must be chosen"),
        Setting::new("lock_attribute", "Locking attribute", "Of lock = attribute: which one, such as loginShell or employeeType.").default("none"),
        Setting::new("lock_value", "Its value when locked", "Of lock = attribute: /sbin/nologin.").default("none"),
        Setting::new("unlock_value", "Its value when not locked", "Of lock = attribute: what it becomes on return.").default("the attribute is taken away"),
        Setting::new("lock_base", "Branch of locked people", "Of lock = move: the branch that deactivated people are moved to.")
            .class(Class::Identity)
            .default("none"),
    ]
}

fn groups() -> Vec<Setting> {
    vec![
        Setting::new("group_base", "Branch of groups", "The distinguished name below which groups are looked for and made. Without it only people are served.")
            .class(Class::Identity)
            .default("no groups"),
        Setting::new("group_class", "Class of groups", "What a group is.")
            .kind(SettingKind::choice(&["groupOfNames", "groupOfUniqueNames", "posixGroup", "group"]))
            .class(Class::Identity)
            .default("groupOfNames; on Active Directory group"),
        Setting::new("group_filter", "Filter of groups", "Which entries below the branch are groups, as a filter of RFC 4515; it is added to the class.")
            .class(Class::Identity)
            .default("all of the class"),
        Setting::new("placeholder_member", "Placeholder member", "groupOfNames and groupOfUniqueNames cannot be empty: this distinguished name stands in a group that nobody is in. It need not exist and is never shown as a member.")
            .default("cn=nobody below the branch of groups"),
        Setting::new("gid_min", "Smallest gidNumber", "Of posixGroup: new groups get the number after the largest in use, at least this one.")
            .kind(SettingKind::Number)
            .default("10000"),
        Setting::new("page_size", "Entries per page", "How many entries are asked for at once (RFC 2696): 10 to 1000.")
            .kind(SettingKind::Number)
            .default("500"),
    ]
}
