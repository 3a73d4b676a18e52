//! The GitHub connector against answers made by hand: people and invitations.

mod github_support;

use github_support::*;

#[tokio::test]
async fn an_email_invitation_is_one_call() {
    let fake = Fake::new(vec![on("POST /orgs/acme/invitations", 201, invitation(77, None, Some("ada@corp.example")))]);
    let mut want = person("ada", Some("ada@corp.example"));
    want.groups = vec![RemoteId::new("12")];
    let created = by("saml").accounts().unwrap().create(&Cx::new(&fake, now()), &want).await;
    let Ok(Created::Invited(account)) = created else { panic!("{created:?}") };
    assert_eq!(account.invite_id, Some(InviteId::new("77")));
    assert_eq!(account.expires_at, Some(after(7 * 86_400)));
    assert_eq!(fake.asked(), ["POST /orgs/acme/invitations"]);
    assert_eq!(fake.body(0), json!({"email": "ada@corp.example", "role": "direct_member", "team_ids": [12]}));
}

#[tokio::test]
async fn a_refused_invitation_says_what_it_means() {
    async fn invite_with(answers: Vec<Answer>) -> (Result<Created, Fault>, Vec<String>) {
        let fake = Fake::new(answers);
        let who = person("ada", Some("ada@corp.example"));
        let created = by("manual").accounts().unwrap().create(&Cx::new(&fake, now()), &who).await;
        (created, fake.writes())
    }
    let at = |body| on("POST /orgs/acme/invitations", 422, body);
    let pending = |list| on("GET /orgs/acme/invitations", 200, list);

    let (seat, _) = invite_with(vec![at(invalid(
        "no_seat",
        "user",
        "You must purchase at least one more seat to add this user as a member.",
    ))])
    .await;
    assert!(matches!(seat, Ok(Created::ActionRequired(need)) if need.code == "seat"));

    let (quota, _) = invite_with(vec![at(invalid("unprocessable", "data", "Over invitation rate limit"))]).await;
    assert!(matches!(quota, Ok(Created::Waiting { until: Some(at), .. }) if at == after(3600)));

    let already = at(invalid("unprocessable", "data", "Invitee is already a part of this organization"));
    let (there, writes) = invite_with(vec![already, pending(json!([]))]).await;
    assert!(matches!(there, Ok(Created::ActionRequired(need)) if need.code == "identity"));
    assert_eq!(writes.len(), 1);

    let twice = || at(invalid("already_exists", "data", "A user with this email address has already been invited"));
    let listed =
        pending(json!([invitation(5, None, Some("x@corp.example")), invitation(77, None, Some("ADA@corp.example"))]));
    let (there, _) = invite_with(vec![twice(), listed]).await;
    let Ok(Created::AlreadyThere(found)) = there else { panic!("{there:?}") };
    assert_eq!(found.account.invite_id, Some(InviteId::new("77")));
    let (unseen, _) = invite_with(vec![twice(), pending(json!([]))]).await;
    assert_eq!(unseen.unwrap_err().kind, FaultKind::Unavailable);

    // A token that GitHub, or a proxy before it, echoes goes no further.
    let echo = invalid("invalid", "email", "bad ghp_abc and 0123456789abcdef0123456789abcdef01234567, sorry");
    let (echoed, _) = invite_with(vec![at(echo)]).await;
    let echoed = echoed.unwrap_err().message;
    assert!(echoed.contains("bad [left out] and [left out], sorry"), "{echoed}");

    let (other, _) = invite_with(vec![at(invalid("invalid", "email", "is blocked"))]).await;
    let other = other.unwrap_err();
    assert_eq!(other.kind, FaultKind::Refused);
    assert!(other.message.contains("is blocked"));
    assert!(!other.context.contains("ada"));
}

#[tokio::test]
async fn who_lacks_what_an_invitation_needs_is_incomplete_without_a_call() {
    async fn check(identity: &str, who: Person, word: &str) {
        let fake = Fake::default();
        let fault = by(identity).accounts().unwrap().create(&Cx::new(&fake, now()), &who).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Incomplete);
        assert!(fault.message.contains(word), "{}", fault.message);
    }
    check("saml", person("ada", None), "emails").await;
    check("handle", person("ada@corp.example", Some("ada@corp.example")), "userName").await;
    check("handle", person("-ada", None), "userName").await;
    check("handle", person("a/../b", None), "userName").await;
}

