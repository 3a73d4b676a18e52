//! Filters: what is taken, what is refused, what matches, and what an index can do.
use proptest::prelude::*;
use scim::filter::{Filter, FilterLimits, IndexTerm, Op, check, check_with};
use scim::path::AttrPath;
use scim::{Document, Quirk, Quirks, Registry, ScimError};
use serde_json::{Value, json};

fn parse(text: &str) -> Result<Filter, ScimError> {
    Filter::parse(text, &FilterLimits::default(), &mut Quirks::lenient())
}

fn user() -> Document {
    let value = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "id": "2819c223",
        "externalId": "Bob-1",
        "userName": "Bjensen@Example.com",
        "name": {"familyName": "Jensen", "givenName": "Barbara"},
        "title": "",
        "active": true,
        "emails": [
            {"value": "bjensen@example.com", "type": "work", "primary": true},
            {"value": "babs@home.example", "type": "home"}
        ],
        "roles": [],
        "meta": {"resourceType": "User", "lastModified": "2011-05-13T04:42:34Z", "version": "W/\"3\""},
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {
            "department": "Sales", "manager": {"value": "M-1"}
        }
    });
    match value {
        Value::Object(map) => map,
        _ => Document::new(),
    }
}

#[test]
fn a_value_without_quotes_holds_no_nul_either() {
    for text in ["id eq \"a\\u0000b\"", "id eq a\0b", "emails[type eq a\0b]"] {
        let read = Filter::parse(text, &FilterLimits::default(), &mut Quirks::lenient());
        assert_eq!(read.err().and_then(|error| error.scim_type), Some(scim::ScimType::InvalidFilter), "{text:?}");
    }
}

#[test]
fn grammar() {
    let check = |text: &str, want: bool| {
        let got = parse(text);
        assert_eq!(got.is_ok(), want, "{text}: {got:?}");
        if let Err(e) = got {
            assert_eq!((e.status, e.scim_type.map(|t| t.as_str())), (400, Some("invalidFilter")), "{text}");
        }
    };
    for ok in [
        r#"userName eq "bjensen""#,
        r#"USERNAME EQ "bjensen""#,
        "title pr",
        r#"title pr and userType Eq "Employee""#,
        r#"userType eq "Employee" AND (emails co "a" Or emails.value co "b")"#,
        r#"userType ne "Employee" and not (emails co "example.com")"#,
        r#"not(title pr)"#,
        r#"emails[type eq "work" and value co "@example.com"]"#,
        r#"emails[type eq "work"] or ims[type eq "xmpp" and value co "@foo.com"]"#,
        r#"emails[type eq "work"].value eq "x""#,
        r#"emails[not (type eq "work")].value pr"#,
        r#"urn:ietf:params:scim:schemas:core:2.0:User:userName sw "J""#,
        r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value eq "1""#,
        r#"members.$ref eq "x""#,
        r#"meta.lastModified gt "2011-05-13T04:42:34Z""#,
        "active eq true",
        "active eq null",
        "x eq -1.5e3",
        r#"userName eq "a\"b\\c\u00e9""#,
        "id eq 54D382A4 and manager eq 2819c223-7f76",
        r#"((((((((((((((((((((title pr))))))))))))))))))))"#,
        r#"userName	eq	"tab""#,
    ] {
        check(ok, true);
    }
    for bad in [
        "",
        "   ",
        "userName",
        "userName eq",
        r#"eq "x""#,
        r#"userName xx "x""#,
        r#"userName eq "x"#,
        "(title pr",
        "title pr)",
        "title pr title",
        "title pr and",
        "and title pr",
        "not title pr",
        "()",
        "emails[]",
        r#"emails[type eq "work"#,
        r#"emails[type eq "a"] .value eq "b""#,
        r#"emails [type eq "a"]"#,
        r#"emails[type eq "a"].value"#,
        r#"emails[type[a pr] eq "x"]"#,
        r#"userName eq "a\u0000b""#,
        r#"userName eq "\ud800""#,
        r#"1userName eq "x""#,
        r#"user name eq "x""#,
        r#"name.a.b eq "x""#,
        r#""userName" eq "x""#,
        "userName eq (1)",
        r#"a eq "x" "y""#,
        "a eq [1]",
        r#"emails[a pr]x pr"#,
        "]",
        ")(",
        "\u{0}",
        "a\u{301} pr",
    ] {
        check(bad, false);
    }
}

