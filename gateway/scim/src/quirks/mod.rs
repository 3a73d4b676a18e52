//! What clients send beside the RFCs, or in a way of their own, by name.
//!
//! Each unit has a file: the request, who sends it, what it is taken for, the code that takes it, and a test with the
//! unit on and off. A **leniency** is what the RFCs do not allow: it can be switched off, and `strict` switches all of
//! them off. A **habit** is what they do allow: it is noted, because it tells clients apart, and cannot be switched
//! off. The set of units that were used says what dialect a client speaks ([`crate::dialect`]).

pub mod accept_json;
pub(crate) mod add_as_change;
pub mod bare_key;
pub mod basic_key;
pub(crate) mod boolean_as_text;
pub(crate) mod capitalised_op;
pub(crate) mod complex_compared;
pub(crate) mod empty_clears;
pub(crate) mod explicit_nothing;
pub mod extra_slashes;
pub(crate) mod filter_creates;
pub(crate) mod filter_on_single;
pub mod foreign_member;
pub(crate) mod foreign_schema;
pub(crate) mod json_in_role;
pub(crate) mod list_for_single;
pub(crate) mod manager_id;
pub(crate) mod member_by_ref;
pub(crate) mod not_a_uri;
pub(crate) mod null_ref;
pub(crate) mod path_as_key;
pub mod plus_for_space;
pub(crate) mod read_only_ignored;
pub(crate) mod read_only_in_patch;
pub(crate) mod remove_by_value;
pub mod route_case;
pub(crate) mod scim1_patch;
pub(crate) mod scim1_urn;
pub mod short_schema_id;
pub(crate) mod single_for_list;
pub(crate) mod text_for_complex;
pub(crate) mod two_primaries;
pub(crate) mod unknown_ignored;
pub(crate) mod unlisted_extension;
pub(crate) mod unqualified_extension;
pub(crate) mod unquoted_value;
pub(crate) mod wrapped_value;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

/// Whether a unit can be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The RFCs do not allow it: off under `strict`.
    Leniency,
    /// The RFCs allow it: noted, never refused.
    Habit,
}

/// What a unit is, for people and for the documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    /// A stable name for policies, records, logs and metrics.
    pub name: &'static str,
    /// Whether it can be switched off.
    pub kind: Kind,
    /// The request, or the part of it that matters.
    pub example: &'static str,
    /// What it is taken for.
    pub meaning: &'static str,
    /// What is done with the unit off; of a habit, why it cannot be.
    pub off: &'static str,
    /// The dialects in which it was seen or is documented; none: seen from nobody in particular.
    pub clients: &'static [&'static str],
}

