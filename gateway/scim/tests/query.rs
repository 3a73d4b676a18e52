//! Query parameters, projection, sorting, list responses.
use scim::list::{ListRequest, SortOrder, list_response};
use scim::projection::Projection;
use scim::sort::compare;
use scim::{AttrPath, Document, Quirks, Registry};
use serde_json::{Value, json};
use std::cmp::Ordering;

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

fn query(pairs: &[(&str, &str)]) -> Result<ListRequest, scim::ScimError> {
    let pairs: Vec<(String, String)> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    ListRequest::from_query(&pairs, &mut Quirks::lenient())
}

#[test]
fn numbers() {
    let top = u64::try_from(i64::MAX).expect("positive");
    let check = |text: &str, start: Option<u64>, count: Option<u64>| {
        let got = query(&[("startIndex", text), ("COUNT", text)]);
        assert_eq!(got.as_ref().ok().map(|r| r.start_index), start, "{text}");
        assert_eq!(got.as_ref().ok().and_then(|r| r.count), count, "{text}");
        if let Err(e) = got {
            assert_eq!(e.scim_type.map(|t| t.as_str()), Some("invalidValue"));
        }
    };
    check("1", Some(1), Some(1));
    check(" 7 ", Some(7), Some(7));
    check("0", Some(1), Some(0));
    check("-1", Some(1), Some(0));
    check("-99999999999999999999999", Some(1), Some(0));
    for huge in ["9223372036854775807", "9223372036854775808", "18446744073709551616", "100000000000000000000"] {
        check(huge, Some(top), Some(top));
    }
    for bad in ["1.5", "1e20", "NaN", "\u{ff11}", "x", "--1", "-", "+", "0x10"] {
        check(bad, None, None);
    }
    check(&"9".repeat(65), None, None);
    let empty = query(&[("startIndex", ""), ("count", ""), ("aadOptscim062020", ""), ("sortBy", "")]).expect("ignored");
    assert_eq!(empty, ListRequest::default());
}

#[test]
fn parameters() {
    let got = query(&[
        ("FILTER", "userName eq \"a\""),
        ("sortby", "name.familyName"),
        ("SortOrder", "DESCENDING"),
        ("attributes", "id"),
    ]);
    let got = got.expect("accepted");
    assert!(got.filter.is_some());
    assert_eq!(got.sort_by, Some(AttrPath::parse("name.familyName").expect("path")));
    assert_eq!(got.sort_order, SortOrder::Descending);
    assert_eq!(got.projection, Projection::Only(vec![AttrPath::name("id")]));
    let refused = |pairs: &[(&str, &str)], kind: &str| {
        assert_eq!(query(pairs).err().and_then(|e| e.scim_type).map(|t| t.as_str()), Some(kind), "{pairs:?}");
    };
    refused(&[("filter", "")], "invalidFilter");
    refused(&[("filter", "userName xx \"a\"")], "invalidFilter");
    refused(&[("sortOrder", "up")], "invalidValue");
    refused(&[("sortBy", "a b")], "invalidValue");
    refused(&[("attributes", "id"), ("excludedAttributes", "name")], "invalidValue");
    assert!(query(&[("attributes", ""), ("excludedAttributes", "members")]).is_ok());
}