#[tokio::test]
async fn an_invitation_by_login_looks_first() {
    let there = |state: &str| on("GET /orgs/acme/memberships/Ada ", 200, membership(9, "ada", state, "member"));
    let mut who = Person::named("ada@corp.example");
    who.attributes = json!({"urn:acme:User": {"gitHub": "Ada"}}).as_object().unwrap().clone();
    let connector = build(json!({"identity": "handle", "handle_attribute": "urn:acme:User:gitHub"}));
    let accounts = connector.accounts().unwrap();

    let fake = Fake::new(vec![there("active"), own()]);
    let got = accounts.create(&Cx::new(&fake, now()), &who).await.unwrap();
    assert!(
        matches!(got, Created::AlreadyThere(found) if found.evidence == Evidence::Login && found.account.remote_id == Some(RemoteId::new("9")))
    );
    assert!(fake.writes().is_empty());

    let list = on("GET /orgs/acme/invitations", 200, json!([invitation(78, Some("ada"), None)]));
    let fake = Fake::new(vec![there("pending"), list.clone()]);
    let got = accounts.create(&Cx::new(&fake, now()), &who).await.unwrap();
    assert!(matches!(got, Created::AlreadyThere(found) if found.account.invite_id == Some(InviteId::new("78"))));
    assert!(fake.writes().is_empty());

    let absent = on("GET /orgs/acme/memberships/Ada ", 404, Value::Null);
    let put = on("PUT /orgs/acme/memberships/Ada ", 200, membership(9, "ada", "pending", "member"));
    for (list, id) in [(list, "78"), (on("GET /orgs/acme/invitations", 502, Value::Null), "login:ada")] {
        let fake = Fake::new(vec![absent.clone(), put.clone(), list]);
        let got = accounts.create(&Cx::new(&fake, now()), &who).await.unwrap();
        assert!(matches!(&got, Created::Invited(account) if account.invite_id == Some(InviteId::new(id))), "{got:?}");
        assert_eq!(fake.writes().len(), 1);
    }

    let no_user = on("PUT /orgs/acme/memberships/Ada ", 404, Value::Null);
    let fake = Fake::new(vec![absent.clone(), no_user.clone(), on("GET /users/Ada ", 404, Value::Null)]);
    let fault = accounts.create(&Cx::new(&fake, now()), &who).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Refused);
    let fake = Fake::new(vec![absent, no_user, on("GET /users/Ada ", 200, json!({"id": 9, "login": "ada"}))]);
    let fault = accounts.create(&Cx::new(&fake, now()), &who).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Permission);
}

#[tokio::test]
async fn a_login_is_checked_against_its_id_before_a_removal() {
    async fn check(what: &str, answers: Vec<Answer>, want: Result<Removed, FaultKind>, writes: &[&str]) {
        let fake = Fake::new([answers, vec![own(), owners()]].concat());
        let got = by("saml").accounts().unwrap().remove(&Cx::new(&fake, now()), &account("9", "ada")).await;
        assert_eq!(got.map_err(|fault| fault.kind), want, "{what}");
        assert_eq!(fake.writes(), writes, "{what}");
    }
    let seat = |login: &str, id: u64, role: &str| {
        on(&format!("GET /orgs/acme/memberships/{login} "), 200, membership(id, login, "active", role))
    };
    let none = |login: &str| on(&format!("GET /orgs/acme/memberships/{login} "), 404, Value::Null);
    let user = |login: &str| on("GET /user/9 ", 200, json!({"id": 9, "login": login}));
    let no_user = on("GET /user/9 ", 404, Value::Null);
    let delete =
        |login: &str, status| on(&format!("DELETE /orgs/acme/memberships/{login} "), status, json!({"message": "x"}));
    let gone = |login: &str| format!("DELETE /orgs/acme/memberships/{login}");

    check("a member", vec![seat("ada", 9, "member"), delete("ada", 204)], Ok(Removed::Done), &[&gone("ada")]).await;
    check("not there", vec![none("ada"), user("ada")], Ok(Removed::AlreadyGone), &[]).await;
    check("account deleted", vec![none("ada"), no_user.clone()], Ok(Removed::AlreadyGone), &[]).await;
    check(
        "renamed",
        vec![none("ada"), user("ada2"), seat("ada2", 9, "member"), delete("ada2", 204)],
        Ok(Removed::Done),
        &[&gone("ada2")],
    )
    .await;
    check(
        "login taken over",
        vec![seat("ada", 66, "member"), user("ada2"), seat("ada2", 9, "member"), delete("ada2", 204)],
        Ok(Removed::Done),
        &[&gone("ada2")],
    )
    .await;
    check("login taken over, id gone", vec![seat("ada", 66, "member"), no_user], Ok(Removed::OtherAccount), &[]).await;
    check(
        "left in between",
        vec![seat("ada", 9, "member").once(), delete("ada", 404), none("ada")],
        Ok(Removed::AlreadyGone),
        &[&gone("ada")],
    )
    .await;
    check(
        "404 for want of a right",
        vec![seat("ada", 9, "member"), delete("ada", 404)],
        Err(FaultKind::Permission),
        &[&gone("ada")],
    )
    .await;
    check("another owner", vec![seat("ada", 9, "admin"), delete("ada", 204)], Ok(Removed::Done), &[&gone("ada")]).await;
    let last = on(
        "DELETE /orgs/acme/memberships/ada ",
        403,
        json!({"message": "The last owner of an organization cannot be removed or demoted."}),
    );
    check("GitHub says last owner", vec![seat("ada", 9, "admin"), last], Err(FaultKind::Protected), &[&gone("ada")])
        .await;
    let alone = on("GET /orgs/acme/members?role=admin", 200, json!([{"id": 9, "login": "ada"}]));
    check("we see the last owner", vec![alone, seat("ada", 9, "admin")], Err(FaultKind::Protected), &[]).await;
    let me = on("GET /user ", 200, json!({"id": 9, "login": "ada"}));
    check("the credential's own", vec![me, seat("ada", 9, "admin")], Err(FaultKind::Protected), &[]).await;
    check(
        "no right to look",
        vec![on("GET /orgs/acme/memberships/ada ", 403, json!({"message": "no"}))],
        Err(FaultKind::Permission),
        &[],
    )
    .await;
}

