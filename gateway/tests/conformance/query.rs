//! Section D: lists, sorting, paging, projection, searches (RFC 7644 sections 3.4.2, 3.4.3 and 3.9). Filters have a
//! file of their own.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{ENTERPRISE, GROUP, LIST, SEARCH, Stage, USER, at, body, id, names, q, stage, stages};

/// Five users, one group.
async fn populate(s: &Stage) {
    for (name, title) in [("eve", Some("b")), ("ada", None), ("Dan", Some("A")), ("bob", Some("c")), ("cleo", None)] {
        s.user(json!({"userName": name, "title": title, "emails": [{"value": format!("{name}@x.example"), "type": "work"}]})).await;
    }
    s.group("Ops", &[]).await;
}

#[tokio::test]
async fn c082_c083_a_list_is_a_list_response() {
    for s in &stages().await {
        populate(s).await;
        let list = s.read("/Users?startIndex=2&count=2").await;
        assert_eq!(list["schemas"], json!([LIST]));
        assert_eq!(
            (&list["totalResults"], &list["startIndex"], &list["itemsPerPage"]),
            (&json!(5), &json!(2), &json!(2))
        );
        assert_eq!(list["Resources"].as_array().unwrap().len(), 2);
        let one = &list["Resources"][0];
        assert_eq!(one, &s.read(&at(&id(one))).await);
        let none = s.read(&q("/Users", &[("filter", "userName eq \"nobody\"")])).await;
        assert_eq!((&none["schemas"], &none["totalResults"]), (&json!([LIST]), &json!(0)));
        assert_eq!(none["Resources"].as_array().map_or(0, Vec::len), 0);
    }
}

#[tokio::test]
async fn c084_the_total_counts_what_matches_not_the_page() {
    for s in &stages().await {
        populate(s).await;
        for (query, total, shown) in [
            (vec![("count", "2")], 5, 2),
            (vec![("filter", "title pr"), ("count", "1")], 3, 1),
            (vec![("filter", "title pr"), ("count", "1"), ("startIndex", "3")], 3, 1),
            (vec![("filter", "userName eq \"ada\""), ("count", "0")], 1, 0),
            (vec![("sortBy", "title"), ("count", "3"), ("startIndex", "4")], 5, 2),
        ] {
            let list = s.read(&q("/Users", &query)).await;
            assert_eq!((&list["totalResults"], names(&list).len()), (&json!(total), shown), "{query:?}");
        }
    }
}

#[tokio::test]
async fn c085_the_root_answers_for_every_type() {
    for s in &stages().await {
        populate(s).await;
        let all = s.read("/").await;
        assert_eq!(all["totalResults"], 6);
        let kinds: Vec<(&str, &str)> = all["Resources"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (one["schemas"][0].as_str().unwrap(), one["meta"]["resourceType"].as_str().unwrap()))
            .collect();
        assert_eq!(kinds.iter().filter(|kind| **kind == (USER, "User")).count(), 5);
        assert_eq!(kinds.iter().filter(|kind| **kind == (GROUP, "Group")).count(), 1);
        for (filter, want) in [
            ("meta.resourceType eq \"Group\"", &["Ops"][..]),
            ("userName eq \"ada\"", &["ada"]),
            ("displayName eq \"Ops\"", &["Ops"]),
            ("userName eq \"ada\" or displayName eq \"Ops\"", &["Ops", "ada"]),
            ("meta.resourceType eq \"User\" and title eq \"c\"", &["bob"]),
        ] {
            assert_eq!(s.found("/", filter).await, want, "{filter}");
        }
        s.get(&q("/", &[("filter", "active gt")])).await.refused(400, "invalidFilter");
    }
}

#[tokio::test]
async fn c100_c048_sorting_goes_by_type_and_case_with_the_unassigned_at_the_end() {
    for s in &stages().await {
        populate(s).await;
        let sorted = async |by: &str, order: &[(&str, &str)]| {
            let mut query = vec![("sortBy", by)];
            query.extend_from_slice(order);
            names(&s.read(&q("/Users", &query)).await)
        };
        assert_eq!(sorted("userName", &[]).await, ["ada", "bob", "cleo", "Dan", "eve"]);
        assert_eq!(sorted("USERNAME", &[("sortOrder", "ascending")]).await, ["ada", "bob", "cleo", "Dan", "eve"]);
        assert_eq!(sorted("userName", &[("sortOrder", "descending")]).await, ["eve", "Dan", "cleo", "bob", "ada"]);
        assert_eq!(sorted("title", &[]).await[..3], ["Dan", "eve", "bob"]);
        assert_eq!(sorted("title", &[("sortOrder", "descending")]).await[2..], ["bob", "eve", "Dan"]);
        s.get("/Users?sortBy=userName&sortOrder=sideways").await.refused(400, "invalidValue");
        let ascending = sorted("meta.created", &[]).await;
        assert_eq!(ascending.len(), 5);
    }
}

