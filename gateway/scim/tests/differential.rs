//! The same texts through another reader of the grammar.
//!
//! Known differences, left out of what is generated: `$ref` (in RFC 7643, not in the grammar of RFC 7644), values
//! without quotes, and a value path followed by a comparison, which are leniencies of ours.
use proptest::prelude::*;
use scim::Quirks;
use scim::filter::{Filter, FilterLimits};
use scim::path::PatchPath;

fn ours(text: &str) -> bool {
    Filter::parse(text, &FilterLimits::default(), &mut Quirks::strict()).is_ok()
}

fn theirs(text: &str) -> bool {
    text.parse::<scim_v2::filter::Filter>().is_ok()
}

fn attribute() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "userName",
        "name.familyName",
        "emails",
        "emails.value",
        "meta.lastModified",
        "x-y_z1",
        "urn:ietf:params:scim:schemas:core:2.0:User:userName",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value",
    ])
    .prop_map(str::to_owned)
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec!["true", "false", "null", "0", "-12", "1.5"]).prop_map(str::to_owned),
        "[a-zA-Z0-9@.()\\[\\]]{0,8}".prop_map(|s| serde_json::Value::String(s).to_string()),
    ]
}

fn expression() -> impl Strategy<Value = String> {
    let op = prop::sample::select(vec!["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le", "EQ", "Co"]);
    let leaf = prop_oneof![
        attribute().prop_map(|a| format!("{a} pr")),
        (attribute(), op, value()).prop_map(|(a, op, v)| format!("{a} {op} {v}")),
    ];
    leaf.prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} and {b}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} OR {b}")),
            inner.clone().prop_map(|a| format!("({a})")),
            inner.clone().prop_map(|a| format!("not ({a})")),
            Just(r#"emails[type eq "work"]"#.to_owned()),
        ]
    })
}

proptest! {
    #[test]
    fn good_filters_are_good_to_both(text in expression()) {
        prop_assert!(ours(&text), "{text}");
        prop_assert!(theirs(&text), "{text}");
    }

    /// A token dropped from a good filter: both take what is left, or neither.
    #[test]
    fn damaged_filters_are_judged_alike(text in expression(), at in any::<prop::sample::Index>()) {
        let words: Vec<&str> = text.split(' ').collect();
        let drop = at.index(words.len());
        let left: Vec<&str> = words.iter().enumerate().filter(|(n, _)| *n != drop).map(|(_, w)| *w).collect();
        let left = left.join(" ");
        prop_assert_eq!(ours(&left), theirs(&left), "{}", left);
    }

    #[test]
    fn paths_are_judged_alike(
        attr in attribute(),
        tail in "[\\].)]{0,1}",
    ) {
        judge_path(&format!("{attr}{tail}"))?;
    }

    /// A sub-attribute in front of a value filter is refused here, so none is made: values of sub-attributes are
    /// plain.
    #[test]
    fn value_paths_are_judged_alike(
        attr in prop::sample::select(vec!["emails", "addresses", "urn:ietf:params:scim:schemas:core:2.0:User:emails"]),
        filter in "(type|value) (eq|co|xx) \"[a-z]{0,4}\"",
        sub in prop::option::of("[a-z1]{1,3}"),
        tail in "[\\].)]{0,1}",
    ) {
        let sub = sub.map(|s| format!(".{s}")).unwrap_or_default();
        judge_path(&format!("{attr}[{filter}]{sub}{tail}"))?;
    }
}

fn judge_path(text: &str) -> Result<(), TestCaseError> {
    let ours = PatchPath::parse(text, &mut Quirks::strict()).is_ok();
    let theirs = text.parse::<scim_v2::filter::PatchPath>().is_ok();
    prop_assert_eq!(ours, theirs, "{}", text);
    Ok(())
}
