//! Section H: cursor paging (RFC 9865).

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{SEARCH, Stage, at, id, names, q, stage, stages};

async fn populate(s: &Stage, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for n in 0..count {
        ids.push(id(&s
            .user(json!({"userName": format!("u{n:03}"), "title": if n % 2 == 0 { "even" } else { "odd" }}))
            .await));
    }
    ids
}

/// A page and the cursor of the next.
async fn page(s: &Stage, cursor: &str, more: &[(&str, &str)]) -> (Value, Option<String>) {
    let mut query = vec![("cursor", cursor)];
    query.extend_from_slice(more);
    let list = s.read(&q("/Users", &query)).await;
    let next = list.get("nextCursor").map(|next| next.as_str().unwrap().to_owned());
    (list, next)
}

/// The names of a whole walk.
async fn walk(s: &Stage, more: &[(&str, &str)]) -> Vec<String> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    for _ in 0..1_000 {
        let (list, next) = page(s, &cursor, more).await;
        all.extend(names(&list));
        match next {
            Some(next) => cursor = next,
            None => return all,
        }
    }
    panic!("the walk does not end")
}

#[tokio::test]
async fn c155_c158_a_walk_begins_without_a_value_and_ends_without_a_next() {
    for s in &stages().await {
        populate(s, 25).await;
        let want: Vec<String> = (0..25).map(|n| format!("u{n:03}")).collect();
        let mut all = walk(s, &[("count", "4")]).await;
        all.sort();
        assert_eq!(all, want);
        for first in ["/Users?cursor&count=10", "/Users?cursor=&count=10", "/Users?count=10&cursor"] {
            let list = s.read(first).await;
            assert_eq!(names(&list).len(), 10, "{first}");
            assert!(list["nextCursor"].is_string(), "{first}: {list}");
        }
        let (whole, next) = page(s, "", &[("count", "25")]).await;
        assert!(names(&whole).len() == 25 && next.is_none_or(|next| !next.is_empty()));
        let (none, next) = page(s, "", &[("filter", "userName eq \"nobody\"")]).await;
        assert_eq!((names(&none).len(), next), (0, None));
    }
}

#[tokio::test]
async fn c156_c157_cursors_are_unreserved_characters_and_the_first_page_has_none_before() {
    let s = stage().await;
    populate(&s, 9).await;
    let mut cursor = String::new();
    let mut pages = 0;
    loop {
        let (list, next) = page(&s, &cursor, &[("count", "2"), ("sortBy", "userName")]).await;
        assert!(pages > 0 || list.get("previousCursor").is_none(), "{list}");
        pages += 1;
        for name in ["nextCursor", "previousCursor"] {
            if let Some(text) = list.get(name).and_then(Value::as_str) {
                let unreserved = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
                assert!(!text.is_empty() && text.chars().all(unreserved), "{text}");
                assert!(!text.contains("u00"), "opaque: {text}");
            }
        }
        let Some(next) = next else { break };
        cursor = next;
    }
    assert!(pages >= 5, "{pages}");
}

#[tokio::test]
async fn c159_a_total_under_cursors_is_right_if_it_is_told() {
    for s in &stages().await {
        populate(s, 11).await;
        for (more, total) in [(vec![("count", "3")], 11), (vec![("count", "3"), ("filter", "title eq \"odd\"")], 5)] {
            let (mut cursor, mut pages) = (String::new(), 0);
            loop {
                let (list, next) = page(s, &cursor, &more).await;
                if let Some(told) = list.get("totalResults") {
                    assert_eq!(told, total, "{list}");
                }
                assert_eq!(
                    list.get("itemsPerPage")
                        .map_or(names(&list).len(), |n| usize::try_from(n.as_u64().unwrap()).unwrap()),
                    names(&list).len()
                );
                pages += 1;
                let Some(next) = next else { break };
                cursor = next;
            }
            assert!(pages > 1, "{more:?}");
        }
    }
}

