//! What the contract kit does not ask: lost commits, dead connections, hostile names, rights, TLS.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use connector_sdk::kit::World;
use connector_sdk::{
    Account, AccountChange, AccountRef, AccountStatus, Accounts, Call, Connector, Created, Cx, Effect, Fault,
    FaultKind, GroupCreated, GroupWant, Groups, Membership, Person, RemoteId, Removed, Reply, Step, Transport, Updated,
    Work,
};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

use crate::certificates::certificates;
use crate::layouts::{MARIADB, MARIADB_DECLARED, POSTGRES, POSTGRES_DECLARED, SQLITE, SQLITE_DECLARED};
use crate::mariadb::MariaDb;
use crate::world::{Home, Layout, Server};
use crate::{Scratch, postgres};

/// A connector with its home.
struct Play {
    home: Home,
    connector: Arc<dyn Connector>,
}

impl Play {
    async fn new(server: &Server, database: &str, layout: &'static Layout) -> Self {
        let home = Home::new(server, database, layout).await;
        let connector = home.connector(&json!({}));
        Self { home, connector }
    }

    fn cx(&self) -> Cx<'_> {
        Cx::new(&self.home, self.home.now())
    }

    fn people(&self) -> &dyn Accounts {
        self.connector.accounts().expect("people are mapped")
    }

    fn groups(&self) -> &dyn Groups {
        self.connector.groups().expect("groups are mapped")
    }

    async fn created(&self, who: &Person) -> Account {
        match self.people().create(&self.cx(), who).await {
            Ok(Created::Done(account)) => account,
            other => panic!("{}: {other:?}", who.user_name),
        }
    }
}

fn person(name: &str) -> Person {
    let mut person = Person::named(name);
    person.email = Some(format!("{}@mail.example", name.len()));
    person
}

fn at(account: &Account) -> AccountRef {
    account.reference().expect("it has an id")
}

/// Runs a test over every way of every database that is there.
async fn everywhere(test: &str, play: impl AsyncFn(Play)) {
    let sqlite = Server::Sqlite(tempfile::tempdir().expect("a temporary folder can be made"));
    for layout in [&SQLITE, &SQLITE_DECLARED] {
        play(Play::new(&sqlite, "", layout).await).await;
    }
    if let Some(server) = postgres(test) {
        let scratch = Scratch::new(&server, test).await;
        for layout in [&POSTGRES, &POSTGRES_DECLARED] {
            play(Play::new(&server, &scratch.name, layout).await).await;
        }
        scratch.end().await;
    }
    match MariaDb::start(&[]) {
        None => eprintln!("skipped: {test}: mariadbd is not installed"),
        Some(server) => {
            let at = Server::MariaDb(server.port);
            for layout in [&MARIADB, &MARIADB_DECLARED] {
                play(Play::new(&at, "", layout).await).await;
            }
        }
    }
}