macro_rules! units {
    ($count:literal: $($(#[$doc:meta])* $variant:ident => $module:ident,)*) => {
        /// One unit.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Quirk {
            $($(#[$doc])* $variant,)*
        }

        impl Quirk {
            /// Every unit there is.
            pub const ALL: [Quirk; $count] = [$(Quirk::$variant,)*];

            /// What it is.
            pub fn unit(self) -> &'static Unit {
                match self {
                    $(Quirk::$variant => &$module::UNIT,)*
                }
            }
        }
    };
}

units! { 37:
    /// `{"op": "Add"}`: the operation in capitals.
    CapitalisedOp => capitalised_op,
    /// `{"path": "active", "value": "False"}`, `{"primary": "True"}`: a boolean as text.
    BooleanAsText => boolean_as_text,
    /// `{"value": {"name.givenName": "A", "urn:…:User:department": "B"}}`: paths as keys.
    PathAsKey => path_as_key,
    /// `"emails": {"value": "a@example.com"}`: one value where a list belongs.
    SingleForList => single_for_list,
    /// `{"path": "manager", "value": [{"value": "id"}]}`: a list where one value belongs.
    ListForSingle => list_for_single,
    /// `{"path": "…:manager", "value": "id"}`, `"members": ["id"]`: the bare `value` of a complex attribute.
    TextForComplex => text_for_complex,
    /// `"title": {"value": "Dr"}`: a plain value inside an object.
    WrappedValue => wrapped_value,
    /// `"manager": {"managerId": "id"}`: SCIM 1.1's name for `value`.
    ManagerId => manager_id,
    /// `{"path": "…:manager", "value": ""}`: empty text clears.
    EmptyClears => empty_clears,
    /// `"roles": [{"value": "{\"value\":\"Admin\"}"}]`: JSON inside `value`.
    JsonInRole => json_in_role,
    /// `{"path": "phoneNumbers[type eq \"fax\"].value"}` with no such element.
    FilterCreates => filter_creates,
    /// `{"op": "remove", "path": "manager[value eq \"id\"]"}`: a filter on what is no list.
    FilterOnSingle => filter_on_single,
    /// `{"op": "remove", "path": "members", "value": [{"value": "id"}]}`: whom to remove in `value`.
    RemoveByValue => remove_by_value,
    /// `{"op": "add", "value": {"active": false}}`: a path-less add that means a change.
    AddAsChange => add_as_change,
    /// `"emails": null`, `"roles": []`: nothing, said aloud.
    ExplicitNothing => explicit_nothing,
    /// `"schemas": ["…:User", "http://schemas.microsoft.com/…"]`: a URI we do not know.
    ForeignSchema => foreign_schema,
    /// `"members": [{"value": "fake-member-id"}]`: a member by an id that is no id of ours.
    ForeignMember => foreign_member,
    /// `{"urn:…:enterprise:2.0:User": {…}}` in a body whose `schemas` does not list it.
    UnlistedExtension => unlisted_extension,
    /// `{"id": "…", "meta": {}, "groups": []}` in the body of a POST or PUT: read-only keys.
    ReadOnlyIgnored => read_only_ignored,
    /// `{"op": "replace", "value": {"id": "…", "displayName": "N"}}`: read-only keys in a path-less value.
    ReadOnlyInPatch => read_only_in_patch,
    /// `"schemas": ["urn:scim:schemas:core:1.0"]`: the URNs of SCIM 1.1.
    Scim1Urn => scim1_urn,
    /// `{"members": [{"value": "id", "operation": "delete"}]}`: a PATCH of SCIM 1.1.
    Scim1Patch => scim1_patch,
    /// `{"path": "urn:…:CustomExtensionName:2.0:User:CustomAttribute"}`: an attribute nobody declared.
    UnknownIgnored => unknown_ignored,
    /// `filter=id eq abc and manager eq def`: values without quotes.
    UnquotedValue => unquoted_value,
    /// `{"path": "manager"}`, `filter=manager eq "id"`: an extension's attribute without its URN.
    UnqualifiedExtension => unqualified_extension,
    /// `filter=emails eq "a@example.com"`: a complex attribute compared by its `value`.
    ComplexCompared => complex_compared,
    /// `{"value": "id", "$ref": null}`.
    NullRef => null_ref,
    /// `"members": [{"$ref": "…/Users/id"}]`: a member by its address alone.
    MemberByRef => member_by_ref,
    /// Two e-mails with `"primary": true`; the first is kept.
    TwoPrimaries => two_primaries,
    /// `"profileUrl": " "`: a reference that is no URI.
    NotAUri => not_a_uri,
    /// `?filter=userName+eq+%22a%22`: blanks of a query as `+`.
    PlusForSpace => plus_for_space,
    /// `/scim/v2//Users/`: doubled and trailing slashes.
    ExtraSlashes => extra_slashes,
    /// `/scim/v2/users`: an endpoint in another case.
    RouteCase => route_case,
    /// `/Schemas/User`: a schema by its name.
    ShortSchemaId => short_schema_id,
    /// `Authorization: Basic …`: the key as a password.
    BasicKey => basic_key,
    /// `Authorization: KEY`: the key without a scheme.
    BareKey => bare_key,
    /// `Accept: application/json` and no other type.
    AcceptJson => accept_json,
}

impl Quirk {
    /// Its stable name.
    pub fn name(self) -> &'static str {
        self.unit().name
    }

    /// Whether it can be switched off.
    pub fn is_leniency(self) -> bool {
        self.unit().kind == Kind::Leniency
    }

    /// The unit of this name.
    pub fn by_name(name: &str) -> Option<Quirk> {
        Self::ALL.into_iter().find(|quirk| quirk.name() == name)
    }

    const fn bit(self) -> u64 {
        1 << self as u32
    }
}

const _: () = assert!(Quirk::ALL.len() <= 64, "the sets below are bits of a u64");

/// A set of units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct QuirkSet(u64);

impl QuirkSet {
    /// Every leniency: what `strict` switches off.
    pub fn leniencies() -> Self {
        Quirk::ALL.into_iter().filter(|quirk| quirk.is_leniency()).collect()
    }

    /// Whether a unit is in it.
    pub fn contains(self, quirk: Quirk) -> bool {
        self.0 & quirk.bit() != 0
    }

    /// Puts a unit in.
    pub fn insert(&mut self, quirk: Quirk) {
        self.0 |= quirk.bit();
    }

    /// Puts all of another set in.
    pub fn extend(&mut self, other: QuirkSet) {
        self.0 |= other.0;
    }

    /// It as bits, for [`Self::from_bits`] within one process: they mean something else in another version.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// A set of [`Self::bits`].
    pub fn from_bits(bits: u64) -> Self {
        Quirk::ALL.into_iter().filter(|quirk| bits & quirk.bit() != 0).collect()
    }

    /// Whether nothing is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its units, in a stable order.
    pub fn iter(self) -> impl Iterator<Item = Quirk> {
        Quirk::ALL.into_iter().filter(move |quirk| self.contains(*quirk))
    }
}

impl FromIterator<Quirk> for QuirkSet {
    fn from_iter<I: IntoIterator<Item = Quirk>>(quirks: I) -> Self {
        let mut out = Self::default();
        quirks.into_iter().for_each(|quirk| out.insert(quirk));
        out
    }
}

/// Which leniencies a request may use, and which units it did use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quirks {
    applied: QuirkSet,
    off: QuirkSet,
}