#[tokio::test]
async fn c160_a_cursor_that_is_none_is_an_invalid_cursor() {
    for s in &stages().await {
        populate(s, 6).await;
        let (_, next) = page(s, "", &[("count", "2")]).await;
        let real = next.unwrap();
        let mut forged: Vec<String> = vec![
            "nonsense".into(),
            "0".into(),
            real[1..].to_owned(),
            format!("{real}A"),
            "a".repeat(5_000),
            "\u{e9}".into(),
            "../..".into(),
        ];
        let middle = real.len() / 2;
        for letter in ["A", "b", "0"] {
            forged.push(format!("{}{letter}{}", &real[..middle], &real[middle + 1..]));
        }
        for cursor in forged.iter().filter(|cursor| **cursor != real) {
            s.get(&q("/Users", &[("cursor", cursor), ("count", "2")])).await.refused(400, "invalidCursor");
        }
    }
}

#[tokio::test]
async fn c161_a_cursor_lives_as_long_as_is_said() {
    for s in &stages().await {
        populate(s, 6).await;
        let life = s.read("/ServiceProviderConfig").await["pagination"]["cursorTimeout"].as_u64();
        let (_, next) = page(s, "", &[("count", "2")]).await;
        let next = next.unwrap();
        s.clock.advance(Duration::from_secs(life.unwrap_or(3_600) - 1));
        let (_, later) = page(s, &next, &[("count", "2")]).await;
        s.clock.advance(Duration::from_secs(life.unwrap_or(3_600) * 20 + 86_400));
        let late = s.get(&q("/Users", &[("cursor", &later.unwrap()), ("count", "2")])).await;
        if late.status != 200 {
            late.refused(400, "expiredCursor");
        }
    }
}

#[tokio::test]
async fn c162_a_count_may_change_or_is_an_invalid_count() {
    for s in &stages().await {
        populate(s, 12).await;
        let (first, next) = page(s, "", &[("count", "2")]).await;
        let next = next.unwrap();
        let reply = s.get(&q("/Users", &[("cursor", &next), ("count", "5")])).await;
        if reply.status == 200 {
            let list = reply.json();
            assert!(names(&list).len() <= 5);
            assert!(names(&list).iter().all(|name| !names(&first).contains(name)));
        } else {
            reply.refused(400, "invalidCount");
        }
        s.get(&q("/Users", &[("cursor", &next), ("count", "x")]))
            .await
            .refused_as(400, &["invalidValue", "invalidCount"]);
    }
}

#[tokio::test]
async fn c163_a_cursor_belongs_to_its_query() {
    for s in &stages().await {
        populate(s, 10).await;
        let own = [("count", "2"), ("filter", "title eq \"even\""), ("sortBy", "userName")];
        let (_, next) = page(s, "", &own).await;
        let next = next.unwrap();
        for other in [
            &[("count", "2")][..],
            &[("count", "2"), ("filter", "title eq \"odd\""), ("sortBy", "userName")],
            &[("count", "2"), ("filter", "title eq \"even\"")],
            &[("count", "2"), ("filter", "title eq \"even\""), ("sortBy", "title")],
            &[("count", "2"), ("filter", "title eq \"even\""), ("sortBy", "userName"), ("sortOrder", "descending")],
        ] {
            let mut query = vec![("cursor", next.as_str())];
            query.extend_from_slice(other);
            s.get(&q("/Users", &query)).await.refused(400, "invalidCursor");
        }
        let query = [("cursor", next.as_str()), ("count", "2")];
        s.get(&q("/Groups", &query)).await.refused(400, "invalidCursor");
        let (list, _) = page(s, &next, &own).await;
        assert_eq!(names(&list), ["u004", "u006"]);
    }
}

#[tokio::test]
async fn c164_a_search_by_post_walks_by_cursor_too() {
    for s in &stages().await {
        populate(s, 9).await;
        for path in ["/Users/.search", "/.search"] {
            let (mut all, mut cursor) = (Vec::new(), String::new());
            loop {
                let search = json!({"schemas": [SEARCH], "cursor": cursor, "count": 4, "filter": "userName sw \"u\"", "attributes": ["userName"]});
                let list = s.post(path, search).await.expect(200).json();
                all.extend(names(&list));
                match list.get("nextCursor") {
                    Some(next) => cursor = next.as_str().unwrap().to_owned(),
                    None => break,
                }
                assert!(all.len() <= 9, "{path}: the walk does not end");
            }
            all.sort();
            assert_eq!(all, (0..9).map(|n| format!("u{n:03}")).collect::<Vec<_>>(), "{path}");
        }
        let forged = json!({"schemas": [SEARCH], "cursor": "nonsense"});
        s.post("/Users/.search", forged).await.refused(400, "invalidCursor");
    }
}

