//! The part of the vendor's GraphQL schema that this simulator answers: names and types as there.
//! Fields of the vendor that are not here are refused by validation like unknown ones.

use crate::graphql::schema::{ArgDef, Schema, TypeDef, a, f, fa, input, object, scalar, values};

/// All of it.
pub(super) static SCHEMA: Schema = Schema { tables: &[TYPES, INPUTS] };

const ID: &[ArgDef] = &[a("id", "String!")];
const AFTER: ArgDef = a("after", "String");
const BEFORE: ArgDef = a("before", "String");
const FIRST: ArgDef = a("first", "Int");
const ARCHIVED: ArgDef = a("includeArchived", "Boolean");
const LAST: ArgDef = a("last", "Int");
const ORDER: ArgDef = a("orderBy", "PaginationOrderBy");
const PAGES: &[ArgDef] = &[AFTER, BEFORE, FIRST, ARCHIVED, LAST, ORDER];
const TEAMS: &[ArgDef] = &[AFTER, BEFORE, a("filter", "TeamFilter"), FIRST, ARCHIVED, LAST, ORDER];
const USERS: &[ArgDef] =
    &[AFTER, BEFORE, a("filter", "UserFilter"), FIRST, ARCHIVED, a("includeDisabled", "Boolean"), LAST, ORDER];

/// The two types of a connection.
macro_rules! connection {
    ($connection:ident, $edge_type:ident, $node:literal) => {
        const $connection: TypeDef = object(
            concat!($node, "Connection"),
            &[
                f("edges", concat!("[", $node, "Edge!]!")),
                f("nodes", concat!("[", $node, "!]!")),
                f("pageInfo", "PageInfo!"),
            ],
        );
        const $edge_type: TypeDef =
            object(concat!($node, "Edge"), &[f("cursor", "String!"), f("node", concat!($node, "!"))]);
    };
}

connection!(USER_PAGE, USER_EDGE, "User");
connection!(INVITE_PAGE, INVITE_EDGE, "OrganizationInvite");
connection!(TEAM_PAGE, TEAM_EDGE, "Team");
connection!(MEMBERSHIP_PAGE, MEMBERSHIP_EDGE, "TeamMembership");

const TYPES: &[TypeDef] = &[
    object(
        "Query",
        &[
            fa("administrableTeams", "TeamConnection!", TEAMS),
            f("organization", "Organization!"),
            fa("organizationInvite", "OrganizationInvite!", ID),
            fa("organizationInvites", "OrganizationInviteConnection!", PAGES),
            fa("team", "Team!", ID),
            fa("teams", "TeamConnection!", TEAMS),
            fa("user", "User!", ID),
            fa("users", "UserConnection!", USERS),
            f("viewer", "User!"),
        ],
    ),
    object(
        "Mutation",
        &[
            fa(
                "organizationInviteCreate",
                "OrganizationInvitePayload!",
                &[a("input", "OrganizationInviteCreateInput!")],
            ),
            fa("organizationInviteDelete", "DeletePayload!", ID),
            fa(
                "organizationInviteUpdate",
                "OrganizationInvitePayload!",
                &[a("id", "String!"), a("input", "OrganizationInviteUpdateInput!")],
            ),
            fa("resendOrganizationInvite", "DeletePayload!", ID),
            fa("teamCreate", "TeamPayload!", &[a("input", "TeamCreateInput!")]),
            fa("teamDelete", "DeletePayload!", ID),
            fa("teamMembershipCreate", "TeamMembershipPayload!", &[a("input", "TeamMembershipCreateInput!")]),
            fa("teamMembershipDelete", "DeletePayload!", &[a("alsoLeaveParentTeams", "Boolean"), a("id", "String!")]),
            fa("teamUpdate", "TeamPayload!", &[a("id", "String!"), a("input", "TeamUpdateInput!")]),
            fa("userChangeRole", "UserAdminPayload!", &[a("id", "String!"), a("role", "UserRoleType!")]),
            fa("userSuspend", "UserAdminPayload!", &[a("forceBypassScimRestrictions", "Boolean"), a("id", "String!")]),
            fa(
                "userUnsuspend",
                "UserAdminPayload!",
                &[a("forceBypassScimRestrictions", "Boolean"), a("id", "String!")],
            ),
            fa("userUpdate", "UserPayload!", &[a("id", "String!"), a("input", "UserUpdateInput!")]),
        ],
    ),
    object(
        "User",
        &[
            f("active", "Boolean!"),
            f("admin", "Boolean!"),
            f("app", "Boolean!"),
            f("archivedAt", "DateTime"),
            f("createdAt", "DateTime!"),
            f("displayName", "String!"),
            f("email", "String!"),
            f("guest", "Boolean!"),
            f("id", "ID!"),
            f("isMe", "Boolean!"),
            f("name", "String!"),
            f("owner", "Boolean!"),
            f("updatedAt", "DateTime!"),
            fa("teamMemberships", "TeamMembershipConnection!", PAGES),
        ],
    ),
    object(
        "Organization",
        &[
            f("id", "ID!"),
            f("name", "String!"),
            f("samlEnabled", "Boolean!"),
            f("scimEnabled", "Boolean!"),
            f("urlKey", "String!"),
            f("userCount", "Int!"),
        ],
    ),
    object(
        "OrganizationInvite",
        &[
            f("acceptedAt", "DateTime"),
            f("archivedAt", "DateTime"),
            f("createdAt", "DateTime!"),
            f("email", "String!"),
            f("expiresAt", "DateTime"),
            f("external", "Boolean!"),
            f("id", "ID!"),
            f("invitee", "User"),
            f("inviter", "User!"),
            f("role", "UserRoleType!"),
            f("updatedAt", "DateTime!"),
        ],
    ),
    object(
        "Team",
        &[
            f("archivedAt", "DateTime"),
            f("createdAt", "DateTime!"),
            f("displayName", "String!"),
            f("id", "ID!"),
            f("key", "String!"),
            fa("members", "UserConnection!", USERS),
            fa("membership", "TeamMembership", &[a("userId", "String!")]),
            fa("memberships", "TeamMembershipConnection!", PAGES),
            f("name", "String!"),
            f("scimManaged", "Boolean!"),
        ],
    ),
    object(
        "TeamMembership",
        &[
            f("archivedAt", "DateTime"),
            f("createdAt", "DateTime!"),
            f("id", "ID!"),
            f("owner", "Boolean!"),
            f("team", "Team!"),
            f("user", "User!"),
        ],
    ),
    object(
        "PageInfo",
        &[
            f("endCursor", "String"),
            f("hasNextPage", "Boolean!"),
            f("hasPreviousPage", "Boolean!"),
            f("startCursor", "String"),
        ],
    ),
    USER_PAGE,
    USER_EDGE,
    INVITE_PAGE,
    INVITE_EDGE,
    TEAM_PAGE,
    TEAM_EDGE,
    MEMBERSHIP_PAGE,
    MEMBERSHIP_EDGE,
    object("DeletePayload", &[f("entityId", "String!"), f("lastSyncId", "Float!"), f("success", "Boolean!")]),
    object(
        "OrganizationInvitePayload",
        &[f("lastSyncId", "Float!"), f("organizationInvite", "OrganizationInvite!"), f("success", "Boolean!")],
    ),
    object("TeamPayload", &[f("lastSyncId", "Float!"), f("success", "Boolean!"), f("team", "Team")]),
    object(
        "TeamMembershipPayload",
        &[f("lastSyncId", "Float!"), f("success", "Boolean!"), f("teamMembership", "TeamMembership")],
    ),
    object("UserAdminPayload", &[f("success", "Boolean!")]),
    object("UserPayload", &[f("lastSyncId", "Float!"), f("success", "Boolean!"), f("user", "User")]),
];

