//! `filter=emails eq "a@example.com"`, `filter=id eq "g" and members eq "u"`.
//!
//! PingFederate and PingOne match by the bare `emails`, Entra asks for `members` and `manager`. RFC 7644 section
//! 3.4.2.2 has an example of it (`emails co "example.com"`): a complex attribute is compared by its `value`.
use super::{Kind, Quirk, Quirks, Unit};
use crate::schema::{AttrType, Attribute};

pub(super) const UNIT: Unit = Unit {
    name: "complex_compared",
    kind: Kind::Habit,
    example: "`filter=emails eq \"a@example.com\"`",
    meaning: "the `value` of the attribute is compared",
    off: "RFC 7644 section 3.4.2.2 has it",
    clients: &["pingfederate", "pingone", "entra"],
};

/// Notes it, if the attribute is complex.
pub(crate) fn note(attr: &Attribute, quirks: &mut Quirks) {
    if attr.kind == AttrType::Complex {
        quirks.note(Quirk::ComplexCompared);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, filter};
    use super::*;
    use serde_json::json;

    #[test]
    fn taken_in_any_case() {
        let want = json!("emails eq \"a@example.com\"");
        check(Quirk::ComplexCompared, filter("emails eq \"a@example.com\""), want.clone(), Ok(want));
    }
}
