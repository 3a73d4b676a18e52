//! What changed, by attribute.

use scim::patch::{Changed, diff};
use serde_json::json;

use crate::{ENTERPRISE, doc, user};

#[test]
fn differences_by_attribute() {
    let before = doc(user());
    let after = doc(json!({
        "userName": "u", "active": false, "name": {"givenName": "G", "familyName": "X"}, "title": "T",
        "emails": [{"value": "w@x"}], ENTERPRISE: {"manager": {"value": "m2"}}
    }));
    let changed = diff(&before, &after);
    let mut paths: Vec<&str> = changed.iter().map(|c| c.path.as_str()).collect();
    paths.sort_unstable();
    let e = |name: &str| format!("{ENTERPRISE}:{name}");
    assert_eq!(
        paths,
        [
            "active",
            "displayName",
            "emails",
            "name.familyName",
            "title",
            &e("department"),
            &e("manager.$ref"),
            &e("manager.value")
        ]
    );
    assert!(changed.contains(&Changed { path: "active".into(), before: Some(json!(true)), after: Some(json!(false)) }));
    assert!(diff(&before, &before).is_empty());
}