const INPUTS: &[TypeDef] = &[
    input(
        "OrganizationInviteCreateInput",
        &[
            a("email", "String!"),
            a("id", "String"),
            a("metadata", "JSONObject"),
            a("role", "UserRoleType"),
            a("teamIds", "[String!]"),
        ],
    ),
    input("OrganizationInviteUpdateInput", &[a("teamIds", "[String!]!")]),
    input(
        "TeamCreateInput",
        &[
            a("description", "String"),
            a("id", "String"),
            a("key", "String"),
            a("name", "String!"),
            a("private", "Boolean"),
        ],
    ),
    input(
        "TeamUpdateInput",
        &[a("description", "String"), a("key", "String"), a("name", "String"), a("private", "Boolean")],
    ),
    input(
        "TeamMembershipCreateInput",
        &[
            a("id", "String"),
            a("owner", "Boolean"),
            a("sortOrder", "Float"),
            a("teamId", "String!"),
            a("userId", "String!"),
        ],
    ),
    input("UserUpdateInput", &[a("displayName", "String"), a("name", "String"), a("title", "String")]),
    input(
        "UserFilter",
        &[a("active", "BooleanComparator"), a("email", "StringComparator"), a("name", "StringComparator")],
    ),
    input("TeamFilter", &[a("key", "StringComparator"), a("name", "StringComparator")]),
    input("BooleanComparator", &[a("eq", "Boolean"), a("neq", "Boolean")]),
    input(
        "StringComparator",
        &[
            a("contains", "String"),
            a("containsIgnoreCase", "String"),
            a("eq", "String"),
            a("eqIgnoreCase", "String"),
            a("in", "[String!]"),
            a("neq", "String"),
            a("startsWith", "String"),
        ],
    ),
    values("UserRoleType", &["admin", "app", "guest", "owner", "user"]),
    values("PaginationOrderBy", &["createdAt", "updatedAt"]),
    scalar("Boolean"),
    scalar("DateTime"),
    scalar("Float"),
    scalar("ID"),
    scalar("Int"),
    scalar("JSONObject"),
    scalar("String"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_that_is_named_is_there() {
        assert_eq!(SCHEMA.missing(), [] as [String; 0]);
    }
}