#[test]
fn budgets_act_before_a_tree_exists() {
    let wide = FilterLimits { max_chars: 10_000_000, ..FilterLimits::default() };
    let check = |text: String, limits: &FilterLimits| {
        let error = Filter::parse(&text, limits, &mut Quirks::lenient()).expect_err("over a limit");
        assert_eq!(error.scim_type.map(|t| t.as_str()), Some("invalidFilter"));
    };
    for limits in [&FilterLimits::default(), &wide, &FilterLimits { max_depth: usize::MAX, ..wide }] {
        check(format!("{}title pr{}", "(".repeat(5_000), ")".repeat(5_000)), limits);
        check(format!("{}title pr{}", "not (".repeat(5_000), ")".repeat(5_000)), limits);
        check("(".repeat(1_000_000), limits);
        check("[".repeat(1_000_000), limits);
        check(vec!["a pr"; 10_000].join(" or "), limits);
        check(format!("a eq \"{}\"", "x".repeat(1_025)), limits);
    }
    check(vec!["a pr"; 65].join(" and "), &FilterLimits::default());
    assert!(parse(&vec!["a pr"; 64].join(" and ")).is_ok());
    assert!(parse(&format!("a eq \"{}\"", "\u{e9}".repeat(1_024))).is_ok());
    assert!(parse(&format!("{}a pr{}", "(".repeat(21), ")".repeat(21))).is_err());
}

