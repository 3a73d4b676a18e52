//! Paging by cursor (RFC 9865).

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::place::{Place, SEARCH, ids, places};

/// Walks a list to its end; the ids of each page.
async fn walk(place: &Place, path: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut cursor = String::new();
    loop {
        let joint = if path.contains('?') { "&" } else { "?" };
        let page = place.list(&format!("{path}{joint}cursor={cursor}")).await;
        assert_eq!(page["itemsPerPage"], ids(&page).len());
        assert!(page.get("startIndex").is_none(), "{page}");
        pages.push(ids(&page));
        match page.get("nextCursor") {
            Some(next) => cursor = next.as_str().unwrap().to_owned(),
            None => return pages,
        }
    }
}

async fn next(place: &Place, path: &str) -> String {
    place.list(path).await["nextCursor"].as_str().unwrap().to_owned()
}

/// 155 to 160, 162 to 168.
#[tokio::test(flavor = "multi_thread")]
async fn cursors_are_opaque_and_belong_to_their_query() {
    for place in places().await {
        let users = place.users(7).await;
        let group = place.group("Ops", &users[..2]).await;

        // 155, 158: every page but the last has one, and an empty value or none begins.
        assert_eq!(walk(&place, "/Users?count=3").await.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 1]);
        assert_eq!(walk(&place, "/Users?count=7").await.concat(), users);
        assert_eq!(ids(&place.list("/Users?cursor&count=3").await), users[..3]);
        // 159
        assert_eq!(place.list("/Users?cursor=&count=3").await["totalResults"], 7);
        let none = place.list("/Users?cursor=&filter=userName+eq+%22nobody%22").await;
        assert_eq!((&none["totalResults"], &none["Resources"], none.get("nextCursor")), (&json!(0), &json!([]), None));
        let total = place.list("/Users?cursor=&count=0").await;
        assert_eq!((&total["totalResults"], total.get("nextCursor")), (&json!(7), None));

        // 156
        let cursor = next(&place, "/Users?cursor=&count=3").await;
        assert!(cursor.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b)), "{cursor}");
        assert_eq!(ids(&place.list(&format!("/Users?cursor={cursor}&count=3")).await), users[3..6]);
        // The size of a page may change on the way, within what is served.
        assert_eq!(ids(&place.list(&format!("/Users?cursor={cursor}&count=2")).await), users[3..5]);
        assert_eq!(ids(&place.list(&format!("/Users?cursor={cursor}")).await), users[3..]);
        // 162
        for count in ["0", "-1", "x", "1.5"] {
            place.get(&format!("/Users?cursor={cursor}&count={count}")).await.refused("invalidCount");
        }
        place.get("/Users?cursor=&count=many").await.refused("invalidCount");
        // 166
        place.get(&format!("/Users?cursor={cursor}&startIndex=4")).await.refused("invalidValue");
        place.get("/Users?cursor=&startIndex=1").await.refused("invalidValue");

        // 160, 163, 168: nothing else takes it.
        let mut flipped = cursor.clone().into_bytes();
        flipped[40] = if flipped[40] == b'A' { b'B' } else { b'A' };
        let flipped = String::from_utf8(flipped).unwrap();
        for (path, cursor) in [
            ("/Users?count=3", flipped.as_str()),
            ("/Users?count=3", "1"),
            ("/Users?count=3", "%00"),
            ("/Users?count=3", &"A".repeat(60_000)),
            ("/Users?count=3&filter=active+eq+true", &cursor),
            ("/Users?count=3&sortBy=userName", &cursor),
            ("/Users?count=3&sortOrder=descending", &cursor),
            ("/Users?count=3&attributes=userName", &cursor),
            ("/Users?count=3&excludedAttributes=emails", &cursor),
            ("/Groups?count=3", &cursor),
            ("/?count=3", &cursor),
        ] {
            place.get(&format!("{path}&cursor={cursor}")).await.refused("invalidCursor");
        }
        let (base, key) = place.instance().await;
        place.call("GET", &format!("{base}/Users?count=3&cursor={cursor}"), &key, None).await.refused("invalidCursor");

        // 164: in a search, and from one way of asking to the other.
        let body = |cursor: &str| json!({"schemas": [SEARCH], "count": 3, "cursor": cursor});
        let first = place.scim("POST", "/Users/.search", Some(body(""))).await.expect(200).json();
        let second = body(first["nextCursor"].as_str().unwrap());
        let second = place.scim("POST", "/Users/.search", Some(second)).await.expect(200).json();
        assert_eq!(ids(&second), users[3..6]);
        let last = second["nextCursor"].as_str().unwrap();
        assert_eq!(ids(&place.list(&format!("/Users?count=3&cursor={last}")).await), users[6..]);
        let both = json!({"schemas": [SEARCH], "startIndex": 1, "cursor": ""});
        place.scim("POST", "/Users/.search", Some(both)).await.refused("invalidValue");
        let bad = json!({"schemas": [SEARCH], "count": [1], "cursor": ""});
        place.scim("POST", "/Users/.search", Some(bad)).await.refused("invalidCount");

        // 155 at the base URL: every type, in one walk.
        let everything: Vec<String> = users.iter().chain([&group]).cloned().collect();
        for count in [1, 3, 7, 8, 100] {
            let pages = walk(&place, &format!("/?count={count}")).await;
            assert_eq!(pages.concat(), everything, "count {count}");
            assert!(pages.iter().all(|page| !page.is_empty()), "count {count}: {pages:?}");
        }
        assert_eq!(place.list("/?cursor=&count=3").await["totalResults"], 8);

        // 165, 167
        let config = place.list("/ServiceProviderConfig").await;
        assert_eq!(
            config["pagination"],
            json!({"cursor": true, "index": true, "defaultPaginationMethod": "index", "defaultPageSize": 100, "maxPageSize": 1000, "cursorTimeout": 86400})
        );
        assert_eq!(place.list("/Users").await["startIndex"], 1);
        assert!(place.list("/Users?count=3").await.get("nextCursor").is_none());
    }
}