#[tokio::test]
async fn no_name_becomes_sql_and_every_name_comes_back_as_it_was() {
    everywhere("names", async |play| {
        let before = play.home.control("GET", "/_sim/state", json!(null)).await.expect("a state");
        assert_eq!(before["accounts"], json!([]));
        for name in [
            "'; DROP TABLE person; --",
            "\" OR 1=1 --",
            "` OR 1=1 #",
            "a\\",
            "a\\' OR 1=1 -- ",
            "$1 :user_name ? @x",
            "$$ || pg_sleep(9) || $$",
            "100%_",
            "zo\u{eb} \u{1f984} \u{5b57}",
            "*/ x /*",
        ] {
            let who = person(name);
            let account = play.created(&who).await;
            assert_eq!(account.login.as_deref(), Some(name));
            let found = play.people().find(&play.cx(), &person(name)).await.expect("found");
            assert!(found.iter().any(|found| found.account.remote_id == account.remote_id), "{name}");
            let group = match play.groups().create(&play.cx(), &GroupWant::named(name)).await {
                Ok(GroupCreated::Done(group)) => group,
                other => panic!("{name}: {other:?}"),
            };
            assert_eq!(group.name, name);
            assert_eq!(play.groups().find(&play.cx(), name).await.expect("found").len(), 1, "{name}");
            // As an id it is none.
            let id = RemoteId::new(name);
            let reference = AccountRef::Account { id: id.clone(), login: None };
            assert_eq!(play.people().get(&play.cx(), &reference).await.expect("an answer"), None, "{name}");
            assert_eq!(play.groups().get(&play.cx(), &id).await.expect("an answer"), None, "{name}");
        }
        let state = play.home.control("GET", "/_sim/state", json!(null)).await.expect("a state");
        assert_eq!(state["accounts"].as_array().map(Vec::len), Some(10));
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_died_while_it_was_idle_costs_nothing() {
    everywhere("idle", async |play| {
        let account = play.created(&person("ada")).await;
        play.home.cut().await;
        assert!(play.people().get(&play.cx(), &at(&account)).await.expect("an answer").is_some());
        play.home.cut().await;
        play.created(&person("bob")).await;
    })
    .await;
}

#[tokio::test]
async fn equal_creates_at_once_are_one_account() {
    everywhere("equal", async |play| {
        let who = person("ada");
        let cx = play.cx();
        let create = || play.people().create(&cx, &who);
        let answers = tokio::join!(create(), create(), create(), create());
        let answers = [answers.0, answers.1, answers.2, answers.3];
        let mut ids = Vec::new();
        for answer in answers {
            match answer {
                Ok(Created::Done(account)) => ids.push(account.remote_id),
                Ok(Created::AlreadyThere(found)) => ids.push(found.account.remote_id),
                // A deadlock between equal inserts is tried again by the engine.
                Err(fault) if fault.kind == FaultKind::Unavailable && fault.effect == Effect::None => {}
                other => panic!("{other:?}"),
            }
        }
        ids.dedup();
        assert_eq!(ids.len(), 1, "{ids:?}");
        let state = play.home.control("GET", "/_sim/state", json!(null)).await.expect("a state");
        assert_eq!(state["accounts"].as_array().map(Vec::len), Some(1));
    })
    .await;
}

#[tokio::test]
async fn a_member_who_is_gone_keeps_nobody_else_out() {
    everywhere("gone", async |play| {
        let (ada, bob) = (play.created(&person("ada")).await, play.created(&person("bob")).await);
        let carol = play.created(&person("carol")).await;
        assert_eq!(play.people().remove(&play.cx(), &at(&bob)).await, Ok(Removed::Done));
        let Ok(GroupCreated::Done(group)) = play.groups().create(&play.cx(), &GroupWant::named("Team")).await else {
            panic!("a group is created");
        };
        let people = [at(&ada), at(&bob), at(&carol)];
        let answers = play.groups().change_members(&play.cx(), &group.id, &people, &[]).await;
        let kinds: Vec<_> = answers.iter().map(|answer| answer.as_ref().map_err(|fault| fault.kind)).collect();
        assert_eq!(kinds[0], Ok(&Membership::Present));
        assert_eq!(kinds[2], Ok(&Membership::Present));
        assert_eq!(kinds[1], Err(FaultKind::NotFound), "{answers:?}");
        let members = play.groups().members(&play.cx(), &group.id, None).await.expect("members");
        assert_eq!(members.items.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_protected_row_is_listed_and_never_touched() {
    let sqlite = Server::Sqlite(tempfile::tempdir().expect("a temporary folder can be made"));
    let play = Play::new(&sqlite, "", &SQLITE).await;
    let all = play.people().list(&play.cx(), None).await.expect("people").items;
    let [root] = all.as_slice() else { panic!("{all:?}") };
    assert!(root.protected);
    let mut change = AccountChange::default();
    change.role = Some("admin".to_owned());
    let answers = [
        play.people().update(&play.cx(), &at(root), &change).await.map(|_| ()),
        play.people().set_active(&play.cx(), &at(root), false).await.map(|_| ()),
        play.people().remove(&play.cx(), &at(root)).await.map(|_| ()),
    ];
    for answer in answers {
        assert_eq!(answer.map_err(|fault| fault.kind), Err(FaultKind::Protected));
    }
}

#[tokio::test]
async fn who_was_removed_comes_back_as_the_same_row() {
    let sqlite = Server::Sqlite(tempfile::tempdir().expect("a temporary folder can be made"));
    let mut plays = vec![Play::new(&sqlite, "", &SQLITE).await];
    let mariadb = MariaDb::start(&[]);
    if let Some(server) = &mariadb {
        plays.push(Play::new(&Server::MariaDb(server.port), "", &MARIADB).await);
    }
    for play in plays {
        let account = play.created(&person("Ada")).await;
        play.people().set_active(&play.cx(), &at(&account), false).await.expect("suspended");
        assert_eq!(play.people().remove(&play.cx(), &at(&account)).await, Ok(Removed::Done));
        assert_eq!(play.people().find(&play.cx(), &person("Ada")).await, Ok(Vec::new()));
        let mut again = person("ADA");
        again.display_name = Some("Ada, Again".to_owned());
        let back = play.created(&again).await;
        assert_eq!(back.remote_id, account.remote_id);
        assert_eq!((back.status, back.display_name.as_deref()), (AccountStatus::Active, Some("Ada, Again")));
    }
}

#[tokio::test]
async fn what_a_collation_takes_for_equal_is_linked_to_nobody() {
    let Some(server) = MariaDb::start(&[]) else {
        eprintln!("skipped: what_a_collation_takes_for_equal_is_linked_to_nobody: mariadbd is not installed");
        return;
    };
    let play = Play::new(&Server::MariaDb(server.port), "", &MARIADB).await;
    play.created(&Person::named("jos\u{e9}@kit.example")).await;
    let other = Person::named("jose@kit.example");
    assert_eq!(play.people().find(&play.cx(), &other).await, Ok(Vec::new()));
    let fault = play.people().create(&play.cx(), &other).await.expect_err("the unique index refuses it");
    assert_eq!((fault.kind, fault.effect), (FaultKind::NameTaken, Effect::None));
    assert!(!format!("{fault:?}").contains("jos"), "{fault:?}");
}

#[tokio::test]
async fn a_whole_person_is_written_and_what_is_gone_is_emptied() {
    let Some(server) = postgres("whole") else { return };
    let scratch = Scratch::new(&server, "whole").await;
    let play = Play::new(&server, &scratch.name, &POSTGRES).await;
    let mut who = person("ada");
    who.attributes = json!({ "name": { "givenName": "Ada", "familyName": "Byron" }, "externalId": "00u1" })
        .as_object()
        .cloned()
        .expect("an object");
    let account = play.created(&who).await;
    who.user_name = "ada.lovelace".to_owned();
    who.attributes =
        json!({ "name": { "familyName": "Lovelace" }, "externalId": "00u1" }).as_object().cloned().expect("an object");
    let mut change = AccountChange::default();
    change.person = Some(Box::new(who.clone()));
    change.role = Some("admin".to_owned());
    match play.people().update(&play.cx(), &at(&account), &change).await {
        Ok(Updated::Done(shown)) => {
            assert_eq!((shown.login.as_deref(), shown.role.as_deref()), (Some("ada.lovelace"), Some("admin")));
        }
        other => panic!("{other:?}"),
    }
    let rows =
        play.home.texts("SELECT given, family, idp_id, org::text FROM {s}.person WHERE login = 'ada.lovelace'").await;
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(rows, [[None, text("Lovelace"), text("00u1"), text("7")]]);
    // A person of another organisation of the same table is none of this instance's business.
    assert_eq!(play.people().find(&play.cx(), &person("stranger@kit.example")).await, Ok(Vec::new()));
    scratch.end().await;
}

#[tokio::test]
async fn the_probe_names_what_is_missing() {
    let Some(server) = postgres("probe") else { return };
    let scratch = Scratch::new(&server, "probe").await;
    for (sql, more, words) in [
        ("ALTER TABLE {s}.person DROP COLUMN mail", json!({}), "The table {s}.person has no column mail."),
        ("REVOKE UPDATE ON {s}.person FROM {s}", json!({}), "GRANT UPDATE ON \"{s}\".\"person\""),
        ("DROP INDEX {s}.person_lower_idx", json!({}), "Add a unique index"),
        ("SELECT 1", json!({ "name": "nowhere" }), "There is no such database"),
        ("DROP TABLE {s}.team_member", json!({}), "There is no table {s}.team_member"),
    ] {
        let play = Play::new(&server, &scratch.name, &POSTGRES).await;
        let sound = play.connector.probe(&play.cx()).await.expect("an answer");
        assert!(sound.ok(), "{sound:?}");
        play.home.run(sql).await;
        let connector = play.home.connector(&more);
        let probe = connector.probe(&play.cx()).await.expect("an answer");
        let words = words.replace("{s}", &play.home.name);
        let told = probe.checks.iter().any(|check| !check.ok && check.detail.contains(&words));
        assert!(told, "{sql}: {words}: {probe:?}");
    }
    // A statement that the database does not take is named with the database's own words.
    let play = Play::new(&server, &scratch.name, &POSTGRES_DECLARED).await;
    play.home.run("ALTER TABLE {s}.team_member RENAME COLUMN since TO began").await;
    let probe = play.connector.probe(&play.cx()).await.expect("an answer");
    assert!(
        probe.checks.iter().any(|check| check.name == "groups.add_member" && check.detail.contains("since")),
        "{probe:?}"
    );
    scratch.end().await;
}

#[tokio::test]
async fn a_value_that_the_table_demands_waits_for_the_client() {
    let Some(server) = postgres("demands") else { return };
    let scratch = Scratch::new(&server, "demands").await;
    let play = Play::new(&server, &scratch.name, &POSTGRES).await;
    play.home.run("UPDATE {s}.person SET mail = login;\nALTER TABLE {s}.person ALTER COLUMN mail SET NOT NULL").await;
    let fault = play.people().create(&play.cx(), &Person::named("ada")).await.expect_err("it has no address");
    assert_eq!((fault.kind, fault.effect), (FaultKind::Incomplete, Effect::None));
    assert!(fault.message.contains("mail"), "{fault}");
    scratch.end().await;
}

/// A way to a database that is cut at a word.
struct Cutting {
    port: u16,
    armed: Arc<AtomicBool>,
}

impl Cutting {
    /// Passes bytes on until one portion of the client's holds `word`; then that portion is passed on
    /// where `after`, its answer awaited, and both ends are closed.
    async fn to(port: u16, word: &'static str, after: bool) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let own = listener.local_addr().expect("an address").port();
        let armed = Arc::new(AtomicBool::new(false));
        let ready = Arc::clone(&armed);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut far = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.expect("the database");
                let ready = Arc::clone(&ready);
                tokio::spawn(async move {
                    let (mut asked, mut said) = (vec![0; 65_536], vec![0; 65_536]);
                    loop {
                        tokio::select! {
                            read = near.read(&mut asked) => {
                                let Ok(count @ 1..) = read else { return };
                                let hit = asked[..count].windows(word.len()).any(|part| part == word.as_bytes());
                                if hit && ready.load(Ordering::SeqCst) {
                                    if after {
                                        far.write_all(&asked[..count]).await.ok();
                                        if far.read(&mut said).await.is_err() { return }
                                    }
                                    return;
                                }
                                if far.write_all(&asked[..count]).await.is_err() { return }
                            }
                            read = far.read(&mut said) => {
                                let Ok(count @ 1..) = read else { return };
                                if near.write_all(&said[..count]).await.is_err() { return }
                            }
                        }
                    }
                });
            }
        });
        Self { port: own, armed }
    }
}

/// The home's way, with another address.
struct Detour<'a> {
    home: &'a Home,
    port: u16,
    plain: bool,
    hosts: Mutex<Vec<String>>,
}

#[async_trait]
impl Transport for Detour<'_> {
    async fn send(&self, call: Call) -> Result<Reply, Fault> {
        self.home.send(call).await
    }

    async fn addresses(&self, host: &str, _: u16) -> Result<Vec<SocketAddr>, Fault> {
        self.hosts.lock().await.push(host.to_owned());
        Ok(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))])
    }

    fn allows_plain(&self) -> bool {
        self.plain
    }

    async fn file(&self, name: &str) -> Result<PathBuf, Fault> {
        self.home.file(name).await
    }

    async fn perform(&self, _: Step, work: Work<'_>) -> Result<(), Fault> {
        work.await.result
    }
}

