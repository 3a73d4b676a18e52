//! Pages that list much: what they cost and how large they are does not grow with what there is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use http::Request;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use serde_json::{Value, json};

use crate::browser::{Browser, Gateway, HOSTILE};
use crate::common::{GROUP, PATCH, Reply, USER, databases, send};

/// The largest page.
const LARGEST: usize = 100_000;
/// Statements that a page may cost more where there is more: a second page of a walk over all of it, not one per row.
const MORE: u64 = 3;

/// Counts the statements that are sent to the database from this thread.
#[derive(Default)]
struct Statements(Arc<AtomicU64>);

impl Recorder for Statements {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        if key.name() == "scimgate_store_statements_total" {
            Counter::from_arc(Arc::clone(&self.0))
        } else {
            Counter::noop()
        }
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// An instance and what its identity provider sends.
struct Filled {
    gateway: Gateway,
    instance: String,
    key: String,
    users: Vec<String>,
    groups: Vec<String>,
}

impl Filled {
    async fn scim(&self, method: &str, path: &str, body: Value) -> Reply {
        let request = Request::builder()
            .method(method)
            .uri(format!("/i/{}/scim/v2{path}", self.instance))
            .header("authorization", &self.key)
            .body(Body::from(body.to_string()));
        send(&self.gateway.router, request.unwrap()).await
    }

    async fn made(&self, path: &str, body: Value) -> String {
        self.scim("POST", path, body).await.expect(201).json()["id"].as_str().unwrap().to_owned()
    }

