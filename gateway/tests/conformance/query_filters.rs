//! Section D: filters (RFC 7644 section 3.4.2.2).

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{ENTERPRISE, Stage, USER, acme, at, id, q, stage, stage_with, stages, stages_with, strict};

const NONE: [&str; 0] = [];

async fn populate(s: &Stage) {
    s.user(json!({"userName": "ada", "externalId": "E-1", "title": "Boss", "active": true, "name": {"familyName": "Lovelace"},
        "emails": [{"value": "ada@x.example", "type": "work", "primary": true}, {"value": "ada@home.example", "type": "home"}],
        ENTERPRISE: {"department": "Sales", "manager": {"value": "M-1"}}}))
        .await;
    s.user(json!({"userName": "Bob", "externalId": "E-2", "title": "\u{c9}clair \"x\" \\", "active": false, "name": {"familyName": "Lee"},
        "emails": [{"value": "bob@home.example", "type": "work"}], ENTERPRISE: {"department": "sales"}}))
        .await;
    s.user(json!({"userName": "cleo", "title": "", "roles": []})).await;
}

#[tokio::test]
async fn c086_every_operator_does_what_it_says() {
    for s in &stages().await {
        populate(s).await;
        for (filter, want) in [
            ("userName eq \"ada\"", &["ada"][..]),
            ("userName EQ \"BOB\"", &["Bob"]),
            ("userName ne \"ada\"", &["Bob", "cleo"]),
            ("userName co \"O\"", &["Bob", "cleo"]),
            ("userName Sw \"c\"", &["cleo"]),
            ("userName eW \"B\"", &["Bob"]),
            ("title pr", &["Bob", "ada"]),
            ("title PR", &["Bob", "ada"]),
            ("userName gt \"bob\"", &["cleo"]),
            ("userName ge \"BOB\"", &["Bob", "cleo"]),
            ("userName lt \"bob\"", &["ada"]),
            ("userName le \"Bob\"", &["Bob", "ada"]),
            ("title pr AND userName co \"b\"", &["Bob"]),
            ("userName eq \"ada\" Or userName eq \"bob\"", &["Bob", "ada"]),
            ("NOT (title pr)", &["cleo"]),
            ("not(title pr)", &["cleo"]),
            ("(userName eq \"ada\")", &["ada"]),
            ("name.familyName sw \"L\"", &["Bob", "ada"]),
            ("name.familyName ew \"ace\"", &["ada"]),
            ("active eq false", &["Bob"]),
            ("active ne false", &["ada", "cleo"]),
        ] {
            assert_eq!(s.found("/Users", filter).await, want, "{filter}");
        }
    }
}

#[tokio::test]
async fn c087_grouping_binds_before_not_before_and_before_or() {
    for s in &stages().await {
        populate(s).await;
        for (filter, want) in [
            ("userName eq \"cleo\" or title pr and userName eq \"ada\"", &["ada", "cleo"][..]),
            ("title pr and userName eq \"ada\" or userName eq \"cleo\"", &["ada", "cleo"]),
            ("(userName eq \"cleo\" or title pr) and userName eq \"ada\"", &["ada"]),
            ("not (userName eq \"ada\") and title pr", &["Bob"]),
            ("not (userName eq \"ada\") or title pr", &["Bob", "ada", "cleo"]),
            ("not (userName eq \"ada\" or title pr)", &["cleo"]),
            ("not (not (userName eq \"ada\"))", &["ada"]),
            ("userName eq \"x\" and userName eq \"y\" or userName eq \"ada\" and not (active eq false)", &["ada"]),
        ] {
            assert_eq!(s.found("/Users", filter).await, want, "{filter}");
        }
    }
}

