//! GraphQL: validation, merging, order, complexity.

use super::graphql::{check_graphql, error};
use super::*;

#[test]
fn documents_are_validated_against_the_schema() {
    let mut sim = Sim::new(Limits::None);
    let deep = "{organization(slug:\"acme\"){members{edges{node{organization{members{edges{node{organization{members{edges{node{organization{members{edges{node{id}}}}}}}}}}}}}}}}}";
    check_graphql(
        &mut sim,
        &[
            (
                "{nothing}",
                json!(null),
                json!({"errors": [{"message": "Field 'nothing' doesn't exist on type 'Query'", "locations": [{"line": 1, "column": 2}], "path": ["query", "nothing"]}]}),
            ),
            (
                "{organization(slug:\"acme\"){teams(first:1){edges{node{colour}}}}}",
                json!(null),
                error("Field 'colour' doesn't exist on type 'Team'"),
            ),
            (
                "{organization(slug:\"acme\",size:1){id}}",
                json!(null),
                error("Field 'organization' doesn't accept argument 'size'"),
            ),
            ("{team{id}}", json!(null), error("Field 'team' is missing required arguments: slug")),
            (
                "{organization(slug:\"acme\"){teams(first:\"x\"){count}}}",
                json!(null),
                error("Argument 'first' on Field 'teams' has an invalid value"),
            ),
            ("{organization(slug:\"acme\"){members(role:[BOSS]){count}}}", json!(null), error("Argument 'role'")),
            ("{organization(slug:\"acme\"){members(role:\"ADMIN\"){count}}}", json!(null), error("Argument 'role'")),
            ("{viewer}", json!(null), error("Field must have selections")),
            ("{viewer{id{x}}}", json!(null), error("Selections can't be made on scalars")),
            ("{viewer{id id:user{id}}}", json!(null), error("field conflict")),
            (
                "{organization(slug:\"acme\"){id} organization(slug:\"other\"){id}}",
                json!(null),
                error("field conflict"),
            ),
            (
                "query($x:Int){viewer{id}}",
                json!(null),
                error("Variable $x is declared by anonymous query but not used"),
            ),
            ("query Q{team(slug:$x){id}}", json!(null), error("Variable $x is used by Q but not declared")),
            (
                "query($x:String){team(slug:$x){id}}",
                json!({"x": "a"}),
                error("Type mismatch on variable $x (String / ID!)"),
            ),
            ("query($x:ID){team(slug:$x){id}}", json!({"x": "a"}), error("Type mismatch")),
            (
                "query($x:Team){team(slug:$x){id}}",
                json!({"x": "a"}),
                json!({"errors": [{"message": "~isn't a valid input type"}]}),
            ),
            (
                "query($x:ID!){team(slug:$x){id}}",
                json!({}),
                error("Variable $x of type ID! was provided invalid value"),
            ),
            (
                "query($n:Int){organization(slug:\"acme\"){teams(first:$n){count}}}",
                json!({"n": 1.5}),
                error("Could not coerce value to Int"),
            ),
            (
                "query($n:Int){organization(slug:\"acme\"){teams(first:$n){count}}}",
                json!({"n": 4_000_000_000_i64}),
                error("Could not coerce value to Int"),
            ),
            (
                "mutation($i:TeamDeleteInput!){teamDelete(input:$i){deletedTeamID}}",
                json!({"i": {"id": "x", "force": true}}),
                error("Field is not defined on TeamDeleteInput"),
            ),
            (
                "mutation{teamDelete(input:{id:\"x\",force:true}){deletedTeamID}}",
                json!(null),
                error("InputObject 'TeamDeleteInput' doesn't accept argument 'force'"),
            ),
            (
                "mutation{teamDelete(input:{}){deletedTeamID}}",
                json!(null),
                error("InputObject 'TeamDeleteInput' is missing required arguments: id"),
            ),
            ("{...F}", json!(null), error("Fragment F was used, but not defined")),
            ("{viewer{id}} fragment F on User{id}", json!(null), error("Fragment F was defined, but not used")),
            (
                "{viewer{...F}} fragment F on User{id}",
                json!(null),
                error("Fragment on User can't be spread inside Viewer"),
            ),
            ("{viewer{...on Nothing{id}}}", json!(null), error("No such type Nothing")),
            ("{viewer{...F}} fragment F on Viewer{...F}", json!(null), error("infinite loop")),
            ("{viewer{id @wild}}", json!(null), error("Directive @wild is not defined")),
            ("{viewer{id @skip}}", json!(null), error("Directive 'skip' is missing required arguments: if")),
            ("subscription{viewer{id}}", json!(null), error("not configured for subscriptions")),
            ("query A{viewer{id}} query B{viewer{id}}", json!(null), error("An operation name is required")),
            (deep, json!(null), error("exceeds max depth of 15")),
            ("{__schema{types{name}}}", json!(null), error("Field '__schema' doesn't exist")),
            (
                "{",
                json!(null),
                json!({"errors": [{"message": "~Expected NAME, actual: end of file", "locations": [{"line": 1, "column": 2}]}]}),
            ),
            ("", json!(null), error("Expected an operation")),
        ],
    );
    for (body, status, message) in [
        (
            json!({"query": "query A{viewer{id}} query B{viewer{user{id}}}", "operationName": "C"}),
            200,
            "No operation named",
        ),
        (json!({"query": "{viewer{id}}", "variables": []}), 200, "Variables must be an object"),
        (json!({"variables": {}}), 200, "No query string"),
        (json!([]), 400, "JSON object"),
    ] {
        let reply = sim.call("POST /graphql", &body);
        assert_eq!(reply.status, status);
        assert!(reply.body["errors"][0]["message"].as_str().unwrap().contains(message), "{}", reply.body);
    }
}

