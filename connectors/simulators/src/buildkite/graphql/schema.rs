//! The part of the vendor's GraphQL schema that this simulator answers: names
//! and types as there. Fields of the vendor that are not here are refused by
//! validation like unknown ones.

use super::inputs::INPUTS;
use crate::graphql::schema::{ArgDef, Kind, Schema, TypeDef, a, f, fa, object};

/// All of it.
pub(super) static SCHEMA: Schema = Schema { tables: &[TYPES, INPUTS] };

/// The object types behind the interface `Node`.
const NODES: &[&str] =
    &["Organization", "OrganizationInvitation", "OrganizationMember", "Team", "TeamMember", "User", "Viewer"];

const AFTER: ArgDef = a("after", "String");
const BEFORE: ArgDef = a("before", "String");
const FIRST: ArgDef = a("first", "Int");
const LAST: ArgDef = a("last", "Int");

/// The two types of a connection.
macro_rules! connection {
    ($types:ident, $edge_type:ident, $connection:literal, $edge:literal, $node:literal) => {
        const $types: TypeDef =
            object($connection, &[f("count", "Int!"), f("edges", concat!("[", $edge, "]")), f("pageInfo", "PageInfo")]);
        const $edge_type: TypeDef = object($edge, &[f("cursor", "String!"), f("node", $node)]);
    };
}

connection!(MEMBERS, MEMBER_EDGE, "OrganizationMemberConnection", "OrganizationMemberEdge", "OrganizationMember");
connection!(
    INVITATIONS,
    INVITATION_EDGE,
    "OrganizationInvitationConnection",
    "OrganizationInvitationEdge",
    "OrganizationInvitation"
);
connection!(
    ASSIGNMENTS,
    ASSIGNMENT_EDGE,
    "OrganizationInvitationTeamAssignmentConnection",
    "OrganizationInvitationTeamAssignmentEdge",
    "OrganizationInvitationTeamAssignment"
);
connection!(TEAMS, TEAM_EDGE, "TeamConnection", "TeamEdge", "Team");
connection!(TEAM_MEMBERS, TEAM_MEMBER_EDGE, "TeamMemberConnection", "TeamMemberEdge", "TeamMember");
connection!(ORGANIZATIONS, ORGANIZATION_EDGE, "OrganizationConnection", "OrganizationEdge", "Organization");