    /// So much more of everything that lists show.
    async fn grow(&mut self, many: usize) {
        for n in 0..many {
            let name = format!("user{}{}", self.users.len(), "x".repeat(3_000));
            let email = format!("u{}@example.com", self.users.len());
            let body =
                json!({"schemas": [USER], "userName": name, "displayName": HOSTILE, "emails": [{"value": email}]});
            let made = self.made("/Users", body).await;
            self.users.push(made);
            let first = self.users[0].clone();
            let name = format!("group {} {HOSTILE}", self.groups.len());
            let made =
                self.made("/Groups", json!({"schemas": [GROUP], "displayName": name, "members": [{"value": first}]}));
            let made = made.await;
            self.groups.push(made);
            let operations = json!([{"op": "replace", "path": "title", "value": format!("{n}{}", "y".repeat(500))}]);
            let change = json!({"schemas": [PATCH], "Operations": operations});
            self.scim("PATCH", &format!("/Users/{first}"), change).await.expect(200);
            self.scim("GET", &format!("/Users?filter=nonsense{}%20eq", self.users.len()), Value::Null)
                .await
                .expect(400);
            let rename = json!({"name": format!("Acme {}", self.users.len())});
            self.gateway.admin("PATCH", &format!("/instances/{}", self.instance), Some(rename)).await.expect(200);
            self.gateway.token(json!({"name": format!("member {}", self.users.len()), "role": "viewer"})).await;
        }
        let members: Vec<Value> = self.users.iter().map(|id| json!({"value": id})).collect();
        let operations = json!([{"op": "add", "path": "members", "value": members}]);
        let change = json!({"schemas": [PATCH], "Operations": operations});
        let reply = self.scim("PATCH", &format!("/Groups/{}", self.groups[0]), change).await;
        assert!(reply.status.is_success(), "{}", reply.text());
        // Refusals are written beside the requests.
        for _ in 0..20 {
            self.gateway.clock.advance(std::time::Duration::from_secs(1));
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    fn pages(&self) -> Vec<String> {
        let mut all: Vec<String> = [
            "",
            "/attention",
            "/instances",
            "/people",
            "/groups",
            "/operations",
            "/holds",
            "/audit",
            "/catalogue",
            "/settings",
            "/settings/members",
            "/search?q=user",
        ]
        .map(|page| format!("/console{page}"))
        .into();
        let person = format!("/people/{}", self.users[0]);
        let group = format!("/groups/{}", self.groups[0]);
        for page in [
            "",
            "/people",
            "/groups",
            "/operations",
            "/rejected",
            "/plan",
            "/holds",
            "/budget",
            "/keys",
            "/connect",
            "/settings",
            &person,
            &group,
        ] {
            all.push(format!("/console/instances/{}{page}", self.instance));
        }
        all
    }
}

async fn statements(counted: &AtomicU64, browser: &Browser, path: &str) -> (u64, usize) {
    // Once before: what is cached then is not what the rows cost.
    browser.get(path).await.expect(200);
    let before = counted.load(Ordering::SeqCst);
    let page = browser.get(path).await.expect(200);
    (counted.load(Ordering::SeqCst) - before, page.text().len())
}

#[tokio::test]
async fn a_page_costs_no_statement_per_row_and_stays_small() {
    let recorder = Statements::default();
    let counted = Arc::clone(&recorder.0);
    let _here = metrics::set_default_local_recorder(&recorder);
    for db in databases() {
        let gateway = Gateway::on(&db).await;
        let body = json!({"name": "Acme", "connector": "buildkite", "settings": {"org": "acme"}, "secrets": {"token": "canary-secret"}, "mode": "paused"});
        let made = gateway.admin("POST", "/instances", Some(body)).await.expect(201).json();
        let instance = made["id"].as_str().unwrap().to_owned();
        let key = gateway.admin("POST", &format!("/instances/{instance}/keys"), Some(json!({"name": HOSTILE}))).await;
        let key = format!("Bearer {}", key.expect(201).json()["key"].as_str().unwrap());
        let mut filled = Filled { gateway, instance, key, users: Vec::new(), groups: Vec::new() };
        filled.grow(3).await;
        let browser = filled.gateway.owner().await;
        let pages = filled.pages();
        let mut few = Vec::new();
        for path in &pages {
            few.push(statements(&counted, &browser, path).await.0);
        }
        assert!(few.iter().all(|n| *n > 0), "{few:?}");
        filled.grow(60).await;
        let mut wrong = Vec::new();
        for (path, few) in pages.iter().zip(few) {
            let (many, size) = statements(&counted, &browser, path).await;
            // A plan reads the members of each group it shows, page by page: so many as a page of it has.
            let more = if path.ends_with("/plan") { 50 } else { MORE };
            if many > few + more || size >= LARGEST {
                wrong.push(format!("{path}: {few} statements for 3 rows, {many} for 63; {size} bytes"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

/// Every page of a list, from link to link.
async fn leafed(browser: &Browser, path: &str) -> Vec<String> {
    let (mut texts, mut path) = (Vec::new(), path.to_owned());
    loop {
        let text = browser.get(&path).await.expect(200).text().to_owned();
        let next = text.split("<a ").find(|link| link.contains("rel=\"next\"")).map(|link| {
            let from = link.split_once("href=\"").unwrap().1;
            from.split_once('"').unwrap().0.replace("&amp;", "&")
        });
        texts.push(text);
        assert!(texts.len() < 100, "{path} has no end");
        match next {
            Some(next) => path = next,
            None => return texts,
        }
    }
}

/// Every item of a list of the admin API, from page to page.
async fn listed(gateway: &Gateway, path: &str, field: &str) -> Vec<String> {
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = gateway.admin("GET", &format!("{path}?limit=200&cursor={cursor}"), None).await.expect(200).json();
        ids.extend(page[field].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => return ids,
        }
    }
}

#[tokio::test]
async fn a_list_of_instances_has_all_of_them_and_costs_no_statement_per_row() {
    const MANY: usize = 530;
    let recorder = Statements::default();
    let counted = Arc::clone(&recorder.0);
    let _here = metrics::set_default_local_recorder(&recorder);
    for db in databases() {
        let gateway = Gateway::on(&db).await;
        let mut ids = Vec::new();
        for n in 0..MANY {
            let body = json!({"name": format!("Target {n:04}"), "connector": "buildkite", "settings": {"org": "acme"}, "secrets": {"token": "canary-secret"}, "mode": "paused"});
            let made = gateway.admin("POST", "/instances", Some(body)).await.expect(201).json();
            ids.push(made["id"].as_str().unwrap().to_owned());
        }
        assert_eq!(listed(&gateway, "/instances", "items").await, ids);
        // By name, as nobody is in trouble; the names are in the order of their making.
        assert_eq!(listed(&gateway, "/overview", "instances").await, ids);
        let whole = gateway.admin("GET", "/instances?limit=500", None).await.expect(200).json();
        let last = &whole["items"][499];
        assert_eq!((&last["secrets"], &last["name"]), (&json!(["token"]), &json!("Target 0499")));
        assert_eq!(gateway.admin("GET", "/overview", None).await.expect(200).json()["total"], MANY);

        let browser = gateway.owner().await;
        let mut shown = Vec::new();
        for text in leafed(&browser, "/console/instances").await {
            assert!(text.len() < LARGEST && text.contains("530 instances"), "{} bytes", text.len());
            shown.extend(ids.iter().filter(|id| text.contains(&format!("/instances/{id}\""))).cloned());
        }
        assert_eq!(shown, ids);
        // The filters are kept from page to page.
        let some = leafed(&browser, "/console/instances?q=target+01&mode=paused").await;
        assert!(some.len() == 2 && some.iter().all(|text| text.contains("100 instances")), "{}", some.len());
        let last = ids.last().unwrap();
        assert!(browser.get("/console/search?q=target+0529").await.expect(200).text().contains(last));
        let home = browser.get("/console").await.expect(200);
        assert!(home.text().contains("See all 530") && home.text().len() < LARGEST);
        let budget = browser.get(&format!("/console/instances/{last}/budget")).await.expect(200);
        assert!(budget.text().contains(&ids[0]) && budget.text().contains("And others."));

        for path in ["/console", "/console/attention", "/console/instances", "/console/search?q=target"] {
            let (cost, size) = statements(&counted, &browser, path).await;
            assert!(cost < 60 && size < LARGEST, "{path}: {cost} statements, {size} bytes");
        }
        for path in ["/instances?limit=500", "/overview?limit=500", "/attention"] {
            gateway.admin("GET", path, None).await.expect(200);
            let before = counted.load(Ordering::SeqCst);
            gateway.admin("GET", path, None).await.expect(200);
            let cost = counted.load(Ordering::SeqCst) - before;
            assert!(cost < 20, "{path}: {cost} statements");
        }
    }
}