#[tokio::test]
async fn c088_texts_are_json_strings() {
    for s in &stages().await {
        populate(s).await;
        for (filter, want) in [
            ("title eq \"\\u00e9clair \\\"x\\\" \\\\\"", &["Bob"][..]),
            ("title eq \"\u{c9}clair \\\"x\\\" \\\\\"", &["Bob"]),
            ("title co \"\\\"x\\\"\"", &["Bob"]),
            ("userName eq \"\\u0061da\"", &["ada"]),
            ("title eq \"a) or (title pr\"", &[]),
            ("title eq \"[\"", &[]),
        ] {
            assert_eq!(s.found("/Users", filter).await, want, "{filter}");
        }
        for filter in ["userName eq \"a\\x\"", "userName eq \"a", "userName eq 'ada'x\"", "userName eq \"\\ud800\""] {
            s.get(&q("/Users", &[("filter", filter)])).await.refused(400, "invalidFilter");
        }
    }
}

#[tokio::test]
async fn c088_a_text_without_quotes_is_refused_where_the_letter_counts() {
    let s = strict().await;
    populate(&s).await;
    for filter in ["userName eq ada", "userName eq 'ada'", "active eq True", "userName eq ada and title pr"] {
        s.get(&q("/Users", &[("filter", filter)])).await.refused(400, "invalidFilter");
    }
    // Older clients write ids so; by default they are understood.
    let s = stage().await;
    populate(&s).await;
    assert_eq!(s.found("/Users", "userName eq ada").await, ["ada"]);
}

#[tokio::test]
async fn c089_c090_a_comparison_that_makes_no_sense_is_an_invalid_filter() {
    for s in &stages().await {
        populate(s).await;
        for filter in [
            "userName eq 1",
            "userName eq true",
            "userName gt false",
            "userName co null",
            "userName gt null",
            "active eq 1",
            "active eq \"yes\"",
            "active gt true",
            "active ge false",
            "active lt true",
            "active le true",
            "active co true",
            "active sw \"t\"",
            "emails.primary gt false",
            "emails[primary le true]",
            "meta.created gt 5",
            "meta.created gt \"yesterday\"",
            "meta.created eq \"2011-05-13\"",
            "x509Certificates.value gt \"Zm9v\"",
            "x509Certificates.value le \"Zm9v\"",
            "x509Certificates[value ge \"Zm9v\"]",
            "name eq \"x\"",
            "name co \"x\"",
            "addresses eq \"x\"",
            "userName eq {}",
            "userName eq []",
            "userName eq {\"a\":1}",
            "nonsense eq {}",
        ] {
            let reply = s.get(&q("/Users", &[("filter", filter)])).await;
            assert_eq!(reply.status, 400, "{filter}: {}", reply.text());
            reply.refused(400, "invalidFilter");
        }
    }
}

#[tokio::test]
async fn c089_numbers_compare_as_numbers() {
    let kinds = json!([{"name": "level", "type": "integer"}, {"name": "score", "type": "decimal"}, {"name": "flag", "type": "boolean"}]);
    for s in &stages_with(acme(kinds)).await {
        let urn = crate::support::ACME;
        for (name, level, score) in [("a", 9, 1.5), ("b", 10, -2.0), ("c", 100, 10.0)] {
            s.user(json!({"userName": name, urn: {"level": level, "score": score, "flag": level > 9}})).await;
        }
        for (filter, want) in [
            ("level gt 9", &["b", "c"][..]),
            ("level ge 10.0", &["b", "c"]),
            ("level eq 1e1", &["b"]),
            ("level ne 10", &["a", "c"]),
            ("score lt 0", &["b"]),
            ("score eq 10", &["c"]),
            ("score le 1.5", &["a", "b"]),
            ("flag eq true", &["b", "c"]),
        ] {
            assert_eq!(s.found("/Users", &format!("{urn}:{filter}")).await, want, "{filter}");
        }
        for filter in ["level eq \"9\"", "level co 9", "score sw 1", "flag gt false"] {
            s.get(&q("/Users", &[("filter", &format!("{urn}:{filter}"))])).await.refused(400, "invalidFilter");
        }
    }
}