#[test]
fn search_bodies() {
    let urn = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";
    let run = |body: Value| ListRequest::from_search(body, &mut Quirks::lenient());
    let got = run(json!({
        "schemas": [urn], "filter": "title pr", "attributes": ["userName", "emails.value"], "startIndex": 5, "count": 10,
        "sortBy": "userName", "sortOrder": "descending", "other": 1
    }));
    let got = got.expect("accepted");
    assert_eq!((got.start_index, got.count, got.sort_order), (5, Some(10), SortOrder::Descending));
    assert!(matches!(got.projection, Projection::Only(ref names) if names.len() == 2));
    let top = u64::try_from(i64::MAX).expect("positive");
    let number = |text: &str| {
        let body = format!("{{\"schemas\":[\"{urn}\"],\"startIndex\":{text},\"count\":{text}}}");
        run(serde_json::from_str(&body).expect("JSON")).ok().map(|r| (r.start_index, r.count))
    };
    assert_eq!(number("-3"), Some((1, Some(0))));
    assert_eq!(number("18446744073709551615"), Some((top, Some(top))));
    assert_eq!(number("18446744073709551616"), Some((top, Some(top))));
    assert_eq!(number("100000000000000000000"), Some((top, Some(top))));
    assert_eq!(number("1.5"), None);
    assert_eq!(number("null"), Some((1, None)));
    assert_eq!(number("true"), None);
    for (body, kind) in [
        (json!([]), "invalidSyntax"),
        (json!({"filter": "title pr"}), "invalidSyntax"),
        (json!({"schemas": ["urn:x:y"]}), "invalidSyntax"),
        (json!({"schemas": [urn], "filter": "x"}), "invalidFilter"),
        (json!({"schemas": [urn], "filter": 5}), "invalidValue"),
        (json!({"schemas": [urn], "attributes": [5]}), "invalidValue"),
        (json!({"schemas": [urn], "attributes": ["a"], "excludedAttributes": ["b"]}), "invalidValue"),
    ] {
        assert_eq!(run(body.clone()).err().and_then(|e| e.scim_type).map(|t| t.as_str()), Some(kind), "{body}");
    }
}

fn resource() -> Document {
    let value = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "id": "1", "userName": "u", "password": "p", "active": true,
        "name": {"givenName": "G", "familyName": "F"},
        "emails": [{"value": "a", "type": "work"}, {"value": "b"}],
        "meta": {"resourceType": "User", "version": "W/\"1\""},
        ENTERPRISE: {"department": "d", "manager": {"value": "m"}},
        "urn:example:sync:1.0:Status": {"state": "settled"}
    });
    value.as_object().expect("object").clone()
}

#[test]
fn projections() {
    let registry = Registry::core();
    let rt = registry.user().expect("user");
    let check = |attributes: &str, excluded: &str, want: Value| {
        let projection = Projection::from_params(Some(attributes), Some(excluded)).expect("reads");
        let mut got = projection.apply(rt, resource());
        assert_eq!(got.shift_remove("id"), Some(json!("1")), "{attributes}/{excluded}");
        assert!(got.shift_remove("schemas").is_some(), "{attributes}/{excluded}");
        assert_eq!(Value::Object(got), want, "{attributes}/{excluded}");
    };
    let whole = json!({
        "userName": "u", "active": true, "name": {"givenName": "G", "familyName": "F"},
        "emails": [{"value": "a", "type": "work"}, {"value": "b"}],
        "meta": {"resourceType": "User", "version": "W/\"1\""},
        ENTERPRISE: {"department": "d", "manager": {"value": "m"}}
    });
    let without = |keys: &[&str]| {
        let mut out = whole.clone();
        keys.iter().for_each(|k| {
            out.as_object_mut().expect("object").shift_remove(*k);
        });
        out
    };
    check("", "", whole.clone());
    check("USERNAME", "", json!({"userName": "u"}));
    check("userName, name.familyName", "", json!({"userName": "u", "name": {"familyName": "F"}}));
    check("emails.type", "", json!({"emails": [{"type": "work"}]}));
    check("urn:ietf:params:scim:schemas:core:2.0:User:userName", "", json!({"userName": "u"}));
    check("password", "", json!({}));
    check("nonsense,,a b", "", json!({}));
    check(ENTERPRISE, "", json!({ENTERPRISE: {"department": "d", "manager": {"value": "m"}}}));
    check(&format!("{ENTERPRISE}:manager"), "", json!({ENTERPRISE: {"manager": {"value": "m"}}}));
    check("manager.value", "", json!({ENTERPRISE: {"manager": {"value": "m"}}}));
    check("meta.version", "", json!({"meta": {"version": "W/\"1\""}}));
    check("urn:example:sync:1.0:Status", "", json!({"urn:example:sync:1.0:Status": {"state": "settled"}}));
    check("", "emails", without(&["emails"]));
    check("", "id,schemas,meta,emails,active", without(&["meta", "emails", "active"]));
    check("", &format!("name,emails,meta,{ENTERPRISE}"), without(&["name", "emails", "meta", ENTERPRISE]));
    let mut name = without(&[]);
    name["name"] = json!({"givenName": "G"});
    check("", "name.familyName", name);
    assert!(Projection::from_params(Some("a"), Some("b")).is_err());
    assert!(Projection::from_params(Some(&"a,".repeat(300)), None).is_err());
}

