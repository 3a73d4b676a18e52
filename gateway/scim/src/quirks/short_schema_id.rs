//! `GET /Schemas/User`.
//!
//! A schema is read by its URN (RFC 7644 section 4). SailPoint was seen to ask by its name.
use super::{Kind, Quirk, Quirks, Unit};
use crate::schema::{Registry, Schema};

pub(super) const UNIT: Unit = Unit {
    name: "short_schema_id",
    kind: Kind::Leniency,
    example: "`GET /Schemas/User`",
    meaning: "the schema of that name",
    off: "404",
    clients: &["sailpoint"],
};

/// The schema that a path names.
pub fn find<'r>(registry: &'r Registry, id: &str, quirks: &mut Quirks) -> Option<&'r Schema> {
    let schema = registry.schema(id)?;
    (schema.id.eq_ignore_ascii_case(id) || quirks.use_(Quirk::ShortSchemaId)).then_some(schema)
}

#[cfg(test)]
mod tests {
    use super::super::testing::check;
    use super::*;
    use crate::ScimError;
    use crate::urn::USER;
    use serde_json::json;

    #[test]
    fn on_and_off() {
        let registry = Registry::core();
        let run = |quirks: &mut Quirks| {
            find(&registry, "user", quirks).map(|s| json!(s.id)).ok_or_else(|| ScimError::not_found("no such schema"))
        };
        check(Quirk::ShortSchemaId, run, json!(USER), Err("404"));
        assert!(find(&registry, USER, &mut Quirks::strict()).is_some());
    }
}