#[tokio::test]
async fn c091_times_compare_as_instants() {
    for s in &stages().await {
        s.named("first").await;
        s.clock.advance(Duration::from_secs(3_600));
        s.named("second").await;
        for (filter, want) in [
            ("meta.created eq \"2026-01-01T00:00:00Z\"", &["first"][..]),
            ("meta.created eq \"2026-01-01T02:00:00.000+02:00\"", &["first"]),
            ("meta.created ne \"2026-01-01T02:00:00+02:00\"", &["second"]),
            ("meta.created gt \"2026-01-01T00:59:59-00:00\"", &["second"]),
            ("meta.created ge \"2025-12-31T20:00:00-05:00\"", &["second"]),
            ("meta.created lt \"2026-01-01T09:00:00+09:00\"", &[]),
            ("meta.created le \"2026-01-01T09:00:00+09:00\"", &["first"]),
            ("meta.created pr", &["first", "second"]),
        ] {
            assert_eq!(s.found("/Users", filter).await, want, "{filter}");
        }
    }
}

#[tokio::test]
async fn c092_c093_a_list_matches_by_any_element_and_a_value_path_by_one() {
    for s in &stages().await {
        populate(s).await;
        for (filter, want) in [
            ("emails co \"home\"", &["Bob", "ada"][..]),
            ("emails eq \"ADA@home.example\"", &["ada"]),
            ("emails.value eq \"bob@home.example\"", &["Bob"]),
            ("emails.type eq \"home\"", &["ada"]),
            ("emails.type ne \"work\"", &["ada", "cleo"]),
            ("emails.type eq \"work\" and emails.value co \"ada@home\"", &["ada"]),
            ("emails[type eq \"work\" and value co \"home\"]", &["Bob"]),
            ("emails[type eq \"work\" and value co \"ada@home\"]", &[]),
            ("emails[type eq \"home\" or primary eq true]", &["ada"]),
            ("emails[not (type eq \"work\")]", &["ada"]),
            ("not (emails[type eq \"work\"])", &["cleo"]),
            ("emails[type eq \"work\"] and active eq false", &["Bob"]),
            ("emails[type eq \"work\"].value eq \"bob@home.example\"", &["Bob"]),
            ("emails[type eq \"home\"].value eq \"bob@home.example\"", &[]),
            ("emails[type eq \"work\"].value sw \"b\" or userName eq \"cleo\"", &["Bob", "cleo"]),
            ("emails[type eq \"work\"].primary pr", &["ada"]),
            ("emails[value.type eq \"work\"]", &[]),
            ("emails pr", &["Bob", "ada"]),
            ("roles pr", &[]),
        ] {
            assert_eq!(s.found("/Users", filter).await, want, "{filter}");
        }
    }
}

#[tokio::test]
async fn c094_paths_may_be_told_with_their_urn() {
    for s in &stages().await {
        populate(s).await;
        for (filter, want) in [
            (format!("{USER}:userName eq \"ada\""), &["ada"][..]),
            (format!("{USER}:name.familyName eq \"lee\""), &["Bob"]),
            (format!("{}:emails[type eq \"home\"]", USER.to_uppercase()), &["ada"]),
            (format!("{USER}:emails[type eq \"home\"].value pr"), &["ada"]),
            (format!("{ENTERPRISE}:department eq \"SALES\""), &["Bob", "ada"]),
            (format!("{ENTERPRISE}:manager.value eq \"M-1\""), &["ada"]),
            (format!("{ENTERPRISE}:manager.value eq \"m-1\""), &[]),
            (format!("{ENTERPRISE}:manager eq \"M-1\""), &["ada"]),
            (format!("{ENTERPRISE}:manager pr"), &["ada"]),
            (format!("{ENTERPRISE}:department pr and {USER}:active eq true"), &["ada"]),
            (format!("{ENTERPRISE}:userName eq \"ada\""), &[]),
            (format!("{USER}:department eq \"Sales\""), &[]),
        ] {
            assert_eq!(s.found("/Users", &filter).await, want, "{filter}");
        }
    }
}