#[tokio::test]
async fn c101_a_list_is_sorted_by_its_primary_or_first_value() {
    for s in &stages().await {
        for (name, emails) in [
            ("x", json!([{"value": "z@x.example"}, {"value": "b@x.example", "primary": true}])),
            ("y", json!([{"value": "a@x.example"}, {"value": "zz@x.example"}])),
            ("z", json!([{"value": "c@x.example", "type": "home"}])),
            ("none", json!([])),
        ] {
            s.user(json!({"userName": name, "emails": emails, "name": {"familyName": format!("f{name}")}})).await;
        }
        for by in ["emails", "emails.value"] {
            assert_eq!(names(&s.read(&q("/Users", &[("sortBy", by)])).await), ["y", "x", "z", "none"], "{by}");
        }
        assert_eq!(names(&s.read(&q("/Users", &[("sortBy", "name.familyName")])).await), ["none", "x", "y", "z"]);
    }
}

#[tokio::test]
async fn c103_c104_the_start_and_the_count_are_taken_as_the_rfc_says() {
    for s in &stages().await {
        populate(s).await;
        let all = names(&s.read("/Users").await);
        for (query, want) in [
            ("startIndex=1", &all[..]),
            ("startIndex=0", &all[..]),
            ("startIndex=-7", &all[..]),
            ("startIndex=5", &all[4..]),
            ("startIndex=6", &[]),
            ("startIndex=999999999999999999999", &[]),
            ("count=0", &[]),
            ("count=-1", &[]),
            ("count=3", &all[..3]),
            ("startIndex=2&count=3", &all[1..4]),
        ] {
            let list = s.read(&format!("/Users?{query}")).await;
            assert_eq!(list["totalResults"], 5, "{query}");
            assert_eq!(names(&list), want, "{query}");
            if !want.is_empty() {
                assert_eq!(list["itemsPerPage"], want.len(), "{query}");
            }
        }
    }
}

#[tokio::test]
async fn c105_what_is_no_whole_number_is_invalid_value() {
    let s = stage().await;
    for query in ["startIndex=x", "startIndex=1.5", "count=1e3", "count=ten", "count=0x10", "startIndex=%EF%BC%91"] {
        s.get(&format!("/Users?{query}")).await.refused(400, "invalidValue");
    }
    for (name, value) in [("startIndex", json!("x")), ("count", json!(1.5)), ("count", json!({}))] {
        let search = json!({"schemas": [SEARCH], name: value});
        s.post("/Users/.search", search).await.refused_as(400, &["invalidValue", "invalidSyntax"]);
    }
}

#[tokio::test]
async fn c106_pages_show_everything_once() {
    for s in &stages().await {
        let mut want = BTreeSet::new();
        for n in 0..23 {
            let name = format!("u{:02}", (n * 7) % 23);
            s.user(json!({"userName": name, "title": format!("t{}", n % 3)})).await;
            want.insert(name);
        }
        for extra in [
            &[][..],
            &[("sortBy", "title")],
            &[("filter", "userName sw \"u\"")],
            &[("filter", "title pr"), ("sortBy", "title"), ("sortOrder", "descending")],
        ] {
            let mut seen = Vec::new();
            while seen.len() < 23 {
                let start = (seen.len() + 1).to_string();
                let mut query = vec![("startIndex", start.as_str()), ("count", "4")];
                query.extend_from_slice(extra);
                let page = names(&s.read(&q("/Users", &query)).await);
                assert!(!page.is_empty(), "{extra:?}: ended after {}", seen.len());
                seen.extend(page);
            }
            assert_eq!(seen.len(), 23, "{extra:?}");
            assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), want, "{extra:?}");
        }
    }
}

