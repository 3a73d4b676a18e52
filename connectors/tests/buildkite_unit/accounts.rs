//! People.

use connector_sdk::{
    AccountChange, AccountRef, Created, Cx, Entry, Evidence, FaultKind, Followed, InviteId, Person, RemoteId, Secrets,
    Updated,
};
use connectors::buildkite::Buildkite;
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::script::*;

/// What a refused invitation came to, in one word.
async fn invite(refusal: Answer, members: Vec<Value>, invitations: Vec<Value>) -> String {
    let (connector, script) = stage(vec![
        ("POST /invitations", vec![refusal]),
        (GRAPHQL, vec![found_members(members)]),
        ("GET /invitations", vec![pending(invitations)]),
    ]);
    let cx = Cx::new(&script, now());
    match connector.accounts().unwrap().create(&cx, &ada()).await {
        Ok(Created::Invited(account)) => format!("invited {}", account.invite_id.unwrap()),
        Ok(Created::AlreadyThere(found)) => format!(
            "there {}",
            found
                .account
                .remote_id
                .map(|id| id.to_string())
                .or(found.account.invite_id.map(|id| id.to_string()))
                .unwrap()
        ),
        Ok(Created::Waiting { until, .. }) => format!("waiting {until:?}"),
        Ok(Created::ActionRequired(need)) => format!("needs {}", need.code),
        Ok(other) => format!("{other:?}"),
        Err(fault) => format!("{:?} {:?} {:?}", fault.kind, fault.retry, fault.effect),
    }
}

/// An invitation that was made then, in an answer of 03:04:05.
fn dated(created_at: &str) -> Answer {
    let mut body = invitation("pending");
    body["created_at"] = Value::from(created_at);
    Answer { headers: vec![("date", "Fri, 02 Jan 2026 03:04:05 GMT")], ..answer(201, json!([body])) }
}

#[tokio::test]
async fn a_refused_invitation_is_told_apart() {
    let cases: Vec<(Answer, Vec<Value>, Vec<Value>, &str)> = vec![
        (answer(201, json!([invitation("pending")])), vec![], vec![], "invited 0190bbbb-0000-4000-8000-000000000002"),
        (
            refused("Validation failed: ada is already a member of this organization"),
            vec![node("ada@corp.example")],
            vec![],
            "there 0190aaaa-0000-4000-8000-000000000001",
        ),
        (
            refused("ada has already been invited"),
            vec![],
            vec![invitation("pending")],
            "there 0190bbbb-0000-4000-8000-000000000002",
        ),
        // A filter that finds somebody else proves nothing.
        (refused("already a member"), vec![node("adam@corp.example")], vec![], "Refused Soon None"),
        (refused("This organization can have at most 20 pending invitations"), vec![], vec![], "waiting None"),
        (refused("You have already used your invitation quota"), vec![], vec![], "waiting None"),
        (refused("This organization has reached its user limit"), vec![], vec![], "needs seat"),
        (refused("SSO mode is required when SSO is enabled"), vec![], vec![], "needs sso_mode"),
        (refused("Validation failed: Team 0190 does not exist"), vec![], vec![], "Refused Soon None"),
        (refused("Validation failed: Email is invalid"), vec![], vec![], "Refused Never None"),
        (answer(403, json!({ "message": "missing scope" })), vec![], vec![], "Permission AfterOperator None"),
        (answer(401, json!({ "message": "Authentication required" })), vec![], vec![], "Credential AfterOperator None"),
        (answer(502, json!("not found")), vec![], vec![], "Unavailable Soon Unknown"),
        (answer(404, json!({ "message": "No organization found" })), vec![], vec![], "NotFound Never None"),
        (answer(201, json!({ "id": 1 })), vec![], vec![], "Malformed Soon Unknown"),
        (dated("2026-01-02T03:03:59Z"), vec![], vec![], "invited 0190bbbb-0000-4000-8000-000000000002"),
        // An old invitation that was sent again.
        (dated("2026-01-01T03:04:05Z"), vec![], vec![], "there 0190bbbb-0000-4000-8000-000000000002"),
        (answer(201, json!([])), vec![], vec![], "Malformed Soon Unknown"),
        (answer(201, json!([])), vec![], vec![invitation("pending")], "there 0190bbbb-0000-4000-8000-000000000002"),
        (
            answer(201, json!([{ "id": "../members", "email": "ada@corp.example", "state": "pending" }])),
            vec![],
            vec![],
            "Malformed Soon Unknown",
        ),
    ];
    for (number, (refusal, members, invitations, wanted)) in cases.into_iter().enumerate() {
        assert_eq!(invite(refusal, members, invitations).await, wanted, "case {number}");
    }
}

