//! The GitHub connector against answers made by hand: teams and their members.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod github_support;

use github_support::*;

#[tokio::test]
async fn teams_are_made_renamed_and_deleted_by_number() {
    let connector = by("manual");
    let groups = connector.groups().unwrap();
    let team = |id: u64, name: &str| json!({"id": id, "name": name, "slug": "s"});
    let want = GroupWant::named("Platform Eng");
    let taken =
        on("POST /orgs/acme/teams ", 422, invalid("already_exists", "name", "Name must be unique for this org"));

    let fake = Fake::new(vec![on("POST /orgs/acme/teams ", 201, team(12, "Platform Eng"))]);
    let got = groups.create(&Cx::new(&fake, now()), &want).await.unwrap();
    assert!(matches!(got, GroupCreated::Done(group) if group.id == RemoteId::new("12")));
    assert_eq!(fake.body(0), json!({"name": "Platform Eng", "privacy": "closed"}));

    let slug = on("GET /orgs/acme/teams/platform-eng ", 200, team(12, "platform eng"));
    let fake = Fake::new(vec![taken.clone(), slug]);
    let got = groups.create(&Cx::new(&fake, now()), &want).await.unwrap();
    assert!(matches!(got, GroupCreated::AlreadyThere(group) if group.id == RemoteId::new("12")));

    let other = on("GET /orgs/acme/teams/platform-eng ", 200, team(13, "Platform-Eng"));
    let list = on("GET /orgs/acme/teams?", 200, json!([team(13, "Platform-Eng")]));
    let fake = Fake::new(vec![taken, other, list.clone()]);
    let fault = groups.create(&Cx::new(&fake, now()), &want).await.unwrap_err();
    assert_eq!((fault.kind, fault.retry), (FaultKind::NameTaken, Retry::Never));

    let id = RemoteId::new("12");
    let at = "/organizations/4242/team/12";
    let mut change = GroupChange::default();
    change.name = Some("New".to_owned());
    for status in [200, 201] {
        let fake = Fake::new(vec![org(), on(&format!("PATCH {at} "), status, team(12, "New"))]);
        let got = groups_of(&by("manual"), &fake, &id, &change).await.unwrap();
        assert!(matches!(got, GroupUpdated::Done(group) if group.name == "New"));
    }
    let gone = on(&format!("GET {at} "), 404, Value::Null);
    let patch = on(&format!("PATCH {at} "), 404, Value::Null);
    let fake = Fake::new(vec![org(), patch.clone(), gone.clone(), list.clone(), own(), inside()]);
    assert_eq!(groups_of(&by("manual"), &fake, &id, &change).await.unwrap(), GroupUpdated::AlreadyGone);
    // The lists are closed to the credential: a 404 proves nothing.
    let closed = on("GET /orgs/acme/teams?", 404, Value::Null);
    let fake = Fake::new(vec![org(), patch, gone, closed]);
    let fault = groups_of(&by("manual"), &fake, &id, &change).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Permission);

    let children = |list| on(&format!("GET {at}/teams?"), 200, list);
    let fake = Fake::new(vec![org(), children(json!([])), on(&format!("DELETE {at} "), 204, Value::Null)]);
    assert_eq!(groups.remove(&Cx::new(&fake, now()), &id).await.unwrap(), Removed::Done);
    let fake = Fake::new(vec![org(), children(json!([team(14, "Child")]))]);
    let fault = groups.remove(&Cx::new(&fake, now()), &id).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Protected);
    assert!(fake.writes().is_empty());

    for status in [204, 404] {
        let fake = Fake::new(vec![org(), own(), on(&format!("DELETE {at}/memberships/bot "), status, Value::Null)]);
        groups.tidy(&Cx::new(&fake, now()), &id).await.unwrap();
    }
}

async fn groups_of(
    connector: &Arc<dyn Connector>,
    fake: &Fake,
    id: &RemoteId,
    change: &GroupChange,
) -> Result<GroupUpdated, Fault> {
    connector.groups().unwrap().update(&Cx::new(fake, now()), id, change).await
}

