//! GraphQL: SAML identities and verified addresses.

use proptest::prelude::*;
use serde_json::{Value, json};
use simulators::Limits;

use crate::support::Hub;

fn hub() -> Hub {
    let hub = Hub::new(Limits::None);
    hub.set(&json!({ "members": [
        { "login": "ada", "email": "ada@corp.example" },
        { "login": "bob", "email": "bob@other.example" },
        { "login": "foreign" },
    ] }));
    hub
}

fn ask(hub: &Hub, query: &str, variables: Value) -> Value {
    let body = json!({ "query": query, "variables": variables });
    let answer = hub.send("POST /graphql", &body);
    assert_eq!(answer.status, 200);
    answer.body
}

#[track_caller]
fn check(hub: &Hub, query: &str, variables: Value, expected: Value) {
    assert_eq!(ask(hub, query, variables), expected, "{query}");
}

const IDENTITIES: &str = "query Find($org: String!, $name: String, $after: String, $n: Int = 1) {
  organization(login: $org) { samlIdentityProvider { externalIdentities(
    first: $n, after: $after, membersOnly: true, userName: $name) {
      totalCount
      edges { node { ...Who samlIdentity { nameId username emails { value } } scimIdentity { username } } }
      pageInfo { hasNextPage endCursor } } } } }
fragment Who on ExternalIdentity { user { login databaseId } }";

#[test]
fn an_address_leads_to_an_account() {
    let hub = hub();
    let identity = json!({
        "user": { "login": "ada", "databaseId": 9002 },
        "samlIdentity": { "nameId": "ada@corp.example", "username": "ada@corp.example",
                          "emails": [{ "value": "ada@corp.example" }] },
        "scimIdentity": null,
    });
    let body = ask(&hub, IDENTITIES, json!({ "org": "acme", "name": "ADA@corp.example" }));
    let found = &body["data"]["organization"]["samlIdentityProvider"]["externalIdentities"];
    assert_eq!(found["edges"], json!([{ "node": identity }]));
    assert_eq!((&found["totalCount"], &found["pageInfo"]["hasNextPage"]), (&json!(1), &json!(false)));
}

#[test]
fn identities_come_in_pages_and_stay_when_a_member_leaves() {
    let hub = hub();
    let page = |after: Value| {
        let body = ask(&hub, IDENTITIES, json!({ "org": "acme", "after": after }));
        body["data"]["organization"]["samlIdentityProvider"]["externalIdentities"].clone()
    };
    let first = page(Value::Null);
    assert_eq!(first["totalCount"], 2);
    assert_eq!(first["pageInfo"]["hasNextPage"], true);
    let second = page(first["pageInfo"]["endCursor"].clone());
    assert_eq!(second["edges"][0]["node"]["user"]["login"], "bob");
    assert_eq!(second["pageInfo"]["hasNextPage"], false);
    hub.set(&json!({ "leave": "ada" }));
    assert_eq!(page(Value::Null)["totalCount"], 1);
    check(
        &hub,
        "{organization(login:\"acme\"){samlIdentityProvider{externalIdentities(first:9,login:\"ada\"){nodes{user{login}}}}}}",
        Value::Null,
        json!({"data":{"organization":{"samlIdentityProvider":{"externalIdentities":
            {"nodes":[{"user":{"login":"ada"}}]}}}}}),
    );
}

#[test]
fn who_accepts_signs_in_by_the_invited_address() {
    let hub = Hub::new(Limits::None);
    hub.check(&[
        ("POST /orgs/acme/invitations", json!({ "email": "ada@corp.example" }), 201, Value::Null),
        ("POST /_sim/accept", json!({ "email": "ada@corp.example", "login": "countess" }), 200, Value::Null),
    ]);
    let body = ask(&hub, IDENTITIES, json!({ "org": "acme", "name": "ada@corp.example" }));
    let found = &body["data"]["organization"]["samlIdentityProvider"]["externalIdentities"];
    assert_eq!(found["edges"][0]["node"]["user"]["login"], "countess");
}

#[test]
fn verified_addresses_of_members() {
    let hub = hub();
    hub.set(&json!({ "verified_domains": ["corp.example"],
                     "users": [{ "login": "out", "email": "out@corp.example" }] }));
    check(
        &hub,
        "query($o:String!){ a: user(login:\"ada\"){ databaseId login
            mails: organizationVerifiedDomainEmails(login:$o) }
          b: user(login:\"bob\"){ organizationVerifiedDomainEmails(login:$o) }
          o: user(login:\"out\"){ organizationVerifiedDomainEmails(login:$o) } }",
        json!({ "o": "acme" }),
        json!({ "data": {
            "a": { "databaseId": 9002, "login": "ada", "mails": ["ada@corp.example"] },
            "b": { "organizationVerifiedDomainEmails": [] },
            "o": { "organizationVerifiedDomainEmails": [] },
        } }),
    );
    check(
        &hub,
        "{ organization(login:\"acme\"){ membersWithRole(first:2){ totalCount
             nodes{ login organizationVerifiedDomainEmails(login:\"acme\") }
             edges{ role node { __typename } } pageInfo{ hasNextPage } } } }",
        Value::Null,
        json!({ "data": { "organization": { "membersWithRole": {
            "totalCount": 4,
            "nodes": [
                { "login": "acme-scim-bot", "organizationVerifiedDomainEmails": [] },
                { "login": "ada", "organizationVerifiedDomainEmails": ["ada@corp.example"] },
            ],
            "edges": [{ "role": "ADMIN", "node": { "__typename": "User" } },
                      { "role": "MEMBER", "node": { "__typename": "User" } }],
            "pageInfo": { "hasNextPage": true },
        } } } }),
    );
}