async fn cut_at(play: &Play, port: u16, word: &'static str, after: bool, effect: Effect, there: bool) {
    let cutting = Cutting::to(port, word, after).await;
    let detour = Detour { home: &play.home, port: cutting.port, plain: true, hosts: Mutex::default() };
    let cx = Cx::new(&detour, play.home.now());
    let connector = play.home.connector(&json!({}));
    let people = connector.accounts().expect("people are mapped");
    let who = person(&format!("cut at {} {after}", word.to_lowercase()));
    // What is learned of the schema is learned before.
    assert_eq!(people.find(&cx, &who).await, Ok(Vec::new()));
    cutting.armed.store(true, Ordering::SeqCst);
    let fault = people.create(&cx, &who).await.expect_err("it was cut");
    assert_eq!((fault.kind, fault.effect), (FaultKind::Unavailable, effect), "{word} {after}: {fault:?}");
    cutting.armed.store(false, Ordering::SeqCst);
    let found = people.find(&cx, &who).await.expect("found");
    assert_eq!(found.len(), usize::from(there), "{word} {after}");
    match people.create(&cx, &who).await {
        Ok(Created::AlreadyThere(_)) if there => {}
        Ok(Created::Done(_)) if !there => {}
        other => panic!("{word} {after}: {other:?}"),
    }
}

