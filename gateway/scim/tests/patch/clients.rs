//! The requests that identity providers send.

use scim::{Quirk, Quirks};
use serde_json::{Value, json};

use crate::{ENTERPRISE, check, check_with};

#[test]
fn entra() {
    let manager = |value: Value| json!({ENTERPRISE: {"department": "d", "manager": value}});
    let path = format!("{ENTERPRISE}:manager");
    check(json!([{"op": "Add", "path": path, "value": "m2"}]), manager(json!({"value": "m2"})));
    check(
        json!([{"op": "Add", "path": "manager", "value": [{"$ref": "https://x/Users/m2", "value": "m2"}]}]),
        manager(json!({"value": "m2", "$ref": "https://x/Users/m2"})),
    );
    for nothing in [json!(""), json!({"value": ""}), json!(null), json!([]), json!({"value": null})] {
        check(json!([{"op": "Replace", "path": path, "value": nothing}]), json!({ENTERPRISE: {"department": "d"}}));
    }
    check(
        json!([{"op": "Replace", "path": format!("{path}.value"), "value": ""}]),
        json!({ENTERPRISE: {"department": "d"}}),
    );
    check(json!([{"op": "Replace", "path": "active", "value": "False"}]), json!({"active": false}));
    check(json!([{"op": "Replace", "path": "active", "value": {"value": "True"}}]), json!({}));
    check(
        json!([
            {"op": "Add", "path": "phoneNumbers[type eq \"mobile\"].value", "value": "+1 555 0100"},
            {"op": "Replace", "path": "phoneNumbers[type eq \"fax\"].value", "value": "+1 555 0199"},
            {"op": "Add", "path": "addresses[type eq \"work\"].streetAddress", "value": "1 Example St"},
            {"op": "Add", "path": "roles[primary eq \"True\"].display", "value": "R"}
        ]),
        json!({
            "phoneNumbers": [{"type": "mobile", "value": "+1 555 0100"}, {"type": "fax", "value": "+1 555 0199"}],
            "addresses": [{"type": "work", "streetAddress": "1 Example St"}],
            "roles": [{"primary": true, "display": "R"}]
        }),
    );
    check(
        json!([{"op": "Add", "path": "roles", "value": [{"value": "{\"id\":\"06b0\",\"value\":\"Admin\",\"displayName\":\"Admin\"}"}]}]),
        json!({"roles": [{"value": "Admin", "display": "Admin"}]}),
    );
    check(
        json!([{"op": "replace", "value": {
            "displayName": "E", "name.givenName": "H", format!("{ENTERPRISE}:employeeNumber"): "2002",
            "emails[type eq \"work\"].value": "n@x"
        }}]),
        json!({
            "displayName": "E", "name": {"givenName": "H", "familyName": "F"},
            ENTERPRISE: {"department": "d", "manager": {"value": "m1", "$ref": "https://x/Users/m1"}, "employeeNumber": "2002"},
            "emails": [{"value": "n@x", "type": "work", "primary": true}, {"value": "h@x", "type": "home"}]
        }),
    );
    let mut quirks = Quirks::lenient();
    let custom = "urn:ietf:params:scim:schemas:extension:CustomExtensionName:2.0:User:CustomAttribute";
    check_with(json!([{"op": "Add", "path": custom, "value": "701984"}]), json!({}), &mut quirks);
    assert_eq!(quirks.applied().collect::<Vec<_>>(), [Quirk::CapitalisedOp, Quirk::UnknownIgnored]);
}

#[test]
fn okta_and_sailpoint() {
    check(json!([{"op": "replace", "value": {"active": false}}]), json!({"active": false}));
    let got = check(json!([{"op": "replace", "value": {"password": "3mz050nq", "id": "x", "schemas": []}}]), json!({}));
    assert!(got.password_given && !format!("{got:?}").contains("3mz050nq"));
    let mut quirks = Quirks::lenient();
    check_with(json!([{"op": "add", "value": {"active": false}}]), json!({"active": false}), &mut quirks);
    assert!(quirks.used(Quirk::AddAsChange));
}