#[tokio::test]
async fn memberships_are_set_one_by_one_with_the_login_checked() {
    async fn check(
        what: &str,
        who: &AccountRef,
        add: bool,
        answers: Vec<Answer>,
        want: Result<&str, FaultKind>,
        writes: usize,
    ) {
        let fake = Fake::new([answers, vec![org(), own(), inside()]].concat());
        let connector = by("handle");
        let one = std::slice::from_ref(who);
        let (add, remove): (&[AccountRef], &[AccountRef]) = if add { (one, &[]) } else { (&[], one) };
        let got =
            connector.groups().unwrap().change_members(&Cx::new(&fake, now()), &RemoteId::new("12"), add, remove).await;
        assert_eq!(got.len(), 1, "{what}");
        let got = match &got[0] {
            Ok(Membership::Present) => Ok("present"),
            Ok(Membership::Pending) => Ok("pending"),
            Ok(Membership::Absent) => Ok("absent"),
            Ok(Membership::Kept { .. }) => Ok("kept"),
            Ok(_) => Ok("?"),
            Err(fault) => Err(fault.kind),
        };
        assert_eq!(got, want, "{what}");
        assert_eq!(fake.writes().len(), writes, "{what}: {:?}", fake.asked());
    }
    let ada = account("9", "ada");
    let seat = |state| on("GET /orgs/acme/memberships/ada ", 200, membership(9, "ada", state, "member"));
    let no_seat = on("GET /orgs/acme/memberships/ada ", 404, Value::Null);
    let user = |login: &str| on("GET /user/9 ", 200, json!({"id": 9, "login": login}));
    let at = "/organizations/4242/team/12/memberships/ada ";
    let put = |status, body| on(&format!("PUT {at}"), status, body);
    let delete = |status, body| on(&format!("DELETE {at}"), status, body);
    let team = on("GET /organizations/4242/team/12 ", 200, json!({"id": 12, "name": "T"}));
    let no_team = || on("GET /organizations/4242/team/12 ", 404, Value::Null);
    let list = || on("GET /orgs/acme/teams?", 200, json!([]));
    let state = |state: &str, role: &str| json!({"url": "x", "state": state, "role": role});

    check("added", &ada, true, vec![seat("active"), put(200, state("active", "member"))], Ok("present"), 1).await;
    check(
        "an owner stays maintainer",
        &ada,
        true,
        vec![seat("active"), put(200, state("active", "maintainer"))],
        Ok("present"),
        1,
    )
    .await;
    check("invited", &ada, true, vec![seat("pending"), put(200, state("pending", "member"))], Ok("pending"), 1).await;
    check("outside: would be invited", &ada, true, vec![no_seat.clone(), user("ada")], Err(FaultKind::Refused), 0)
        .await;
    let synced = json!({"message": "This team is managed by team synchronization"});
    check("synchronised", &ada, true, vec![seat("active"), put(403, synced.clone())], Err(FaultKind::Refused), 1).await;
    check(
        "no right",
        &ada,
        true,
        vec![seat("active"), put(403, json!({"message": "Must have admin rights"}))],
        Err(FaultKind::Permission),
        1,
    )
    .await;
    check(
        "team gone",
        &ada,
        true,
        vec![seat("active"), put(404, Value::Null), no_team(), list()],
        Err(FaultKind::NotFound),
        1,
    )
    .await;
    let admin = invalid(
        "unprocessable",
        "user",
        "User is already an admin of this organization, so they can't be promoted to team maintainer.",
    );
    let there = on(&format!("GET {at}"), 200, state("active", "maintainer"));
    check(
        "already, in the old words",
        &ada,
        true,
        vec![seat("active"), put(422, admin), there.clone()],
        Ok("present"),
        1,
    )
    .await;
    let nameless = AccountRef::Account { id: RemoteId::new("9"), login: None };
    check(
        "no login known",
        &nameless,
        true,
        vec![user("ada"), seat("active"), put(200, state("active", "member"))],
        Ok("present"),
        1,
    )
    .await;
    let by_login = AccountRef::Invite { id: InviteId::new("77"), email: None, login: Some("ada".to_owned()) };
    check(
        "an invitation by login",
        &by_login,
        true,
        vec![seat("pending"), put(200, state("pending", "member"))],
        Ok("pending"),
        1,
    )
    .await;
    check("an invitation taken back", &by_login, true, vec![no_seat.clone()], Err(FaultKind::Refused), 0).await;
    check("an invitation by e-mail", &invite("77"), true, vec![], Err(FaultKind::Refused), 0).await;

    check("removed", &ada, false, vec![seat("active"), delete(204, Value::Null)], Ok("absent"), 1).await;
    let not_in = on(&format!("GET {at}"), 404, Value::Null);
    check(
        "was none",
        &ada,
        false,
        vec![seat("active"), delete(404, Value::Null), not_in.clone(), team.clone()],
        Ok("absent"),
        1,
    )
    .await;
    check("inherited", &ada, false, vec![seat("active"), delete(404, Value::Null), there], Ok("kept"), 1).await;
    check(
        "team gone",
        &ada,
        false,
        vec![seat("active"), delete(404, Value::Null), not_in, no_team(), list()],
        Err(FaultKind::NotFound),
        1,
    )
    .await;
    check("left the organisation", &ada, false, vec![no_seat, user("ada"), team], Ok("absent"), 0).await;
    check("synchronised", &ada, false, vec![seat("active"), delete(403, synced)], Err(FaultKind::Refused), 1).await;
    check("a broken id", &account("x", "ada"), false, vec![], Err(FaultKind::Refused), 0).await;
}

