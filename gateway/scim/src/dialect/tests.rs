use super::*;
use crate::filter::{Filter, FilterLimits};
use crate::quirks::{QuirkSet, Quirks};
use serde_json::{Value, json};
use std::collections::HashSet;

#[test]
fn dialects_are_named_once_and_only_those_with_marks_are_recognised() {
    let mut names = HashSet::new();
    for dialect in Dialect::ALL {
        assert!(names.insert(dialect.name), "{} twice", dialect.name);
        assert_eq!(Dialect::by_name(dialect.name), Some(dialect));
        assert_eq!(dialect.marks.is_empty(), dialect.recognition == "-", "{}", dialect.name);
        let mut all = Evidence::default();
        for (mark, weight) in dialect.marks {
            assert!(*weight > 0);
            match mark {
                Mark::Sign(sign) => all.see(*sign),
                Mark::Used(quirk) => all.used.insert(*quirk),
            }
        }
        let weights: u32 = dialect.marks.iter().map(|(_, weight)| u32::from(*weight)).sum();
        let expected = if weights >= 5 { dialect.name } else { "auto" };
        assert_eq!(all.dialect().name, expected, "all marks of {}", dialect.name);
    }
}

#[test]
fn a_guess_turns_on_nothing_that_changes_or_hides_data() {
    for dialect in Dialect::ALL {
        let guessed = dialect.settings.harmless();
        let plain = Settings { group_patch: Settings::DEFAULT.group_patch, answer_within_ms: None, ..guessed };
        assert_eq!(plain, Settings::DEFAULT, "{}", dialect.name);
    }
    assert_eq!(aws_style::DIALECT.settings.harmless().put_without_active, AbsentActive::Keep);
    assert!(pocket_id::DIALECT.settings.harmless().unmanaged_in_lists);
    assert_eq!(auth0::DIALECT.settings.harmless().answer_within_ms, Some(1_000));
}

/// A request: the head, or a body with whether it creates.
enum Seen {
    Agent(&'static str),
    Query(&'static str),
    TypedGet,
    Create(Value),
    Change(Value),
    Used(Quirk),
}
use Seen::{Agent, Change, Create, Query, TypedGet, Used};

fn recognised(requests: &[Seen]) -> &'static str {
    let mut seen = Evidence::default();
    for request in requests {
        let head = |agent, query: &[(String, String)], typed| {
            let mut seen = Evidence::default();
            signs_of_head(&Head { agent: Some(agent), type_without_body: typed, query }, &mut seen);
            seen
        };
        match request {
            Agent(agent) => seen.extend(head(agent, &[], false)),
            TypedGet => seen.extend(head("x", &[], true)),
            Query(text) => {
                let pairs: Vec<(String, String)> = text
                    .split('&')
                    .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect();
                seen.extend(head("x", &pairs, false));
                let mut quirks = Quirks::lenient();
                if let Some((_, filter)) = pairs.iter().find(|(name, _)| name == "filter") {
                    let filter = Filter::parse(filter, &FilterLimits::default(), &mut quirks).expect("a filter");
                    signs_of_filter(&filter, &mut seen);
                }
            }
            Create(body) => signs_of_body(body, true, &mut seen),
            Change(body) => signs_of_body(body, false, &mut seen),
            Used(quirk) => seen.used.extend(QuirkSet::from_iter([*quirk])),
        }
    }
    seen.dialect().name
}

#[test]
fn clients_are_told_by_their_requests() {
    let check = |requests: &[Seen], want: &str| assert_eq!(recognised(requests), want, "{want}");
    check(&[], "auto");
    check(&[Agent("Okta SCIM Client 1.0.0")], "okta");
    check(&[Create(json!({"userName": "u", "password": "p", "groups": []}))], "okta");
    check(&[Query("aadOptscim062020")], "entra");
    let guid = r#"excludedAttributes=members&filter=displayName eq "5e6c2a1b-0d7f-4b7e-9f53-2f4b7c6c9a11""#;
    check(&[Query(guid)], "entra");
    check(&[Used(Quirk::CapitalisedOp), Used(Quirk::BooleanAsText)], "entra");
    check(&[Query(r#"filter=id eq "g" and members eq "u""#), Used(Quirk::PlusForSpace)], "entra");
    check(&[Agent(""), Create(json!({"emails": {"value": "a"}})), Used(Quirk::SingleForList)], "onelogin");
    check(&[Query(r#"filter=externalId eq "auth0|65a1b2c3d4""#)], "auth0");
    check(&[Change(json!({"externalId": "google-oauth2|1"}))], "auth0");
    check(&[TypedGet, Create(json!({"emails": [{"type": "other", "value": "a"}]}))], "authentik");
    check(&[Create(json!({"id": "", "meta": {}, "displayName": "g"}))], "aws_style");
    check(&[Create(json!({"addresses": [{"type": "work"}]})), Create(json!({"members": null}))], "aws_style");
    let null = json!({"Operations": [{"op": "replace", "path": "members", "value": null}]});
    check(&[Change(null)], "conductorone");
    let jumpcloud = json!({"externalId": "66e2d689590450d073d2df3b", "phoneNumbers": [{"value": "tel:+1-555"}]});
    check(&[Create(jumpcloud)], "jumpcloud");
    let keycloak = json!({"Operations": [{"path": "active", "op": "replace", "value": "false"}]});
    check(&[TypedGet, Change(keycloak.clone()), Used(Quirk::BooleanAsText)], "keycloak");
    check(&[Used(Quirk::TwoPrimaries)], "pingone");
    check(&[Query("count=1000&startIndex=1"), Create(json!({"externalId": "p", "userName": "u"}))], "pocket_id");
    check(&[Used(Quirk::AddAsChange)], "sailpoint");
    let saviynt = json!({"active": "true", "profileUrl": " "});
    check(&[Create(saviynt), Used(Quirk::NotAUri), Used(Quirk::BooleanAsText)], "saviynt");
}

#[test]
fn what_speaks_for_two_speaks_for_none() {
    assert_eq!(recognised(&[Agent("Okta SCIM Client 1.0.0"), Query("aadOptscim062020")]), "auto");
    assert_eq!(recognised(&[Query(r#"filter=emails eq "a""#), Used(Quirk::ComplexCompared)]), "auto");
    assert_eq!(recognised(&[Used(Quirk::PlusForSpace), Used(Quirk::RemoveByValue)]), "auto");
    assert_eq!(recognised(&[TypedGet]), "auto");
}

#[test]
fn any_body_is_looked_at_without_harm() {
    for body in [json!(null), json!([]), json!({"Operations": [1, {"path": 1}]}), json!({"emails": 1, "groups": {}})] {
        let mut seen = Evidence::default();
        signs_of_body(&body, true, &mut seen);
        assert_eq!(seen, Evidence::default(), "{body}");
    }
}
