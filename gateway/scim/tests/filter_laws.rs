//! What holds for filters whatever they are: the laws of `and`, `or` and `not`, and of the operators among one another.
use proptest::prelude::*;
use scim::filter::{Filter, FilterLimits, check};
use scim::{Document, Quirks, Registry};
use serde_json::{Value, json};

fn parse(text: &str) -> Filter {
    Filter::parse(text, &FilterLimits::default(), &mut Quirks::strict()).expect(text)
}

fn holds(text: &str, doc: &Document) -> bool {
    let registry = Registry::core();
    let rt = registry.user().expect("user");
    let filter = parse(text);
    check(&filter, rt).expect(text);
    filter.matches(rt, doc)
}

/// Users of few different values, so that conditions hit.
fn any_user() -> impl Strategy<Value = Document> {
    let word = || {
        prop::sample::select(vec![
            json!(null),
            json!(""),
            json!("a"),
            json!("A"),
            json!("b"),
            json!("ab"),
            json!("\u{c9}"),
        ])
    };
    let kind = || prop::sample::select(vec![json!(null), json!("work"), json!("home")]);
    let flag = || prop::sample::select(vec![json!(null), json!(true), json!(false)]);
    let time =
        prop::sample::select(vec!["2026-01-01T00:00:00Z", "2026-01-01T02:00:00+02:00", "2025-12-31T23:59:59.9Z"]);
    let email = (word(), kind(), flag())
        .prop_map(|(value, kind, primary)| object(json!({"value": value, "type": kind, "primary": primary})));
    (word(), word(), word(), flag(), prop::collection::vec(email, 0..4), time).prop_map(|(title, family, external, active, emails, time)| {
        let user = json!({"userName": "u", "title": title, "name": object(json!({"familyName": family})), "externalId": external,
            "active": active, "emails": emails, "meta": {"created": time}});
        match object(user) {
            Value::Object(map) => map,
            _ => Document::new(),
        }
    })
}

/// Without what is null: documents hold none.
fn object(value: Value) -> Value {
    match value {
        Value::Object(map) => map.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        other => other,
    }
}

/// Conditions that fit their attributes.
fn any_condition() -> impl Strategy<Value = String> {
    let text =
        prop::sample::select(vec!["title", "name.familyName", "externalId", "emails", "emails.value", "emails.type"]);
    let op = prop::sample::select(vec!["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"]);
    let word = prop::sample::select(vec!["", "a", "A", "b", "work", "\u{e9}"]);
    let equal = prop::sample::select(vec!["eq", "ne"]);
    prop_oneof![
        (text.clone(), op.clone(), word).prop_map(|(attr, op, word)| format!("{attr} {op} {}", Value::from(word))),
        (text, equal.clone()).prop_map(|(attr, op)| format!("{attr} {op} null")),
        (prop::sample::select(vec!["active", "emails.primary"]), equal, any::<bool>())
            .prop_map(|(attr, op, flag)| format!("{attr} {op} {flag}")),
        prop::sample::select(vec!["title pr", "emails pr", "name pr", "emails.display pr", "active pr"])
            .prop_map(str::to_owned),
        op.prop_filter("an order or equality", |op| !matches!(*op, "co" | "sw" | "ew"))
            .prop_map(|op| format!("meta.created {op} \"2026-01-01T01:00:00+01:00\"")),
        prop::sample::select(vec![
            "emails[type eq \"work\"]",
            "emails[primary eq true and value pr]",
            "emails[not (value co \"a\")]"
        ])
        .prop_map(str::to_owned),
    ]
}