#[tokio::test]
async fn the_effect_is_unknown_exactly_where_commit_was_sent() {
    let cases = [
        ("INSERT INTO", false, Effect::None, false),
        ("INSERT INTO", true, Effect::None, false),
        ("COMMIT", false, Effect::Unknown, false),
        ("COMMIT", true, Effect::Unknown, true),
    ];
    if let Some(server) = postgres("commit") {
        let scratch = Scratch::new(&server, "commit").await;
        let play = Play::new(&server, &scratch.name, &POSTGRES).await;
        let port = play.home.port();
        for (word, after, effect, there) in cases {
            cut_at(&play, port, word, after, effect, there).await;
        }
        scratch.end().await;
    }
    if let Some(server) = MariaDb::start(&[]) {
        let play = Play::new(&Server::MariaDb(server.port), "", &MARIADB).await;
        for (word, after, effect, there) in cases {
            cut_at(&play, server.port, word, after, effect, there).await;
        }
    }
}

#[tokio::test]
async fn tls_is_verified_by_the_hosts_own_name_at_an_address_that_was_allowed() {
    let name = "db.scimgate.example";
    // The server reads them as another user.
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let ca = certificates(folder.path(), &[name]);
    std::process::Command::new("chmod").arg("-R").arg("a+rX").arg(folder.path()).status().expect("chmod");
    let options = ["cert=cert.pem", "key=key.pem"].map(|part| {
        let (name, file) = part.split_once('=').expect("two parts");
        format!("--ssl-{name}={}", folder.path().join(file).display())
    });
    let Some(server) = MariaDb::start(&options) else {
        eprintln!("skipped: tls_is_verified: mariadbd is not installed");
        return;
    };
    let play = Play::new(&Server::MariaDb(server.port), "", &MARIADB).await;
    play.home.run("ALTER USER '{s}'@'%' REQUIRE SSL").await;
    for (settings, plain, want) in [
        (json!({ "tls": "verify", "host": name, "ca": ca }), false, None),
        (json!({ "tls": "verify", "host": name }), false, Some(FaultKind::Unavailable)),
        (json!({ "tls": "verify", "host": "other.scimgate.example", "ca": ca }), false, Some(FaultKind::Unavailable)),
        (json!({ "tls": "off", "host": name }), false, Some(FaultKind::NotSent)),
        // Without TLS the server itself refuses this user.
        (json!({ "tls": "off", "host": name }), true, Some(FaultKind::Credential)),
    ] {
        let detour = Detour { home: &play.home, port: server.port, plain, hosts: Mutex::default() };
        let cx = Cx::new(&detour, play.home.now());
        let connector = play.home.connector(&settings);
        let answer = connector.accounts().expect("people are mapped").list(&cx, None).await;
        assert_eq!(answer.err().map(|fault| fault.kind), want, "{settings} {plain}");
        let asked = detour.hosts.lock().await.clone();
        let host = settings["host"].as_str().expect("a host");
        assert!(asked.iter().all(|name| name == host), "{asked:?}");
    }
}
