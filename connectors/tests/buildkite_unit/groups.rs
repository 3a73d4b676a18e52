//! Teams.

use connector_sdk::{
    AccountRef, Cx, FaultKind, GroupChange, GroupCreated, GroupUpdated, GroupWant, Membership, RemoteId,
};
use serde_json::{Value, json};

use crate::script::*;

#[tokio::test]
async fn a_team_is_created_in_one_write_and_a_taken_name_is_looked_up() {
    let team = json!({ "id": TEAM, "name": "platform", "slug": "platform" });
    let made = json!({ "data": { "teamCreate": { "teamEdge": { "node": { "id": "x", "uuid": TEAM, "name": "Platform", "slug": "platform" } } } } });
    let taken = json!({ "errors": [{ "message": "Validation failed: Name has already been taken" }], "data": { "teamCreate": null } });
    let cases = [(made, json!([]), "made"), (taken.clone(), json!([team]), "there"), (taken, json!([]), "NameTaken")];
    for (answered, listed, wanted) in cases {
        let (connector, script) =
            stage(vec![(GRAPHQL, vec![answer(200, answered)]), ("GET /teams", vec![answer(200, listed)])]);
        let cx = Cx::new(&script, now());
        let groups = connector.groups().unwrap();
        let said = match groups.create(&cx, &GroupWant::named("Platform")).await {
            Ok(GroupCreated::Done(group)) => {
                assert_eq!(group.id, RemoteId::new(TEAM));
                assert_eq!(script.calls(), ["GET ", GRAPHQL]);
                "made".to_owned()
            }
            Ok(GroupCreated::AlreadyThere(group)) => {
                assert_eq!(group.id, RemoteId::new(TEAM));
                "there".to_owned()
            }
            Ok(other) => format!("{other:?}"),
            Err(fault) => format!("{:?}", fault.kind),
        };
        assert_eq!(said, wanted);
        assert_eq!(
            script.body_of(GRAPHQL)["variables"],
            json!({ "input": { "organizationID": "T3Jn", "name": "Platform", "privacy": "VISIBLE", "isDefaultTeam": false, "defaultMemberRole": "MEMBER" } })
        );
    }
}

#[tokio::test]
async fn a_team_is_renamed_by_its_name_alone() {
    let patch = format!("PATCH /teams/{TEAM}");
    let mut change = GroupChange::default();
    change.name = Some("New".to_owned());
    let cases = [
        // The documented answer echoes the request and shows no id.
        (answer(200, json!({ "name": "New" })), "New"),
        (answer(404, json!({})), "gone"),
        (refused("Validation failed: Name has already been taken"), "NameTaken"),
        (refused("Validation failed: Name is too long"), "Refused"),
    ];
    for (answered, wanted) in cases {
        let (connector, script) = stage(vec![(&patch, vec![answered])]);
        let cx = Cx::new(&script, now());
        let groups = connector.groups().unwrap();
        let said = match groups.update(&cx, &RemoteId::new(TEAM), &change).await {
            Ok(GroupUpdated::Done(group)) => {
                assert_eq!(group.id, RemoteId::new(TEAM));
                group.name
            }
            Ok(GroupUpdated::AlreadyGone) => "gone".to_owned(),
            Ok(other) => format!("{other:?}"),
            Err(fault) => format!("{:?}", fault.kind),
        };
        assert_eq!(said, wanted);
        assert_eq!(script.body_of(&patch), json!({ "name": "New" }));
    }
}

