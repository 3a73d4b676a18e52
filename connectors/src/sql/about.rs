//! What the connector's page says beside its settings.

use connector_sdk::{About, CallAbout};

pub(super) fn attributes() -> Vec<(&'static str, &'static str)> {
    vec![
        ("userName", "Written when a person is created; the person's row is found by it, without regard to case."),
        ("emails", "The primary address, where a column or a statement takes it."),
        ("displayName", "Where a column or a statement takes it; else name.formatted, else given and family name."),
        ("name.givenName", "Written when a person is created, where a column or a statement takes it."),
        ("name.familyName", "Written when a person is created, where a column or a statement takes it."),
        (
            "externalId",
            "Written when a person is created, where a column or a statement takes it; rows are found by it as well.",
        ),
        ("roles", "One of the roles that [roles] of the mapping names."),
        ("active", "By the column or statement that the mapping names; without one the row is removed."),
    ]
}

pub(super) fn limits() -> Vec<&'static str> {
    vec![
        "The setting connections: so many transactions at once. Databases publish no limits; SQLSTATE 53300 or error 1040 says that no connection is left (postgresql.org/docs/current/errcodes-appendix.html)",
    ]
}

/// A call of the page.
const fn call(name: &'static str, path: &'static str, purpose: &'static str) -> CallAbout {
    CallAbout { name, method: "SQL", path, purpose }
}

pub(super) fn about() -> About {
    About {
        summary: "People are rows of a table, groups of another, memberships of a third, in PostgreSQL, MariaDB, MySQL or SQLite. The mapping says which tables and columns they are, or which statement to run for each operation. Each operation is one transaction.",
        needs: vec![
            "A database user of the gateway's own, with SELECT, INSERT, UPDATE and DELETE on the mapped tables and nothing else, and its password.",
            "TLS at the server with a certificate of its host name, of a public authority or of one given in the setting ca. Without TLS the gateway's operator has to set SCIMGATE_ALLOW_PRIVATE_TARGETS, as for servers in a private network.",
            "For SQLite: a file below the folder that the gateway's operator names with SCIMGATE_TARGET_FILES.",
            "A unique index on the column of user names, and on that of group names.",
            "An id per row that never changes and by which rows can be sorted.",
        ],
        cannot: vec![
            "Passwords are not written: the application has its own sign-in.",
            "Given name, family name, externalId and the admin's own parameters are written when a person is created; later changes of them stay in the directory.",
            "A change of userName is not written to the database.",
            "Columns of binary types are not read: a key that is BINARY(16) needs declared statements that convert it.",
            "A transaction that was under way when its time ran out counts as not known, whether COMMIT was sent or not; the row is looked at before it is repeated.",
        ],
        calls: vec![
            call("connect", "TLS handshake, authentication", "Opens a connection, where none is idle."),
            call("read schema", "SELECT from the catalogue", "Reads the columns of the mapped tables, once."),
            call("probe", "SELECT from the catalogue", "Who the user is, unique indexes, rights."),
            call("check statement", "PREPARE", "Asks the database whether it takes a statement of the mapping."),
            call("list users", "users.list", "A page of people, by the id."),
            call("find user", "users.find", "Rows of that user name, address or externalId."),
            call("get user", "users.get", "One row."),
            call("create user", "users.find, users.create", "Looks, inserts, and looks again."),
            call("update user", "users.get, users.update", "Role, display name, address."),
            call("suspend user", "users.get, users.set_active", "Takes access away."),
            call("restore user", "users.get, users.set_active", "Gives it back."),
            call("remove user", "users.get, users.remove", "Removes memberships and the row, or marks it as removed."),
            call("list groups", "groups.list", "A page of groups, by the id."),
            call("find group", "groups.find", "Groups of that name."),
            call("get group", "groups.get", "One group."),
            call("create group", "groups.find, groups.create", "Looks, inserts, and looks again."),
            call("rename group", "groups.get, groups.rename", "Another name, if no other group has it."),
            call("remove group", "groups.get, groups.remove", "Removes memberships and the group."),
            call("list members", "groups.members", "A page of members, by the user's id."),
            call("change members", "groups.add_member, groups.remove_member", "Up to 100 members in one transaction."),
        ],
        unverified: vec![
            "MySQL itself was not at hand: what is said of it rests on MariaDB 10.11 and on MySQL's manual.",
        ],
        sources: vec![
            "postgresql.org/docs/current/sql-syntax-lexical.html",
            "postgresql.org/docs/current/errcodes-appendix.html",
            "mariadb.com/kb/en/mariadb-error-code-reference",
            "mariadb.com/kb/en/string-literals",
            "sqlite.org/rescode.html",
            "sqlite.org/lang.html",
        ],
    }
}
