//! Security events of what the target has a say in: adoption, refusals, and requests that are answered later.

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway::service::events::NewStream;
use gateway::service::types::Failure;
use http::Request;
use http_body_util::BodyExt;
use scim::event::Poll;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::rig::{Db, Rig, databases, everywhere, rig};

const EVENT: &str = "urn:ietf:params:scim:event:";
const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";

/// A rig whose events are listened to.
struct Told {
    rig: Rig,
    stream: String,
    key: String,
}

impl Told {
    async fn refuse_invitations(&self) {
        let refuse = json!([{"match": {"method": "POST", "path": "invitations$"}, "times": 1,
            "do": {"status": 422, "body": {"message": "Validation Failed"}}}]);
        self.rig.control("POST", "/_sim/faults", refuse).await;
    }

    async fn new(db: &Db, target: &str, policy: Value, load: bool) -> Self {
        let mut rig = rig(db, target, policy).await;
        if load {
            rig.control("POST", "/_sim/load", json!({"accounts": 3, "groups": 1})).await;
            rig.reconcile().await;
        }
        let new = NewStream {
            name: "test".into(),
            delivery: "poll".into(),
            payload: Some("full".into()),
            ..NewStream::default()
        };
        let made = rig.app.create_event_stream("admin", &rig.instance, new).await.unwrap();
        rig.instance = rig.app.instances.get(&rig.instance.id).await.unwrap().unwrap();
        let key = rig.app.create_key("admin", &rig.instance, Default::default()).await.unwrap();
        Self { stream: made["id"].as_str().unwrap().to_owned(), key: key["key"].as_str().unwrap().to_owned(), rig }
    }

