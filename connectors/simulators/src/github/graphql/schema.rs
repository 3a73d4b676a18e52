//! The part of GitHub's GraphQL schema that is served: organisations, members, SAML identities and verified addresses.

use crate::graphql::schema::{ArgDef, Schema, TypeDef, a, f, fa, object, scalar, values};

/// All of it.
pub(super) static SCHEMA: Schema = Schema { tables: &[TYPES] };

const LOGIN: &[ArgDef] = &[a("login", "String!")];
const AFTER: ArgDef = a("after", "String");
const BEFORE: ArgDef = a("before", "String");
const FIRST: ArgDef = a("first", "Int");
const LAST: ArgDef = a("last", "Int");
const PAGE: &[ArgDef] = &[AFTER, BEFORE, FIRST, LAST];
const IDENTITIES: &[ArgDef] =
    &[AFTER, BEFORE, FIRST, LAST, a("login", "String"), a("membersOnly", "Boolean"), a("userName", "String")];

const TYPES: &[TypeDef] = &[
    object("Query", &[fa("organization", "Organization", LOGIN), fa("user", "User", LOGIN), f("viewer", "User!")]),
    object(
        "Organization",
        &[
            f("databaseId", "Int"),
            f("id", "ID!"),
            f("login", "String!"),
            fa("membersWithRole", "OrganizationMemberConnection!", PAGE),
            f("name", "String"),
            f("samlIdentityProvider", "OrganizationIdentityProvider"),
        ],
    ),
    object(
        "OrganizationIdentityProvider",
        &[
            fa("externalIdentities", "ExternalIdentityConnection!", IDENTITIES),
            f("id", "ID!"),
            f("issuer", "String"),
            f("organization", "Organization"),
            f("ssoUrl", "URI"),
        ],
    ),
    object(
        "ExternalIdentityConnection",
        &[
            f("edges", "[ExternalIdentityEdge]"),
            f("nodes", "[ExternalIdentity]"),
            f("pageInfo", "PageInfo!"),
            f("totalCount", "Int!"),
        ],
    ),
    object("ExternalIdentityEdge", &[f("cursor", "String!"), f("node", "ExternalIdentity")]),
    object(
        "ExternalIdentity",
        &[
            f("guid", "String!"),
            f("id", "ID!"),
            f("samlIdentity", "ExternalIdentitySamlAttributes"),
            f("scimIdentity", "ExternalIdentityScimAttributes"),
            f("user", "User"),
        ],
    ),
    object(
        "ExternalIdentitySamlAttributes",
        &[
            f("emails", "[UserEmailMetadata!]"),
            f("familyName", "String"),
            f("givenName", "String"),
            f("groups", "[String!]"),
            f("nameId", "String"),
            f("username", "String"),
        ],
    ),
    object(
        "ExternalIdentityScimAttributes",
        &[
            f("emails", "[UserEmailMetadata!]"),
            f("familyName", "String"),
            f("givenName", "String"),
            f("groups", "[String!]"),
            f("username", "String"),
        ],
    ),
    object("UserEmailMetadata", &[f("primary", "Boolean"), f("type", "String"), f("value", "String!")]),
    object(
        "User",
        &[
            f("databaseId", "Int"),
            f("email", "String!"),
            f("id", "ID!"),
            f("login", "String!"),
            f("name", "String"),
            fa("organizationVerifiedDomainEmails", "[String!]!", LOGIN),
        ],
    ),
    object(
        "OrganizationMemberConnection",
        &[
            f("edges", "[OrganizationMemberEdge]"),
            f("nodes", "[User]"),
            f("pageInfo", "PageInfo!"),
            f("totalCount", "Int!"),
        ],
    ),
    object(
        "OrganizationMemberEdge",
        &[
            f("cursor", "String!"),
            f("hasTwoFactorEnabled", "Boolean"),
            f("node", "User"),
            f("role", "OrganizationMemberRole"),
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
    values("OrganizationMemberRole", &["ADMIN", "MEMBER"]),
    scalar("Boolean"),
    scalar("ID"),
    scalar("Int"),
    scalar("String"),
    scalar("URI"),
];

#[cfg(test)]
mod tests {
    #[test]
    fn every_type_that_is_named_is_there() {
        assert_eq!(super::SCHEMA.missing(), Vec::<String>::new());
    }
}