#[tokio::test]
async fn c095_what_is_unassigned_is_not_present() {
    for s in &stages().await {
        populate(s).await;
        for (filter, want) in [
            ("title pr", &["Bob", "ada"][..]),
            ("nickName pr", &[]),
            ("name pr", &["Bob", "ada"]),
            ("name.givenName pr", &[]),
            ("nickName eq null", &["Bob", "ada", "cleo"]),
            ("title eq null", &["cleo"]),
            ("title ne null", &["Bob", "ada"]),
            ("emails eq null", &["cleo"]),
            ("nickName ne \"x\"", &["Bob", "ada", "cleo"]),
            ("title ne \"Boss\"", &["Bob", "cleo"]),
            ("title ne \"\"", &["Bob", "ada"]),
            ("not (nickName eq \"x\")", &["Bob", "ada", "cleo"]),
            ("active pr", &["Bob", "ada", "cleo"]),
        ] {
            assert_eq!(s.found("/Users", filter).await, want, "{filter}");
        }
    }
}

#[tokio::test]
async fn c096_c186_what_is_no_filter_is_refused_and_depth_costs_nothing() {
    for s in &stages().await {
        s.named("ada").await;
        let deep = |n: usize| format!("{}title pr{}", "(".repeat(n), ")".repeat(n));
        let long = vec!["title pr"; 3_000].join(" or ");
        for filter in [
            "",
            "  ",
            "()",
            "userName",
            "userName eq",
            "userName zz \"a\"",
            "userName = \"a\"",
            "eq \"a\"",
            "(title pr",
            "title pr)",
            "title pr title pr",
            "title pr and",
            "or title pr",
            "not title pr",
            "not",
            "emails[type eq \"work\"",
            "emails[]",
            "emails[type eq \"work\"].",
            "emails[type eq \"work\"].value",
            "emails[emails[type eq \"work\"]]",
            "userName eq \"a\" \"b\"",
            "user name eq \"a\"",
            "name.a.b pr",
            &deep(5_000),
            &"(".repeat(7_000),
            &format!("{}title pr{}", "not (".repeat(1_200), ")".repeat(1_200)),
            &long,
        ] {
            s.get(&q("/Users", &[("filter", filter)])).await.refused(400, "invalidFilter");
        }
        assert_eq!(s.found("/Users", &deep(10)).await, NONE);
    }
}

#[tokio::test]
async fn c097_an_attribute_that_nobody_declared_matches_nothing() {
    for s in &stages().await {
        populate(s).await;
        for filter in [
            "nonsense eq \"x\"",
            "nonsense ne \"x\"",
            "nonsense pr",
            "nonsense gt 5",
            "name.nonsense eq \"x\"",
            "emails[nonsense eq \"x\"]",
            "emails[type eq \"work\"].nonsense eq \"x\"",
            "urn:example:none:User:userName eq \"ada\"",
            "userName.value eq \"ada\"",
        ] {
            assert_eq!(s.found("/Users", filter).await, NONE, "{filter}");
        }
        assert_eq!(s.found("/Users", "nonsense eq \"x\" or userName eq \"ada\"").await, ["ada"]);
    }
}

