//! What the connector's page says.

use connector_sdk::{About, CallAbout};

const fn call(name: &'static str, method: &'static str, path: &'static str, purpose: &'static str) -> CallAbout {
    CallAbout { name, method, path, purpose }
}

/// The calls of people.
pub(crate) const USERS: [CallAbout; 9] = [
    call(
        "list users",
        "GET",
        "/Users",
        "Listing people by pages, and seeing that a 404 speaks of a person and not of the address",
    ),
    call("find user", "GET", "/Users", "Finding a person by a filter on userName"),
    call("create user", "POST", "/Users", "Creating a person"),
    call("get user", "GET", "/Users/{id}", "Reading a person"),
    call("update user", "PATCH", "/Users/{id}", "Changing what differs"),
    call("suspend user", "PATCH", "/Users/{id}", "Setting active to false"),
    call("restore user", "PATCH", "/Users/{id}", "Setting active to true"),
    call("replace user", "PUT", "/Users/{id}", "Writing the whole, where there is no PATCH"),
    call("delete user", "DELETE", "/Users/{id}", "Deleting a person"),
];

/// The calls of groups.
pub(crate) const GROUPS: [CallAbout; 8] = [
    call("list groups", "GET", "/Groups", "Listing groups by pages, without members"),
    call("find group", "GET", "/Groups", "Finding a group by a filter on displayName"),
    call("create group", "POST", "/Groups", "Creating a group, without members"),
    call("get group", "GET", "/Groups/{id}", "Reading a group and its members"),
    call("rename group", "PATCH", "/Groups/{id}", "Renaming a group"),
    call("change members", "PATCH", "/Groups/{id}", "Adding and removing members"),
    call("replace group", "PUT", "/Groups/{id}", "Writing the whole with its members, where there is no PATCH"),
    call("delete group", "DELETE", "/Groups/{id}", "Deleting a group"),
];

const OTHERS: [CallAbout; 5] = [
    call("get service provider config", "GET", "/ServiceProviderConfig", "What the server can do"),
    call("get resource types", "GET", "/ResourceTypes", "Where people and groups are"),
    call("get schemas", "GET", "/Schemas", "Which attributes the server has"),
    call(
        "change members in bulk",
        "POST",
        "/Bulk",
        "Members one by one in one request, after a PATCH of several was refused",
    ),
    call("get token", "POST", "/", "A token by client credentials, where auth is oauth2; at token_url"),
];

pub(super) fn about() -> About {
    About {
        summary: "Speaks to any server of SCIM 2.0: people and groups are created, changed, suspended and removed there as they are here. It reads first what the server says that it can do, and keeps to it. It serves to mend a client's dialect, to add headers, or to send one directory to several places.",
        needs: vec![
            "A SCIM 2.0 server (RFC 7643, RFC 7644) and the address of its API.",
            "A credential that may read and write people and groups: a bearer token, user name and password, a header, or an OAuth 2.0 client.",
        ],
        cannot: vec![
            "An attribute that the identity provider no longer sends stays at the server as it last was: only values are written.",
            "What the server's schema calls immutable is set at the creation and not changed later; what it calls readOnly, or does not declare, is not sent.",
            "A change made to a person's attributes at the server is not noticed; the next change of that person here writes what differs.",
            "Passwords are not sent. Roles and entitlements are sent only where `send_roles` says so.",
            "Nested groups are left alone: they are neither listed as members nor removed.",
            "A group of a name that is there already is found, never made twice, although SCIM would allow it.",
            "Without a filter at the server, people and groups are found by reading the list, up to `scan_limit`.",
            "A server whose groups may not be empty needs an account as placeholder (`placeholder_member`).",
        ],
        calls: [USERS.as_slice(), GROUPS.as_slice(), OTHERS.as_slice()].concat(),
        unverified: Vec::new(),
        sources: vec![
            "https://www.rfc-editor.org/rfc/rfc7643",
            "https://www.rfc-editor.org/rfc/rfc7644",
            "https://www.rfc-editor.org/rfc/rfc9865",
            "https://www.rfc-editor.org/rfc/rfc6749#section-4.4",
        ],
    }
}
