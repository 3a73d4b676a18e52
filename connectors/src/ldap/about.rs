//! What the connector's page says, and what its steps cost.

use connector_sdk::{About, CallAbout, StepCost};

use super::client::OPERATIONS;

/// What the engine's steps cost, looks included; a connection is made for the first of many only.
pub(super) fn costs() -> Vec<StepCost> {
    let step = |name, calls| StepCost::new(name, calls).charge(OPERATIONS, calls);
    vec![
        step("look", 1),
        step("create", 2),
        step("update", 4),
        step("remove", 3),
        step("create_group", 2),
        step("update_group", 4),
        step("remove_group", 2),
        step("add_member", 3),
        step("remove_member", 3),
    ]
}

fn call(name: &'static str, path: &'static str, purpose: &'static str) -> CallAbout {
    CallAbout { name, method: "LDAP", path, purpose }
}

fn calls() -> Vec<CallAbout> {
    vec![
        call(
            "connect",
            "StartTLS, bind, Who am I?",
            "A connection, encrypted and signed in; kept for the steps that follow.",
        ),
        call("read root", "search base of the root DSE", "What the server supports, for a probe."),
        call("probe branch", "search of a branch, one entry", "Whether the branches can be read, for a probe."),
        call("list people", "search of the branches of people, paged", "The accounts."),
        call("find people", "search by login or address", "Whether a person is there already."),
        call("find entry", "search by the id", "An entry's present name, before whatever is done to it."),
        call("read entry", "search base", "The id of a new entry, where the server cannot say it with the addition."),
        call("add entry", "add, with post-read", "A new person."),
        call("modify entry", "modify", "What changed of a person."),
        call("lock entry", "modify", "Deactivation and return, by attribute."),
        call("rename entry", "modify DN", "A new name of the entry, and deactivation by moving."),
        call("delete entry", "delete", "A removal."),
        call("find groups of member", "search by member", "The groups that a person leaves with the account."),
        call(
            "change memberships",
            "modify",
            "Takes a person out of their groups, or puts the new name of an entry in place of the old.",
        ),
        call("list groups", "search of the branch of groups, paged", "The groups."),
        call("find groups", "search by cn", "Whether a group is there already."),
        call("find group entry", "search by the id", "A group's present name and members."),
        call("read group", "search base", "The id of a new group, where the server cannot say it with the addition."),
        call("list group numbers", "search of the branch of groups, paged", "The next free gidNumber of a posixGroup."),
        call("add group", "add, with post-read", "A new group."),
        call("rename group", "modify DN", "A new name of a group."),
        call("modify group", "modify", "The sAMAccountName of a group that was renamed."),
        call("delete group", "delete", "Removes a group."),
        call(
            "list members",
            "search base with member;range",
            "The rest of a long list of members, on Active Directory.",
        ),
        call("read members", "searches base, a hundred at once", "Who the members are."),
        call("find entries", "searches by the id, together", "The names of those who join and leave."),
        call("change members", "modify, permissive", "Members join and leave, several at once."),
        call("change member", "modify, permissive", "The same for one, where together it was refused."),
        call("read membership", "search base by member", "Whether a refused change was so already."),
    ]
}

pub(super) fn about() -> About {
    About {
        summary: "Makes, changes, locks and removes people and groups of an LDAP directory: OpenLDAP, 389 Directory Server, Active Directory. An entry is known by the id that never changes (entryUUID, nsUniqueId, objectGUID), so it may be renamed and moved at the directory.",
        needs: vec![
            "An account of the gateway's own, with the right to read and write the branch of people and the branch of groups, and to read the attribute of the id. On OpenLDAP give it `limits` without `size` and `size.prtotal`, or listings are incomplete.",
            "TLS: ldaps://, or StartTLS. The certificate is always verified, against the system's authorities or those of the setting ca. Plain LDAP is refused unless the operator allows private targets.",
            "The address of one writable server. Names that stand for several lead to replicas that lag behind one another; a referral to another server is refused.",
            "Paged results (RFC 2696). Indexes for the attribute of the id, the login, the address, cn and the attribute of members.",
            "A decision what deactivation does (lock): on OpenLDAP there is no usual way.",
            "On Active Directory: TLS, since passwords are taken over nothing else, and delegation to create and delete user and group objects and to write their properties.",
        ],
        cannot: vec![
            "Passwords of people are neither set nor changed. On Active Directory a new account gets a random one that nobody knows, because it cannot be enabled without.",
            "uidNumber is not allocated: for posixAccount let the server do it, or send a number and name it in the setting attributes.",
            "Attributes that the settings name are the identity provider's: what it no longer sends is taken away at the directory with the next change. Others are never touched.",
            "Where the server does not keep references whole (refint on OpenLDAP; Active Directory and 389-ds have it), a gateway that dies between the renaming of an entry and the change of its groups leaves the old name in them. The comparison puts the new one in; the old one stays.",
            "Groups within groups are neither made nor resolved: a member that is no person of the branch is not shown and not touched.",
            "lock = move forgets where an entry stood: on return it stands right below the branch of people.",
            "Sign-in is by a simple bind over TLS. SASL (Kerberos, certificates) is not spoken.",
            "Paging is bound to a connection. Where that is lost the listing begins again from the start.",
            "A connection that is signed in works on after the password was changed, for a minute at most after its last use; a probe always signs in anew.",
        ],
        calls: calls(),
        unverified: vec![
            "Active Directory was not at hand. What is special to it (userAccountControl, objectGUID, sAMAccountName, the answers 68 and 53 to changes of members, member;range=) follows Microsoft's documents and runs against OpenLDAP with Active Directory's attributes only.",
            "389 Directory Server was not at hand: nsUniqueId and nsAccountLock follow its documents.",
        ],
        sources: vec![
            "RFC 4511 (protocol), RFC 4513 (sign-in), RFC 4514 (names), RFC 4515 (filters), RFC 4519 and RFC 2798 (schema), RFC 2307 (posixGroup)",
            "RFC 2696 (paged results), RFC 4527 (post-read), RFC 4530 (entryUUID), RFC 4532 (Who am I?)",
            "OpenLDAP: slapd.conf(5), slapo-ppolicy(5), slapo-memberof(5), slapo-refint(5)",
            "Microsoft: MS-ADTS; UserAccountControl property flags; Searching Using Range Retrieval",
            "389 Directory Server: Administration Guide (directory.fedoraproject.org)",
        ],
    }
}
