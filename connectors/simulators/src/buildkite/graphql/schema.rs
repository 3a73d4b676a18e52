//! The part of the vendor's GraphQL schema that this simulator answers: names
//! and types as there. Fields of the vendor that are not here are refused by
//! validation like unknown ones.

use super::inputs::INPUTS;

/// A field of an object or interface.
#[derive(Debug)]
pub(super) struct FieldDef {
    pub(super) name: &'static str,
    pub(super) ty: &'static str,
    pub(super) args: &'static [ArgDef],
}

/// An argument, or a field of an input object.
#[derive(Debug)]
pub(super) struct ArgDef {
    pub(super) name: &'static str,
    pub(super) ty: &'static str,
}

/// What a type is.
#[derive(Debug)]
pub(super) enum Kind {
    Object(&'static [FieldDef]),
    /// Its fields, and the object types that have them.
    Interface(&'static [FieldDef], &'static [&'static str]),
    Input(&'static [ArgDef]),
    Enum(&'static [&'static str]),
    Scalar,
}

/// A named type.
#[derive(Debug)]
pub(super) struct TypeDef {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

impl TypeDef {
    /// The fields of an object or interface.
    pub(super) fn fields(&self) -> Option<&'static [FieldDef]> {
        match &self.kind {
            Kind::Object(fields) | Kind::Interface(fields, _) => Some(fields),
            Kind::Input(_) | Kind::Enum(_) | Kind::Scalar => None,
        }
    }
}

/// The name inside list and non-null marks.
pub(super) fn base(ty: &str) -> &str {
    ty.trim_matches(['[', ']', '!'])
}

/// The type with this name.
pub(super) fn named(name: &str) -> Option<&'static TypeDef> {
    TYPES.iter().chain(INPUTS).find(|ty| ty.name == name)
}

const fn f(name: &'static str, ty: &'static str) -> FieldDef {
    FieldDef { name, ty, args: &[] }
}

const fn fa(name: &'static str, ty: &'static str, args: &'static [ArgDef]) -> FieldDef {
    FieldDef { name, ty, args }
}

pub(super) const fn a(name: &'static str, ty: &'static str) -> ArgDef {
    ArgDef { name, ty }
}

const fn object(name: &'static str, fields: &'static [FieldDef]) -> TypeDef {
    TypeDef { name, kind: Kind::Object(fields) }
}

/// The object types behind the interface `Node`.
pub(super) const NODES: &[&str] =
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

static TYPES: &[TypeDef] = &[
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

    #[test]
    fn every_type_that_is_named_is_there() {
        for ty in TYPES.iter().chain(INPUTS) {
            let mut named_types: Vec<&str> = Vec::new();
            match &ty.kind {
                Kind::Object(fields) | Kind::Interface(fields, _) => {
                    for field in *fields {
                        named_types.push(field.ty);
                        named_types.extend(field.args.iter().map(|arg| arg.ty));
                    }
                }
                Kind::Input(args) => named_types.extend(args.iter().map(|arg| arg.ty)),
                Kind::Enum(_) | Kind::Scalar => {}
            }
            for name in named_types {
                assert!(named(base(name)).is_some(), "{name} of {}", ty.name);
            }
        }
        for node in NODES {
            let fields = named(node).and_then(TypeDef::fields).unwrap();
            assert!(fields.iter().any(|field| field.name == "id"), "{node}");
        }
    }
}