impl Quirks {
    /// All leniencies on: the default for every client.
    pub fn lenient() -> Self {
        Self::default()
    }

    /// All leniencies off: the RFCs to the letter.
    pub fn strict() -> Self {
        Self::without(QuirkSet::leniencies())
    }

    /// All leniencies on but these. Habits in `off` stay what they are.
    pub fn without(off: QuirkSet) -> Self {
        Self { applied: QuirkSet::default(), off }
    }

    /// Strict or lenient by a flag of the configuration.
    pub fn new(strict: bool) -> Self {
        if strict { Self::strict() } else { Self::lenient() }
    }

    /// Asks for a leniency: false if it is off, else recorded and true.
    #[must_use]
    pub fn use_(&mut self, quirk: Quirk) -> bool {
        if !self.allows(quirk) {
            return false;
        }
        self.applied.insert(quirk);
        true
    }

    /// Whether a leniency may be used, without using it.
    pub fn allows(&self, quirk: Quirk) -> bool {
        !self.off.contains(quirk)
    }

    /// Records a habit that the RFCs allow but that tells clients apart.
    pub fn note(&mut self, quirk: Quirk) {
        self.applied.insert(quirk);
    }

    /// Whether all leniencies are off.
    pub fn is_strict(&self) -> bool {
        QuirkSet::leniencies().iter().all(|quirk| !self.allows(quirk))
    }

    /// The units used so far, in a stable order.
    pub fn applied(&self) -> impl Iterator<Item = Quirk> + '_ {
        self.applied.iter()
    }

    /// The units used so far.
    pub fn applied_set(&self) -> QuirkSet {
        self.applied
    }

    /// Whether this unit was used.
    pub fn used(&self, quirk: Quirk) -> bool {
        self.applied.contains(quirk)
    }
}
