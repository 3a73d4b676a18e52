//! `{"op": "remove", "path": "manager[value eq \"2\"]"}`.
//!
//! Filters of a path choose among the values of a multi-valued attribute (RFC 7644 section 3.5.2). Entra was seen to
//! remove a manager by one.
use super::{Kind, Quirk, Quirks, Unit};
use crate::error::ScimError;

pub(super) const UNIT: Unit = Unit {
    name: "filter_on_single",
    kind: Kind::Leniency,
    example: r#"`{"op": "remove", "path": "manager[value eq \"2\"]"}`"#,
    meaning: "the one value as a list of one; a removal that names another value changes nothing",
    off: "400 invalidPath",
    clients: &["entra"],
};

/// Asks for it.
///
/// # Errors
/// 400 `invalidPath` if it is off.
pub(crate) fn allow(name: &str, quirks: &mut Quirks) -> Result<(), ScimError> {
    if quirks.use_(Quirk::FilterOnSingle) {
        return Ok(());
    }
    Err(ScimError::invalid_path(format!("{name} has one value: its path takes no filter.")))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{MANAGER, check, patch, stored};
    use super::*;
    use crate::urn::ENTERPRISE_USER;
    use serde_json::json;

    #[test]
    fn on_and_off() {
        let manager = json!({ENTERPRISE_USER: {"manager": {"value": "2"}}});
        for (id, want) in [("2", stored(json!({}))), ("3", stored(manager.clone()))] {
            let path = format!("{MANAGER}[value eq \"{id}\"]");
            let run = patch(manager.clone(), json!([{"op": "remove", "path": path}]));
            check(Quirk::FilterOnSingle, run, want, Err("invalidPath"));
        }
    }
}
