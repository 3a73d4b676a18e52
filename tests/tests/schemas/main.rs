//! What the connectors send is valid against the vendors' schemas, and so is what the simulators
//! answer. Connectors and simulators meet in process; a [`Recorder`] between them writes down what
//! passes.
//!
//! Of a connector whose calls are all described, each call that its page names has to be seen.
//!
//! Buildkite publishes no description of its REST API; of its exchanges the GraphQL ones are
//! checked.

#![expect(clippy::panic, reason = "a test reports by failing")]

mod story;

use std::collections::BTreeSet;
use std::path::Path;

use connector_sdk::{Created, Cx, Person};
use jiff::SignedDuration;
use serde_json::{Value, json};
use simulators::Limits;
use story::{BASE, Story, Target, connector};
use tests::graphql::Graphql;
use tests::openapi::OpenApi;
use tests::{Exchange, Recorder, facts, workspace};

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn github_rest(facts: &Path) -> OpenApi {
    let text = read(&facts.join("targets/data/github-ghec-trimmed.openapi.json"));
    OpenApi::new(serde_json::from_str(&text).expect("the vendor's description is JSON"))
}

fn github_graphql() -> Graphql {
    let path = workspace().join("tests/data/github.graphql");
    Graphql::new(&read(&path), "github.graphql")
}

fn buildkite_graphql(facts: &Path) -> Graphql {
    let path = facts.join("targets/data/buildkite-schema.graphql");
    Graphql::new(&read(&path), "buildkite-schema.graphql")
}

fn datadog_rest(facts: &Path) -> OpenApi {
    let text = read(&facts.join("targets/data/datadog-v2-trimmed.openapi.json"));
    OpenApi::new(serde_json::from_str(&text).expect("the vendor's description is JSON"))
}

fn slack_rest(facts: &Path) -> OpenApi {
    let text = read(&facts.join("targets/data/slack-webapi-trimmed.swagger2.json"));
    let described = serde_json::from_str(&text).expect("the vendor's description is JSON");
    OpenApi::new(tests::openapi::swagger::to_openapi(&described))
}

fn linear_graphql(facts: &Path) -> Graphql {
    let path = facts.join("targets/data/linear-schema.graphql");
    Graphql::new(&read(&path), "linear-schema.graphql")
}

async fn record(name: &str, limits: Limits, settings: Value, set: Value) -> Vec<Exchange> {
    let target = Target::new(name, limits);
    if !set.is_null() {
        target.control("set", set).await;
    }
    let offer = target.sim.offer(BASE);
    let (connector, bases) = connector(&offer, &settings);
    let bases: Vec<_> = bases.iter().map(String::as_str).collect();
    let wire = Recorder::new(target.clone(), &bases);
    let story = Story { connector: connector.as_ref(), wire: &wire, target: &target };
    story.play().await;
    wire.exchanges()
}

fn is_graphql(exchange: &Exchange) -> bool {
    exchange.method == "POST" && exchange.request["query"].is_string()
}

/// What is wrong with these exchanges. Where there is no description of the REST part, only the
/// GraphQL part is looked at.
fn faults(exchanges: &[Exchange], rest: Option<&OpenApi>, graphql: &Graphql) -> Vec<String> {
    let mut found = BTreeSet::new();
    for exchange in exchanges {
        if !is_graphql(exchange) {
            found.extend(rest.into_iter().flat_map(|rest| rest.check(exchange)));
            continue;
        }
        let name = &exchange.name;
        for fault in graphql.request(&exchange.request) {
            found.insert(format!("{name}: request: {fault}"));
        }
        // A refusal before the query is looked at (no token, rate limit) is no GraphQL answer.
        if exchange.status == 200 {
            for fault in graphql.reply(&exchange.request, &exchange.reply) {
                found.insert(format!("{name}: reply: {fault}"));
            }
        } else if !(400..600).contains(&exchange.status) {
            found.insert(format!("{name}: status {}", exchange.status));
        }
    }
    found.into_iter().collect()
}

/// Each kind of call a run must have made, as `METHOD last-literal-part`: a story that stops early
/// proves nothing.
#[track_caller]
fn met(exchanges: &[Exchange], wanted: &[(&str, &str)]) {
    for (method, part) in wanted {
        assert!(
            exchanges.iter().any(|one| one.method == *method && one.path.contains(part) && one.status < 300),
            "no successful {method} with {part} among {:?}",
            exchanges.iter().map(|one| format!("{} {} {}", one.method, one.path, one.status)).collect::<BTreeSet<_>>()
        );
    }
}