#[test]
fn types() {
    let registry = Registry::core();
    let rt = registry.user().expect("user");
    let run = |text: &str, want: bool| {
        let filter = parse(text).expect(text);
        let got = check(&filter, rt);
        assert_eq!(got.is_ok(), want, "{text}: {got:?}");
    };
    run("active eq true", true);
    run(r#"active eq "True""#, true);
    run("active gt true", false);
    run(r#"active co "t""#, false);
    run(r#"active eq "yes""#, false);
    run("active eq null", true);
    run("active gt null", false);
    run("userName eq 1", false);
    run("userName eq true", false);
    run(r#"name eq "x""#, false);
    run("name pr", true);
    run(r#"emails eq "x""#, true);
    run(r#"manager eq "x""#, true);
    run(r#"password eq "x""#, false);
    run("password pr", false);
    run(r#"not (password sw "x")"#, false);
    run(r#"meta.lastModified gt "yesterday""#, false);
    run(r#"meta.lastModified gt "2011-05-13T04:42:34Z""#, true);
    run(r#"x509Certificates.value gt "x""#, false);
    run(r#"emails[primary gt true]"#, false);
    run(r#"emails[primary eq "True"].value eq "x""#, true);
    run(r#"emails[type eq "work"].primary eq 1"#, false);
    run(r#"nonsense gt true"#, true);

    let mut strict = Quirks::strict();
    assert!(Filter::parse("id eq abc", &FilterLimits::default(), &mut strict).is_err());
    assert!(check_with(&parse(r#"active eq "True""#).expect("parses"), rt, &mut strict).is_err());
    let mut lenient = Quirks::lenient();
    let unquoted = Filter::parse("id eq abc and manager eq def", &FilterLimits::default(), &mut lenient);
    check_with(&unquoted.expect("parses"), rt, &mut lenient).expect("fits");
    assert!(lenient.used(Quirk::UnquotedValue) && lenient.used(Quirk::UnqualifiedExtension));
}

#[test]
fn matching() {
    let registry = Registry::core();
    let rt = registry.user().expect("user");
    let doc = user();
    let run = |text: &str, want: bool| {
        let filter = parse(text).expect(text);
        assert_eq!(filter.matches(rt, &doc), want, "{text}");
    };
    run(r#"userName eq "BJENSEN@example.com""#, true);
    run("userName eq \"\u{ff22}jensen@example.com\"", true);
    run(r#"userName eq "bjensenXexample.com""#, false);
    run(r#"username sw "bj""#, true);
    run(r#"userName ew ".com""#, true);
    run(r#"userName co "SEN@""#, true);
    run(r#"userName gt "aaa""#, true);
    run(r#"externalId eq "Bob-1""#, true);
    run(r#"externalId eq "bob-1""#, false);
    run(r#"id eq "2819C223""#, false);
    run("id eq 2819c223", true);
    run(r#"name.familyName eq "jensen""#, true);
    run("active eq true", true);
    run(r#"active eq "True""#, true);
    run("active ne true", false);
    run("active eq false", false);
    run(r#"title eq """#, true);
    run("title pr", false);
    run("roles pr", false);
    run("emails pr", true);
    run("nickName pr", false);
    run("nickName eq null", true);
    run("userName eq null", false);
    run("userName ne null", true);
    run(r#"nickName ne "x""#, true);
    run(r#"userName ne "bjensen@example.com""#, false);
    run(r#"emails eq "BABS@home.example""#, true);
    run(r#"emails.value co "home""#, true);
    run(r#"emails.type eq "work""#, true);
    run(r#"emails.type ne "work""#, true);
    run(r#"emails[type eq "work" and value co "home"]"#, false);
    run(r#"emails[type eq "home" and value co "home"]"#, true);
    run(r#"emails[type eq "work"].value eq "bjensen@example.com""#, true);
    run(r#"emails[type eq "home"].value eq "bjensen@example.com""#, false);
    run(r#"emails[primary eq true].value eq "bjensen@example.com""#, true);
    run(r#"emails[not (type eq "work")].display pr"#, false);
    run(r#"emails[primary ne true]"#, true);
    run(r#"meta.lastModified eq "2011-05-13T06:42:34+02:00""#, true);
    run(r#"meta.lastModified ge "2011-05-13T04:42:34.000Z""#, true);
    run(r#"meta.lastModified gt "2011-05-13T04:42:34Z""#, false);
    run(r#"meta.lastModified lt "2011-05-13T06:42:35+02:00""#, true);
    run(r#"meta.resourceType eq "User""#, true);
    run(r#"schemas eq "urn:ietf:params:scim:schemas:core:2.0:User""#, true);
    run(r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:user:department eq "sales""#, true);
    run(r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value eq "M-1""#, true);
    run("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User pr", true);
    run(r#"manager eq "M-1""#, true);
    run(r#"manager eq "m-1""#, false);
    run(r#"nonsense eq "x""#, false);
    run(r#"nonsense ne "x""#, false);
    run("password pr", false);
    run(r#"userName eq "x" or title pr or active eq true"#, true);
    run(r#"active eq true or userName eq "x" and title pr"#, true);
    run(r#"(active eq true or userName eq "x") and title pr"#, false);
    run("not (title pr)", true);
}

#[test]
fn index_terms() {
    let registry = Registry::core();
    let run = |endpoint: &str, text: &str, want: Vec<IndexTerm>, whole: bool| {
        let rt = registry.by_endpoint(endpoint).expect("known");
        let filter = parse(text).expect(text);
        assert_eq!(filter.index_terms(rt), want, "{text}");
        assert_eq!(filter.terms_are_whole(rt), whole, "{text}");
    };
    let s = str::to_owned;
    run("users", r#"userName eq "A""#, vec![IndexTerm::Name(s("A"))], true);
    run(
        "Users",
        r#"displayName eq "A""#,
        vec![IndexTerm::Attr { path: s("displayName"), value: s("A"), exact: false }],
        true,
    );
    run("Groups", r#"displayname eq "A""#, vec![IndexTerm::Name(s("A"))], true);
    run("Groups", r#"id eq "g" and members eq "u""#, vec![IndexTerm::Id(s("g")), IndexTerm::Member(s("u"))], true);
    run("Groups", r#"members.value eq "u""#, vec![IndexTerm::Member(s("u"))], true);
    run("Groups", r#"members[value eq "u"]"#, vec![IndexTerm::Member(s("u"))], true);
    run("Groups", r#"members[value eq "u" and type eq "User"]"#, vec![IndexTerm::Member(s("u"))], false);
    run("Users", r#"emails[type eq "work"].value eq "x""#, vec![IndexTerm::Email(s("x"))], false);
    run(
        "Users",
        r#"emails eq "x" and active eq "True""#,
        vec![IndexTerm::Email(s("x")), IndexTerm::Active(true)],
        true,
    );
    run("Users", r#"externalId eq "x" and (title pr or nickName pr)"#, vec![IndexTerm::ExternalId(s("x"))], false);
    run("Users", r#"externalId eq "x" or userName eq "y""#, vec![], false);
    run("Users", r#"not (userName eq "y")"#, vec![], false);
    run("Users", r#"userName ne "y""#, vec![], false);
    run("Users", r#"password eq "y""#, vec![], false);
    run(
        "Users",
        r#"meta.lastModified gt "1970-01-01T00:00:01Z" and meta.lastModified le "1970-01-01T00:00:02Z""#,
        vec![
            IndexTerm::ModifiedAfter { micros: 1_000_000, inclusive: false },
            IndexTerm::ModifiedBefore { micros: 2_000_000, inclusive: true },
        ],
        true,
    );
    run(
        "Users",
        r#"id eq "a" and manager eq "b""#,
        vec![
            IndexTerm::Id(s("a")),
            IndexTerm::Attr {
                path: s("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value"),
                value: s("b"),
                exact: true,
            },
        ],
        true,
    );
}

/// Filters as trees: what a client could write, flat as the parser makes them.
fn any_filter() -> impl Strategy<Value = Filter> {
    let name = prop::sample::select(vec!["userName", "title", "active", "emails", "nonsense", "manager"]);
    let path = (name, prop::option::of(prop::sample::select(vec!["value", "type", "$ref"])), any::<bool>()).prop_map(
        |(attr, sub, qualified)| AttrPath {
            urn: qualified.then(|| "urn:ietf:params:scim:schemas:core:2.0:User".to_owned()),
            attr: attr.to_owned(),
            sub: sub.map(str::to_owned),
        },
    );
    let op = prop::sample::select(vec![Op::Eq, Op::Ne, Op::Co, Op::Sw, Op::Ew, Op::Gt, Op::Ge, Op::Lt, Op::Le]);
    let value = prop_oneof![
        "[^\\x00]{0,12}".prop_map(Value::String),
        any::<i32>().prop_map(|n| json!(n)),
        any::<bool>().prop_map(Value::Bool),
        Just(Value::Null),
    ];
    let leaf = prop_oneof![
        path.clone().prop_map(Filter::Present),
        (path, op, value).prop_map(|(path, op, value)| Filter::Compare { path, op, value }),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let some = prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            some.clone().prop_filter_map("one at least", Filter::all),
            some.prop_filter_map("one at least", Filter::any),
            inner.clone().prop_map(|f| Filter::Not(Box::new(f))),
            inner.prop_filter("value paths do not nest", |f| !f.to_string().contains('[')).prop_map(|f| {
                Filter::ValuePath { attr: AttrPath::name("emails"), filter: Box::new(f), then: None }
            }),
        ]
    })
}

proptest! {
    #[test]
    fn printing_and_reading_give_the_same_filter(filter in any_filter()) {
        let text = filter.to_string();
        prop_assert_eq!(parse(&text).map_err(|e| format!("{text}: {e}")), Ok(filter));
    }

    #[test]
    fn reading_never_panics(text in "\\PC{0,60}", odd in "[a-z \"\\\\()\\[\\].:]{0,60}") {
        let _ = parse(&text);
        let _ = parse(&odd);
    }

    #[test]
    fn a_flat_list_means_what_its_pairs_mean(parts in prop::collection::vec(any_filter(), 2..6)) {
        let registry = Registry::core();
        let rt = registry.user().expect("user");
        let doc = user();
        let single: Vec<bool> = parts.iter().map(|p| p.matches(rt, &doc)).collect();
        let all = Filter::all(parts.clone()).expect("not empty");
        let any = Filter::any(parts).expect("not empty");
        prop_assert_eq!(all.matches(rt, &doc), single.iter().all(|b| *b));
        prop_assert_eq!(any.matches(rt, &doc), single.iter().any(|b| *b));
    }

    #[test]
    fn index_terms_are_necessary(filter in any_filter(), name in "[a-c]{1,2}") {
        let registry = Registry::core();
        let rt = registry.user().expect("user");
        let mut doc = user();
        doc.insert("userName".into(), json!(name));
        let named = Filter::all(vec![filter, parse(r#"userName eq "a""#).expect("parses")]).expect("not empty");
        let says_a = named.index_terms(rt).contains(&IndexTerm::Name("a".into()));
        prop_assert!(says_a);
        if named.matches(rt, &doc) {
            prop_assert_eq!(name, "a");
        }
    }
}
