//! Answers of targets that make no sense: broken bodies, lists without an end, waits that nobody means.

use serde_json::{Value, json};

use crate::rig::{Rig, databases, emails, everywhere, rig};

/// Bodies that a proxy, a defect or somebody in between may send.
fn bodies() -> Vec<(&'static str, Value)> {
    vec![
        ("nothing", json!("")),
        ("half of it", json!("{\"id\": 7, \"login\":")),
        ("a page of a proxy", json!("<html><body>Sign in</body></html>")),
        ("null", json!("null")),
        ("a list for an object", json!([1, "two", null, {}])),
        ("an object for a list", json!({"id": {"id": {"id": []}}, "errors": 7})),
        ("numbers that fit nowhere", json!("{\"id\": 1e999, \"login\": 18446744073709551616}")),
        ("deep", Value::from("[".repeat(200_000))),
        ("deep objects", Value::from("{\"a\":".repeat(100_000))),
        ("longer than any answer is read", Value::from("x".repeat(11 * 1024 * 1024))),
    ]
}

/// What is said about the body.
fn headers() -> [Value; 4] {
    [
        json!({"content-type": "application/json"}),
        json!({"content-type": "text/html"}),
        json!({"content-type": "application/json", "content-encoding": "gzip"}),
        json!({"content-type": "application/octet-stream; charset=\"", "link": "<>; rel=\"next\", <a"}),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_cannot_be_read_cost_nobody_anything() {
    for (db, target) in everywhere() {
        let rig = rig(&db, target, json!({"answer_within_ms": 0})).await;
        let mut wanted = Vec::new();
        for (n, (what, body)) in bodies().into_iter().enumerate() {
            let context = format!("{target}: {what}");
            // Read and write, done and not: the first call of any kind, then the creation itself.
            let status = [200, 201, 204][n % 3];
            let headers = headers()[n % 4].clone();
            let garbage = json!({"status": status, "headers": headers, "body": body});
            let faults = json!([
                {"match": {"method": "POST", "path": "invitations$"}, "do": garbage.clone()},
                {"match": {"method": "GET"}, "do": garbage},
            ]);
            rig.control("POST", "/_sim/faults", faults).await;
            let name = format!("p{n:02}@example.com");
            rig.user(&name).await;
            wanted.push(name);
            rig.wait(&context, async || {
                // The answers that make no sense were given; whatever waits for them would wait for hours.
                rig.control("GET", "/_sim/faults", Value::Null).await.as_array().unwrap().len() < 2
            })
            .await;
            rig.control("DELETE", "/_sim/faults", Value::Null).await;
            rig.quiet_at_once().await;
            assert_eq!(emails(&rig.state().await, "invitations"), wanted, "{context}: {}", rig.calls().await);
        }
    }
}

/// The run that is started now, at its end.
async fn run(rig: &Rig) -> Value {
    let kind = gateway::reconcile::RunKind::Reconcile;
    let mut id = None;
    rig.wait("a run to start", async || {
        id = rig.app.start_run(&rig.instance, kind, "test").await.unwrap();
        id.is_some()
    })
    .await;
    let id = id.unwrap();
    rig.wait("the run's end", async || rig.app.run(&rig.instance, &id).await.unwrap().unwrap()["state"] != "running")
        .await;
    rig.app.run(&rig.instance, &id).await.unwrap().unwrap()
}

/// A list whose next page is itself, is at another host, or cannot be an address: the run ends, in few calls, and
/// nobody counts as gone for not having been listed.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_leads_nowhere_ends_the_run_and_nobody_counts_as_gone() {
    for (db, target) in everywhere() {
        let rig = rig(&db, target, json!({})).await;
        let other = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let elsewhere = format!("http://{}", other.local_addr().unwrap());
        let ada = rig.user("ada@example.com").await;
        rig.control("POST", "/_sim/accept", json!({"email": "ada@example.com", "login": "ada"})).await;
        rig.reconcile().await;
        rig.quiet().await;
        let own = rig.instance.settings["api_url"].as_str().unwrap().to_owned();
        let list = if target == "github" { "/orgs/acme/members" } else { "/organizations/acme/members" };
        for next in [
            format!("{own}{list}?page=1"),
            format!("{own}{list}?page=0"),
            format!("{elsewhere}{list}?page=2"),
            "not an address".to_owned(),
            String::new(),
        ] {
            let context = format!("{target}: next is `{}`", next.replace(&own, "").replace(&elsewhere, "elsewhere"));
            // A list with nobody on it, that says it goes on.
            let endless = json!([{"match": {"method": "GET", "path": format!("{list}$")}, "times": 1_000_000, "do": {
                "status": 200, "headers": {"link": format!("<{next}>; rel=\"next\"")}, "body": []}}]);
            rig.control("POST", "/_sim/faults", endless).await;
            let before = rig.calls().await.as_array().unwrap().len();
            let run = run(&rig).await;
            let calls = rig.calls().await.as_array().unwrap().len() - before;
            assert!(calls < 50, "{context}: {calls} calls");
            rig.control("DELETE", "/_sim/faults", Value::Null).await;
            rig.quiet().await;
            assert_eq!(emails(&rig.state().await, "accounts"), ["ada@example.com"], "{context}: {run}");
            let written =
                rig.patch("User", &ada, json!([{"op": "replace", "path": "title", "value": context}])).await.unwrap();
            assert!(written.settled, "{context}: she counts as gone: {run}");
            assert!(emails(&rig.state().await, "invitations").is_empty(), "{context}: she was invited again");
        }
        let knocked = tokio::time::timeout(std::time::Duration::from_millis(1), other.accept()).await;
        assert!(knocked.is_err(), "{target}: another host was called");
    }
}

/// What a refusal says of the wait, in every form there is: the wait is sane, and the work is done after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_makes_no_sense_is_brought_within_reason() {
    let db = &databases()[0];
    for target in ["github", "buildkite"] {
        for asked in [
            Some("1"),
            Some("0"),
            Some("-5"),
            Some("1000000000"),
            Some("99999999999999999999999"),
            Some("Wed, 21 Oct 2015 07:28:00 GMT"),
            Some("Fri, 31 Dec 9999 23:59:59 GMT"),
            Some("soon, very soon"),
            Some(""),
            None,
        ] {
            let context = format!("{target}: {asked:?}");
            let rig = rig(db, target, json!({"answer_within_ms": 0})).await;
            let mut headers = json!({});
            if let Some(asked) = asked {
                headers["retry-after"] = asked.into();
            }
            let refusal = json!([{"match": {"method": "POST", "path": "invitations$"},
                "do": {"status": 429, "headers": headers, "body": {"message": "too many"}}}]);
            rig.control("POST", "/_sim/faults", refusal).await;
            let before = rig.app.clock.now();
            rig.user("ada@example.com").await;
            let mut until = None;
            rig.wait(&context, async || {
                let budgets = rig.app.driver.budgets().to_string();
                let views: Vec<Value> =
                    serde_json::from_str::<Value>(&budgets).unwrap().as_array().cloned().unwrap_or_default();
                let blocked = views.iter().find_map(|view| view["blocked_until"].as_str().map(str::to_owned));
                until = blocked.or(until.take());
                let done = emails(&rig.state().await, "invitations") == ["ada@example.com"];
                until.is_some() || done
            })
            .await;
            if let Some(until) = until {
                let until: jiff::Timestamp = until.parse().unwrap();
                let wait = until.duration_since(before).as_secs();
                assert!(wait <= 3_660, "{context}: waits {wait} s");
            }
        }
    }
}
