//! What real clients send that the RFCs do not allow, by name.
//!
//! Every leniency of this crate asks [`Quirks::use_`] first. So `strict` turns all of them off at once, and the
//! set of those that were used says what a client's dialect is.
use std::collections::BTreeSet;

/// One leniency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Quirk {
    /// `{"op": "Add"}`: the operation in capitals (Entra).
    CapitalisedOp,
    /// `{"path": "active", "value": "False"}`, `{"primary": "True"}`: a boolean as text (Entra, Saviynt, Keycloak).
    BooleanAsText,
    /// `{"op": "replace", "value": {"name.givenName": "A", "urn:…:User:department": "B"}}`: paths as keys (Entra).
    PathAsKey,
    /// `"emails": {"value": "a@example.com"}`: one value where a list belongs (OneLogin).
    SingleForList,
    /// `{"path": "manager", "value": [{"value": "id"}]}`: a list where one value belongs (Entra).
    ListForSingle,
    /// `{"path": "…:manager", "value": "id"}`, `"members": ["id"]`: the bare `value` of a complex attribute (Entra).
    TextForComplex,
    /// `"title": {"value": "Dr"}`: a plain value inside an object (seen from generic mappers).
    WrappedValue,
    /// `"manager": {"managerId": "id"}`: SCIM 1.1's name for `value` (OneLogin).
    ManagerId,
    /// `{"path": "…:manager", "value": ""}` or `{"value": ""}`: empty text clears a reference (Entra, OneLogin).
    EmptyClears,
    /// `"roles": [{"value": "{\"value\":\"Admin\",\"displayName\":\"Admin\"}"}]`: JSON inside `value` (Entra).
    JsonInRole,
    /// `{"op": "replace", "path": "phoneNumbers[type eq \"fax\"].value", "value": "1"}` with no such element (Entra).
    FilterCreates,
    /// `{"op": "remove", "path": "members", "value": [{"value": "id"}]}`: whom to remove in `value` (Entra, JumpCloud).
    RemoveByValue,
    /// `{"op": "add", "value": {"active": false}}`: a path-less add that means a change (SailPoint).
    AddAsChange,
    /// `"emails": null`, `"roles": []`: nothing, said aloud (Entra, JumpCloud, Okta).
    ExplicitNothing,
    /// `"schemas": ["…:User", "http://schemas.microsoft.com/…/ADSCIM/2.0/Group"]`: a URI we do not know (Entra).
    ForeignSchema,
    /// `{"urn:…:enterprise:2.0:User": {…}}` in a body whose `schemas` does not list it (Entra, generic clients).
    UnlistedExtension,
    /// `{"id": "…", "meta": {}, "groups": []}` in a body or path-less value: read-only keys (Okta, Entra, Auth0).
    ReadOnlyIgnored,
    /// `"schemas": ["urn:scim:schemas:core:1.0"]`: the URNs of SCIM 1.1 (OneLogin).
    Scim1Urn,
    /// `{"path": "urn:…:CustomExtensionName:2.0:User:CustomAttribute"}`: an attribute nobody declared (Entra, Okta).
    UnknownIgnored,
    /// `filter=id eq abc and manager eq def`: values without quotes (older Entra).
    UnquotedValue,
    /// `{"path": "manager"}`, `filter=manager eq "id"`: an extension's attribute without its URN (Entra).
    UnqualifiedExtension,
    /// `{"value": "id", "$ref": null}` (Entra).
    NullRef,
    /// Two e-mails with `"primary": true`; the first is kept (PingOne).
    TwoPrimaries,
    /// `"members": [{"value": "some-name"}]`: what is no id of this service, as its ids are UUIDs, names nobody
    /// (scim-sanity). An id that could be ours and is not there stays an error.
    ForeignMember,
}

impl Quirk {
    /// Every leniency there is.
    pub const ALL: [Quirk; 24] = [
        Quirk::CapitalisedOp,
        Quirk::BooleanAsText,
        Quirk::PathAsKey,
        Quirk::SingleForList,
        Quirk::ListForSingle,
        Quirk::TextForComplex,
        Quirk::WrappedValue,
        Quirk::ManagerId,
        Quirk::EmptyClears,
        Quirk::JsonInRole,
        Quirk::FilterCreates,
        Quirk::RemoveByValue,
        Quirk::AddAsChange,
        Quirk::ExplicitNothing,
        Quirk::ForeignSchema,
        Quirk::UnlistedExtension,
        Quirk::ReadOnlyIgnored,
        Quirk::Scim1Urn,
        Quirk::UnknownIgnored,
        Quirk::UnquotedValue,
        Quirk::UnqualifiedExtension,
        Quirk::NullRef,
        Quirk::TwoPrimaries,
        Quirk::ForeignMember,
    ];

    /// A stable name for logs, metrics and the admin API.
    pub fn name(self) -> &'static str {
        match self {
            Self::CapitalisedOp => "capitalised_op",
            Self::BooleanAsText => "boolean_as_text",
            Self::PathAsKey => "path_as_key",
            Self::SingleForList => "single_for_list",
            Self::ListForSingle => "list_for_single",
            Self::TextForComplex => "text_for_complex",
            Self::WrappedValue => "wrapped_value",
            Self::ManagerId => "manager_id",
            Self::EmptyClears => "empty_clears",
            Self::JsonInRole => "json_in_role",
            Self::FilterCreates => "filter_creates",
            Self::RemoveByValue => "remove_by_value",
            Self::AddAsChange => "add_as_change",
            Self::ExplicitNothing => "explicit_nothing",
            Self::ForeignSchema => "foreign_schema",
            Self::UnlistedExtension => "unlisted_extension",
            Self::ReadOnlyIgnored => "read_only_ignored",
            Self::Scim1Urn => "scim1_urn",
            Self::UnknownIgnored => "unknown_ignored",
            Self::UnquotedValue => "unquoted_value",
            Self::UnqualifiedExtension => "unqualified_extension",
            Self::NullRef => "null_ref",
            Self::TwoPrimaries => "two_primaries",
            Self::ForeignMember => "foreign_member",
        }
    }
}

/// Which leniencies a request may use, and which it did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quirks {
    applied: BTreeSet<Quirk>,
    strict: bool,
}

impl Quirks {
    /// All leniencies on: the default for every client.
    pub fn lenient() -> Self {
        Self::default()
    }

    /// All leniencies off: the RFCs to the letter.
    pub fn strict() -> Self {
        Self { applied: BTreeSet::new(), strict: true }
    }

    /// Strict or lenient by a flag of the configuration.
    pub fn new(strict: bool) -> Self {
        Self { applied: BTreeSet::new(), strict }
    }

    /// Asks for a leniency: false if strict, else recorded and true.
    #[must_use]
    pub fn use_(&mut self, quirk: Quirk) -> bool {
        if self.strict {
            return false;
        }
        self.applied.insert(quirk);
        true
    }

    /// Records a habit that the RFCs allow but that tells clients apart.
    pub fn note(&mut self, quirk: Quirk) {
        self.applied.insert(quirk);
    }

    /// Whether leniencies are off.
    pub fn is_strict(&self) -> bool {
        self.strict
    }

    /// The leniencies used so far, in a stable order.
    pub fn applied(&self) -> impl Iterator<Item = Quirk> + '_ {
        self.applied.iter().copied()
    }

    /// Whether this leniency was used.
    pub fn used(&self, quirk: Quirk) -> bool {
        self.applied.contains(&quirk)
    }
}