#[tokio::test]
async fn github_organisation_calls_and_answers_are_githubs() {
    let Some(facts) = facts("github_organisation_calls_and_answers_are_githubs") else {
        return;
    };
    let (rest, graphql) = (github_rest(&facts), github_graphql());
    for identity in ["saml", "verified_domain", "handle", "manual"] {
        let settings = json!({"identity": identity});
        let exchanges = record("github", Limits::None, settings, Value::Null).await;
        assert_eq!(faults(&exchanges, Some(&rest), &graphql), [] as [String; 0], "identity {identity}");
        met(
            &exchanges,
            &[
                ("GET", "/members?"),
                ("GET", "/invitations"),
                ("POST", "/teams"),
                ("PATCH", "/team"),
                ("DELETE", "/team"),
            ],
        );
        if identity == "saml" {
            assert!(exchanges.iter().any(is_graphql), "no identity was looked up");
            met(&exchanges, &[("POST", "/invitations"), ("PUT", "/memberships/"), ("DELETE", "/memberships/")]);
        }
    }
}

#[tokio::test]
async fn github_teams_only_calls_and_answers_are_githubs() {
    let Some(facts) = facts("github_teams_only_calls_and_answers_are_githubs") else {
        return;
    };
    let settings = json!({"mode": "teams_only", "identity": "handle"});
    let exchanges = record("github", Limits::None, settings, Value::Null).await;
    let found = faults(&exchanges, Some(&github_rest(&facts)), &github_graphql());
    assert_eq!(found, [] as [String; 0]);
    met(&exchanges, &[("POST", "/teams"), ("PATCH", "/team"), ("PUT", "/memberships/")]);
    assert!(
        !exchanges.iter().any(|one| one.method == "POST" && one.path.ends_with("/invitations")),
        "somebody was invited"
    );
}

/// Refusals have the vendor's form too: quota, pace, a dead credential, no seat.
#[tokio::test]
async fn github_refusals_under_its_real_limits_are_githubs() {
    let Some(facts) = facts("github_refusals_under_its_real_limits_are_githubs") else {
        return;
    };
    let (rest, graphql) = (github_rest(&facts), github_graphql());
    let clean = |exchanges: &[Exchange]| {
        assert_eq!(faults(exchanges, Some(&rest), &graphql), [] as [String; 0]);
    };
    clean(&record("github", Limits::Real, json!({}), Value::Null).await);

    // So many invitations a day, then none.
    let quota = crowd("github", Limits::Real, SignedDuration::from_secs(30), Value::Null, 600).await;
    clean(&quota);
    refused(&quota, 422, "Over invitation rate limit");
    // No time passes: writes come faster than the vendor's secondary limit allows.
    let rush = crowd("github", Limits::Real, SignedDuration::ZERO, Value::Null, 120).await;
    clean(&rush);
    refused(&rush, 403, "secondary rate limit");
    let slow = crowd("github", Limits::PerSecond(1), SignedDuration::ZERO, Value::Null, 3).await;
    clean(&slow);
    refused(&slow, 429, "rate limit");
    let step = SignedDuration::from_secs(2);
    let dead = crowd("github", Limits::None, step, json!({"token": "revoked"}), 1).await;
    clean(&dead);
    refused(&dead, 401, "Bad credentials");
    let full = crowd("github", Limits::None, step, json!({"seats": 1}), 3).await;
    clean(&full);
    refused(&full, 422, "seat");
}

/// What passes when people are invited one after another, up to so many or the first refusal.
async fn crowd(name: &str, limits: Limits, step: SignedDuration, set: Value, people: usize) -> Vec<Exchange> {
    let mut target = Target::new(name, limits);
    target.step = step;
    if !set.is_null() {
        target.control("set", set).await;
    }
    let (connector, _) = connector(&target.sim.offer(BASE), &json!({}));
    let wire = Recorder::new(target.clone(), &[]);
    let accounts = connector.accounts().expect("it has people");
    for n in 0..people {
        let mut person = Person::named(format!("crowd{n}"));
        person.email = Some(format!("crowd{n}@example.com"));
        let made = accounts.create(&Cx::new(&wire, target.clock.now()), &person).await;
        if !matches!(made, Ok(Created::Invited(_) | Created::Done(_))) {
            break;
        }
    }
    wire.exchanges()
}

