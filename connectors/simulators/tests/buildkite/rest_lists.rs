//! REST: paging, routes, and what only tests call.

use super::*;

const ORG: &str = "/v2/organizations/acme";

#[test]
fn invitations_page_by_cursor_newest_first() {
    let mut sim = Sim::new(Limits::None);
    for n in 0..7 {
        let body = json!({"emails": [format!("p{n}@corp.example")]});
        assert_eq!(sim.call(&format!("POST {ORG}/invitations"), &body).status, 201);
    }
    let mut url = format!("{ORG}/invitations?per_page=3");
    let mut seen = Vec::new();
    let mut cursors = Vec::new();
    loop {
        let reply = sim.call(&format!("GET {url}"), &json!(null));
        assert_eq!(reply.status, 200);
        for item in reply.body["items"].as_array().unwrap() {
            seen.push(item["email"].as_str().unwrap()[..2].to_owned());
        }
        // What comes meanwhile is newer and moves no page.
        if seen.len() == 3 {
            let body = json!({"emails": ["late@corp.example"]});
            assert_eq!(sim.call(&format!("POST {ORG}/invitations"), &body).status, 201);
        }
        let link = reply.headers["link"].to_str().unwrap().to_owned();
        let Some(next) = reply.body["links"]["next"].as_str() else {
            assert!(!link.contains("rel=\"next\""));
            break;
        };
        assert!(link.contains(&format!("<{next}>; rel=\"next\"")));
        url = next.strip_prefix("http://127.0.0.1:9").unwrap().to_owned();
        cursors.push(url.split_once("after=").unwrap().1.to_owned());
    }
    assert_eq!(seen, ["p6", "p5", "p4", "p3", "p2", "p1", "p0"]);
    let back = sim.call(&format!("GET {ORG}/invitations?per_page=2&before={}", cursors[0]), &json!(null));
    let emails: Vec<&str> =
        back.body["items"].as_array().unwrap().iter().map(|i| i["email"].as_str().unwrap()).collect();
    assert_eq!(emails, ["p6@corp.example", "p5@corp.example"]);
    let both = format!("after={0}&before={0}", cursors[0]);
    for query in [both.as_str(), "after=%21", "per_page=0", "per_page=101", "per_page=x"] {
        let reply = sim.call(&format!("GET {ORG}/invitations?{query}"), &json!(null));
        assert_eq!(reply.status, 400, "{query}");
    }
}

#[test]
fn lists_page_by_number_with_links() {
    let mut sim = Sim::new(Limits::None);
    sim.target.load(64, 35, sim.now);
    let members = sim.call(&format!("GET {ORG}/members?page=2&per_page=30"), &json!(null));
    assert_eq!(members.body.as_array().unwrap().len(), 30);
    let link = members.headers["link"].to_str().unwrap();
    for (rel, page) in [("first", 1), ("prev", 1), ("next", 3), ("last", 3)] {
        assert!(
            link.contains(&format!("<http://127.0.0.1:9{ORG}/members?page={page}&per_page=30>; rel=\"{rel}\"")),
            "{link}"
        );
    }
    for (query, count, link) in [
        ("members", 30, true),
        ("members?per_page=100", 65, false),
        ("members?per_page=1000", 65, false),
        ("members?page=9", 0, true),
        ("members?page=x&per_page=0", 30, true),
        ("teams?per_page=100", 35, false),
    ] {
        let reply = sim.call(&format!("GET {ORG}/{query}"), &json!(null));
        assert_eq!(reply.body.as_array().unwrap().len(), count, "{query}");
        assert_eq!(reply.headers.contains_key("link"), link, "{query}");
    }
}

#[test]
fn load_adds_what_is_missing() {
    let mut sim = Sim::new(Limits::Real);
    sim.target.load(2, 1, sim.now);
    sim.target.load(3, 300, sim.now);
    let state = outline(&sim);
    assert_eq!(
        state["accounts"],
        json!([
            "load0000 load0000@example.com member",
            "load0001 load0001@example.com member",
            "load0002 load0002@example.com member"
        ])
    );
    assert_eq!(state["groups"].as_array().unwrap().len(), 300);
    assert_eq!(state["groups"][299], "Load group 0299: ");
}

#[test]
fn a_malformed_knob_changes_nothing() {
    let mut sim = Sim::new(Limits::None);
    for knobs in [
        json!([]),
        json!({"sso": true, "nonsense": 1}),
        json!({"sso": true, "token": "lost"}),
        json!({"sso": true, "invitation_days": -1}),
        json!({"sso": true, "users_limit": "many"}),
        json!({"sso": true, "scopes": [1]}),
        json!({"sso": true, "teams_enabled": false, "everyone": true}),
    ] {
        assert!(sim.target.set(&knobs).is_err(), "{knobs}");
    }
    sim.person("ada@corp.example");
    let without_mode = sim.call(&format!("POST {ORG}/invitations"), &json!({"emails": ["b@b.c"]}));
    assert_eq!(without_mode.status, 201);
}

#[test]
fn unknown_routes_are_404() {
    let mut sim = Sim::new(Limits::None);
    for call in [
        "GET /",
        "GET /graphql",
        "GET /v2",
        "GET /v2/nothing",
        "PUT /v2/organizations/acme/members",
        "POST /v2/user",
        "GET /v2/organizations/acme/teams/enable/x",
    ] {
        assert_eq!(sim.call(call, &json!(null)).status, 404, "{call}");
    }
}