#[test]
fn what_is_selected_and_nothing_else() {
    let hub = hub();
    check(
        &hub,
        "query A($yes: Boolean!) { viewer { login @skip(if: $yes) databaseId @include(if: $yes)
             ... on User { id } } }",
        json!({ "yes": true }),
        json!({ "data": { "viewer": { "databaseId": 9001, "id": "U_kgDOAAAjKQ" } } }),
    );
    hub.set(&json!({ "saml": false }));
    check(
        &hub,
        "{organization(login:\"acme\"){login samlIdentityProvider{issuer}}}",
        Value::Null,
        json!({"data":{"organization":{"login":"acme","samlIdentityProvider":null}}}),
    );
}

#[test]
fn errors_in_the_form_of_graphql() {
    let hub = hub();
    let members =
        |arguments: &str| format!("{{organization(login:\"acme\"){{membersWithRole{arguments}{{totalCount}}}}}}");
    for (query, says) in [
        ("{bogus}".to_owned(), "Field 'bogus' doesn't exist on type 'Query'"),
        ("{viewer{bogus}}".to_owned(), "Field 'bogus' doesn't exist on type 'User'"),
        ("{viewer}".to_owned(), "Field must have selections"),
        ("{viewer{login{x}}}".to_owned(), "Selections can't be made on scalars"),
        ("{viewer{login(a:1)}}".to_owned(), "Field 'login' doesn't accept argument 'a'"),
        ("{user{login}}".to_owned(), "Field 'user' is missing required arguments: login"),
        ("{user(login:$x){login}}".to_owned(), "Variable $x is used by anonymous query but not declared"),
        ("query($x:String!){user(login:$x){login}}".to_owned(), "Variable $x of type String!"),
        ("{user(login:\"nobody\"){login}}".to_owned(), "Could not resolve to a User"),
        ("{organization(login:\"x\"){login}}".to_owned(), "Could not resolve to an Organization"),
        ("{user(login:7){login}}".to_owned(), "Argument 'login' on Field 'user' has an invalid"),
        (members(""), "You must provide a `first` or `last`"),
        (members("(first:101)"), "Requesting 101 records"),
        (members("(first:1,after:\"x\")"), "`x` does not appear to be a valid cursor"),
        ("{...F} fragment F on Query {...F}".to_owned(), "Fragment F contains an infinite loop"),
        ("{...F} fragment F on User {login}".to_owned(), "Fragment on User can't be spread"),
        ("{...G}".to_owned(), "Fragment G was used, but not defined"),
        ("{viewer{login @odd}}".to_owned(), "Directive @odd"),
        (
            "{a:viewer{login} a:user(login:\"ada\"){login}}".to_owned(),
            "Field 'a' has a field conflict: viewer or user?",
        ),
        ("mutation{x}".to_owned(), "Schema is not configured for mutations"),
        ("query A{viewer{login}} query B{viewer{login}}".to_owned(), "An operation name is required"),
        ("{viewer{login}".to_owned(), "Expected NAME, actual: end of file"),
        ("{viewer{}}".to_owned(), "Expected NAME, actual: }"),
        ("{viewer{login(a:\"x)}}".to_owned(), "Unterminated string"),
        ("{".repeat(100_000), "The document has too many tokens"),
        ("{a".repeat(100), "The document is nested too deeply"),
        ("?".to_owned(), "Unexpected character"),
    ] {
        let body = ask(&hub, &query, Value::Null);
        let said = body["errors"][0]["message"].as_str().unwrap_or_default();
        assert!(said.starts_with(says), "{}: {body}", query.get(..60).unwrap_or(&query));
    }
    let body = ask(&hub, "{viewer{bogus}}", Value::Null);
    assert_eq!(body["errors"][0]["extensions"]["code"], "undefinedField");
    assert_eq!(body["errors"][0]["locations"], json!([{ "line": 1, "column": 9 }]));
    assert_eq!(body.get("data"), None);
    let body = ask(&hub, "{user(login:\"nobody\"){login} viewer{login}}", Value::Null);
    assert_eq!(body["errors"][0]["type"], "NOT_FOUND");
    assert_eq!(body["errors"][0]["path"], json!(["user"]));
    assert_eq!(body["data"], json!({ "user": null, "viewer": { "login": "acme-scim-bot" } }));
    hub.set(&json!({ "caller": "member" }));
    let body = ask(&hub, "{organization(login:\"acme\"){samlIdentityProvider{id}}}", Value::Null);
    assert_eq!(body["errors"][0]["type"], "FORBIDDEN");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// No text makes it fall over.
    #[test]
    fn any_text_is_answered(text in "[{}()\\[\\]$!:=@.,a-z\"\\\\0-9 \n#-]{0,60}|.{0,40}") {
        let answer = Hub::new(Limits::None).send("POST /graphql", &json!({ "query": text }));
        prop_assert_eq!(answer.status, 200);
        let data = answer.body.get("data").is_some();
        prop_assert!(data || answer.body["errors"][0]["message"].is_string());
    }
}
