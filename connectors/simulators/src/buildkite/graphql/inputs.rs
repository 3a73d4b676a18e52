//! The input objects, enumerations and scalars of the schema.

use crate::graphql::schema::{ArgDef, TypeDef, a, input, scalar, values};

const CLIENT: ArgDef = a("clientMutationId", "String");
const ID_INPUT: &[ArgDef] = &[CLIENT, a("id", "ID!")];

/// Every type that an argument may have.
pub(super) const INPUTS: &[TypeDef] = &[
    input(
        "OrganizationInvitationCreateInput",
        &[
            CLIENT,
            a("emails", "[String!]!"),
            a("organizationID", "ID!"),
            a("role", "OrganizationMemberRole"),
            a("sso", "OrganizationInvitationSSOInput"),
            a("teams", "[OrganizationInvitationTeamAssignmentInput!]"),
        ],
    ),
    input("OrganizationInvitationResendInput", ID_INPUT),
    input("OrganizationInvitationRevokeInput", ID_INPUT),
    input("OrganizationInvitationSSOInput", &[a("mode", "OrganizationMemberSSOModeEnum!")]),
    input("OrganizationInvitationTeamAssignmentInput", &[a("id", "ID!"), a("role", "TeamMemberRole!")]),
    input("OrganizationMemberDeleteInput", ID_INPUT),
    input("OrganizationMemberSSOInput", &[a("mode", "OrganizationMemberSSOModeEnum!")]),
    input(
        "OrganizationMemberUpdateInput",
        &[CLIENT, a("id", "ID!"), a("role", "OrganizationMemberRole"), a("sso", "OrganizationMemberSSOInput")],
    ),
    input(
        "TeamCreateInput",
        &[
            CLIENT,
            a("defaultMemberRole", "TeamMemberRole!"),
            a("description", "String"),
            a("isDefaultTeam", "Boolean!"),
            a("membersCanCreatePipelines", "Boolean"),
            a("membersCanCreateRegistries", "Boolean"),
            a("membersCanCreateSuites", "Boolean"),
            a("membersCanDeletePipelines", "Boolean"),
            a("membersCanDestroyPackages", "Boolean"),
            a("membersCanDestroyRegistries", "Boolean"),
            a("name", "String!"),
            a("organizationID", "ID!"),
            a("privacy", "TeamPrivacy!"),
        ],
    ),
    input("TeamDeleteInput", ID_INPUT),
    input(
        "TeamUpdateInput",
        &[
            CLIENT,
            a("defaultMemberRole", "TeamMemberRole!"),
            a("description", "String"),
            a("id", "ID!"),
            a("isDefaultTeam", "Boolean!"),
            a("membersCanCreatePipelines", "Boolean"),
            a("membersCanCreateRegistries", "Boolean"),
            a("membersCanCreateSuites", "Boolean"),
            a("membersCanDeletePipelines", "Boolean"),
            a("membersCanDestroyPackages", "Boolean"),
            a("membersCanDestroyRegistries", "Boolean"),
            a("name", "String!"),
            a("privacy", "TeamPrivacy"),
        ],
    ),
    input("TeamMemberCreateInput", &[CLIENT, a("role", "TeamMemberRole"), a("teamID", "ID!"), a("userID", "ID!")]),
    input("TeamMemberDeleteInput", ID_INPUT),
    input("TeamMemberUpdateInput", &[CLIENT, a("id", "ID!"), a("role", "TeamMemberRole!")]),
    values("OrganizationInvitationOrders", &["EMAIL", "RECENTLY_CREATED"]),
    values("OrganizationInvitationStates", &["ACCEPTED", "EXPIRED", "PENDING", "REVOKED"]),
    values("OrganizationMemberOrder", &["NAME", "RECENTLY_CREATED", "RELEVANCE"]),
    values("OrganizationMemberRole", &["ADMIN", "MEMBER"]),
    values("OrganizationMemberSSOModeEnum", &["OPTIONAL", "REQUIRED"]),
    values("TeamMemberOrder", &["NAME", "RECENTLY_CREATED", "RELEVANCE"]),
    values("TeamMemberRole", &["MAINTAINER", "MEMBER"]),
    values("TeamOrder", &["NAME", "RECENTLY_CREATED", "RELEVANCE"]),
    values("TeamPrivacy", &["SECRET", "VISIBLE"]),
    scalar("Boolean"),
    scalar("DateTime"),
    scalar("ID"),
    scalar("Int"),
    scalar("String"),
    scalar("TeamSelector"),
    scalar("UserSelector"),
];
