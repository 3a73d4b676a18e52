//! What the kit does not play: names that want to be syntax, limits, listings whose connection is gone,
//! groups that may not be empty, memberships of who leaves or is renamed.

use std::collections::BTreeSet;

use connector_sdk::{
    Account, AccountChange, AccountRef, AccountStatus, Created, FaultKind, GroupCreated, GroupWant, Membership, Person,
    Removed, Retry, Updated,
};
use serde_json::{Value, json};

use crate::slapd::{GATEWAY, GATEWAY_PASSWORD, Options, SUFFIX, installed, values};
use crate::world::{Directory, Wire, build};

fn person(name: &str) -> Person {
    let mut who = Person::named(name);
    who.display_name = Some(format!("Kit {name}"));
    who.attributes = json!({ "userName": name }).as_object().cloned().unwrap_or_default();
    who
}

async fn created(at: &Directory, who: &Person) -> Account {
    match at.connector.accounts().expect("people").create(&at.cx(), who).await {
        Ok(Created::Done(account)) => account,
        other => panic!("{who:?}: {other:?}"),
    }
}

async fn group(at: &Directory, name: &str) -> connector_sdk::RemoteGroup {
    match at.connector.groups().expect("groups").create(&at.cx(), &GroupWant::named(name)).await {
        Ok(GroupCreated::Done(group)) => group,
        other => panic!("{name}: {other:?}"),
    }
}

async fn change(
    at: &Directory,
    group: &connector_sdk::RemoteGroup,
    add: &[&Account],
    remove: &[&Account],
) -> Vec<Membership> {
    let refs = |some: &[&Account]| some.iter().map(|one| reference(one)).collect::<Vec<_>>();
    let answers = at.connector.groups().expect("groups");
    let answers = answers.change_members(&at.cx(), &group.id, &refs(add), &refs(remove)).await;
    answers.into_iter().collect::<Result<_, _>>().expect("the members change")
}

async fn members(at: &Directory, group: &connector_sdk::RemoteGroup) -> Vec<AccountRef> {
    let page = at.connector.groups().expect("groups").members(&at.cx(), &group.id, None).await.expect("members");
    page.items.into_iter().map(|member| member.account).collect()
}

fn reference(account: &Account) -> AccountRef {
    account.reference().expect("it has an id")
}

