//! Totals, pages and sorting by index.

use serde_json::json;

use crate::place::{GROUP, SEARCH, USER, ids, places};

/// 82 to 84, 103 to 106, 111, 112, 114, 186.
#[tokio::test(flavor = "multi_thread")]
async fn pages_and_totals() {
    for place in places().await {
        let users = place.users(25).await;
        let group = place.group("Ops", &users[..3]).await;
        let active = "filter=active+eq+true";
        for (number, query, total, from, to) in [
            (82, "/Users", 25, 0, 25),
            (84, "/Users?count=10", 25, 0, 10),
            (84, "/Users?count=10&filter=active+eq+true", 25, 0, 10),
            (84, "/Users?count=1&filter=emails.type+eq+%22work%22", 25, 0, 1),
            (83, "/Users?filter=userName+eq+%22nobody%22", 0, 0, 0),
            (83, "/Users?filter=title+eq+%22nobody%22", 0, 0, 0),
            (103, "/Users?startIndex=0&count=5", 25, 0, 5),
            (103, "/Users?startIndex=-7&count=5", 25, 0, 5),
            (103, "/Users?startIndex=26", 25, 25, 25),
            (103, "/Users?startIndex=26&filter=active+eq+true", 25, 25, 25),
            (103, "/Users?startIndex=9223372036854775807&count=1", 25, 25, 25),
            (103, "/Users?startIndex=21&count=10&filter=title+ne+%22x%22", 25, 20, 25),
            (104, "/Users?count=0", 25, 0, 0),
            (104, "/Users?count=-3", 25, 0, 0),
            (104, "/Users?count=0&filter=active+eq+true", 25, 0, 0),
            (104, "/Users?count=100000", 25, 0, 25),
        ] {
            let list = place.list(query).await;
            assert_eq!(
                (list["totalResults"].as_u64(), ids(&list)),
                (Some(total), users[from..to].to_vec()),
                "{number}: {query}"
            );
            assert_eq!(list["itemsPerPage"], to - from, "{number}: {query}");
            assert_eq!(list["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:ListResponse"]));
        }
        // 106, in order, forwards and by jumps.
        for query in
            ["", "&filter=active+eq+true", "&sortBy=userName", "&filter=userName+sw+%22user%22", "&sortBy=emails"]
        {
            let mut walked = Vec::new();
            for start in (1..=25).step_by(4) {
                walked.extend(ids(&place.list(&format!("/Users?count=4&startIndex={start}{query}")).await));
            }
            assert_eq!(walked, users, "106: {query}");
            assert_eq!(
                ids(&place.list(&format!("/Users?count=2&startIndex=18{query}")).await),
                users[17..19],
                "{query}"
            );
        }
        // 105
        for query in ["startIndex=x", "count=1.5", "startIndex=1e3"] {
            place.get(&format!("/Users?{query}")).await.refused("invalidValue");
        }
        // 111: the same by POST.
        let search = json!({"schemas": [SEARCH], "filter": "active eq true", "startIndex": 5, "count": 4, "attributes": ["userName"]});
        let found = place.scim("POST", "/Users/.search", Some(search.clone())).await.expect(200).json();
        assert_eq!(found, place.list(&format!("/Users?{active}&startIndex=5&count=4&attributes=userName")).await);
        assert_eq!(
            found["Resources"][0],
            json!({"schemas": [USER], "id": users[4], "userName": "user00004@example.com"})
        );
        let all = place.scim("POST", "/.search", Some(json!({"schemas": [SEARCH]}))).await.expect(200).json();
        assert_eq!(all["totalResults"], 26);
        assert_eq!(all["Resources"][25]["id"], json!(group));
        // 85: each with its own schema.
        assert_eq!(
            (&all["Resources"][0]["schemas"], &all["Resources"][25]["schemas"]),
            (&json!([USER]), &json!([GROUP]))
        );
        // 112, 186
        place.scim("POST", "/Users/.search", Some(json!({"filter": "active eq true"}))).await.refused("invalidSyntax");
        let bad = json!({"schemas": [SEARCH], "filter": "active"});
        place.scim("POST", "/Users/.search", Some(bad)).await.refused("invalidFilter");
        place.get("/Users?filter=").await.refused("invalidFilter");
    }
}

/// A total is that of the moment, as what it counts comes and goes.
#[tokio::test(flavor = "multi_thread")]
async fn totals_follow_changes() {
    for place in places().await {
        let users = place.users(3).await;
        let check =
            async |query: &str, total: u64| assert_eq!(place.list(query).await["totalResults"], total, "{query}");
        let off = json!({"schemas": [crate::place::PATCH], "Operations": [{"op": "replace", "path": "active", "value": false}]});
        place.scim("PATCH", &format!("/Users/{}", users[0]), Some(off)).await.expect(200);
        check("/Users?count=1&filter=active+eq+true", 2).await;
        check("/Users?count=1&filter=active+eq+false", 1).await;
        place.scim("DELETE", &format!("/Users/{}", users[1]), None).await.expect(204);
        check("/Users?count=1&filter=active+eq+true", 1).await;
        check("/Users?count=1", 2).await;
        let renamed = json!({"schemas": [USER], "userName": "other", "displayName": "Zo\u{eb}", "emails": [{"value": "O@example.com"}]});
        place.scim("PUT", &format!("/Users/{}", users[2]), Some(renamed)).await.expect(200);
        for (filter, total) in [
            ("userName+sw+%22OTH%22", 1),
            ("displayName+eq+%22zO%C3%8B%22", 1),
            ("emails+eq+%22o@EXAMPLE.com%22", 1),
            ("emails.value+eq+%22user00002@example.com%22", 0),
            ("userName+eq+%22user00002@example.com%22", 0),
        ] {
            check(&format!("/Users?filter={filter}"), total).await;
        }
    }
}

#[tokio::test]
async fn a_type_that_was_too_much_to_look_at_was_answered_as_if_it_had_no_match() {
    for place in places().await {
        place.users(501).await;
        place.group("Ops", &[]).await;
        let slow = |path: &'static str| async {
            // Each look into the database takes longer than one request may try.
            let late = async {
                loop {
                    place.clock.advance(std::time::Duration::from_secs(3));
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                reply = place.get(path) => reply,
                () = late => unreachable!("it never ends"),
            }
        };
        for path in ["/Users?filter=title+co+%22x%22", "/?filter=title+co+%22x%22"] {
            let mut reply = slow(path).await;
            // The looks may both have been answered before the clock had its turn.
            for _ in 0..20 {
                if reply.status != 200 {
                    break;
                }
                reply = slow(path).await;
            }
            reply.refused("tooMany");
        }
    }
}