#[track_caller]
fn refused(exchanges: &[Exchange], status: u16, message: &str) {
    let last = exchanges.last().map(|one| (one.status, one.reply.to_string()));
    assert!(
        exchanges.iter().any(|one| one.status == status && one.reply.to_string().contains(message)),
        "no {status} with {message:?} among {} calls; the last: {last:?}",
        exchanges.len()
    );
}

/// GitHub's description says that the value of an operation of a PATCH is a text, while its own examples beside have
/// lists (`addMembers`) and, in its words, objects (`"value": {"active": false}`). The examples are right.
fn github_scim(facts: &Path) -> OpenApi {
    let text = read(&facts.join("targets/data/github-ghec-trimmed.openapi.json"));
    let mut document: Value = serde_json::from_str(&text).expect("the vendor's description is JSON");
    let value = &mut document["components"]["schemas"]["patch-schema"]["properties"]["Operations"]["items"]["properties"]
        ["value"];
    assert_eq!(value["type"], "string", "the vendor has mended its description: take this away");
    *value = json!({});
    OpenApi::new(document)
}

#[tokio::test]
async fn github_scim_calls_and_answers_are_githubs() {
    let Some(facts) = facts("github_scim_calls_and_answers_are_githubs") else {
        return;
    };
    let (rest, graphql) = (github_scim(&facts), github_graphql());
    let clean = |exchanges: &[Exchange], what: &str| {
        assert_eq!(faults(exchanges, Some(&rest), &graphql), [] as [String; 0], "{what}");
    };
    let organisation = record("github_scim", Limits::None, json!({}), Value::Null).await;
    clean(&organisation, "organisation");
    met(&organisation, &[("GET", "/Users?"), ("GET", "/Users/"), ("POST", "/Users"), ("DELETE", "/Users/")]);
    assert!(organisation.iter().all(|one| !one.path.contains("/Groups")), "an organisation's SCIM has no groups");
    for (settings, set) in [(json!({}), Value::Null), (json!({"delete": true}), json!({"patch_204": true}))] {
        let deletes = settings["delete"] == true;
        let enterprise = record("github_emu", Limits::None, settings, set).await;
        clean(&enterprise, "enterprise");
        met(&enterprise, &[("POST", "/Users"), ("PATCH", "/Users/"), ("POST", "/Groups"), ("PATCH", "/Groups/")]);
        let deleted = enterprise.iter().any(|one| one.method == "DELETE" && one.path.contains("/Users/"));
        assert_eq!(deleted, deletes, "an account is deleted only where that is allowed");
    }
}

#[tokio::test]
async fn buildkite_graphql_calls_and_answers_are_buildkites() {
    let Some(facts) = facts("buildkite_graphql_calls_and_answers_are_buildkites") else {
        return;
    };
    let graphql = buildkite_graphql(&facts);
    for limits in [Limits::None, Limits::Real] {
        let exchanges = record("buildkite", limits, json!({}), Value::Null).await;
        assert_eq!(faults(&exchanges, None, &graphql), [] as [String; 0]);
        assert!(exchanges.iter().any(is_graphql), "no GraphQL call was made");
        met(&exchanges, &[("POST", "/invitations"), ("DELETE", "/members/")]);
    }
}

/// The calls of a connector's page that no exchange shows.
fn unseen(name: &str, exchanges: &[Exchange]) -> Vec<&'static str> {
    let entry = connectors::builtin().into_iter().find(|entry| entry.name == name).expect("it is built in");
    let named = entry.about.calls.iter().map(|call| call.name);
    named.filter(|name| !exchanges.iter().any(|one| one.name == *name && one.status < 300)).collect()
}

#[tokio::test]
async fn linear_calls_and_answers_are_linears() {
    let Some(facts) = facts("linear_calls_and_answers_are_linears") else {
        return;
    };
    let graphql = linear_graphql(&facts);
    for limits in [Limits::None, Limits::Real] {
        let exchanges = record("linear", limits, json!({}), Value::Null).await;
        assert_eq!(faults(&exchanges, None, &graphql), [] as [String; 0]);
        assert!(exchanges.iter().all(is_graphql), "Linear is asked by GraphQL alone");
        assert_eq!(unseen("linear", &exchanges), [] as [&str; 0]);
    }
}

