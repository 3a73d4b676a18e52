//! The schema loader, and finding attributes.
use scim::schema::{Registry, Resolved, Schema, SchemaError};
use scim::urn;

#[test]
fn loader_refuses() {
    let check = |json: &str, want: fn(&SchemaError) -> bool| {
        let got = Schema::load(json).expect_err(json);
        assert!(want(&got), "{json}: {got}");
    };
    let wrap = |attrs: &str| format!(r#"{{"id":"urn:x:y:Z","name":"Z","attributes":[{attrs}]}}"#);
    check("[", |e| matches!(e, SchemaError::Json(_)));
    check(r#"{"id":"x","name":"Z","attributes":[]}"#, |e| matches!(e, SchemaError::Id(_)));
    check(r#"{"id":"urn:a b","name":"Z","attributes":[]}"#, |e| matches!(e, SchemaError::Id(_)));
    check(&wrap(r#"{"name":"1a"}"#), |e| matches!(e, SchemaError::Name(_)));
    check(&wrap(r#"{"name":"a b"}"#), |e| matches!(e, SchemaError::Name(_)));
    check(&wrap(r#"{"name":"$ref"}"#), |e| matches!(e, SchemaError::Name(_)));
    check(&wrap(r#"{"name":"a"},{"name":"A"}"#), |e| matches!(e, SchemaError::Duplicate(_)));
    check(&wrap(r#"{"name":"a","type":"complex"}"#), |e| matches!(e, SchemaError::Shape(_)));
    check(&wrap(r#"{"name":"a","subAttributes":[{"name":"b"}]}"#), |e| matches!(e, SchemaError::Shape(_)));
    check(
        &wrap(
            r#"{"name":"a","type":"complex","subAttributes":[{"name":"b","type":"complex","subAttributes":[{"name":"c"}]}]}"#,
        ),
        |e| matches!(e, SchemaError::Shape(_)),
    );
    check(&wrap(r#"{"name":"a","caseexact":true}"#), |e| matches!(e, SchemaError::Json(_)));
}

#[test]
fn an_extension_is_found_by_urn_and_its_attributes_without_it() {
    let json = r#"{"id":"urn:example:Thing:2.0:User","name":"Thing","attributes":[{"name":"colour"}]}"#;
    let registry = Registry::core().with_extension("user", json, false).expect("loads");
    let user = registry.resource_type("USER").expect("user");
    let found = user.resolve_str("URN:EXAMPLE:thing:2.0:user:COLOUR").attribute().expect("found");
    assert_eq!(found.path(), "urn:example:Thing:2.0:User:colour");
    assert!(user.resolve_str("colour").attribute().expect("found").unqualified);
    assert!(matches!(user.resolve_str("urn:example:thing:2.0:user"), Resolved::Extension(_)));
    assert_eq!(user.resolve_str(urn::USER), Resolved::Core);
    assert!(registry.clone().with_extension("User", json, false).is_err());
    assert!(Registry::core().with_extension("Nope", json, false).is_err());
    assert_eq!(registry.schema("group").map(|s| s.id.as_str()), Some(urn::GROUP));
}

#[test]
fn only_the_names_are_required() {
    for resource_type in Registry::core().resource_types() {
        let required: Vec<_> =
            resource_type.schema.attributes.iter().filter(|a| a.required).map(|a| a.name.as_str()).collect();
        let want = if resource_type.id == "User" { "userName" } else { "displayName" };
        assert_eq!(required, [want]);
        assert_eq!(resource_type.name_attribute().map(|a| a.name.as_str()), Some(want));
    }
}