#[test]
fn aliases_directives_fragments_and_defaults_work_together() {
    let mut sim = Sim::new(Limits::None);
    sim.target.load(2, 0, sim.now);
    check_graphql(
        &mut sim,
        &[
            (
                "# comment\nquery Q($n: Int = 1, $yes: Boolean!, $no: Boolean = false) {\n  a: organization(slug: \"acme\") { ...O m2: members(first: 2) { edges { node { user { name } } } } }\n  viewer @include(if: $no) { id }\n  viewer @skip(if: $no) { user { email @skip(if: $yes) name } }\n}\nfragment O on Organization { slug, members(first: $n) { count edges { node { user { name } } } } }",
                json!({"yes": true}),
                json!({"data": {
                    "a": {"slug": "acme", "members": {"count": 3, "edges": [{"node": {"user": {"name": "load0001"}}}]}, "m2": {"edges": [{}, {}]}},
                    "viewer": {"user": {"name": "gateway"}},
                }}),
            ),
            (
                "{viewer{user{id}} viewer{user{name ...on User{email} ...on Node{__typename}}}}",
                json!(null),
                json!({"data": {"viewer": {"user": {"id": "~VXNlci0tL", "name": "gateway", "email": "gateway@acme.example", "__typename": "User"}}}}),
            ),
            (
                "{__typename organization(slug:\"acme\"){slug: __typename members{__typename edges{__typename} pageInfo{__typename}}}}",
                json!(null),
                json!({"data": {"__typename": "Query", "organization": {"slug": "Organization", "members": {"__typename": "OrganizationMemberConnection", "pageInfo": {"__typename": "PageInfo"}}}}}),
            ),
            ("mutation{__typename}", json!(null), json!({"data": {"__typename": "Mutation"}})),
            ("{team(slug:\"\\u0061cme/\\\"x\\\"\"){id}}", json!(null), json!({"data": {"team": null}})),
            ("{team(slug:\"\"\"acme/x\"\"\"){id}}", json!(null), json!({"data": {"team": null}})),
        ],
    );
    let skipped = sim.graphql("query($y:Boolean!){viewer{id user @skip(if:$y){name}}}", &json!({"y": true}));
    assert!(skipped["data"]["viewer"].get("user").is_none());
}

#[test]
fn two_mutations_of_one_document_run_in_order() {
    let mut sim = Sim::new(Limits::None);
    let org = sim.graphql("{organization(slug:\"acme\"){id}}", &json!(null));
    sim.saved.insert("org".into(), org["data"]["organization"]["id"].as_str().unwrap().to_owned());
    let input = "organizationID:\"<org>\",privacy:VISIBLE,isDefaultTeam:false,defaultMemberRole:MEMBER";
    let query = format!(
        "mutation{{a:teamCreate(input:{{name:\"A\",{input}}}){{teamEdge{{node{{slug}}}}}} b:teamCreate(input:{{name:\"a\",{input}}}){{teamEdge{{node{{slug}}}}}} c:teamCreate(input:{{name:\"C\",{input}}}){{teamEdge{{node{{slug}}}}}}}}"
    );
    check_graphql(
        &mut sim,
        &[(
            &query,
            json!(null),
            json!({"errors": [{"message": "~taken", "path": ["b"]}], "data": {"a": {"teamEdge": {"node": {"slug": "a"}}}, "b": null, "c": {"teamEdge": {"node": {"slug": "c"}}}}}),
        )],
    );
}

#[test]
fn complexity_is_the_documented_sum() {
    let mut sim = Sim::new(Limits::None);
    sim.target.load(9, 0, sim.now);
    let org = |inner: &str| format!("{{organization(slug:\"acme\"){{{inner}}}}}");
    for (query, requested, actual) in [
        ("{viewer{id}}".to_owned(), 1, 1),
        ("{viewer{user{id avatar{url}}}}".to_owned(), 3, 3),
        ("{node(id:\"x\"){id ...on Team{organization{slug}}}}".to_owned(), 2, 0),
        // The sample of the vendor's page: 503 requested, 13 for ten that are there.
        (org("members(first:500){edges{node{uuid}}}"), 503, 13),
        (org("members{edges{node{uuid}}}"), 503, 13),
        (org("members(first:2){edges{node{uuid user{id}}} pageInfo{hasNextPage}}"), 8, 8),
        (org("members(first:1){count}"), 2, 2),
        (org("members(last:3){edges{node{sso{mode}}}}"), 9, 9),
        (org("teams(first:10){edges{node{members(first:10){edges{node{id}}}}}}"), 133, 3),
    ] {
        let bearer = format!("Bearer {}", sim.token);
        let headers = [("authorization", bearer.as_str()), ("buildkite-include-query-stats", "true")];
        let body = json!({"query": query}).to_string().into_bytes();
        let reply = sim.send("POST /graphql", &headers, body);
        assert_eq!(
            reply.body["stats"],
            json!({"requestedComplexity": requested, "actualComplexity": actual}),
            "{query}"
        );
    }
    assert!(sim.graphql("{viewer{id}}", &json!(null)).get("stats").is_none());
}