#[tokio::test]
async fn an_invitation_is_taken_back() {
    async fn check(id: &str, answers: Vec<Answer>, want: Result<Removed, FaultKind>) {
        let fake = Fake::new(answers);
        let got = by("manual").accounts().unwrap().remove(&Cx::new(&fake, now()), &invite(id)).await;
        assert_eq!(got.map_err(|fault| fault.kind), want, "{id}");
    }
    let delete = |status| on("DELETE /orgs/acme/invitations/77 ", status, json!({"message": "x"}));
    let list = |items| on("GET /orgs/acme/invitations", 200, items);
    check("77", vec![delete(204)], Ok(Removed::Done)).await;
    check("77", vec![delete(404), list(json!([]))], Ok(Removed::AlreadyGone)).await;
    let still = list(json!([invitation(77, None, Some("a@b.example"))]));
    check("77", vec![delete(404), still], Err(FaultKind::Permission)).await;
    check("seven", vec![], Err(FaultKind::Refused)).await;
    let at = |state| on("GET /orgs/acme/memberships/ada ", 200, membership(9, "ada", state, "member"));
    let cancel = on("DELETE /orgs/acme/memberships/ada ", 204, Value::Null);
    check("login:ada", vec![at("pending"), cancel], Ok(Removed::Done)).await;
    check("login:ada", vec![at("active")], Err(FaultKind::NotFound)).await;
}

#[tokio::test]
async fn a_role_is_set_once_and_never_taken_from_the_last_owner() {
    async fn check(what: &str, answers: Vec<Answer>, role: &str, want: Result<&str, FaultKind>, writes: usize) {
        let fake = Fake::new([answers, vec![own(), owners()]].concat());
        let mut change = AccountChange::default();
        change.role = Some(role.to_owned());
        let got =
            by("saml").accounts().unwrap().update(&Cx::new(&fake, now()), &account("9", "ada"), &change).await.map(
                |updated| match updated {
                    Updated::Done(account) => account.role.unwrap_or_default(),
                    other => format!("{other:?}"),
                },
            );
        assert_eq!(got.as_deref().map_err(|fault| fault.kind), want, "{what}");
        assert_eq!(fake.writes().len(), writes, "{what}");
    }
    let seat = |role| on("GET /orgs/acme/memberships/ada ", 200, membership(9, "ada", "active", role));
    let put = |role| on("PUT /orgs/acme/memberships/ada ", 200, membership(9, "ada", "active", role));
    check("up", vec![seat("member"), put("admin")], "admin", Ok("admin"), 1).await;
    check("down", vec![seat("admin"), put("member")], "member", Ok("member"), 1).await;
    check("same", vec![seat("member")], "member", Ok("member"), 0).await;
    let alone = on("GET /orgs/acme/members?role=admin", 200, json!([{"id": 9, "login": "ada"}]));
    check("last owner", vec![alone, seat("admin")], "member", Err(FaultKind::Protected), 0).await;
    let gone = on("GET /orgs/acme/memberships/ada ", 404, Value::Null);
    let user = on("GET /user/9 ", 200, json!({"id": 9, "login": "ada"}));
    check("gone", vec![gone, user], "admin", Ok("AlreadyGone"), 0).await;
}