#[tokio::test]
async fn c165_c167_the_config_tells_of_both_ways_and_index_is_the_default() {
    let s = stage().await;
    populate(&s, 3).await;
    let pagination = s.read("/ServiceProviderConfig").await["pagination"].clone();
    assert_eq!((&pagination["cursor"], &pagination["index"]), (&json!(true), &json!(true)), "{pagination}");
    assert_eq!(pagination["defaultPaginationMethod"], "index");
    let (size, most) = (pagination["defaultPageSize"].as_u64().unwrap(), pagination["maxPageSize"].as_u64().unwrap());
    assert!(size > 0 && size <= most, "{pagination}");
    if let Some(life) = pagination.get("cursorTimeout") {
        assert!(life.as_u64().is_some_and(|seconds| seconds > 0), "{pagination}");
    }
    let plain = s.read("/Users?count=2").await;
    assert_eq!((&plain["startIndex"], plain.get("nextCursor")), (&json!(1), None));
    let huge = s.read(&format!("/Users?cursor&count={}", most + 1)).await;
    assert!(names(&huge).len() as u64 <= most);
}

#[tokio::test]
async fn c166_an_index_and_a_cursor_at_once_are_refused() {
    let s = stage().await;
    populate(&s, 4).await;
    let (_, next) = page(&s, "", &[("count", "2")]).await;
    for query in [
        "cursor&startIndex=1".to_owned(),
        "cursor=&startIndex=2".to_owned(),
        format!("cursor={}&startIndex=1", next.unwrap()),
    ] {
        let reply = s.get(&format!("/Users?{query}")).await;
        reply.refused_as(400, &["", "invalidCursor", "invalidValue", "invalidSyntax"]);
    }
}

#[tokio::test]
async fn c168_a_cursor_is_its_tenants_own() {
    for s in &stages().await {
        populate(s, 6).await;
        let (_, next) = page(s, "", &[("count", "2")]).await;
        let (_, base, key) = s.another(json!({})).await;
        let headers = [("authorization", key.as_str())];
        let path = q(&format!("{base}/Users"), &[("cursor", &next.unwrap()), ("count", "2")]);
        s.raw("GET", &path, &headers, b"").await.refused(400, "invalidCursor");
    }
}

#[tokio::test]
async fn c169_who_stays_is_seen_once_however_many_come_and_go() {
    for s in &stages().await {
        let ids = populate(s, 40).await;
        for more in [
            vec![("count", "5")],
            vec![("count", "5"), ("filter", "userName sw \"u\"")],
            vec![("count", "5"), ("sortBy", "userName")],
        ] {
            let (mut seen, mut cursor, mut round) = (BTreeMap::<String, u32>::new(), String::new(), 0);
            let mut extra = Vec::new();
            loop {
                let (list, next) = page(s, &cursor, &more).await;
                for name in names(&list) {
                    *seen.entry(name).or_default() += 1;
                }
                // Others come before and after the place where the walk stands, and go again.
                extra.push(s.named(&format!("a{round}")).await);
                extra.push(s.named(&format!("z{round}")).await);
                if round % 2 == 1 {
                    s.delete(&at(&extra.remove(0))).await.expect(204);
                }
                s.patch(
                    &at(&ids[round % ids.len()]),
                    json!([{"op": "replace", "path": "nickName", "value": format!("n{round}")}]),
                )
                .await
                .expect(200);
                round += 1;
                assert!(round < 200, "the walk does not end");
                let Some(next) = next else { break };
                cursor = next;
            }
            for n in 0..40 {
                assert_eq!(seen.get(&format!("u{n:03}")), Some(&1), "{more:?}: u{n:03}");
            }
            assert!(seen.values().all(|times| *times == 1), "{more:?}: {seen:?}");
            for one in extra {
                s.delete(&at(&one)).await.expect(204);
            }
        }
    }
}
