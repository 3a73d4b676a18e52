//! Bulk requests are read within bounds and handed out in an order that works.

use proptest::prelude::*;

use super::*;

fn post(name: &str, refers_to: &[&str]) -> Value {
    let members: Vec<Value> = refers_to.iter().map(|name| json!({"value": format!("bulkId:{name}")})).collect();
    json!({"method": "POST", "path": "/Groups", "bulkId": name, "data": {"displayName": name, "members": members}})
}

fn bulk(operations: Value) -> Bulk {
    Bulk::parse(json!({"schemas": [urn::BULK_REQUEST], "Operations": operations}), 1000).unwrap()
}

/// Carries everything out; creations get the id `id-NAME`, those named in `fail` fail.
fn run(bulk: &mut Bulk, fail: &[&str]) -> Vec<(Step, Result<Ready, u16>)> {
    let mut done = Vec::new();
    while let Some(step) = bulk.next_step() {
        let ready = bulk.prepare(step).map_err(|error| error.status);
        let operation = &bulk.operations()[step.index()];
        let name = operation.bulk_id.clone().unwrap_or_default();
        let made = (ready.is_ok() && operation.method == "POST" && !fail.contains(&name.as_str()))
            .then(|| Made { id: format!("id-{name}") });
        bulk.ended(step, made);
        done.push((step, ready));
    }
    done
}

fn steps(done: &[(Step, Result<Ready, u16>)]) -> Vec<Step> {
    done.iter().map(|(step, _)| *step).collect()
}

#[test]
fn what_is_no_bulk_request_is_refused_whole() {
    let schemas = json!([urn::BULK_REQUEST]);
    let one = json!([{"method": "DELETE", "path": "/Users/1"}]);
    for (body, status, words) in [
        (json!([]), 400, "not a JSON object"),
        (json!({"Operations": one}), 400, "schemas"),
        (json!({"schemas": [urn::PATCH_OP], "Operations": one}), 400, "schemas"),
        (json!({"schemas": schemas}), 400, "missing"),
        (json!({"schemas": schemas, "Operations": {}}), 400, "missing"),
        (json!({"schemas": schemas, "Operations": []}), 400, "empty"),
        (json!({"schemas": schemas, "Operations": [1]}), 400, "Operations[0]"),
        (json!({"schemas": schemas, "Operations": [{"path": "/Users"}]}), 400, "method: is missing"),
        (json!({"schemas": schemas, "Operations": [{"method": "POST"}]}), 400, "path: is missing"),
        (json!({"schemas": schemas, "Operations": [{"method": 1, "path": "/Users"}]}), 400, "must be a text"),
        (json!({"schemas": schemas, "Operations": [{"method": "POST", "path": "/Users", "bulkId": 7}]}), 400, "bulkId"),
        (json!({"schemas": schemas, "Operations": [post("a", &[]), post("a", &[])]}), 400, "Operations[1].bulkId"),
        (json!({"schemas": schemas, "Operations": one, "failOnErrors": 0}), 400, "failOnErrors"),
        (json!({"schemas": schemas, "Operations": one, "failOnErrors": "1"}), 400, "failOnErrors"),
        (json!({"schemas": schemas, "Operations": one, "failOnErrors": 1.5}), 400, "failOnErrors"),
        (json!({"schemas": schemas, "Operations": [post("a", &[]), post("b", &[]), post("c", &[])]}), 413, "at most 2"),
    ] {
        let error = Bulk::parse(body.clone(), 2).unwrap_err();
        assert_eq!(error.status, status, "{body}");
        assert!(error.detail.contains(words), "{body}: {error}");
    }
    let lax = json!({"SCHEMAS": schemas, "operations": [{"METHOD": "delete", "Path": "/Users/1"}], "failonerrors": 2});
    let lax = Bulk::parse(lax, 2).unwrap();
    assert_eq!((lax.fail_on_errors(), lax.operations()[0].method.as_str()), (Some(2), "DELETE"));
}