#[tokio::test]
async fn what_became_of_an_invitation() {
    async fn check(what: &str, identity: &str, answers: Vec<Answer>, want: &str) {
        let fake = Fake::new([answers, vec![own(), owners()]].concat());
        let got = by(identity)
            .accounts()
            .unwrap()
            .follow(&Cx::new(&fake, now()), &InviteId::new("77"), &person("ada", Some("ada@corp.example")))
            .await
            .unwrap();
        let got = match got {
            Followed::Pending(_) => "pending".to_owned(),
            Followed::Accepted { account, evidence } => {
                format!("{} {evidence:?}", account.remote_id.unwrap())
            }
            Followed::Ended(ended) => format!("{ended:?}"),
            Followed::Unclear(need) => need.code,
            other => format!("{other:?}"),
        };
        assert_eq!(got, want, "{what}");
        assert!(fake.writes().is_empty());
    }
    let pending = |list| on("GET /orgs/acme/invitations", 200, list);
    let failed = |reason: &str| {
        let mut one = invitation(77, None, Some("ada@corp.example"));
        one["failed_reason"] = json!(reason);
        on("GET /orgs/acme/failed_invitations", 200, json!([one]))
    };
    let none = || on("GET /orgs/acme/failed_invitations", 200, json!([]));
    let empty = || pending(json!([]));
    let member = on("GET /orgs/acme/memberships/ada ", 200, membership(9, "ada", "active", "member"));
    let no_member = on("GET /orgs/acme/memberships/ada ", 404, Value::Null);
    let saml = |edges: Value| {
        on(
            "POST /graphql",
            200,
            json!({"data": {"organization": {"samlIdentityProvider": {"externalIdentities": {"edges": edges}}}}}),
        )
    };
    let identity =
        json!([{"node": {"samlIdentity": {"nameId": "Ada@corp.example"}, "user": {"login": "ada", "databaseId": 9}}}]);

    check("pending", "manual", vec![pending(json!([invitation(77, None, None)]))], "pending").await;
    check(
        "expired",
        "manual",
        vec![empty(), failed("Invitation expired. User did not accept this invite for 7 days.")],
        &format!("{:?}", Ended::Expired),
    )
    .await;
    check("failed otherwise", "manual", vec![empty(), failed("No seats")], "Unknown").await;
    check("no source", "manual", vec![empty(), none()], "identity").await;
    check("handle, a member", "handle", vec![empty(), none(), member.clone()], "9 Login").await;
    check("handle, no member", "handle", vec![empty(), none(), no_member], "Unknown").await;
    check("saml", "saml", vec![empty(), none(), saml(identity.clone()), member.clone()], "9 SamlIdentity").await;
    check("saml, nobody yet", "saml", vec![empty(), none(), saml(json!([]))], "identity").await;
    let other = on("GET /orgs/acme/memberships/ada ", 200, membership(66, "ada", "active", "member"));
    check("saml, the login is another's", "saml", vec![empty(), none(), saml(identity), other], "identity").await;
    let unclaimed = json!([{"node": {"samlIdentity": {"nameId": "ada@corp.example"}, "user": null}}]);
    check("saml, unclaimed", "saml", vec![empty(), none(), saml(unclaimed)], "identity").await;
    let domain = |address: &str| {
        on(
            "POST /graphql",
            200,
            json!({"data": {"organization": {"membersWithRole": {"pageInfo": {"hasNextPage": false, "endCursor": null}, "edges": [{"role": "MEMBER", "node": {"login": "ada", "databaseId": 9, "name": "Ada", "organizationVerifiedDomainEmails": ["x@corp.example", address]}}]}}}}),
        )
    };
    check("verified", "verified_domain", vec![empty(), none(), domain("ADA@corp.example")], "9 VerifiedEmail").await;
    check("not verified", "verified_domain", vec![empty(), none(), domain("bob@corp.example")], "identity").await;
}