#[tokio::test]
async fn an_invitation_is_followed_in_every_state() {
    let cases = [
        (answer(200, invitation("pending")), answer(404, json!({})), "pending"),
        (answer(200, invitation("accepted")), answer(200, member_body("member")), "accepted"),
        (answer(200, invitation("accepted")), answer(404, json!({})), "ended Unknown"),
        (answer(200, invitation("revoked")), answer(404, json!({})), "ended Revoked"),
        (answer(200, invitation("expired")), answer(404, json!({})), "ended Expired"),
        (answer(404, json!({})), answer(404, json!({})), "ended Unknown"),
        (answer(200, invitation("frozen")), answer(404, json!({})), "fault Malformed"),
        (answer(500, json!({})), answer(404, json!({})), "fault Unavailable"),
    ];
    for (shown, account, wanted) in cases {
        let (connector, script) = stage(vec![
            (&format!("GET /invitations/{INVITE}"), vec![shown]),
            (&format!("GET /members/{ADA}"), vec![account]),
        ]);
        let cx = Cx::new(&script, now());
        let accounts = connector.accounts().unwrap();
        let said = match accounts.follow(&cx, &InviteId::new(INVITE), &ada()).await {
            Ok(Followed::Pending(_)) => "pending".to_owned(),
            Ok(Followed::Accepted { account, evidence }) => {
                assert_eq!(account.remote_id, Some(RemoteId::new(ADA)));
                assert_eq!(evidence, Evidence::SameId);
                "accepted".to_owned()
            }
            Ok(Followed::Ended(ended)) => format!("ended {ended:?}"),
            Ok(other) => format!("{other:?}"),
            Err(fault) => format!("fault {:?}", fault.kind),
        };
        assert_eq!(said, wanted);
    }
}

/// What a removal came to, in one word.
async fn remove(at: AccountRef, answers: Vec<(&str, Vec<Answer>)>) -> String {
    let (connector, script) = stage(answers);
    let cx = Cx::new(&script, now());
    match connector.accounts().unwrap().remove(&cx, &at).await {
        Ok(removed) => format!("{removed:?}"),
        Err(fault) => format!("{:?} {:?} {:?}", fault.kind, fault.retry, fault.effect),
    }
}

#[tokio::test]
async fn a_removal_is_told_apart() {
    let delete = format!("DELETE /members/{ADA}");
    let gone = || answer(404, json!({ "message": "No member found" }));
    let cases = vec![
        (vec![(delete.as_str(), vec![answer(204, Value::Null)])], "Done"),
        (vec![(delete.as_str(), vec![gone()])], "AlreadyGone"),
        // A token that lost its organisation must not make everybody look gone.
        (vec![(delete.as_str(), vec![gone()]), ("GET ", vec![gone()])], "Permission AfterOperator None"),
        (
            vec![(delete.as_str(), vec![answer(403, json!({ "message": "missing scope" }))])],
            "Permission AfterOperator None",
        ),
        (
            vec![(delete.as_str(), vec![answer(403, json!({ "message": "You can't remove yourself" }))])],
            "Protected Never None",
        ),
        (vec![(delete.as_str(), vec![refused("Can't remove the last administrator")])], "Protected Never None"),
        (vec![(delete.as_str(), vec![answer(503, json!("not found"))])], "Unavailable Soon Unknown"),
        (
            vec![(delete.as_str(), vec![Answer { status: 200, headers: vec![], body: "<html>".to_owned() }])],
            "Malformed Soon Unknown",
        ),
    ];
    for (number, (answers, wanted)) in cases.into_iter().enumerate() {
        assert_eq!(remove(member(ADA), answers).await, wanted, "case {number}");
    }
    assert_eq!(remove(member(OWN), vec![]).await, "Protected Never None");
    for bad in ["", "..", "a/b"] {
        assert_eq!(remove(member(bad), vec![]).await, "Refused Never None", "{bad}");
    }
}

#[tokio::test]
async fn a_revocation_looks_before_it_says_gone() {
    let delete = format!("DELETE /invitations/{INVITE}");
    let get = format!("GET /invitations/{INVITE}");
    let cases = [
        (answer(204, Value::Null), None, "Done"),
        (answer(404, json!({})), None, "AlreadyGone"),
        (refused("already revoked"), Some("revoked"), "AlreadyGone"),
        (refused("already expired"), Some("expired"), "AlreadyGone"),
        (refused("already accepted"), Some("accepted"), "NotFound Soon None"),
        (refused("no"), Some("pending"), "Refused Never None"),
    ];
    for (deleted, state, wanted) in cases {
        let mut answers = vec![(delete.as_str(), vec![deleted])];
        if let Some(state) = state {
            answers.push((get.as_str(), vec![answer(200, invitation(state))]));
        }
        assert_eq!(remove(invited(), answers).await, wanted);
    }
}

