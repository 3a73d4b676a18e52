//! Large groups: written out as they are read, compared where they are kept.

use serde_json::{Value, json};

use crate::place::{PATCH, group, places};

fn values(document: &Value) -> Vec<String> {
    document["members"].as_array().unwrap().iter().map(|member| member["value"].as_str().unwrap().to_owned()).collect()
}

/// More members than are read at a time.
const MANY: usize = 2_300;

#[tokio::test(flavor = "multi_thread")]
async fn a_large_group_is_sent_as_it_is_read() {
    for place in places().await {
        let users = place.users(MANY).await;
        let id = place.group("Large", &users).await;
        place.group("Small", &users[..2]).await;
        let path = format!("/Groups/{id}");
        let whole = place.get(&path).await.expect(200);
        assert_eq!(whole.header("content-type"), "application/scim+json");
        assert_eq!((whole.header("etag"), whole.header("content-length")), ("W/\"1\"", ""), "it is not all there yet");
        let document = whole.json();
        assert!(values(&document) == users, "the members are not those that were put in");
        let last = &document["members"][MANY - 1];
        let place_of_last = format!("http://127.0.0.1:8080{}/Users/{}", place.base, users[MANY - 1]);
        assert_eq!((&last["$ref"], &last["type"]), (&json!(place_of_last), &json!("User")));
        assert!(last.get("display").is_none(), "names are shown on request");
        let named = place.list(&format!("{path}?attributes=members.display")).await;
        assert!(named["members"][MANY - 1]["display"].as_str().unwrap().ends_with("@example.com"));
        assert_eq!((&document["displayName"], &document["meta"]["version"]), (&json!("Large"), &json!("W/\"1\"")));

        let head = place.scim("HEAD", &path, None).await.expect(200);
        assert!(head.bytes.is_empty());
        assert_eq!((head.header("etag"), head.header("content-type")), ("W/\"1\"", "application/scim+json"));

        let lean = place.list(&format!("{path}?attributes=members.value")).await;
        assert!(values(&lean) == users);
        assert_eq!((lean["members"][MANY - 1].as_object().unwrap().len(), lean.get("displayName")), (1, None));
        let without = place.get(&format!("{path}?excludedAttributes=members")).await.expect(200);
        assert!(without.json().get("members").is_none());
        assert_eq!(without.header("content-length"), without.bytes.len().to_string());

        // In lists and searches too.
        let list = place.list("/Groups?sortBy=displayName").await;
        assert_eq!(
            (values(&list["Resources"][0]), values(&list["Resources"][1])),
            (users.clone(), users[..2].to_vec())
        );
        let list = place.list("/?startIndex=2300&count=5").await;
        assert_eq!(list["Resources"].as_array().unwrap().len(), 3);
        assert_eq!(values(&list["Resources"][1]).len(), MANY);
    }
}

/// What is put is what is there, whatever was there before; what stays costs nothing, and nothing that is refused
/// changes anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_put_writes_the_difference() {
    for place in places().await {
        let users = place.users(MANY).await;
        let id = place.group("Large", &users[..2_000]).await;
        let path = format!("/Groups/{id}");
        let put = async |members: &[String]| place.scim("PUT", &path, Some(group("Large", members))).await;

        // The same again is no change.
        assert_eq!(put(&users[..2_000]).await.expect(200).header("etag"), "W/\"1\"");
        let moved = put(&users[300..]).await.expect(200);
        assert_eq!(moved.header("etag"), "W/\"2\"");
        assert!(values(&moved.json()) == users[300..]);
        // Twice in one list is once.
        let mut twice = users[300..].to_vec();
        twice.extend_from_slice(&users[300..310]);
        assert_eq!(put(&twice).await.expect(200).header("etag"), "W/\"2\"");

        let mut unknown = users.clone();
        unknown.push("no-such-id".to_owned());
        let refused = put(&unknown).await;
        assert!(String::from_utf8_lossy(&refused.bytes).contains("no-such-id"));
        refused.refused("invalidValue");
        let mut nul = users.clone();
        nul.push("a\0b".to_owned());
        put(&nul).await.refused("invalidValue");
        let mut nested = users.clone();
        nested.push(id.clone());
        let refused = put(&nested).await;
        assert!(String::from_utf8_lossy(&refused.bytes).contains("is a Group"));
        refused.refused("invalidValue");
        assert!(values(&place.list(&path).await) == users[300..]);

        let patch = async |operations: Value| {
            place.scim("PATCH", &path, Some(json!({"schemas": [PATCH], "Operations": operations}))).await
        };
        let one = json!([{"op": "add", "path": "members", "value": [{"value": users[0]}]}]);
        assert_eq!(patch(one.clone()).await.expect(204).header("etag"), "W/\"3\"");
        assert_eq!(patch(one).await.expect(204).header("etag"), "W/\"3\"");
        let out = json!([{"op": "remove", "path": format!("members[value eq \"{}\"]", users[0])}, {"op": "remove", "path": "members", "value": [{"value": "nobody"}]}]);
        patch(out).await.expect(204);
        assert!(values(&place.list(&path).await) == users[300..]);
        // Who is named stays or comes, whatever a filter says of the others.
        let some = json!([{"op": "remove", "path": "members[display ew \"@EXAMPLE.com\"]"}, {"op": "add", "path": "members", "value": [{"value": users[1]}, {"value": users[999]}]}]);
        patch(some).await.expect(200);
        assert_eq!(values(&place.list(&path).await), [users[1].clone(), users[999].clone()]);

        assert_eq!(put(&[]).await.expect(200).json()["members"], json!([]));
        assert_eq!(put(&users).await.expect(200).json()["members"].as_array().unwrap().len(), MANY);
    }
}