/// 161
#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_lives_as_long_as_announced() {
    let place = places().await.remove(0);
    let users = place.users(4).await;
    let cursor = next(&place, "/Users?cursor=&count=2").await;
    place.clock.advance(Duration::from_secs(86_400));
    assert_eq!(ids(&place.list(&format!("/Users?cursor={cursor}&count=2")).await), users[2..]);
    place.clock.advance(Duration::from_secs(1));
    place.get(&format!("/Users?cursor={cursor}&count=2")).await.refused("expiredCursor");
}

/// Filters and sorting go on by cursor, also past the one that the page before ended with, deleted or renamed.
#[tokio::test(flavor = "multi_thread")]
async fn walks_go_on_with_filters_and_sorting() {
    for place in places().await {
        let mut users = Vec::new();
        for (n, (name, title)) in
            [("d", "x"), ("B", ""), ("a", "y"), ("c", "x"), ("F", "z"), ("e", "")].into_iter().enumerate()
        {
            let mut body = json!({"schemas": [crate::place::USER], "userName": name, "active": n % 2 == 0});
            if !title.is_empty() {
                body["title"] = json!(title);
            }
            users.push(place.create("/Users", body).await);
            place.clock.advance(Duration::from_millis(5));
        }
        let named =
            |order: &str| -> Vec<String> { order.chars().map(|c| users["dBacFe".find(c).unwrap()].clone()).collect() };
        for (query, order) in [
            ("sortBy=userName", "aBcdeF"),
            ("sortBy=userName&sortOrder=descending", "FedcBa"),
            // 100: who has none comes last, and first where the order is turned round.
            ("sortBy=title", "dcaFBe"),
            ("sortBy=title&sortOrder=descending", "eBFacd"),
            ("sortBy=meta.lastModified&sortOrder=descending", "eFcaBd"),
            ("filter=active+eq+true", "daF"),
            ("filter=active+eq+true&sortBy=userName", "adF"),
            ("filter=title+eq+%22X%22", "dc"),
            ("filter=title+pr&sortBy=title&sortOrder=descending", "Facd"),
            ("filter=meta.lastModified+gt+%222026-01-01T00:00:00.004Z%22", "BacFe"),
            ("filter=userName+sw+%22f%22+or+userName+eq+%22A%22", "aF"),
        ] {
            assert_eq!(walk(&place, &format!("/Users?count=2&{query}")).await.concat(), named(order), "{query}");
            let list = place.list(&format!("/Users?{query}")).await;
            assert_eq!((ids(&list), &list["totalResults"]), (named(order), &json!(order.len())), "{query}");
        }
        let cursor = next(&place, "/Users?cursor=&count=2&sortBy=userName").await;
        place.scim("DELETE", &format!("/Users/{}", users[1]), None).await.expect(204);
        let rest = place.list(&format!("/Users?cursor={cursor}&count=9&sortBy=userName")).await;
        assert_eq!(ids(&rest), named("cdeF"));
    }
}

/// 169: five thousand users, walked by cursor and by index while others come and go.
#[tokio::test(flavor = "multi_thread")]
async fn who_stays_is_seen_once_while_others_come_and_go() {
    for place in places().await {
        let users = place.users(5_000).await;
        let filtered = "/Users?filter=active+eq+true&count=250";
        let mut seen: [HashMap<String, usize>; 3] = Default::default();
        let mut cursors = [Some(String::new()), Some(String::new())];
        let (mut at, mut round) = (Some(1), 0);
        let mut gone = Vec::new();
        while cursors.iter().any(Option::is_some) || at.is_some() {
            for (path, (cursor, seen)) in ["/Users?count=250", filtered].iter().zip(cursors.iter_mut().zip(&mut seen)) {
                let Some(from) = cursor.as_deref() else { continue };
                let page = place.list(&format!("{path}&cursor={from}")).await;
                ids(&page).into_iter().for_each(|id| *seen.entry(id).or_default() += 1);
                *cursor = page.get("nextCursor").and_then(Value::as_str).map(str::to_owned);
            }
            if let Some(start) = at {
                let page = place.list(&format!("/Users?count=250&startIndex={start}")).await;
                let page = ids(&page);
                at = (page.len() == 250).then_some(start + page.len());
                page.into_iter().for_each(|id| *seen[2].entry(id).or_default() += 1);
            }
            // Everywhere: before where the walks are, at it, and behind it.
            for n in 0..12 {
                let victim = (round * 251 + n * 417) % users.len();
                if !gone.contains(&users[victim]) {
                    place.scim("DELETE", &format!("/Users/{}", users[victim]), None).await.expect(204);
                    gone.push(users[victim].clone());
                }
                place.user(&format!("new{round}-{n}@example.com")).await;
            }
            round += 1;
            assert!(round < 100, "the walks do not end");
        }
        assert!(gone.len() > 100);
        for (which, seen) in ["all", "filtered", "by index"].iter().zip(&seen) {
            for user in users.iter().filter(|id| !gone.contains(id)) {
                assert_eq!(seen.get(user), Some(&1), "{which}: {user} stayed");
            }
            assert!(seen.values().all(|times| *times == 1), "{which}: somebody came twice");
        }
    }
}