/// The values of the member attribute at the server, the placeholder included.
fn raw(at: &Directory, name: &str) -> Vec<String> {
    let entries = at.server().search(&format!("ou=groups,{SUFFIX}"), &format!("(cn={name})"));
    let [entry] = entries.as_slice() else { panic!("{name} is there once: {entries:?}") };
    ["member", "uniqueMember", "memberUid"]
        .iter()
        .flat_map(|attribute| values(entry, attribute))
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn hostile_names_are_names_and_nothing_else() {
    if !installed() {
        return;
    }
    let at = Directory::new(Options::default(), Wire::Ldaps, &json!({}));
    let (people, groups) = (at.connector.accounts().expect("people"), at.connector.groups().expect("groups"));
    let hostile = [
        "*",
        "a*",
        "*)(uid=*))(|(uid=*",
        "ada,ou=admins",
        "ada+cn=root",
        "#04024869",
        " lead",
        "back\\slash\\2c",
        "\"quoted\"",
        "uid=ada",
        "<a>;b",
        "(&(objectClass=*))",
        "Ünïcödé ☃",
    ];
    for name in hostile {
        let account = created(&at, &person(name)).await;
        let found = people.find(&at.cx(), &person(name)).await.expect("find answers");
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        assert_eq!(found[0].account.remote_id, account.remote_id, "{name}");
        let made = group(&at, name).await;
        let found = groups.find(&at.cx(), name).await.expect("find answers");
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        assert_eq!(change(&at, &made, &[&account], &[]).await, [Membership::Present], "{name}");
        assert_eq!(members(&at, &made).await.len(), 1, "{name}");
        assert_eq!(change(&at, &made, &[], &[&account]).await, [Membership::Absent], "{name}");
    }
    let below = at.server().search(&format!("ou=people,{SUFFIX}"), "(objectClass=inetOrgPerson)");
    assert_eq!(below.len(), hostile.len() + 1);
    for name in ["a\nb", "nul\0", "", "  "] {
        let fault = people.create(&at.cx(), &person(name)).await.expect_err("a fault");
        assert_eq!(fault.kind, FaultKind::Refused, "{name:?}");
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused_before_the_password() {
    if !installed() {
        return;
    }
    let at = Directory::new(Options::default(), Wire::Ldaps, &json!({}));
    let other = crate::slapd::Slapd::start(Options::default());
    let starting = format!("ldap://127.0.0.1:{}", at.server().port);
    for (what, field, value) in [
        ("another authority", "ca", Value::from(other.ca.clone())),
        ("the system's authorities", "ca", Value::Null),
        ("another name", "url", json!("ldaps://ldap.example:636")),
    ] {
        for start in [false, true] {
            let mut settings = at.settings.clone();
            if start {
                settings["url"] = starting.clone().into();
            }
            settings[field] = if start && field == "url" { json!("ldap://ldap.example") } else { value.clone() };
            let connector = build(&settings, GATEWAY_PASSWORD);
            *at.port.lock().expect("a lock") = if start { at.server().port } else { at.server().tls_port };
            let fault = connector.accounts().expect("people").list(&at.cx(), None).await.expect_err("a fault");
            assert_eq!(fault.kind, FaultKind::Unavailable, "{what}: {fault:?}");
            assert!(fault.message.contains("TLS"), "{what}: {fault:?}");
        }
    }
}

#[tokio::test]
async fn plain_ldap_is_refused_where_the_operator_did_not_allow_it() {
    if !installed() {
        return;
    }
    let at = Directory::new(Options::default(), Wire::StartTls, &json!({}));
    let mut settings = at.settings.clone();
    settings["start_tls"] = false.into();
    let fault =
        build(&settings, GATEWAY_PASSWORD).accounts().expect("people").list(&at.cx(), None).await.expect_err("a fault");
    assert_eq!((fault.kind, fault.retry), (FaultKind::NotSent, Retry::AfterOperator));
    assert!(fault.message.contains("SCIMGATE_ALLOW_PRIVATE_TARGETS"), "{fault:?}");
    assert!(at.steps.lock().expect("a lock").is_empty(), "something was sent");
}

#[tokio::test]
async fn a_size_limit_leaves_the_listing_incomplete() {
    if !installed() {
        return;
    }
    let limits = "limits dn.exact=\"uid=gateway,ou=people,dc=kit,dc=example\" size=150 size.prtotal=150\n";
    let at = Directory::new(Options { more: limits, ..Options::default() }, Wire::Ldaps, &json!({}));
    at.load(200, 0);
    let people = at.connector.accounts().expect("people");
    let first = people.list(&at.cx(), None).await.expect("a page");
    assert!(first.complete && first.items.len() == 100, "{}", first.items.len());
    let second = people.list(&at.cx(), first.next.as_ref()).await.expect("a page");
    assert!(!second.complete && second.next.is_none() && !second.items.is_empty(), "{second:?}");
}

#[tokio::test]
async fn a_listing_whose_connection_is_gone_begins_again_and_misses_nobody() {
    if !installed() {
        return;
    }
    let at = Directory::new(Options::default(), Wire::Ldaps, &json!({}));
    at.load(250, 0);
    let first = at.connector.accounts().expect("people").list(&at.cx(), None).await.expect("a page");
    // Another process, which knows nothing of the connection.
    let other = build(&at.settings, GATEWAY_PASSWORD);
    let mut seen = BTreeSet::new();
    let mut page = first.next;
    let mut pages = 0;
    while let Some(token) = page {
        let part = other.accounts().expect("people").list(&at.cx(), Some(&token)).await.expect("a page");
        assert!(part.complete);
        seen.extend(part.items.into_iter().filter_map(|account| account.remote_id));
        page = part.next;
        pages += 1;
        assert!(pages < 10, "it does not end");
    }
    assert_eq!(seen.len(), 251);
    // A connection that breaks again and again ends in a fault, not in a circle.
    let mut token = at.connector.accounts().expect("people").list(&at.cx(), None).await.expect("a page").next;
    let mut rounds = 0;
    let fault = loop {
        let fresh = build(&at.settings, GATEWAY_PASSWORD);
        match fresh.accounts().expect("people").list(&at.cx(), token.as_ref()).await {
            Ok(part) => token = part.next,
            Err(fault) => break fault,
        }
        rounds += 1;
        assert!(rounds < 10, "it begins again for ever");
    };
    assert_eq!(fault.kind, FaultKind::Unavailable, "{fault:?}");
}

#[tokio::test]
async fn a_server_that_was_restarted_is_connected_to_anew() {
    if !installed() {
        return;
    }
    let at = Directory::new(Options::default(), Wire::StartTls, &json!({}));
    let ada = created(&at, &person("ada")).await;
    at.server().restart();
    let people = at.connector.accounts().expect("people");
    let shown = people.get(&at.cx(), &reference(&ada)).await.expect("no fault");
    assert_eq!(shown.and_then(|account| account.remote_id), ada.remote_id);
    let steps = at.steps.lock().expect("a lock").clone();
    assert_eq!(steps.iter().filter(|step| **step == "connect").count(), 2, "{steps:?}");
}

#[tokio::test]
async fn a_connection_is_used_again_but_not_for_ever_and_never_by_a_probe() {
    if !installed() {
        return;
    }
    let at = Directory::new(Options::default(), Wire::Ldaps, &json!({}));
    let people = at.connector.accounts().expect("people");
    let connects = || at.steps.lock().expect("a lock").iter().filter(|step| **step == "connect").count();
    for _ in 0..3 {
        people.list(&at.cx(), None).await.expect("a page");
    }
    assert_eq!(connects(), 1);
    let later = at.now.lock().expect("a lock").checked_add(jiff::SignedDuration::from_secs(61)).expect("a time");
    *at.now.lock().expect("a lock") = later;
    people.list(&at.cx(), None).await.expect("a page");
    assert_eq!(connects(), 2);
    at.server().modify(&format!("dn: {GATEWAY}\nchangetype: modify\nreplace: userPassword\nuserPassword: another\n"));
    let probe = at.connector.probe(&at.cx()).await.expect("an answer");
    assert!(!probe.ok(), "{probe:?}");
}

#[tokio::test]
async fn a_group_is_never_empty_and_its_placeholder_is_no_member() {
    if !installed() {
        return;
    }
    let at = Directory::new(Options::default(), Wire::Ldaps, &json!({}));
    let ada = created(&at, &person("ada")).await;
    // Somebody else's, without a placeholder.
    at.server().add(&format!(
        "dn: cn=Theirs,ou=groups,{SUFFIX}\nobjectClass: groupOfNames\ncn: Theirs\nmember: uid=ada,ou=people,{SUFFIX}\n"
    ));
    let groups = at.connector.groups().expect("groups");
    let theirs = groups.find(&at.cx(), "theirs").await.expect("find answers").remove(0);
    assert_eq!(members(&at, &theirs).await.len(), 1);
    assert_eq!(change(&at, &theirs, &[], &[&ada]).await, [Membership::Absent]);
    assert_eq!(raw(&at, "Theirs"), [format!("cn=nobody,ou=groups,{SUFFIX}")]);
    assert_eq!(members(&at, &theirs).await, []);
    // What is no person of the branch is no member either.
    at.server().modify(&format!(
        "dn: cn=Theirs,ou=groups,{SUFFIX}\nchangetype: modify\nadd: member\nmember: cn=gone,ou=people,{SUFFIX}\nmember: ou=locked,{SUFFIX}\n"
    ));
    assert_eq!(members(&at, &theirs).await, []);
}

#[tokio::test]
async fn who_is_removed_leaves_every_group() {
    if !installed() {
        return;
    }
    for (overlays, class) in
        [(false, "groupOfNames"), (true, "groupOfNames"), (false, "groupOfUniqueNames"), (false, "posixGroup")]
    {
        let at =
            Directory::new(Options { overlays, ..Options::default() }, Wire::Ldaps, &json!({ "group_class": class }));
        let (ada, bob) = (created(&at, &person("ada")).await, created(&at, &person("bob")).await);
        for name in ["One", "Two"] {
            let made = group(&at, name).await;
            change(&at, &made, &[&ada, &bob], &[]).await;
        }
        let people = at.connector.accounts().expect("people");
        assert_eq!(people.remove(&at.cx(), &reference(&ada)).await, Ok(Removed::Done));
        for name in ["One", "Two"] {
            let left = raw(&at, name);
            assert!(left.iter().all(|member| !member.contains("ada")), "{class}: {left:?}");
            assert!(left.iter().any(|member| member.contains("bob")), "{class}: {left:?}");
        }
    }
}

#[tokio::test]
async fn a_new_user_name_renames_the_entry_and_its_memberships_follow() {
    if !installed() {
        return;
    }
    for (overlays, class) in [(false, "groupOfNames"), (true, "groupOfNames"), (false, "posixGroup")] {
        let at =
            Directory::new(Options { overlays, ..Options::default() }, Wire::Ldaps, &json!({ "group_class": class }));
        let ada = created(&at, &person("ada")).await;
        let made = group(&at, "One").await;
        change(&at, &made, &[&ada], &[]).await;
        let people = at.connector.accounts().expect("people");
        let mut new = AccountChange::default();
        new.person = Some(Box::new(person("ada, the second")));
        for _ in 0..2 {
            match people.update(&at.cx(), &reference(&ada), &new).await {
                Ok(Updated::Done(shown)) => {
                    assert_eq!(
                        (shown.remote_id.as_ref(), shown.login.as_deref()),
                        (ada.remote_id.as_ref(), Some("ada, the second"))
                    );
                }
                other => panic!("{other:?}"),
            }
            let left = raw(&at, "One");
            assert!(left.iter().any(|member| member.contains("the second")), "{class}: {left:?}");
            assert!(
                left.iter().all(|member| member.contains("the second") || member.contains("nobody")),
                "{class}: {left:?}"
            );
            assert_eq!(members(&at, &made).await.len(), 1);
        }
        // A login that somebody else has is not taken.
        created(&at, &person("bob")).await;
        new.person = Some(Box::new(person("BOB")));
        let fault = people.update(&at.cx(), &reference(&ada), &new).await.expect_err("a fault");
        assert_eq!(fault.kind, FaultKind::NameTaken, "{fault:?}");
    }
}

#[tokio::test]
async fn what_changed_of_a_person_is_written_and_the_rest_is_left() {
    if !installed() {
        return;
    }
    let more = json!({ "attributes": "roomNumber={urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department}\nemployeeType=" });
    let at = Directory::new(Options::default(), Wire::Ldaps, &more);
    let mut ada = person("ada");
    ada.attributes = json!({
        "externalId": "e-1", "title": "Countess", "name": { "givenName": "Ada", "familyName": "Lovelace" },
        "emails": [{ "value": "other@kit.example" }, { "value": "ada@kit.example", "primary": true }],
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "department": "Engines" },
    })
    .as_object()
    .cloned()
    .expect("a document");
    ada.email = Some("ada@kit.example".to_owned());
    let account = created(&at, &ada).await;
    let dn = format!("uid=ada,ou=people,{SUFFIX}");
    at.server().modify(&format!("dn: {dn}\nchangetype: modify\nadd: description\ndescription: by hand\n"));
    let read = || at.server().search(&dn, "(objectClass=*)").remove(0);
    let shown = read();
    for (name, want) in [
        ("sn", &["Lovelace"][..]),
        ("cn", &["Kit ada"]),
        ("givenName", &["Ada"]),
        ("mail", &["ada@kit.example", "other@kit.example"]),
        ("employeeNumber", &["e-1"]),
        ("title", &["Countess"]),
        ("roomNumber", &["Engines"]),
    ] {
        assert_eq!(values(&shown, name), want, "{name}");
    }
    let mut change = AccountChange::default();
    ada.attributes.remove("title");
    ada.attributes["name"]["familyName"] = "King".into();
    ada.display_name = Some("Ada King".to_owned());
    change.person = Some(Box::new(ada));
    let people = at.connector.accounts().expect("people");
    assert!(matches!(people.update(&at.cx(), &reference(&account), &change).await, Ok(Updated::Done(_))));
    let shown = read();
    for (name, want) in [
        ("sn", &["King"][..]),
        ("cn", &["Ada King"]),
        ("displayName", &["Ada King"]),
        ("title", &[]),
        ("description", &["by hand"]),
    ] {
        assert_eq!(values(&shown, name), want, "{name}");
    }
    let writable = &at.connector.traits().writable;
    for name in ["userName", "displayName", "emails", "name", "title", "externalId"] {
        assert!(writable.contains(&name), "{name}: {writable:?}");
    }
}

#[tokio::test]
async fn moving_who_is_locked_keeps_memberships_and_comes_back() {
    if !installed() {
        return;
    }
    for overlays in [false, true] {
        let more = json!({ "lock": "move", "lock_base": format!("ou=locked,{SUFFIX}") });
        let at = Directory::new(Options { overlays, ..Options::default() }, Wire::Ldaps, &more);
        let ada = created(&at, &person("ada")).await;
        let made = group(&at, "One").await;
        change(&at, &made, &[&ada], &[]).await;
        let people = at.connector.accounts().expect("people");
        for (active, branch) in [(false, "ou=locked"), (true, "ou=people")] {
            assert!(matches!(people.set_active(&at.cx(), &reference(&ada), active).await, Ok(Updated::Done(_))));
            let left = raw(&at, "One");
            assert!(left.contains(&format!("uid=ada,{branch},{SUFFIX}")), "{left:?}");
            assert_eq!(left.iter().filter(|member| member.contains("ada")).count(), 1, "{left:?}");
            assert_eq!(members(&at, &made).await.len(), 1);
        }
    }
}

#[tokio::test]
async fn a_guid_is_found_again_by_its_text() {
    if !installed() {
        return;
    }
    let more = json!({ "directory": "active_directory", "group_base": null, "lock": "uac" });
    let at = Directory::new(Options { active_directory: true, ..Options::default() }, Wire::Ldaps, &more);
    // The bytes 0x33 0x22 0x11 0x00 0x55 0x44 0x77 0x66 0x88 .. 0xFF.
    at.server().add(&format!(
        "dn: cn=ada,ou=people,{SUFFIX}\nobjectClass: user\ncn: ada\nsn: ada\nuserPrincipalName: ada@kit.example\nsAMAccountName: ada\nuserAccountControl: 66048\nobjectGUID:: MyIRAFVEd2aImaq7zN3u/w==\n"
    ));
    // Its own account is none of those that can be read here without an id.
    at.server().modify(&format!(
        "dn: {GATEWAY}\nchangetype: modify\nadd: objectGUID\nobjectGUID:: AAAAAAAAAAAAAAAAAAAAAA==\n"
    ));
    let people = at.connector.accounts().expect("people");
    let found = people.find(&at.cx(), &person("ada@kit.example")).await.expect("find answers").remove(0).account;
    assert_eq!(
        found.remote_id.as_ref().map(connector_sdk::RemoteId::as_str),
        Some("00112233-4455-6677-8899-aabbccddeeff")
    );
    for (active, control, status) in
        [(false, "66050", AccountStatus::Suspended), (true, "66048", AccountStatus::Active)]
    {
        match people.set_active(&at.cx(), &reference(&found), active).await {
            Ok(Updated::Done(shown)) => assert_eq!(shown.status, status),
            other => panic!("{other:?}"),
        }
        let shown = at.server().search(&format!("cn=ada,ou=people,{SUFFIX}"), "(objectClass=*)").remove(0);
        assert_eq!(values(&shown, "userAccountControl"), [control]);
    }
}

/// The address was not written there, and that of an entry that was there before was taken away.
#[tokio::test]
async fn active_directory_lost_every_address() {
    if !installed() {
        return;
    }
    let more = json!({
        "directory": "active_directory", "id_attribute": "entryUUID", "group_base": null, "lock": "uac",
        "attributes": "sn={name.familyName|displayName|userName}",
    });
    let at = Directory::new(Options { active_directory: true, ..Options::default() }, Wire::Ldaps, &more);
    let mail = |name: &str| {
        let entry =
            at.server().search(&format!("ou=people,{SUFFIX}"), &format!("(userPrincipalName={name})")).remove(0);
        values(&entry, "mail").into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    at.server().add(&format!(
        "dn: cn=bob,ou=people,{SUFFIX}\nobjectClass: user\ncn: bob\nsn: bob\nuserPrincipalName: bob@kit.example\nuserAccountControl: 512\nmail: bob@kit.example\n"
    ));
    let people = at.connector.accounts().expect("people");
    for name in ["ada@kit.example", "bob@kit.example"] {
        let mut who = person(name);
        who.email = Some(name.to_owned());
        who.attributes = json!({ "emails": [{ "value": format!("x{name}") }, { "value": name, "primary": true }] })
            .as_object()
            .cloned()
            .expect("an object");
        let account = match people.create(&at.cx(), &who).await {
            Ok(Created::Done(account)) => account,
            Ok(Created::AlreadyThere(found)) => found.account,
            other => panic!("{other:?}"),
        };
        let mut change = AccountChange::default();
        change.person = Some(Box::new(who.clone()));
        let updated = people.update(&at.cx(), &reference(&account), &change).await;
        assert!(matches!(updated, Ok(Updated::Done(_))), "{updated:?}");
        assert_eq!(mail(name), [name]);
        let mut change = AccountChange::default();
        change.email = Some(format!("new-{name}"));
        let updated = people.update(&at.cx(), &reference(&account), &change).await;
        assert!(matches!(updated, Ok(Updated::Done(_))), "{updated:?}");
        assert_eq!(mail(name), [format!("new-{name}")]);
    }
}

#[tokio::test]
async fn a_referral_is_refused_in_clear_words() {
    if !installed() {
        return;
    }
    let at = Directory::new(
        Options { global: "referral ldap://other.example\n", ..Options::default() },
        Wire::Ldaps,
        &json!({ "user_base": "ou=people,dc=elsewhere,dc=example" }),
    );
    let people = at.connector.accounts().expect("people");
    for fault in [
        people.list(&at.cx(), None).await.map(|_| ()).expect_err("a fault"),
        people.create(&at.cx(), &person("ada")).await.map(|_| ()).expect_err("a fault"),
    ] {
        assert_eq!((fault.kind, fault.retry), (FaultKind::Permission, Retry::AfterOperator), "{fault:?}");
        assert!(fault.message.contains("Referrals are not followed"), "{fault:?}");
    }
}

#[tokio::test]
async fn a_branch_that_is_not_there_is_told_by_a_probe() {
    if !installed() {
        return;
    }
    let more = json!({ "user_base": format!("ou=nowhere,{SUFFIX}"), "id_attribute": "objectGUIDx" });
    let at = Directory::new(Options::default(), Wire::Ldaps, &more);
    let probe = at.connector.probe(&at.cx()).await.expect("an answer");
    let wrong: Vec<&str> = probe.checks.iter().filter(|check| !check.ok).map(|check| check.name.as_str()).collect();
    assert_eq!(wrong, ["people: read"], "{probe:?}");
}