#[tokio::test]
async fn a_membership_counts_only_after_a_look() {
    let post = format!("POST /teams/{TEAM}/members/");
    let delete = format!("DELETE /teams/{TEAM}/members/{ADA}");
    let get = format!("GET /teams/{TEAM}/members/{ADA}");
    let team = format!("GET /teams/{TEAM}");
    let there = || answer(200, json!({ "user_id": ADA, "role": "member" }));
    let is_team = || answer(200, json!({ "id": TEAM, "name": "Platform", "slug": "platform" }));
    let gone = || answer(404, json!({ "message": "No such thing found" }));
    // Each: the answer to the change, to the look at the member, to the look at the team.
    let cases = vec![
        (true, answer(201, json!({ "user_id": ADA, "role": "member" })), gone(), gone(), "Present"),
        (true, refused("This user has already been added"), there(), is_team(), "Present"),
        (true, refused("This user has already been added"), gone(), is_team(), "Refused"),
        (true, gone(), gone(), is_team(), "Refused"),
        (true, gone(), gone(), gone(), "NotFound"),
        (true, refused("Role is invalid"), there(), is_team(), "Refused"),
        (true, answer(201, json!({ "user_id": OWN })), gone(), is_team(), "Malformed"),
        (false, answer(204, Value::Null), gone(), gone(), "Absent"),
        (false, gone(), gone(), is_team(), "Absent"),
        (false, refused("This resource no longer exists"), gone(), is_team(), "Absent"),
        (false, refused("This resource no longer exists"), there(), is_team(), "Refused"),
        (false, gone(), gone(), gone(), "NotFound"),
        (false, answer(500, json!("not found")), gone(), is_team(), "Unavailable"),
        (false, refused("The last maintainer stays"), gone(), is_team(), "Refused"),
    ];
    for (number, (add, changed, looked, team_shown, wanted)) in cases.into_iter().enumerate() {
        let change = if add { &post } else { &delete };
        let (connector, script) = stage(vec![
            (change.as_str(), vec![changed]),
            (get.as_str(), vec![looked]),
            (team.as_str(), vec![team_shown]),
        ]);
        let cx = Cx::new(&script, now());
        let who = [member(ADA)];
        let none: [AccountRef; 0] = [];
        let (adds, removes): (&[AccountRef], &[AccountRef]) = if add { (&who, &none) } else { (&none, &who) };
        let groups = connector.groups().unwrap();
        let answers = groups.change_members(&cx, &RemoteId::new(TEAM), adds, removes).await;
        let said = match answers.as_slice() {
            [Ok(Membership::Present)] => "Present".to_owned(),
            [Ok(Membership::Absent)] => "Absent".to_owned(),
            [Err(fault)] => format!("{:?}", fault.kind),
            other => format!("{other:?}"),
        };
        assert_eq!(said, wanted, "case {number}");
    }
}

#[tokio::test]
async fn an_invited_person_is_in_no_team() {
    let (connector, script) = stage(vec![]);
    let cx = Cx::new(&script, now());
    let groups = connector.groups().unwrap();
    let answers = groups.change_members(&cx, &RemoteId::new(TEAM), &[invited()], &[]).await;
    assert!(matches!(answers.as_slice(), [Err(fault)] if fault.kind == FaultKind::Refused));
    assert!(script.calls().is_empty());
}

#[tokio::test]
async fn a_removed_group_is_told_apart() {
    let delete = format!("DELETE /teams/{TEAM}");
    let get = format!("GET /teams/{TEAM}");
    let is_team = || answer(200, json!({ "id": TEAM, "name": "Platform" }));
    let cases = [
        (answer(204, Value::Null), is_team(), "Done"),
        (answer(404, json!({})), answer(404, json!({})), "AlreadyGone"),
        (refused("The team still has pipelines"), is_team(), "Refused"),
        (answer(502, json!("not found")), is_team(), "Unavailable"),
    ];
    for (deleted, shown, wanted) in cases {
        let (connector, script) = stage(vec![(&delete, vec![deleted]), (&get, vec![shown])]);
        let cx = Cx::new(&script, now());
        let said = match connector.groups().unwrap().remove(&cx, &RemoteId::new(TEAM)).await {
            Ok(removed) => format!("{removed:?}"),
            Err(fault) => format!("{:?}", fault.kind),
        };
        assert_eq!(said, wanted);
    }
}