    /// The claims of everything that waits, taken away.
    async fn drain(&self) -> Vec<Value> {
        let poll = |ack| Poll { max_events: 100, return_immediately: true, ack, errors: vec![] };
        let answer = self.rig.app.events.poll(&self.rig.instance, &self.stream, poll(vec![])).await.unwrap();
        let sets = answer["sets"].as_object().unwrap();
        let ack = sets.keys().cloned().collect();
        self.rig.app.events.poll(&self.rig.instance, &self.stream, Poll { max_events: 0, ..poll(ack) }).await.unwrap();
        let claims = |token: &Value| {
            let part = token.as_str().unwrap().split('.').nth(1).unwrap().to_owned();
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        sets.values().map(claims).collect()
    }

    /// Waits for the completion of a request, with what was told besides.
    async fn completed(&self, txn: &str) -> (Value, Vec<Value>) {
        let mut all = Vec::new();
        let mut found = None;
        self.rig
            .wait("the completion", async || {
                all.extend(self.drain().await);
                found = all.iter().find(|set| set["txn"] == txn && set["events"].get(ASYNC).is_some()).cloned();
                found.is_some()
            })
            .await;
        (found.unwrap()["events"][ASYNC].clone(), all)
    }

    /// A request that is answered later: its transaction and location.
    async fn send(&self, method: &str, path: &str, body: Value) -> (u16, String, String, Value) {
        let request = Request::builder()
            .method(method)
            .uri(format!("/i/{}/scim/v2{path}", self.rig.instance.id))
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/scim+json")
            .header("prefer", "respond-async");
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let router = gateway::scim_api::router(self.rig.app.clone());
        let response = router.oneshot(request.body(body).unwrap()).await.unwrap();
        let header = |name: &str| response.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        let (status, txn, location) = (response.status().as_u16(), header("set-txn"), header("location"));
        if status == 202 {
            assert_eq!(header("preference-applied"), "respond-async");
        }
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        assert!(status != 202 || bytes.is_empty());
        (status, txn, location, serde_json::from_slice(&bytes).unwrap_or_default())
    }
}

const ASYNC: &str = "urn:ietf:params:scim:event:misc:asyncresp";

/// The names of all events told, without those of completions.
fn names(sets: &[Value]) -> Vec<String> {
    let uris = sets.iter().flat_map(|set| set["events"].as_object().unwrap().keys());
    uris.filter(|uri| *uri != ASYNC).map(|uri| uri.trim_start_matches(EVENT).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn asynchronous_requests_are_completed_when_the_target_agrees() {
    for (db, target) in everywhere() {
        let told = Told::new(&db, target, json!({}), false).await;
        let user = json!({"schemas": [USER], "userName": "ada@example.com", "emails": [{"value": "ada@example.com"}]});
        let (status, txn, location, _) = told.send("POST", "/Users", user.clone()).await;
        assert_eq!(status, 202, "{target}");
        let (done, all) = told.completed(&txn).await;
        assert_eq!(
            (&done["method"], &done["status"], &done["location"]),
            (&json!("POST"), &json!("201"), &json!(location))
        );
        assert!(done["version"].is_string() && done.get("response").is_none(), "{done}");
        assert_eq!(names(&all), ["prov:create:full"]);
        assert!(all.iter().all(|set| set["txn"] == txn), "one transaction: {all:?}");
        let path = location[location.find("/Users").unwrap()..].to_owned();
        assert_eq!(all[0]["sub_id"]["uri"], path);

        let title = |title: &str| json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [{"op": "replace", "path": "title", "value": title}]});
        let (status, txn, same, _) = told.send("PATCH", &path, title("Dr")).await;
        assert_eq!((status, &same), (202, &location));
        let (done, all) = told.completed(&txn).await;
        assert_eq!((&done["method"], &done["status"]), (&json!("PATCH"), &json!("200")));
        assert_eq!(names(&all), ["prov:patch:full"]);
        // What changes nothing is completed at once.
        let (_, txn, ..) = told.send("PATCH", &path, title("Dr")).await;
        let sets = told.drain().await;
        assert_eq!((sets.len(), &sets[0]["txn"], &sets[0]["events"][ASYNC]["status"]), (1, &json!(txn), &json!("200")));
        let (status, txn, ..) = told.send("PUT", &path, user.clone()).await;
        assert_eq!(status, 202);
        assert_eq!(told.completed(&txn).await.0["status"], "200");
        // Refused requests are answered at once.
        let (status, none, _, error) = told.send("POST", "/Users", user).await;
        assert_eq!((status, none.as_str(), &error["scimType"]), (409, "", &json!("uniqueness")));

        let (status, txn, ..) = told.send("DELETE", &path, Value::Null).await;
        assert_eq!(status, 202);
        let (done, all) = told.completed(&txn).await;
        assert_eq!((&done["method"], &done["status"]), (&json!("DELETE"), &json!("204")));
        assert!(done.get("version").is_none());
        assert_eq!(names(&all), ["prov:delete"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asynchronous_request_that_the_target_refuses_is_taken_back_and_told() {
    for db in databases() {
        let told = Told::new(&db, "github", json!({}), false).await;
        told.refuse_invitations().await;
        let (status, txn, location, _) =
            told.send("POST", "/Users", json!({"schemas": [USER], "userName": "ned@example.com"})).await;
        assert_eq!(status, 202);
        let (failed, all) = told.completed(&txn).await;
        assert_eq!((&failed["method"], &failed["status"]), (&json!("POST"), &json!("400")));
        assert_eq!(
            (&failed["response"]["status"], &failed["response"]["scimType"]),
            (&json!("400"), &json!("invalidValue"))
        );
        assert!(failed["response"]["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
        assert!(failed.get("location").is_none() && failed.get("version").is_none());
        assert_eq!(names(&all), ["prov:create:full", "prov:delete"]);
        let path = location[location.find("/Users").unwrap()..].to_owned();
        let registry = told.rig.instance.registry.clone();
        let rt = registry.resource_type("User").unwrap();
        let id = path.trim_start_matches("/Users/");
        assert!(told.rig.app.read(&told.rig.instance, rt, id).await.unwrap().is_none());

        // A group's name that the target refuses: the change is taken back, and told as it is again.
        let group = told.rig.post("Group", json!({"displayName": "Ops"})).await.unwrap().stored;
        told.rig.quiet().await;
        told.drain().await;
        let refuse = json!([{"match": {"method": "PATCH"}, "times": 1, "do": {"status": 422, "body": {"message": "no such name"}}}]);
        told.rig.control("POST", "/_sim/faults", refuse).await;
        let rename = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [{"op": "replace", "path": "displayName", "value": "Bad"}]});
        let (status, txn, location, _) = told.send("PATCH", &format!("/Groups/{}", group.id), rename).await;
        assert_eq!(status, 202);
        let (failed, all) = told.completed(&txn).await;
        assert_eq!((&failed["method"], &failed["location"]), (&json!("PATCH"), &json!(location)));
        assert!(failed["response"]["detail"].is_string(), "{failed}");
        assert_eq!(names(&all), ["prov:patch:full", "prov:put:full"]);
        let put =
            &all.iter().find(|set| set["events"].get(format!("{EVENT}prov:put:full")).is_some()).unwrap()["events"];
        assert_eq!(put[format!("{EVENT}prov:put:full")]["data"]["displayName"], "Ops");
        let rt = registry.resource_type("Group").unwrap();
        let now = told.rig.app.read(&told.rig.instance, rt, &group.id).await.unwrap().unwrap();
        assert_eq!(now.name, "Ops");
        assert_eq!(put[format!("{EVENT}prov:put:full")]["version"], format!("W/\"{}\"", now.version));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asynchronous_request_for_a_user_with_groups_is_completed_once_and_leaves_no_membership() {
    for db in databases() {
        let told = Told::new(&db, "github", json!({"groups_via_users": true}), false).await;
        let group = told.rig.post("Group", json!({"displayName": "Ops"})).await.unwrap().stored;
        told.rig.quiet().await;
        told.drain().await;
        let registry = told.rig.instance.registry.clone();
        let rt = registry.resource_type("Group").unwrap();
        let version = async || told.rig.app.read(&told.rig.instance, rt, &group.id).await.unwrap().unwrap().version;
        let user = |name: &str| json!({"schemas": [USER], "userName": name, "groups": [{"value": group.id}]});

        let (status, txn, location, _) = told.send("POST", "/Users", user("ada@example.com")).await;
        assert_eq!(status, 202);
        let (done, mut all) = told.completed(&txn).await;
        told.rig.quiet().await;
        all.extend(told.drain().await);
        let completions = all.iter().filter(|set| set["events"].get(ASYNC).is_some()).count();
        assert_eq!((completions, &done["status"], &done["location"]), (1, &json!("201"), &json!(location)), "{all:?}");
        assert_eq!(version().await, group.version + 1);

        // Refused by the target: the person is out of the group again, which is told, and the group stays.
        told.refuse_invitations().await;
        let (_, txn, ..) = told.send("POST", "/Users", user("ned@example.com")).await;
        let (failed, mut all) = told.completed(&txn).await;
        assert_eq!(failed["status"], "400");
        told.rig.quiet().await;
        all.extend(told.drain().await);
        let completions = all.iter().filter(|set| set["events"].get(ASYNC).is_some()).count();
        let mut names = names(&all);
        names.sort();
        assert_eq!(
            (completions, names.join(" ").as_str()),
            (1, "prov:create:full prov:delete prov:patch:full prov:patch:full")
        );
        assert_eq!(version().await, group.version + 3);
        let members = told.rig.app.members_of(group.seq).await.unwrap();
        assert_eq!(members.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_back_while_the_client_waits_is_told_as_gone() {
    for db in databases() {
        let told = Told::new(&db, "github", json!({}), false).await;
        told.refuse_invitations().await;
        let refused = told.rig.post("User", json!({"userName": "ned@example.com", "schemas": [USER]})).await;
        assert!(matches!(refused, Err(Failure::Scim(_))), "{refused:?}");
        let sets = told.drain().await;
        assert_eq!(names(&sets), ["prov:create:full", "prov:delete"]);
        assert_eq!(sets[0]["sub_id"], sets[1]["sub_id"]);
        assert_ne!(sets[0]["txn"], sets[1]["txn"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adopted_resource_joins_the_feed() {
    for (db, target) in everywhere() {
        let told = Told::new(&db, target, json!({"list_unmanaged": true}), true).await;
        assert!(told.drain().await.is_empty(), "{target}: what was found at the target was pushed by nobody");
        let registry = told.rig.instance.registry.clone();
        let pairs = [("filter".to_owned(), "userName eq \"load0001@example.com\"".to_owned())];
        let request = scim::list::ListRequest::from_query(&pairs, &mut scim::Quirks::lenient()).unwrap();
        let rt = registry.resource_type("User").unwrap();
        let start = gateway::service::directory::Start::Index(1);
        let found = told.rig.app.query(&told.rig.instance, rt, &request, &start, 1).await.unwrap();
        let id = found.items[0].id.clone();
        told.rig.patch("User", &id, json!([{"op": "replace", "path": "active", "value": false}])).await.unwrap();
        let sets = told.drain().await;
        let mut all = names(&sets);
        all.sort();
        assert_eq!(all, ["feed:add", "prov:deactivate", "prov:patch:full"], "{target}");
        assert_eq!(sets.len(), 1, "{target}: one change, one token");
    }
}