#[tokio::test]
async fn a_role_is_written_once_and_shown() {
    let patch = format!("PATCH /members/{ADA}");
    let mut change = AccountChange::default();
    change.role = Some("admin".to_owned());
    let cases = [
        (answer(200, member_body("admin")), "admin"),
        (answer(404, json!({})), "gone"),
        (refused("would leave no admin"), "Protected"),
        (refused("role is not supported"), "Refused"),
        (answer(403, json!({ "message": "scope" })), "Permission"),
    ];
    for (answered, wanted) in cases {
        let (connector, script) = stage(vec![(&patch, vec![answered])]);
        let cx = Cx::new(&script, now());
        let accounts = connector.accounts().unwrap();
        let said = match accounts.update(&cx, &member(ADA), &change).await {
            Ok(Updated::Done(account)) => account.role.unwrap(),
            Ok(Updated::AlreadyGone) => "gone".to_owned(),
            Ok(other) => format!("{other:?}"),
            Err(fault) => format!("{:?}", fault.kind),
        };
        assert_eq!(said, wanted);
        assert_eq!(script.body_of(&patch), json!({ "role": "admin" }));
    }
}

#[tokio::test]
async fn members_are_paged_by_link_by_fullness_and_without_paging() {
    let full = |from: usize| -> Value {
        (from..from + 100)
            .map(|n| json!({ "id": format!("user-{n}"), "name": "N", "email": "n@x", "role": "member" }))
            .collect()
    };
    // Each: the answers in turn, how many pages are read, how many accounts.
    let linked = Answer {
        headers: vec![("link", "<https://elsewhere.example/v2/x?page=2>; rel=\"next\"")],
        ..answer(200, full(0))
    };
    let last = Answer { headers: vec![("link", "<https://x?page=1>; rel=\"prev\"")], ..answer(200, json!([])) };
    let cases = vec![
        (vec![linked, last], 2, 100),
        (vec![answer(200, full(0)), answer(200, full(100)), answer(200, json!([]))], 3, 200),
        // The same list whatever page is asked for: it is not paged, and was whole.
        (vec![answer(200, full(0))], 2, 100),
        (vec![answer(200, json!([]))], 1, 0),
    ];
    for (answers, calls, accounts) in cases {
        let (connector, script) = stage(vec![("GET /members", answers)]);
        let cx = Cx::new(&script, now());
        let mut page = None;
        let mut listed = 0;
        loop {
            let part = connector.accounts().unwrap().list(&cx, page.as_ref()).await.unwrap();
            listed += part.items.len();
            page = part.next;
            if page.is_none() {
                break;
            }
        }
        let made = script.calls().iter().filter(|call| *call == "GET /members").count();
        assert_eq!((made, listed), (calls, accounts));
    }
}

#[tokio::test]
async fn an_invitation_is_one_call_with_role_sso_and_teams() {
    let secrets = Secrets::new([("token".to_owned(), SecretString::from(TOKEN))]);
    let settings =
        json!({ "org": "acme", "sso_mode": "optional", "default_role": "member", "team_member_role": "maintainer" });
    let connector = Entry::of::<Buildkite>().build(&settings, &secrets).unwrap();
    let (_, script) = stage(vec![("POST /invitations", vec![answer(201, json!([invitation("pending")]))])]);
    let mut want = ada();
    want.role = Some("ADMIN".to_owned());
    want.groups = vec![RemoteId::new(TEAM), RemoteId::new(TEAM)];
    let cx = Cx::new(&script, now());
    let made = connector.accounts().unwrap().create(&cx, &want).await;
    assert!(matches!(made, Ok(Created::Invited(_))), "{made:?}");
    assert_eq!(script.calls(), ["POST /invitations"]);
    assert_eq!(
        script.body_of("POST /invitations"),
        json!({ "emails": ["ada@corp.example"], "role": "admin", "sso_mode": "optional",
            "teams": [{ "id": TEAM, "role": "maintainer" }] })
    );
    want.role = Some("owner".to_owned());
    let fault = connector.accounts().unwrap().create(&cx, &want).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Refused);
    let nobody = connector.accounts().unwrap().create(&cx, &Person::named("ada")).await;
    assert!(matches!(nobody, Err(fault) if fault.kind == FaultKind::Incomplete));
    assert_eq!(script.calls().len(), 1);
}