#[test]
fn references_are_resolved_wherever_they_stand() {
    for (data, want) in [
        (json!({"members": [{"value": "bulkId:u"}]}), json!({"members": [{"value": "id-u"}]})),
        (json!({"manager": "bulkId:u"}), json!({"manager": "id-u"})),
        (json!({"urn:x": {"manager": {"value": "bulkId:u"}}}), json!({"urn:x": {"manager": {"value": "id-u"}}})),
        (json!({"members": [{"$ref": "../Users/bulkId:u"}]}), json!({"members": [{"$ref": "../Users/id-u"}]})),
        (json!({"note": "of bulkId:u", "x": "../bulkId:u"}), json!({"note": "of bulkId:u", "x": "../bulkId:u"})),
        (json!({"note": "bulkId:nobody"}), json!({"note": "bulkId:nobody"})),
        (
            json!({"Operations": [{"op": "remove", "path": "members[value eq \"bulkId:u\"]"}]}),
            json!({"Operations": [{"op": "remove", "path": "members[value eq \"id-u\"]"}]}),
        ),
        (
            json!({"Operations": [{"op": "add", "path": "members", "value": ["bulkId:u"]}]}),
            json!({"Operations": [{"op": "add", "path": "members", "value": ["id-u"]}]}),
        ),
    ] {
        for forward in [false, true] {
            let mut operations =
                vec![post("u", &[]), json!({"method": "PATCH", "path": "/Groups/bulkId:u", "data": data})];
            if forward {
                operations.reverse();
            }
            let mut bulk = bulk(operations.into());
            let done = run(&mut bulk, &[]);
            let ready = done[1].1.as_ref().unwrap();
            assert_eq!((ready.path.as_str(), ready.data.as_ref().unwrap()), ("/Groups/id-u", &want), "{data}");
        }
    }
}

#[test]
fn references_that_lead_nowhere_are_the_operations_own_error() {
    for (operations, statuses) in [
        (json!([post("a", &["nobody"])]), vec![Err(400)]),
        (json!([{"method": "DELETE", "path": "/Users/bulkId:nobody"}]), vec![Err(400)]),
        (json!([post("bad", &[]), post("b", &["bad"]), post("c", &["b"])]), vec![Ok(()), Err(409), Err(409)]),
        (json!([post("bad", &[]), {"method": "PATCH", "path": "/Groups/bulkId:bad"}]), vec![Ok(()), Err(409)]),
        // Only creations can be referred to.
        (json!([{"method": "PUT", "path": "/Groups/1", "bulkId": "p"}, post("a", &["p"])]), vec![Ok(()), Err(400)]),
    ] {
        let mut bulk = bulk(operations.clone());
        let done: Vec<Result<(), u16>> = run(&mut bulk, &["bad"]).into_iter().map(|(_, r)| r.map(|_| ())).collect();
        assert_eq!(done, statuses, "{operations}");
    }
}

#[test]
fn the_order_is_the_requests_but_for_references() {
    use Step::{Complete, Whole, Without};
    let patch = |path: &str| json!({"method": "PATCH", "path": path, "data": {}});
    for (operations, want) in [
        (json!([post("a", &[]), post("b", &["a"]), post("c", &[])]), vec![Whole(0), Whole(1), Whole(2)]),
        (json!([post("a", &["c"]), post("b", &[]), post("c", &[])]), vec![Whole(1), Whole(2), Whole(0)]),
        // What works on one path stays in order, also when the first of them waits.
        (
            json!([{"method": "PATCH", "path": "/Groups/1", "data": {"value": "bulkId:b"}}, patch("//groups/1/"), post("b", &[])]),
            vec![Whole(2), Whole(0), Whole(1)],
        ),
        (json!([post("a", &["b"]), post("b", &["a"])]), vec![Without(0), Whole(1), Complete(0)]),
        (json!([post("a", &["a"])]), vec![Without(0), Complete(0)]),
        // What works on a resource waits until it is complete.
        (
            json!([patch("/Groups/bulkId:a"), post("x", &["a"]), post("a", &["b"]), post("b", &["a"])]),
            vec![Without(2), Whole(1), Whole(3), Complete(2), Whole(0)],
        ),
        (
            json!([post("a", &["b"]), post("b", &["c"]), post("c", &["b"])]),
            vec![Without(1), Whole(0), Whole(2), Complete(1)],
        ),
    ] {
        let mut bulk = bulk(operations.clone());
        assert_eq!(steps(&run(&mut bulk, &[])), want, "{operations}");
    }
}