/// A user with something of everything.
async fn rich(s: &Stage) -> String {
    let rest = json!({"userName": "ada", "title": "T", "name": {"givenName": "G", "familyName": "F"},
        "emails": [{"value": "a@x.example", "type": "work", "primary": true}, {"value": "b@x.example", "type": "home"}],
        ENTERPRISE: {"department": "d", "manager": {"value": "m"}}});
    at(&id(&s.user(rest).await))
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn c107_attributes_gives_those_and_no_more() {
    for s in &stages().await {
        let path = rich(s).await;
        let manager = format!("{ENTERPRISE}:manager.value");
        for (attributes, want) in [
            ("userName", json!({"userName": "ada"})),
            ("USERNAME,nonsense,", json!({"userName": "ada"})),
            ("name.givenName", json!({"name": {"givenName": "G"}})),
            ("name", json!({"name": {"givenName": "G", "familyName": "F"}})),
            ("emails.type", json!({"emails": [{"type": "work"}, {"type": "home"}]})),
            (&format!("{USER}:title"), json!({"title": "T"})),
            (&format!("{USER}:name.familyName"), json!({"name": {"familyName": "F"}})),
            (ENTERPRISE, json!({ENTERPRISE: {"department": "d", "manager": {"value": "m"}}})),
            (&format!("{}:DEPARTMENT", ENTERPRISE.to_lowercase()), json!({ENTERPRISE: {"department": "d"}})),
            (&manager, json!({ENTERPRISE: {"manager": {"value": "m"}}})),
            ("nickName", json!({})),
        ] {
            let shown = s.read(&q(&path, &[("attributes", attributes)])).await;
            let mut want = want.as_object().unwrap().clone();
            want.insert("id".into(), shown["id"].clone());
            want.insert("schemas".into(), shown["schemas"].clone());
            assert!(shown["id"].is_string() && shown["schemas"][0] == USER, "{attributes}");
            assert_eq!(shown, Value::Object(want), "{attributes}");
            let listed = s.read(&q("/Users", &[("attributes", attributes)])).await;
            assert_eq!(listed["Resources"][0], shown, "{attributes}");
        }
    }
}

#[tokio::test]
async fn c108_excluded_attributes_leaves_out_what_is_there_by_default() {
    for s in &stages().await {
        let path = rich(s).await;
        let whole = s.read(&path).await;
        for (excluded, gone, kept) in [
            ("title", "title", "userName"),
            ("TITLE,emails", "emails", "name"),
            (&format!("{USER}:title"), "title", "name"),
            (ENTERPRISE, ENTERPRISE, "title"),
            ("meta", "meta", "title"),
            ("id,schemas,title", "title", "id"),
        ] {
            let shown = s.read(&q(&path, &[("excludedAttributes", excluded)])).await;
            assert!(!keys(&shown).contains(gone), "{excluded}: {shown}");
            assert!(keys(&shown).contains(kept) && keys(&shown).contains("id") && keys(&shown).contains("schemas"));
        }
        let part = s
            .read(&q(&path, &[("excludedAttributes", &format!("name.givenName,emails.type,{ENTERPRISE}:manager"))]))
            .await;
        assert_eq!(part["name"], json!({"familyName": "F"}));
        assert_eq!(part["emails"], json!([{"value": "a@x.example", "primary": true}, {"value": "b@x.example"}]));
        assert_eq!(part[ENTERPRISE], json!({"department": "d"}));
        assert_eq!(s.read(&q(&path, &[("excludedAttributes", "nonsense")])).await, whole);
        let ada = id(&whole);
        s.group("Ops", &[&ada]).await;
        let lean = s.read(&q("/Groups", &[("excludedAttributes", "members")])).await;
        assert_eq!(lean["Resources"][0].get("members"), None);
        assert_eq!(lean["Resources"][0]["displayName"], "Ops");
    }
}

#[tokio::test]
async fn c109_attributes_and_excluded_attributes_exclude_each_other() {
    let s = stage().await;
    let both = [("attributes", "userName"), ("excludedAttributes", "title")];
    s.get(&q("/Users", &both)).await.refused(400, "invalidValue");
    let search = json!({"schemas": [SEARCH], "attributes": ["userName"], "excludedAttributes": ["title"]});
    s.post("/Users/.search", search).await.refused(400, "invalidValue");
}

#[tokio::test]
async fn c110_c118_every_answer_with_a_resource_can_be_narrowed() {
    for s in &stages().await {
        let only = |path: &str| q(path, &[("attributes", "userName")]);
        let without = |path: &str| q(path, &[("excludedAttributes", "title,meta")]);
        let full = |name: &str| body(USER, json!({"userName": name, "title": "T"}));
        let made = s.post(&only("/Users"), full("a")).await.expect(201);
        assert_eq!(keys(&made.json()), BTreeSet::from(["schemas", "id", "userName"]));
        assert!(!made.header("location").is_empty());
        let path = at(&id(&made.json()));
        let lean = BTreeSet::from(["schemas", "id", "userName", "active"]);
        assert_eq!(keys(&s.post(&without("/Users"), full("b")).await.expect(201).json()), lean);
        let operation = json!([{"op": "replace", "path": "title", "value": "U"}]);
        for (reply, want) in [
            (s.get(&only(&path)).await, &made.json()),
            (s.put(&only(&path), full("a")).await, &made.json()),
            (s.patch(&only(&path), operation.clone()).await, &made.json()),
        ] {
            assert_eq!(&reply.expect(200).json(), want);
        }
        for reply in [
            s.get(&without(&path)).await,
            s.put(&without(&path), full("a")).await,
            s.patch(&without(&path), operation).await,
        ] {
            assert_eq!(keys(&reply.expect(200).json()), lean);
        }
        assert_eq!(s.read(&path).await["title"], "U");
    }
}

#[tokio::test]
async fn c111_a_search_by_post_answers_as_a_get_does() {
    for s in &stages().await {
        populate(s).await;
        for (path, get) in [("/Users/.search", "/Users"), ("/.search", "/")] {
            for (search, query) in [
                (json!({}), vec![]),
                (json!({"filter": "title pr"}), vec![("filter", "title pr")]),
                (
                    json!({"filter": "userName co \"e\"", "sortBy": "userName", "sortOrder": "descending", "startIndex": 1, "count": 2}),
                    vec![
                        ("filter", "userName co \"e\""),
                        ("sortBy", "userName"),
                        ("sortOrder", "descending"),
                        ("startIndex", "1"),
                        ("count", "2"),
                    ],
                ),
                (json!({"attributes": ["userName", "emails.value"]}), vec![("attributes", "userName,emails.value")]),
                (
                    json!({"excludedAttributes": ["meta"], "count": 3}),
                    vec![("excludedAttributes", "meta"), ("count", "3")],
                ),
            ] {
                let mut search = search;
                search["schemas"] = json!([SEARCH]);
                let posted = s.post(path, search.clone()).await.expect(200).json();
                assert_eq!(posted, s.read(&q(get, &query)).await, "{path} {search}");
            }
        }
    }
}

#[tokio::test]
async fn c112_a_search_that_is_none_is_refused() {
    let s = stage().await;
    for wrong in [
        json!({}),
        json!({"filter": "title pr"}),
        json!({"schemas": []}),
        json!({"schemas": [USER], "filter": "title pr"}),
    ] {
        for path in ["/Users/.search", "/.search"] {
            s.post(path, wrong.clone()).await.refused_as(400, &["invalidSyntax", "invalidValue"]);
        }
    }
    for filter in [json!("userName"), json!(""), json!("((title pr)"), json!("userName zz \"x\"")] {
        s.post("/Users/.search", json!({"schemas": [SEARCH], "filter": filter})).await.refused(400, "invalidFilter");
    }
    s.post("/Users/.search", json!({"schemas": [SEARCH], "filter": 7}))
        .await
        .refused_as(400, &["invalidFilter", "invalidValue", "invalidSyntax"]);
}

#[tokio::test]
async fn c113_c190_discovery_takes_no_filter() {
    let s = stage().await;
    for path in ["/ServiceProviderConfig", "/ResourceTypes", "/Schemas"] {
        s.get(&q(path, &[("filter", "id pr")])).await.refused(403, "");
    }
}

#[tokio::test]
async fn c114_a_filter_may_be_encoded_as_one_likes() {
    for s in &stages().await {
        s.user(json!({"userName": "a b+c", "title": "50% \u{e9}"})).await;
        for query in [
            "filter=userName+eq+%22a+b%2Bc%22",
            "filter=userName%20eq%20%22a%20b%2Bc%22",
            "filter=%75serName%20eq+%22a+b%2bc%22",
            "%66ilter=userName%20eq%20%22a%20b%2Bc%22",
            "filter=title%20eq%20%2250%25%20%C3%A9%22",
            "filter=title%20eq%20%2250%25%20%c3%a9%22",
        ] {
            assert_eq!(s.read(&format!("/Users?{query}")).await["totalResults"], 1, "{query}");
        }
        s.get("/Users?filter=title%20eq%20%22%C3%28%22").await.refused_as(400, &["invalidValue", "invalidFilter"]);
    }
}

#[tokio::test]
async fn c115_more_matches_than_one_page_are_a_page_with_the_true_total() {
    for s in &stages().await {
        let most = s.read("/ServiceProviderConfig").await["filter"]["maxResults"].as_u64().unwrap();
        for n in 0..=most {
            s.named(&format!("u{n}")).await;
        }
        for query in [
            vec![("filter", "userName sw \"u\"")],
            vec![("filter", "userName sw \"u\""), ("count", "100000")],
            vec![("count", "100000")],
        ] {
            let list = s.read(&q("/Users", &query)).await;
            assert_eq!(list["totalResults"], most + 1, "{query:?}");
            let shown = names(&list).len() as u64;
            assert!(shown <= most && list["itemsPerPage"] == shown, "{query:?}: {shown}");
        }
    }
}