const TYPES: &[TypeDef] = &[
    object(
        "Query",
        &[
            fa("node", "Node", &[a("id", "ID!")]),
            fa("organization", "Organization", &[a("slug", "ID"), a("uuid", "ID")]),
            fa("organizationInvitation", "OrganizationInvitation", &[a("slug", "ID!")]),
            fa("organizationMember", "OrganizationMember", &[a("slug", "ID!")]),
            fa("team", "Team", &[a("slug", "ID!")]),
            f("viewer", "Viewer"),
        ],
    ),
    object(
        "Mutation",
        &[
            fa(
                "organizationInvitationCreate",
                "OrganizationInvitationCreatePayload",
                &[a("input", "OrganizationInvitationCreateInput!")],
            ),
            fa(
                "organizationInvitationResend",
                "OrganizationInvitationResendPayload",
                &[a("input", "OrganizationInvitationResendInput!")],
            ),
            fa(
                "organizationInvitationRevoke",
                "OrganizationInvitationRevokePayload",
                &[a("input", "OrganizationInvitationRevokeInput!")],
            ),
            fa(
                "organizationMemberDelete",
                "OrganizationMemberDeletePayload",
                &[a("input", "OrganizationMemberDeleteInput!")],
            ),
            fa(
                "organizationMemberUpdate",
                "OrganizationMemberUpdatePayload",
                &[a("input", "OrganizationMemberUpdateInput!")],
            ),
            fa("teamCreate", "TeamCreatePayload", &[a("input", "TeamCreateInput!")]),
            fa("teamDelete", "TeamDeletePayload", &[a("input", "TeamDeleteInput!")]),
            fa("teamMemberCreate", "TeamMemberCreatePayload", &[a("input", "TeamMemberCreateInput!")]),
            fa("teamMemberDelete", "TeamMemberDeletePayload", &[a("input", "TeamMemberDeleteInput!")]),
            fa("teamMemberUpdate", "TeamMemberUpdatePayload", &[a("input", "TeamMemberUpdateInput!")]),
            fa("teamUpdate", "TeamUpdatePayload", &[a("input", "TeamUpdateInput!")]),
        ],
    ),
    TypeDef { name: "Node", kind: Kind::Interface(&[f("id", "ID!")], NODES) },
    object(
        "Viewer",
        &[f("id", "ID!"), fa("organizations", "OrganizationConnection", &[FIRST, LAST]), f("user", "User")],
    ),
    object(
        "User",
        &[
            f("avatar", "Avatar!"),
            f("bot", "Boolean!"),
            f("email", "String!"),
            f("hasPassword", "Boolean!"),
            f("id", "ID!"),
            f("machineUser", "Boolean!"),
            f("name", "String!"),
            f("uuid", "String!"),
        ],
    ),
    object("Avatar", &[f("url", "String!")]),
    object(
        "Organization",
        &[
            f("id", "ID!"),
            fa(
                "invitations",
                "OrganizationInvitationConnection",
                &[
                    AFTER,
                    BEFORE,
                    FIRST,
                    LAST,
                    a("order", "OrganizationInvitationOrders"),
                    a("state", "[OrganizationInvitationStates!]"),
                ],
            ),
            f("isTeamsEnabled", "Boolean"),
            fa(
                "members",
                "OrganizationMemberConnection",
                &[
                    AFTER,
                    BEFORE,
                    a("email", "String"),
                    FIRST,
                    LAST,
                    a("order", "OrganizationMemberOrder"),
                    a("role", "[OrganizationMemberRole!]"),
                    a("search", "String"),
                    a("sso", "OrganizationMemberSSOInput"),
                    a("team", "TeamSelector"),
                ],
            ),
            f("name", "String!"),
            f("public", "Boolean!"),
            f("slug", "String!"),
            f("sso", "OrganizationSSO"),
            fa(
                "teams",
                "TeamConnection",
                &[
                    AFTER,
                    BEFORE,
                    FIRST,
                    LAST,
                    a("order", "TeamOrder"),
                    a("privacy", "[TeamPrivacy!]"),
                    a("search", "String"),
                    a("user", "UserSelector"),
                ],
            ),
            f("uuid", "String!"),
        ],
    ),
    object("OrganizationSSO", &[f("isEnabled", "Boolean")]),
    object(
        "OrganizationMember",
        &[
            f("complimentary", "Boolean!"),
            f("createdAt", "DateTime!"),
            f("createdBy", "User"),
            f("id", "ID!"),
            f("lastSeenAt", "DateTime"),
            f("organization", "Organization!"),
            f("role", "OrganizationMemberRole!"),
            f("sso", "OrganizationMemberSSO!"),
            fa("teams", "TeamMemberConnection!", &[AFTER, BEFORE, FIRST, LAST, a("order", "TeamMemberOrder")]),
            f("user", "User!"),
            f("uuid", "String!"),
        ],
    ),
    object("OrganizationMemberSSO", &[f("mode", "OrganizationMemberSSOModeEnum")]),
    object(
        "OrganizationInvitation",
        &[
            f("acceptedAt", "DateTime"),
            f("acceptedBy", "User"),
            f("createdAt", "DateTime"),
            f("createdBy", "User"),
            f("email", "String!"),
            f("expiredAt", "DateTime"),
            f("id", "ID!"),
            f("organization", "Organization"),
            f("revokedAt", "DateTime"),
            f("revokedBy", "User"),
            f("role", "OrganizationMemberRole!"),
            f("slug", "String!"),
            f("sso", "OrganizationInvitationSSOType!"),
            f("state", "OrganizationInvitationStates!"),
            fa("teams", "OrganizationInvitationTeamAssignmentConnection", &[FIRST]),
            f("uuid", "String!"),
        ],
    ),
    object("OrganizationInvitationSSOType", &[f("mode", "OrganizationMemberSSOModeEnum")]),
    object("OrganizationInvitationTeamAssignment", &[f("id", "ID!"), f("role", "TeamMemberRole!"), f("team", "Team!")]),
    object(
        "Team",
        &[
            f("createdAt", "DateTime!"),
            f("createdBy", "User"),
            f("defaultMemberRole", "TeamMemberRole!"),
            f("description", "String"),
            f("id", "ID!"),
            f("isDefaultTeam", "Boolean!"),
            fa(
                "members",
                "TeamMemberConnection",
                &[
                    AFTER,
                    BEFORE,
                    FIRST,
                    LAST,
                    a("order", "TeamMemberOrder"),
                    a("role", "[TeamMemberRole!]"),
                    a("search", "String"),
                ],
            ),
            f("membersCanCreatePipelines", "Boolean!"),
            f("membersCanCreateRegistries", "Boolean!"),
            f("membersCanCreateSuites", "Boolean!"),
            f("membersCanDestroyPackages", "Boolean!"),
            f("membersCanDestroyRegistries", "Boolean!"),
            f("name", "String!"),
            f("organization", "Organization"),
            f("privacy", "TeamPrivacy!"),
            f("slug", "String!"),
            f("uuid", "ID!"),
        ],
    ),
    object(
        "TeamMember",
        &[
            f("createdAt", "DateTime!"),
            f("createdBy", "User"),
            f("id", "ID!"),
            f("organizationMember", "OrganizationMember"),
            f("role", "TeamMemberRole!"),
            f("team", "Team"),
            f("user", "User"),
            f("uuid", "ID!"),
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
    MEMBERS,
    MEMBER_EDGE,
    INVITATIONS,
    INVITATION_EDGE,
    ASSIGNMENTS,
    ASSIGNMENT_EDGE,
    TEAMS,
    TEAM_EDGE,
    TEAM_MEMBERS,
    TEAM_MEMBER_EDGE,
    ORGANIZATIONS,
    ORGANIZATION_EDGE,
    object(
        "OrganizationInvitationCreatePayload",
        &[
            f("clientMutationId", "String"),
            f("invitationEdges", "[OrganizationInvitationEdge]"),
            f("organization", "Organization"),
        ],
    ),
    object(
        "OrganizationInvitationResendPayload",
        &[f("clientMutationId", "String"), f("organizationInvitation", "OrganizationInvitation!")],
    ),
    object(
        "OrganizationInvitationRevokePayload",
        &[
            f("clientMutationId", "String"),
            f("organization", "Organization!"),
            f("organizationInvitation", "OrganizationInvitation!"),
            f("organizationInvitationEdge", "OrganizationInvitationEdge!"),
        ],
    ),
    object(
        "OrganizationMemberDeletePayload",
        &[
            f("clientMutationId", "String"),
            f("deletedOrganizationMemberID", "ID!"),
            f("organization", "Organization"),
            f("user", "User"),
        ],
    ),
    object(
        "OrganizationMemberUpdatePayload",
        &[f("clientMutationId", "String"), f("organizationMember", "OrganizationMember")],
    ),
    object(
        "TeamCreatePayload",
        &[f("clientMutationId", "String"), f("organization", "Organization!"), f("teamEdge", "TeamEdge!")],
    ),
    object(
        "TeamDeletePayload",
        &[f("clientMutationId", "String"), f("deletedTeamID", "ID!"), f("organization", "Organization!")],
    ),
    object("TeamUpdatePayload", &[f("clientMutationId", "String"), f("team", "Team!")]),
    object(
        "TeamMemberCreatePayload",
        &[f("clientMutationId", "String"), f("team", "Team"), f("teamMemberEdge", "TeamMemberEdge")],
    ),
    object(
        "TeamMemberDeletePayload",
        &[f("clientMutationId", "String"), f("deletedTeamMemberID", "ID!"), f("team", "Team")],
    ),
    object("TeamMemberUpdatePayload", &[f("clientMutationId", "String"), f("teamMember", "TeamMember!")]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graphql::schema::TypeDef;

    #[test]
    fn every_type_that_is_named_is_there() {
        assert_eq!(SCHEMA.missing(), [] as [String; 0]);
        for node in NODES {
            let fields = SCHEMA.named(node).and_then(TypeDef::fields).unwrap();
            assert!(fields.iter().any(|field| field.name == "id"), "{node}");
        }
    }
}