#[test]
fn what_is_not_wanted_need_not_be_read() {
    let registry = Registry::core();
    let rt = registry.group().expect("group");
    let check = |attributes: &str, excluded: &str, path: &str, want: bool| {
        let projection = Projection::from_params(Some(attributes), Some(excluded)).expect("reads");
        assert_eq!(projection.wants(rt, path), want, "{attributes}/{excluded} {path}");
    };
    check("", "", "members", true);
    check("", "Members", "members", false);
    check("displayName", "", "members", false);
    check("members.value", "", "members", true);
    check("members.value", "", "members.display", false);
    check("", "members.display", "members", true);
    check("", "members.display", "members.display", false);
    check("displayName", "", "id", true);
    check("", "id", "id", true);
    check("", "", "urn:example:sync:1.0:Status", false);
    check("urn:example:sync:1.0:status:state", "", "urn:example:sync:1.0:Status", true);
    let group = json!({"id": "g", "displayName": "x", "members": []});
    let kept = Projection::Default.apply(rt, group.as_object().expect("object").clone());
    assert_eq!(kept.get("members"), Some(&json!([])));
}

#[test]
fn sorting() {
    let registry = Registry::core();
    let rt = registry.user().expect("user");
    let check = |path: &str, a: Value, b: Value, want: Ordering| {
        let (a, b) = (a.as_object().expect("object").clone(), b.as_object().expect("object").clone());
        let path = AttrPath::parse(path).expect("path");
        assert_eq!(compare(rt, &path, &a, &b), want, "{path} {a:?} {b:?}");
        assert_eq!(compare(rt, &path, &b, &a), want.reverse(), "{path} {b:?} {a:?}");
    };
    check("userName", json!({"userName": "a"}), json!({"userName": "B"}), Ordering::Less);
    check("userName", json!({"userName": "A"}), json!({"userName": "a"}), Ordering::Equal);
    check("externalId", json!({"externalId": "B"}), json!({"externalId": "a"}), Ordering::Less);
    check("title", json!({}), json!({"title": "x"}), Ordering::Greater);
    check("title", json!({}), json!({}), Ordering::Equal);
    check("name.familyName", json!({"name": {"familyName": "a"}}), json!({"name": {"givenName": "x"}}), Ordering::Less);
    check("name", json!({"name": {"familyName": "a"}}), json!({}), Ordering::Equal);
    check("password", json!({"password": "a"}), json!({"password": "b"}), Ordering::Equal);
    check("nonsense", json!({}), json!({}), Ordering::Equal);
    check(
        "emails",
        json!({"emails": [{"value": "z"}, {"value": "a", "primary": true}]}),
        json!({"emails": [{"value": "b"}, {"value": "0"}]}),
        Ordering::Less,
    );
    check(
        "meta.lastModified",
        json!({"meta": {"lastModified": "2011-05-13T06:00:00+02:00"}}),
        json!({"meta": {"lastModified": "2011-05-13T05:00:00Z"}}),
        Ordering::Less,
    );
    check("active", json!({"active": false}), json!({"active": true}), Ordering::Less);
    check(
        &format!("{ENTERPRISE}:department"),
        json!({ENTERPRISE: {"department": "a"}}),
        json!({ENTERPRISE: {"department": "B"}}),
        Ordering::Less,
    );
}

#[test]
fn a_list_response_always_has_its_resources() {
    assert_eq!(
        list_response(7, 3, vec![]),
        json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
            "totalResults": 7, "startIndex": 3, "itemsPerPage": 0, "Resources": []
        })
    );
}