proptest! {
    #[test]
    fn de_morgan(doc in any_user(), a in any_condition(), b in any_condition()) {
        prop_assert_eq!(holds(&format!("not ({a} and {b})"), &doc), holds(&format!("not ({a}) or not ({b})"), &doc));
        prop_assert_eq!(holds(&format!("not ({a} or {b})"), &doc), holds(&format!("not ({a}) and not ({b})"), &doc));
        prop_assert_eq!(holds(&format!("not (not ({a}))"), &doc), holds(&a, &doc));
    }

    #[test]
    fn and_binds_before_or(doc in any_user(), a in any_condition(), b in any_condition(), c in any_condition()) {
        prop_assert_eq!(holds(&format!("{a} or {b} and {c}"), &doc), holds(&format!("{a} or ({b} and {c})"), &doc));
        prop_assert_eq!(holds(&format!("{a} and {b} or {c}"), &doc), holds(&format!("({a} and {b}) or {c}"), &doc));
        prop_assert_eq!(holds(&format!("not ({a}) and {b}"), &doc), holds(&format!("(not ({a})) and {b}"), &doc));
    }

    #[test]
    fn what_is_printed_means_the_same(doc in any_user(), a in any_condition(), b in any_condition(), c in any_condition()) {
        let filter = parse(&format!("{a} and not ({b} or {c}) or {c} and ({a} or {b})"));
        prop_assert_eq!(parse(&filter.to_string()), filter.clone());
        let registry = Registry::core();
        let rt = registry.user().expect("user");
        prop_assert_eq!(parse(&filter.to_string()).matches(rt, &doc), filter.matches(rt, &doc));
    }

    /// Of one value: it is equal or it is not, and an order is an order. Unassigned is equal to nothing and has none.
    #[test]
    fn operators_agree_on_single_values(doc in any_user(), word in "[aAb\u{e9}]{0,2}") {
        for attr in ["title", "name.familyName", "externalId"] {
            let is = |op: &str| holds(&format!("{attr} {op} {}", Value::from(word.as_str())), &doc);
            prop_assert_eq!(is("ne"), !is("eq"), "{}", attr);
            prop_assert_eq!(is("ge"), is("gt") || is("eq"), "{}", attr);
            prop_assert_eq!(is("le"), is("lt") || is("eq"), "{}", attr);
            prop_assert!(!(is("lt") && is("gt")), "{}", attr);
            prop_assert!(!is("sw") || is("co"), "{}", attr);
            prop_assert!(!is("ew") || is("co"), "{}", attr);
            prop_assert!(!is("eq") || is("sw") && is("ew"), "{}", attr);
            let present = holds(&format!("{attr} pr"), &doc);
            prop_assert_eq!(holds(&format!("{attr} eq null"), &doc), !present, "{}", attr);
            prop_assert_eq!(holds(&format!("{attr} ne null"), &doc), present, "{}", attr);
        }
    }

    /// `emails[P].value eq x` asks what `emails[P and value eq x]` asks: one element that passes both.
    #[test]
    fn a_comparison_behind_a_value_path_is_one_within(doc in any_user(), kind in "work|home", op in "eq|ne|co|sw|pr", word in "[aAb]") {
        let test = if op == "pr" { "value pr".to_owned() } else { format!("value {op} \"{word}\"") };
        let behind = holds(&format!("emails[type eq \"{kind}\"].{test}"), &doc);
        prop_assert_eq!(behind, holds(&format!("emails[type eq \"{kind}\" and {test}]"), &doc));
    }

    /// A list passes if one element does, and `name` means its `value`.
    #[test]
    fn a_list_passes_by_one_element(doc in any_user(), op in "eq|co|sw|ew|gt|le", word in "[aAb]") {
        let whole = holds(&format!("emails.value {op} \"{word}\""), &doc);
        prop_assert_eq!(holds(&format!("emails {op} \"{word}\""), &doc), whole);
        prop_assert_eq!(holds(&format!("emails[value {op} \"{word}\"]"), &doc), whole);
        let emails = doc.get("emails").and_then(Value::as_array).cloned().unwrap_or_default();
        let single = emails.iter().any(|email| {
            let mut one = Document::new();
            one.insert("emails".into(), json!([email]));
            holds(&format!("emails.value {op} \"{word}\""), &one)
        });
        prop_assert_eq!(whole, single);
    }
}