#[tokio::test]
async fn a_look_at_a_login_is_believed_for_a_minute() {
    let fake = Fake::new(vec![
        org(),
        on("GET /orgs/acme/memberships/ada ", 200, membership(9, "ada", "active", "member")),
        on("PUT /organizations/4242/team/12/memberships/ada ", 200, json!({"state": "active", "role": "member"})),
    ]);
    let connector = by("handle");
    let ada = [account("9", "ada")];
    for (at, looks) in [(now(), 1), (after(59), 1), (after(61), 2)] {
        let got =
            connector.groups().unwrap().change_members(&Cx::new(&fake, at), &RemoteId::new("12"), &ada, &[]).await;
        assert_eq!(got, [Ok(Membership::Present)]);
        let seen = fake.asked().iter().filter(|call| call.contains("/orgs/acme/memberships/")).count();
        assert_eq!(seen, looks);
    }
}

#[tokio::test]
async fn members_of_a_team_are_marked_pending_and_inherited() {
    let connector = by("manual");
    let groups = connector.groups().unwrap();
    let at = "/organizations/4242/team/12";
    let fake = Fake::new(vec![
        org(),
        on(
            &format!("GET {at}/members?role=all&per_page=100&page=1 "),
            200,
            json!([
            {"id": 9, "login": "ada", "role": "member", "inherited": false},
            {"id": 10, "login": "bob", "role": "maintainer", "inherited": true}]),
        ),
        on(
            &format!("GET {at}/invitations?per_page=100&page=1 "),
            200,
            json!([invitation(77, None, Some("eve@corp.example"))]),
        ),
    ]);
    let cx = Cx::new(&fake, now());
    let id = RemoteId::new("12");
    let first = groups.members(&cx, &id, None).await.unwrap();
    let marks: Vec<(bool, bool)> = first.items.iter().map(|m| (m.pending, m.inherited)).collect();
    assert_eq!(marks, [(false, false), (false, true)]);
    let second = groups.members(&cx, &id, first.next.as_ref()).await.unwrap();
    assert!(second.items[0].pending && second.next.is_none());

    let gone = Fake::new(vec![
        org(),
        on(&format!("GET {at}/members"), 404, Value::Null),
        on(&format!("GET {at} "), 404, Value::Null),
        on("GET /orgs/acme/teams?", 200, json!([])),
        own(),
        inside(),
    ]);
    let fault = groups.members(&Cx::new(&gone, now()), &id, None).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::NotFound);
}

#[tokio::test]
async fn teams_only_matches_people_and_never_invites() {
    let connector = build(json!({"mode": "teams_only", "identity": "handle"}));
    let accounts = connector.accounts().unwrap();
    let none = Fake::new(vec![on("GET /orgs/acme/memberships/ada ", 404, Value::Null)]);
    let cx = Cx::new(&none, now());
    let got = accounts.create(&cx, &person("ada", Some("a@b.example"))).await.unwrap();
    assert!(matches!(got, Created::ActionRequired(need) if need.code == "not_a_member"));
    assert!(accounts.find(&cx, &person("ada", Some("a@b.example"))).await.unwrap().is_empty());
    let member =
        Fake::new(vec![on("GET /orgs/acme/memberships/ada ", 200, membership(9, "ada", "active", "member")), own()]);
    let got = accounts.create(&Cx::new(&member, now()), &person("ada", None)).await.unwrap();
    assert!(matches!(got, Created::AlreadyThere(_)));
    for fake in [&none, &member] {
        assert!(fake.writes().is_empty());
    }
    let fault = accounts.remove(&cx, &account("9", "ada")).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Refused);
}