#[test]
fn a_circle_is_made_without_what_is_not_known_and_completed() {
    let user = |name: &str, manager: &str| {
        json!({"method": "POST", "path": "/Users", "bulkId": name,
            "data": {"userName": name, "urn:e": {"manager": {"value": format!("bulkId:{manager}")}}, "tags": ["bulkId:b", "t"]}})
    };
    let mut bulk = bulk(json!([user("a", "b"), user("b", "a")]));
    let done = run(&mut bulk, &[]);
    let data = |n: usize| done[n].1.as_ref().unwrap().data.clone().unwrap();
    assert_eq!(data(0), json!({"userName": "a", "urn:e": {}, "tags": ["t"]}));
    assert_eq!(data(1)["urn:e"]["manager"]["value"], "id-a");
    assert_eq!(data(2)["urn:e"]["manager"]["value"], "id-b");
    assert_eq!(data(2)["tags"], json!(["id-b", "t"]));
    let mut bulk = self::bulk(json!([post("a", &["b"]), post("b", &["a"])]));
    let done = run(&mut bulk, &["b"]);
    assert_eq!((done[2].0, done[2].1.as_ref().err()), (Step::Complete(0), Some(&409)));
}

/// JSON with words in it that bulk requests are made of.
fn any_json() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        Just("Operations"),
        Just("method"),
        Just("path"),
        Just("bulkId"),
        Just("data"),
        Just("version"),
        Just("value"),
        Just("$ref"),
        Just("POST"),
        Just("patch"),
        Just("/Users"),
        Just("/Groups/bulkId:a"),
        Just("bulkId:a"),
        Just("bulkId:"),
        Just("x/bulkId:b"),
        Just("a[b eq \"bulkId:a\"]"),
        Just("\"bulkId:"),
        Just("a"),
        Just("b"),
        Just(""),
        Just("é/bulkId:\u{1F600}"),
    ]
    .prop_map(str::to_owned);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        word.clone().prop_map(Value::from)
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(word.clone(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn reading_and_carrying_out_never_panics_and_ends(
        operations in prop::collection::vec((any_json(), any_json(), any_json()), 0..8),
        limit in 0_usize..10,
    ) {
        let operations: Vec<Value> = operations.into_iter().enumerate().map(|(n, (one, data, path))| match n % 3 {
            0 => one,
            1 => json!({"method": "POST", "path": "/Users", "bulkId": data.as_str().unwrap_or("a"), "data": data}),
            _ => json!({"method": "PATCH", "path": path.as_str().unwrap_or("/Users/bulkId:a"), "data": data}),
        }).collect();
        for body in [json!({"schemas": [urn::BULK_REQUEST], "Operations": operations}), json!(operations)] {
            let Ok(mut bulk) = Bulk::parse(body, limit) else { continue };
            let steps = run(&mut bulk, &["b"]);
            prop_assert!(steps.len() <= 2 * bulk.operations().len());
            let handed: BTreeSet<usize> = steps.iter().map(|(step, _)| step.index()).collect();
            prop_assert_eq!(handed.len(), bulk.operations().len());
        }
    }

    /// Whatever refers to whatever: everything is handed out once, and every id is known when it is needed.
    #[test]
    fn everything_is_handed_out_once(edges in prop::collection::vec(prop::collection::vec(0_usize..12, 0..4), 1..12)) {
        let names: Vec<String> = (0..edges.len()).map(|n| format!("n{n}")).collect();
        let operations: Vec<Value> = edges.iter().enumerate().map(|(n, edges)| {
            let to: Vec<&str> = edges.iter().filter_map(|to| names.get(*to)).map(String::as_str).collect();
            post(&names[n], &to)
        }).collect();
        let mut bulk = bulk(operations.into());
        let done = run(&mut bulk, &[]);
        for (n, refers_to) in edges.iter().enumerate() {
            let mine: Vec<_> = done.iter().filter(|(step, _)| step.index() == n).collect();
            prop_assert!(matches!(mine.iter().map(|(step, _)| *step).collect::<Vec<_>>().as_slice(),
                [Step::Whole(_)] | [Step::Without(_), Step::Complete(_)]), "{mine:?}");
            let last = mine.last().unwrap().1.as_ref().unwrap().data.clone().unwrap();
            let members: Vec<String> = last["members"].as_array().unwrap().iter().map(|m| m["value"].as_str().unwrap().to_owned()).collect();
            let want: Vec<String> = refers_to.iter().filter_map(|to| names.get(*to)).map(|name| format!("id-{name}")).collect();
            prop_assert_eq!(members, want);
        }
    }
}