#[tokio::test]
async fn datadog_calls_and_answers_are_datadogs() {
    let Some(facts) = facts("datadog_calls_and_answers_are_datadogs") else {
        return;
    };
    let rest = datadog_rest(&facts);
    let clean = |exchanges: &[Exchange]| {
        let found: BTreeSet<String> = exchanges.iter().flat_map(|one| rest.check(one)).collect();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [] as [String; 0]);
    };
    let mut all = Vec::new();
    for groups in ["teams", "roles"] {
        for limits in [Limits::None, Limits::Real] {
            let exchanges = record("datadog", limits, json!({"groups": groups}), Value::Null).await;
            clean(&exchanges);
            all.extend(exchanges);
        }
    }
    assert_eq!(unseen("datadog", &all), [] as [&str; 0]);
    let dead = crowd("datadog", Limits::None, SignedDuration::ZERO, json!({"token": "revoked"}), 1).await;
    clean(&dead);
    refused(&dead, 403, "Forbidden");
    let slow = crowd("datadog", Limits::PerSecond(1), SignedDuration::ZERO, Value::Null, 3).await;
    clean(&slow);
    refused(&slow, 429, "Rate limit exceeded");
    assert_ne!(
        rest.check(&lie(&all, "create user", |one| one.request["data"]["type"] = json!("people"))),
        [] as [String; 0]
    );
    assert_ne!(rest.check(&lie(&all, "list users", |one| one.reply["data"][0]["id"] = json!(7))), [] as [String; 0]);
}

#[tokio::test]
async fn slack_calls_and_answers_are_slacks() {
    let Some(facts) = facts("slack_calls_and_answers_are_slacks") else {
        return;
    };
    let rest = slack_rest(&facts);
    let clean = |exchanges: &[Exchange]| {
        let found: BTreeSet<String> = exchanges.iter().flat_map(|one| rest.check(one)).collect();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [] as [String; 0]);
    };
    let exchanges = record("slack", Limits::None, json!({}), Value::Null).await;
    clean(&exchanges);
    assert_eq!(unseen("slack", &exchanges), [] as [&str; 0]);
    refused(&exchanges, 200, "\"ok\":false");
    assert_ne!(
        rest.check(&lie(&exchanges, "create user group", |one| one.request["colour"] = json!("red"))),
        [] as [String; 0]
    );
    assert_ne!(
        rest.check(&lie(&exchanges, "list users", |one| one.reply["members"][0]["id"] = json!("x"))),
        [] as [String; 0]
    );
}

/// A real exchange with something changed.
fn lie(exchanges: &[Exchange], name: &str, change: impl Fn(&mut Exchange)) -> Exchange {
    let found = exchanges.iter().find(|one| one.name == name && one.status < 300);
    let mut one = found.unwrap_or_else(|| panic!("no successful {name}")).clone();
    change(&mut one);
    one
}

/// The checkers are wired to the real schemas: a small lie in a real exchange is found.
#[tokio::test]
async fn a_lie_in_a_recorded_exchange_is_found() {
    let Some(facts) = facts("a_lie_in_a_recorded_exchange_is_found") else {
        return;
    };
    let (rest, graphql) = (github_rest(&facts), github_graphql());
    let exchanges = record("github", Limits::None, json!({}), Value::Null).await;
    let of = |method: &str, part: &str| {
        exchanges
            .iter()
            .find(|one| one.method == method && one.path.contains(part) && one.status < 300)
            .unwrap_or_else(|| panic!("no {method} with {part}"))
            .clone()
    };
    let lies = |mut exchange: Exchange, lie: &dyn Fn(&mut Exchange)| {
        assert_eq!(faults(&[exchange.clone()], Some(&rest), &graphql), [] as [String; 0]);
        lie(&mut exchange);
        let found = faults(std::slice::from_ref(&exchange), Some(&rest), &graphql);
        assert_ne!(found, [] as [String; 0], "{exchange:?}");
    };
    lies(of("POST", "/invitations"), &|one| one.request["role"] = json!("owner"));
    lies(of("POST", "/invitations"), &|one| one.reply["id"] = json!("77"));
    lies(of("POST", "/invitations"), &|one| one.status = 200);
    lies(of("POST", "/teams"), &|one| one.request["colour"] = json!("red"));
    lies(of("GET", "/members?"), &|one| one.path.push_str("&email=ada"));
    let query = exchanges.iter().find(|one| is_graphql(one)).expect("the story looks identities up").clone();
    lies(query.clone(), &|one| one.reply["data"]["extra"] = json!(1));
    lies(query, &|one| {
        let text = one.request["query"].as_str().unwrap_or_default();
        one.request["query"] = json!(text.replacen('{', "{ nobody ", 1));
    });
}