#[tokio::test]
async fn c098_what_clients_filter_by_works() {
    for s in &stages().await {
        populate(s).await;
        let ada = s.read(&q("/Users", &[("filter", "userName eq \"ada\"")])).await["Resources"][0].clone();
        let group = s.group("Ops", &[&id(&ada)]).await;
        let location = ada["meta"]["location"].as_str().unwrap();
        for (filter, want) in [
            ("meta.lastModified ge \"2026-01-01T00:00:00Z\"".to_owned(), &["Bob", "ada", "cleo"][..]),
            ("meta.lastModified gt \"2026-01-01T00:00:00Z\"".to_owned(), &[]),
            ("meta.resourceType eq \"User\"".to_owned(), &["Bob", "ada", "cleo"]),
            ("meta.resourceType eq \"Group\"".to_owned(), &[]),
            (format!("meta.location eq \"{location}\""), &["ada"]),
            (format!("meta.version eq {}", ada["meta"]["version"]), &["Bob", "ada", "cleo"]),
            (format!("schemas eq \"{ENTERPRISE}\""), &["Bob", "ada"]),
            (format!("id eq \"{}\"", id(&ada)), &["ada"]),
            (format!("id eq \"{}\"", id(&ada).to_uppercase()), &[]),
            ("externalId eq \"E-1\"".to_owned(), &["ada"]),
            ("externalId eq \"e-1\"".to_owned(), &[]),
            ("active eq true".to_owned(), &["ada", "cleo"]),
            (format!("groups.value eq \"{}\"", id(&group)), &["ada"]),
            (format!("groups eq \"{}\"", id(&group)), &["ada"]),
            ("groups.display eq \"ops\"".to_owned(), &["ada"]),
            ("groups.type eq \"direct\"".to_owned(), &["ada"]),
            ("groups[display eq \"Ops\" and type eq \"direct\"]".to_owned(), &["ada"]),
            ("groups pr".to_owned(), &["ada"]),
        ] {
            assert_eq!(s.found("/Users", &filter).await, want, "{filter}");
        }
        let reference = group["members"][0]["$ref"].as_str().unwrap();
        for (filter, want) in [
            ("displayName eq \"OPS\"".to_owned(), &["Ops"][..]),
            (format!("members.value eq \"{}\"", id(&ada)), &["Ops"]),
            (format!("members[value eq \"{}\"]", id(&ada)), &["Ops"]),
            (format!("members[value eq \"{}\" and type eq \"User\"]", id(&ada)), &["Ops"]),
            (format!("id eq \"{}\" and members eq \"{}\"", id(&group), id(&ada)), &["Ops"]),
            (format!("members.$ref eq \"{reference}\""), &["Ops"]),
            ("members.display eq \"ada\"".to_owned(), &["Ops"]),
            ("members.value eq \"x\"".to_owned(), &[]),
            ("members pr".to_owned(), &["Ops"]),
            ("not (members pr)".to_owned(), &[]),
        ] {
            assert_eq!(s.found("/Groups", &filter).await, want, "{filter}");
        }
        let path = at(&id(&ada));
        s.clock.advance(Duration::from_secs(5));
        s.patch(&path, json!([{"op": "replace", "path": "title", "value": "x"}])).await.expect(200);
        assert_eq!(s.found("/Users", "meta.lastModified gt \"2026-01-01T00:00:00Z\"").await, ["ada"]);
    }
}

#[tokio::test]
async fn c099_c154_what_may_not_be_read_may_not_be_asked() {
    let s = stage_with(acme(json!([{"name": "pin", "type": "string", "returned": "never"}, {"name": "open"}]))).await;
    s.user(json!({"userName": "a", crate::support::ACME: {"pin": "1234"}})).await;
    for filter in [
        format!("{}:pin eq \"1234\"", crate::support::ACME),
        format!("not ({}:pin pr)", crate::support::ACME),
        "password eq \"x\"".to_owned(),
    ] {
        let reply = s.get(&q("/Users", &[("filter", &filter)])).await;
        assert!(matches!(reply.status.as_u16(), 400 | 403), "{filter}: {}", reply.text());
        assert!(!reply.text().contains("1234"));
        let sorted = s.get(&q("/Users", &[("sortBy", &format!("{}:pin", crate::support::ACME))])).await;
        assert!(!sorted.text().contains("1234"));
    }
    let quiet: Value = s.read("/Users").await;
    assert!(!quiet.to_string().contains("1234"));
}
