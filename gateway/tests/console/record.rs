//! People, groups, operations, holds, drift and search, as a helpdesk sees them.

use serde_json::{Value, json};

use crate::browser::{Browser, HOSTILE, escaped};
use crate::common::{Reply, databases};
use crate::live::Live;

const STAGES: [&str; 5] = ["Asked", "Understood", "Decided", "Did", "Checked"];

#[track_caller]
fn says(reply: &Reply, all: &[&str]) {
    let words = reply.words();
    for one in all {
        assert!(words.contains(one), "{one:?} is not on the page: {words}");
    }
}

async fn person(browser: &Browser, live: &Live, id: &str) -> Reply {
    let page = browser.get(&live.page(&format!("/people/{id}"))).await.expect(200);
    says(&page, &STAGES);
    page
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persons_page_tells_what_happened_and_why() {
    for db in databases() {
        let live = Live::start_on(&db, json!({})).await;
        let browser = live.owner().await;
        let ada = live.user("ada@example.com", "Ada Lovelace").await;
        live.quiet().await;
        let page = person(&browser, &live, &ada).await;
        says(
            &page,
            &[
                "Ada Lovelace is invited to Buildkite acme as asked, and has not accepted yet.",
                "Whose turn: the person",
                "Entra prod asked to create ada@example.com",
                "request-of-the-test",
                "POST",
                "title",
            ],
        );
        // A team waits for the invitation; then it is there.
        let team = live.group("Engineers", &[&ada]).await;
        live.control("/_sim/accept", json!({"email": "ada@example.com"})).await;
        live.reconcile().await;
        live.quiet().await;
        live.group("Operators", &[&ada]).await;
        live.quiet().await;
        let page = person(&browser, &live, &ada).await;
        says(
            &page,
            &[
                "Ada Lovelace has access to Buildkite acme, as asked.",
                "Nothing differs",
                "Engineers",
                "Put into the group",
            ],
        );
        let page = browser.get(&live.page(&format!("/groups/{team}"))).await.expect(200);
        says(
            &page,
            &["The group Engineers is at Buildkite acme, as asked.", "ada@example.com", "1 wanted, 1 at the target"],
        );
        says(&page, &STAGES);

        live.active(&ada, false).await;
        live.quiet().await;
        let page = person(&browser, &live, &ada).await;
        says(
            &page,
            &[
                "Ada Lovelace has no access to Buildkite acme, as asked",
                "Entra prod asked to deactivate ada@example.com",
            ],
        );

        // As of before anything was known, and what cannot be read as a time.
        let early = browser.get(&live.page(&format!("/people/{ada}?at=2020-01-01+12:00"))).await.expect(200);
        says(&early, &["This is how it was at", "Nothing was asked"]);
        browser.get(&live.page(&format!("/people/{ada}?at=yesterday"))).await.expect(400);
        browser.get(&live.page("/people/nobody")).await.expect(404);
        browser.get(&live.page(&format!("/groups/{ada}"))).await.expect(404);

        let lines = browser.get(&live.page(&format!("/people/{ada}/why.ndjson"))).await.expect(200);
        assert_eq!(lines.header("content-type"), "application/x-ndjson");
        let lines: Vec<Value> = lines.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(lines.iter().any(|line| line["operation"]["verb"] == "create"), "{lines:?}");

        // Protection is the instance's list.
        let form = page.form(&live.page(&format!("/people/{ada}/protect")));
        browser.submit(&form, &[]).await.expect(303);
        assert_eq!(live.admin("GET", "", None).await["policy"]["protected"], json!(["ada@example.com"]));
        let form = person(&browser, &live, &ada).await.form(&live.page(&format!("/people/{ada}/protect")));
        browser.submit(&form, &[]).await.expect(303);
        assert_eq!(live.admin("GET", "", None).await["policy"]["protected"], json!([]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_told_as_one() {
    for db in databases() {
        let live = Live::start_on(&db, json!({})).await;
        let browser = live.owner().await;
        let fault = json!([{"match": {"method": "POST", "path": "/invitations$"}, "do": {"drop": "after"}}]);
        live.control("/_sim/faults", fault).await;
        let eve = live.user("eve@example.com", "Eve").await;
        live.quiet().await;
        let page = person(&browser, &live, &eve).await;
        says(&page, &["Eve is invited", "no answer", "Looked"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_brake_holds_is_decided_by_its_list_and_no_other() {
    for db in databases() {
        let live = Live::start_on(&db, json!({"brake": {"accounts": 1, "percent": 0, "window_minutes": 60}})).await;
        let browser = live.owner().await;
        let mut people = Vec::new();
        for at in 0..5 {
            people.push(live.member(&format!("p{at}@example.com"), &format!("=P{at}")).await);
        }
        let held = async |many: usize| {
            live.wait("the hold", async || {
                let work = live.work().await;
                work.len() == many && work.iter().all(|state| state == "held")
            })
            .await;
        };
        for id in &people[..3] {
            live.active(id, false).await;
        }
        held(2).await;
        let list = browser.get("/console/holds").await.expect(200);
        says(&list, &["2 changes", "Held"]);
        let path = list.links().into_iter().find(|link| link.starts_with("/console/holds/h_")).unwrap();
        let old = browser.get(&path).await.expect(200);
        says(&old, &["2 changes held at Buildkite acme", "Type 2 to allow", "loses access", "Entra prod"]);
        let waiting = person(&browser, &live, &people[2]).await;
        says(
            &waiting,
            &[
                "The brake holds the change until somebody decides.",
                "Look at the hold",
                "Whose turn: an Admin here",
                "scimgate hold discard",
            ],
        );

        // XX
        // Two more leave while the page is open: what it says is nothing's decision.
        live.active(&people[3], false).await;
        held(3).await;
        for (act, fill) in [("allow", vec![("count", "2")]), ("discard", vec![])] {
            let stale = browser.submit(&old.form(&format!("{path}/{act}")), &fill).await.expect(422);
            says(&stale, &["Nothing was changed: the list is another one", "1 change was added", "p3@example.com"]);
            assert_eq!(live.work().await, ["held"; 3], "{act}");
        }
        // The number has to be the list's.
        let now = browser.get(&path).await.expect(200);
        let wrong = browser.submit(&now.form(&format!("{path}/allow")), &[("count", "2")]).await.expect(422);
        says(&wrong, &["must be 3, the number of changes"]);
        assert_eq!(live.work().await, ["held"; 3]);

        let csv = browser.get(&format!("{path}/list.csv")).await.expect(200);
        assert_eq!(csv.text().lines().count(), 4, "{}", csv.text());

        let (viewer, _, _) = live.gateway.member("Vera", "viewer").await;
        let seen = viewer.get(&path).await.expect(200);
        says(&seen, &["Ask an Admin here"]);
        assert!(seen.forms().iter().all(|form| !form.action.starts_with("/console/holds")), "{:?}", seen.forms());
        viewer.get(&format!("{path}/list.csv")).await.expect(403);
        let csrf = viewer.csrf().await;
        let hash = now.form(&format!("{path}/allow")).fields;
        let hash = &hash.iter().find(|(name, _)| name == "list_hash").unwrap().1;
        let sent = [("csrf", csrf.as_str()), ("list_hash", hash.as_str()), ("count", "3")];
        viewer.post(&format!("{path}/allow"), &sent).await.expect(403);

        let form = now.form(&format!("{path}/discard"));
        browser.submit(&form, &[("discard_comment", "a mistake upstream")]).await.expect(303);
        live.quiet().await;
        let decided = browser.get(&path).await.expect(200);
        says(&decided, &["Discarded", "a mistake upstream", "3 changes"]);
        let again = browser.submit(&form, &[]).await.expect(422);
        says(&again, &["Somebody decided before you"]);
        let kept = person(&browser, &live, &people[2]).await;
        says(&kept, &["It stays so by an admin's decision.", "Kept by decision"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_are_filtered_by_the_address_and_downloaded_so() {
    for db in databases() {
        let live = Live::start_on(&db, json!({})).await;
        let browser = live.owner().await;
        let ada = live.user("ada@example.com", "Ada").await;
        live.user("bob@example.com", "Bob").await;
        live.quiet().await;
        live.active(&ada, false).await;
        live.quiet().await;
        for base in ["/console/operations".to_owned(), live.page("/operations")] {
            let check = async |query: &str, there: &str, not: &str| {
                let page = browser.get(&format!("{base}?{query}")).await.expect(200);
                let words = page.words();
                let main = words.split_once("Took").map_or("", |(_, rows)| rows);
                assert!(main.contains(there) && !main.contains(not), "{base}?{query}: {main}");
                let lines = browser.get(&format!("{base}/export.ndjson?{query}")).await.expect(200).text();
                assert!(!lines.contains(not) && !lines.is_empty(), "{base}?{query}: {lines}");
            };
            check("q=ada", "ada@example.com", "bob@example.com").await;
            check("verb=create&q=bob&since=1h", "bob@example.com", "ada@example.com").await;
            let none = browser.get(&format!("{base}?state=failed")).await.expect(200);
            says(&none, &["No operations match", "Clear filters"]);
            browser.get(&format!("{base}?since=nonsense")).await.expect(400);
            assert!(browser.get(&format!("{base}/export.ndjson?state=failed")).await.expect(200).text().is_empty());
        }
        let why = live.admin("GET", &format!("/why?resource={ada}"), None).await;
        let id = why["operations"][0]["id"].as_str().unwrap();
        let page = browser.get(&format!("/console/operations/{id}")).await.expect(200);
        says(&page, &STAGES);
        says(&page, &["deactivate", "request-of-the-test", "The target had it so"]);
        browser.get("/console/operations/op_nonesuch").await.expect(404);
        let csrf = browser.csrf().await;
        let late = browser.post(&format!("/console/operations/{id}/retry"), &[("csrf", &csrf)]).await.expect(409);
        says(&late, &["nothing of it is left to do"]);
        let (viewer, _, _) = live.gateway.member("Vera", "viewer").await;
        viewer.get("/console/operations/export.ndjson").await.expect(403);
        viewer.get(&live.page(&format!("/people/{ada}/why.ndjson"))).await.expect(403);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_somebody_is_retried_or_dismissed_on_its_page() {
    for db in databases() {
        let live = Live::start_on(&db, json!({"answer_within_ms": 0})).await;
        let browser = live.owner().await;
        let refused =
            json!([{"match": {"method": "POST", "path": "/invitations$"}, "do": {"status": 422}, "times": 1000}]);
        live.control("/_sim/faults", refused).await;
        let ada = live.user("ada@example.com", "Ada").await;
        live.wait("the refusal", async || live.work().await.iter().all(|state| state == "needs" || state == "waiting"))
            .await;
        let page = person(&browser, &live, &ada).await;
        let states = live.work().await;
        if states != ["needs"] {
            // The target's refusal took the creation back: the page says that it failed.
            says(&page, &["The target refused it."]);
            continue;
        }
        let retry = page.forms().into_iter().find(|form| form.action.ends_with("/retry")).unwrap();
        browser.submit(&retry, &[]).await.expect(303);
        let dismiss = page.links().into_iter().find(|link| link.ends_with("/dismiss")).unwrap();
        live.wait("the refusal", async || live.work().await == ["needs"]).await;
        let form = browser.get(&dismiss).await.expect(200).form(&dismiss);
        browser.submit(&form, &[]).await.expect(303);
        says(&person(&browser, &live, &ada).await, &["Given up by decision."]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_is_repaired_as_it_was_read_or_not_at_all() {
    for db in databases() {
        let live = Live::start_on(&db, json!({"repair": "none"})).await;
        let browser = live.owner().await;
        live.control("/_sim/load", json!({"accounts": 2, "groups": 0})).await;
        live.reconcile().await;
        let page = browser.get(&live.page("/plan")).await.expect(200);
        says(&page, &["Nothing is pending", "Not managed:"]);
        let none = browser.submit(&page.form(&live.page("/plan/repair")), &[]).await.expect(422);
        says(&none, &["Select at least one difference."]);
        let stale = browser.submit(&page.form(&live.page("/plan/repair")), &[("item", "dr_x~0")]).await.expect(422);
        says(&stale, &["Nothing was changed."]);
        let boxes: Vec<String> = page
            .tags()
            .iter()
            .filter(|tag| tag.get("type") == Some("checkbox"))
            .filter_map(|tag| tag.get("value"))
            .map(str::to_owned)
            .collect();
        assert!(boxes.len() >= 2, "{boxes:?}");
        let ask = browser.submit(&page.form(&live.page("/plan/repair")), &[("item", &boxes[0])]).await.expect(200);
        says(&ask, &["Repair 1 difference?"]);
        let (viewer, _, _) = live.gateway.member("Vera", "viewer").await;
        let seen = viewer.get(&live.page("/plan")).await.expect(200);
        assert!(seen.forms().iter().all(|form| !form.action.contains("/plan")), "{:?}", seen.forms());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn search_finds_by_whatever_somebody_has_at_hand() {
    for db in databases() {
        let live = Live::start_on(&db, json!({})).await;
        let browser = live.owner().await;
        let ada = live.user("ada@example.com", "Ada Lovelace").await;
        live.quiet().await;
        let there = live.page(&format!("/people/{ada}"));
        for word in ["ada@", "ADA@example.com", "Ada Love"] {
            let page = browser.get(&format!("/console/search?q={}", escaped(word))).await.expect(200);
            assert!(page.links().contains(&there), "{word}: {}", page.words());
        }
        let direct = browser.get(&format!("/console/search?q={ada}")).await.expect(303);
        assert_eq!(direct.header("location"), there);
        let why = live.admin("GET", &format!("/why?resource={ada}"), None).await;
        let operation = why["operations"][0]["id"].as_str().unwrap();
        let direct = browser.get(&format!("/console/search?q={operation}")).await.expect(303);
        assert_eq!(direct.header("location"), format!("/console/operations/{operation}"));
        let page = browser.get("/console/search?q=request-of-the-test").await.expect(200);
        assert!(page.links().contains(&format!("/console/operations/{operation}")), "{}", page.words());
        says(&browser.get("/console/search?q=buildkite").await.expect(200), &["Instances", "Buildkite acme"]);
        says(&browser.get("/console/search?q=lovel").await.expect(200), &["Nothing was found", "from the start"]);
        says(&browser.get("/console/search?q=").await.expect(200), &["What are you looking for?"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_names_are_text_and_lists_are_narrowed_by_the_address() {
    for db in databases() {
        let live = Live::start_on(&db, json!({})).await;
        let browser = live.owner().await;
        live.admin("PATCH", "", Some(json!({"mode": "paused"}))).await;
        let long = format!("{}@example.com", "x".repeat(4_000));
        let hostile = live.user(HOSTILE, HOSTILE).await;
        live.scim("POST", "/Users", json!({"schemas": [crate::common::USER], "userName": long})).await.expect(201);
        let group = live.group(HOSTILE, &[&hostile]).await;
        for path in [
            "/console/people".to_owned(),
            live.page("/people"),
            live.page(&format!("/people/{hostile}")),
            "/console/groups".to_owned(),
            live.page(&format!("/groups/{group}")),
            "/console/operations".to_owned(),
            live.page("/plan"),
            format!("/console/search?q={}", escaped(HOSTILE)),
        ] {
            let page = browser.get(&path).await.expect(200);
            let html = page.text();
            assert!(!html.contains("<img") && !html.contains('\u{202e}') && !html.contains(HOSTILE), "{path}");
            assert!(html.len() < 100_000, "{path}: {}", html.len());
        }
        for (query, there) in [("q=xxx", true), ("q=nobody", false), ("active=no", false), ("active=yes", true)] {
            let page = browser.get(&live.page(&format!("/people?{query}"))).await.expect(200);
            assert_eq!(page.words().contains("No people match"), !there, "{query}: {}", page.words());
        }
        let page = browser.get("/console/groups?state=unmanaged").await.expect(200);
        says(&page, &["No groups match", "Clear filters"]);
        let (viewer, _, _) = live.gateway.member("Vera", "viewer").await;
        for path in
            ["/people".to_owned(), format!("/people/{hostile}"), format!("/groups/{group}"), "/holds".to_owned()]
        {
            let page = viewer.get(&live.page(&path)).await.expect(200);
            let own = ["/console/theme", "/console/sign-out"];
            let written =
                page.forms().into_iter().filter(|form| form.method != "get" && !own.contains(&form.action.as_str()));
            assert_eq!(written.count(), 0, "{path}");
        }
    }
}
