//! Discovery documents, whole.
use scim::Registry;
use scim::discovery::{Options, resource_types, schema_document, schemas, service_provider_config};
use scim::urn;

const BASE: &str = "https://scim.example.com/i/1/scim/v2";

#[test]
fn documents() {
    let registry = Registry::core();
    for (name, id) in [("user", urn::USER), ("group", urn::GROUP), ("enterprise_user", urn::ENTERPRISE_USER)] {
        let schema = registry.schema(id).expect("core schema");
        insta::assert_json_snapshot!(name, schema_document(schema, BASE));
    }
    insta::assert_json_snapshot!("service_provider_config", service_provider_config(&Options::new(BASE)));
    insta::assert_json_snapshot!("resource_types", resource_types(&registry, &format!("{BASE}/")));
}

#[test]
fn every_schema_named_by_a_resource_type_is_served() {
    let registry = Registry::core();
    let served = schemas(&registry, BASE);
    assert_eq!(served["totalResults"], 3);
    for rt in registry.resource_types() {
        assert!(registry.schema(&rt.schema.id).is_some());
        assert!(rt.extensions.iter().all(|(schema, _)| registry.schema(&schema.id).is_some()));
    }
    let bulk = Options { bulk: Some((100, 1_048_576)), ..Options::new(BASE) };
    assert_eq!(service_provider_config(&bulk)["bulk"]["maxOperations"], 100);
}
