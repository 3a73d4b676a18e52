//! The part of GitHub's GraphQL schema that is served: organisations, members, SAML identities and
//! verified addresses.

/// An object type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Query,
    Organization,
    Provider,
    Identities,
    IdentityEdge,
    Identity,
    Saml,
    Scim,
    Email,
    User,
    Members,
    MemberEdge,
    PageInfo,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Query => "Query",
            Kind::Organization => "Organization",
            Kind::Provider => "OrganizationIdentityProvider",
            Kind::Identities => "ExternalIdentityConnection",
            Kind::IdentityEdge => "ExternalIdentityEdge",
            Kind::Identity => "ExternalIdentity",
            Kind::Saml => "ExternalIdentitySamlAttributes",
            Kind::Scim => "ExternalIdentityScimAttributes",
            Kind::Email => "UserEmailMetadata",
            Kind::User => "User",
            Kind::Members => "OrganizationMemberConnection",
            Kind::MemberEdge => "OrganizationMemberEdge",
            Kind::PageInfo => "PageInfo",
        }
    }
}

/// A field of a type.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    /// The object type it gives, or a scalar.
    pub(super) gives: Option<Kind>,
    pub(super) arguments: &'static [&'static str],
    pub(super) required: &'static [&'static str],
}

const PAGE: &[&str] = &["first", "after", "last", "before"];

const fn leaf() -> Field {
    Field { gives: None, arguments: &[], required: &[] }
}

const fn object(kind: Kind) -> Field {
    Field { gives: Some(kind), arguments: &[], required: &[] }
}

const fn by_login(gives: Option<Kind>) -> Field {
    Field { gives, arguments: &["login"], required: &["login"] }
}

/// The field of this name, if the type has it.
pub(super) fn field(kind: Kind, name: &str) -> Option<Field> {
    Some(match (kind, name) {
        (_, "__typename") => leaf(),
        (Kind::Query, "organization") => by_login(Some(Kind::Organization)),
        (Kind::Query, "user") => by_login(Some(Kind::User)),
        (Kind::Query, "viewer") => object(Kind::User),
        (Kind::Organization, "id" | "databaseId" | "login" | "name") => leaf(),
        (Kind::Organization, "samlIdentityProvider") => object(Kind::Provider),
        (Kind::Organization, "membersWithRole") => Field { gives: Some(Kind::Members), arguments: PAGE, required: &[] },
        (Kind::Provider, "id" | "issuer" | "ssoUrl") => leaf(),
        (Kind::Provider, "organization") => object(Kind::Organization),
        (Kind::Provider, "externalIdentities") => Field {
            gives: Some(Kind::Identities),
            arguments: &["first", "after", "last", "before", "membersOnly", "login", "userName"],
            required: &[],
        },
        (Kind::Identities | Kind::Members, "totalCount") => leaf(),
        (Kind::Identities | Kind::Members, "pageInfo") => object(Kind::PageInfo),
        (Kind::Identities, "edges") => object(Kind::IdentityEdge),
        (Kind::Identities, "nodes") | (Kind::IdentityEdge, "node") => object(Kind::Identity),
        (Kind::IdentityEdge | Kind::MemberEdge, "cursor") => leaf(),
        (Kind::Identity, "id" | "guid") => leaf(),
        (Kind::Identity, "samlIdentity") => object(Kind::Saml),
        (Kind::Identity, "scimIdentity") => object(Kind::Scim),
        (Kind::Identity, "user") => object(Kind::User),
        (Kind::Saml, "nameId") => leaf(),
        (Kind::Saml | Kind::Scim, "username" | "givenName" | "familyName" | "groups") => leaf(),
        (Kind::Saml | Kind::Scim, "emails") => object(Kind::Email),
        (Kind::Email, "value" | "type" | "primary") => leaf(),
        (Kind::User, "id" | "databaseId" | "login" | "name" | "email") => leaf(),
        (Kind::User, "organizationVerifiedDomainEmails") => by_login(None),
        (Kind::Members, "edges") => object(Kind::MemberEdge),
        (Kind::Members, "nodes") | (Kind::MemberEdge, "node") => object(Kind::User),
        (Kind::MemberEdge, "role" | "hasTwoFactorEnabled") => leaf(),
        (Kind::PageInfo, "hasNextPage" | "hasPreviousPage" | "startCursor" | "endCursor") => leaf(),
        _ => return None,
    })
}
