//! A target without an API: what identity providers ask for becomes tasks, and people close them.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use gateway::clock::Clock;
use gateway::config::Overrides;
use gateway::service::App;
use http::Request;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::common::{ADMIN, Db, GROUP, PATCH, Reply, USER, config, databases, send};

/// A gateway with one instance whose target is people, that can be ended and started again.
struct House {
    folder: TempDir,
    database: Option<String>,
    router: Router,
    stop: CancellationToken,
    driving: tokio::task::JoinHandle<()>,
    instance: String,
    key: String,
}

impl Drop for House {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn start(folder: &TempDir, database: Option<&str>) -> (Router, CancellationToken, tokio::task::JoinHandle<()>) {
    let app = App::build(config(folder.path(), database, Overrides::default()), Clock::system()).await.unwrap();
    app.ensure_admin_token().await.unwrap();
    let stop = CancellationToken::new();
    let (driver, token) = (app.driver.clone(), stop.clone());
    let driving = tokio::spawn(async move { driver.start(token).await });
    let router = gateway::scim_api::router(Arc::clone(&app)).merge(gateway::admin_api::router(app));
    (router, stop, driving)
}

async fn wait(what: &str, mut so: impl AsyncFnMut() -> bool) {
    for _ in 0..1_200 {
        if so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("waited in vain for {what}");
}

impl House {
    async fn open(db: &Db, settings: Value) -> Self {
        Self::open_with(db, settings, json!({})).await
    }

    async fn open_with(db: &Db, mut settings: Value, policy: Value) -> Self {
        let folder = TempDir::new().unwrap();
        let database = db.make().await;
        let (router, stop, driving) = start(&folder, database.as_deref()).await;
        settings["app"] = json!("Payroll");
        let mut house = Self { folder, database, router, stop, driving, instance: String::new(), key: String::new() };
        let body = json!({"name": "Payroll", "connector": "manual", "settings": settings, "secrets": {}, "mode": "enabled", "policy": policy});
        let made = house.admin("POST", "/instances", body).await.expect(201).json();
        house.instance = made["id"].as_str().unwrap().to_owned();
        let key = house.admin("POST", &format!("/instances/{}/keys", house.instance), Value::Null).await;
        house.key = format!("Bearer {}", key.expect(201).json()["key"].as_str().unwrap());
        house
    }

    /// Ends the gateway as a shutdown does, and starts another on the same store.
    async fn again(&mut self) {
        self.stop.cancel();
        (&mut self.driving).await.unwrap();
        // The gateway goes with its last door: one file is one process's.
        self.router = Router::new();
        (self.router, self.stop, self.driving) = start(&self.folder, self.database.as_deref()).await;
    }

    async fn call(&self, method: &str, path: &str, key: &str, body: &Value) -> Reply {
        let request = Request::builder().method(method).uri(path).header("authorization", key);
        let request = match body {
            Value::Null => request.body(Body::empty()),
            body => request.header("content-type", "application/json").body(Body::from(body.to_string())),
        };
        send(&self.router, request.unwrap()).await
    }

    async fn admin(&self, method: &str, path: &str, body: Value) -> Reply {
        self.call(method, &format!("/admin/v1{path}"), ADMIN, &body).await
    }

    async fn scim(&self, method: &str, path: &str, body: Value) -> Reply {
        self.call(method, &format!("/i/{}/scim/v2{path}", self.instance), &self.key, &body).await
    }

    async fn user(&self, email: &str) -> String {
        let body = json!({"schemas": [USER], "userName": email, "displayName": "Ada Lovelace", "emails": [{"value": email, "primary": true}]});
        let made = self.scim("POST", "/Users", body).await.expect(201).json();
        made["id"].as_str().unwrap().to_owned()
    }

    async fn patch(&self, path: &str, operations: Value) {
        let body = json!({"schemas": [PATCH], "Operations": operations});
        let reply = self.scim("PATCH", path, body).await;
        assert!(reply.status.is_success(), "{}", reply.text());
    }

    async fn set_active(&self, id: &str, active: bool) {
        self.patch(&format!("/Users/{id}"), json!([{"op": "replace", "path": "active", "value": active}])).await;
    }

    async fn tasks(&self, state: &str) -> Vec<Value> {
        let list = self.admin("GET", &format!("/tasks?state={state}&instance={}", self.instance), Value::Null).await;
        list.expect(200).json()["items"].as_array().unwrap().clone()
    }

    /// The open tasks by what they ask for, once there are so many.
    async fn open_tasks(&self, count: usize) -> Vec<Value> {
        for _ in 0..1_200 {
            let tasks = self.tasks("open").await;
            if tasks.len() == count {
                return tasks;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        let (tasks, work) = (self.tasks("all").await, self.open_work().await);
        let tasks: Vec<String> =
            tasks.iter().map(|task| format!("{} {} {}", task["id"], task["state"], task["title"])).collect();
        panic!("waited in vain for {count} open tasks: {tasks:#?}; work: {work:#?}");
    }

    async fn done(&self, task: &Value) -> Value {
        let path = format!("/tasks/{}/done", task["id"].as_str().unwrap());
        self.admin("POST", &path, json!({"comment": "as asked"})).await.expect(200).json()
    }

    async fn open_work(&self) -> Vec<Value> {
        let path = format!("/instances/{}/work", self.instance);
        self.admin("GET", &path, Value::Null).await.expect(200).json()["items"].as_array().unwrap().clone()
    }

    async fn quiet(&self) {
        wait("nothing to be left to do", async || self.open_work().await.is_empty()).await;
    }

    async fn why(&self, who: &str) -> Value {
        let path = format!("/instances/{}/why?resource={who}", self.instance);
        self.admin("GET", &path, Value::Null).await.expect(200).json()
    }

    async fn statement(&self, text: &str) {
        let url = match &self.database {
            Some(url) => url.clone(),
            None => format!("sqlite://{}", self.folder.path().join("scimgate.db").display()),
        };
        let link = sea_orm::Database::connect(url).await.unwrap();
        link.execute_unprepared(text).await.unwrap();
        link.close().await.unwrap();
    }
}

fn acts(tasks: &[Value]) -> Vec<&str> {
    tasks.iter().map(|task| task["act"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_created_by_hand_and_only_then_is_it_applied() {
    for db in databases() {
        let house = House::open(&db, json!({"instructions": "Role: clerk.", "assignee": "Payroll team"})).await;
        let ada = house.user("ada@example.com").await;
        let tasks = house.open_tasks(1).await;
        let task = &tasks[0];
        assert_eq!(task["title"], "Create an account for Ada Lovelace (ada@example.com) in Payroll");
        let detail = task["detail"].as_str().unwrap();
        assert!(detail.contains("User name: ada@example.com") && detail.ends_with("Role: clerk."), "{detail}");
        assert_eq!((&task["assignee"], &task["person"]["id"]), (&json!("Payroll team"), &json!(ada)));
        wait("the work to wait for a person", async || {
            let work = house.open_work().await;
            work.len() == 1 && work[0]["state"] == "waiting" && work[0]["need"] == "person"
        })
        .await;
        let path = format!("/instances/{}/operations?state=applied", house.instance);
        let applied = house.admin("GET", &path, Value::Null).await.expect(200).json();
        assert_eq!(applied["items"], json!([]), "nothing is applied before it is done");
        // Looks and retries ask nobody twice.
        let open = house.why("ada@example.com").await["operations"][0]["id"].as_str().unwrap().to_owned();
        house.admin("POST", &format!("/operations/{open}/retry"), Value::Null).await.expect(202);
        let body = json!({"comment": "seat 17", "account_id": "17"});
        let closed = house.admin("POST", &format!("/tasks/{}/done", task["id"].as_str().unwrap()), body).await;
        assert_eq!(closed.expect(200).json()["state"], "done");
        house.quiet().await;
        assert_eq!(house.tasks("all").await.len(), 1);
        let why = house.why("ada@example.com").await;
        assert_eq!(why["resource"]["link"]["remote_id"], "17", "{why:#}");
        assert_eq!(why["operations"][0]["state"], "applied");
        let told: Vec<&str> = why["chain"].as_array().unwrap().iter().filter_map(|one| one["text"].as_str()).collect();
        assert!(told.iter().any(|text| text.starts_with("Asked a person: Create an account")), "{told:?}");
        assert!(told.iter().any(|text| text.ends_with("done by admin: seat 17")), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_created_and_removed_before_anybody_acted_leaves_no_task() {
    for db in databases() {
        let house = House::open(&db, json!({})).await;
        let ada = house.user("ada@example.com").await;
        let task = house.open_tasks(1).await.remove(0);
        house.set_active(&ada, false).await;
        house.quiet().await;
        assert_eq!(acts(&house.tasks("all").await), ["create_account"]);
        assert_eq!(house.tasks("open").await, [] as [Value; 0]);
        let path = format!("/tasks/{}/done", task["id"].as_str().unwrap());
        let late = house.admin("POST", &path, Value::Null).await.expect(409).json();
        assert!(late["detail"].as_str().unwrap().contains("undo it"), "{late}");
        // She returns: another task, and the account is hers.
        house.set_active(&ada, true).await;
        let task = house.open_tasks(1).await.remove(0);
        house.done(&task).await;
        house.quiet().await;
        assert_eq!(house.why("ada@example.com").await["resource"]["link"]["status"], "active");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_replaced_says_by_which() {
    for db in databases() {
        let house = House::open(&db, json!({})).await;
        let ada = house.user("ada@example.com").await;
        let old = house.open_tasks(1).await.remove(0);
        house
            .patch(&format!("/Users/{ada}"), json!([{"op": "replace", "path": "displayName", "value": "Ada L"}]))
            .await;
        wait("the newer task", async || house.tasks("open").await.iter().all(|task| task["id"] != old["id"])).await;
        let new = house.open_tasks(1).await.remove(0);
        assert!(new["title"].as_str().unwrap().contains("Ada L (ada@example.com)"), "{new}");
        let late = house.admin("POST", &format!("/tasks/{}/done", old["id"].as_str().unwrap()), Value::Null).await;
        let words = late.expect(409).json()["detail"].as_str().unwrap().to_owned();
        assert!(words.contains(new["id"].as_str().unwrap()), "{words}");
        // What is not kept up to date by hand asks nobody.
        house.patch(&format!("/Users/{ada}"), json!([{"op": "add", "path": "nickName", "value": "countess"}])).await;
        house.done(&new).await;
        house.quiet().await;
        assert_eq!(house.tasks("all").await.len(), 2, "the nickname asked for nothing");
        // A change of what is there is a task of its own.
        house
            .patch(&format!("/Users/{ada}"), json!([{"op": "replace", "path": "displayName", "value": "Ada King"}]))
            .await;
        let update = house.open_tasks(1).await.remove(0);
        assert_eq!(update["act"], "update_account");
        // It is taken back before anybody did it.
        house
            .patch(&format!("/Users/{ada}"), json!([{"op": "replace", "path": "displayName", "value": "Ada L"}]))
            .await;
        house.quiet().await;
        assert_eq!(house.tasks("open").await, [] as [Value; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leavers_task_is_due_sooner_and_stands_first() {
    for db in databases() {
        let house = House::open(&db, json!({})).await;
        let ada = house.user("ada@example.com").await;
        let task = house.open_tasks(1).await.remove(0);
        house.done(&task).await;
        house.quiet().await;
        house.user("bob@example.com").await;
        house.open_tasks(1).await;
        house.set_active(&ada, false).await;
        let tasks = house.open_tasks(2).await;
        assert_eq!(acts(&tasks), ["remove_account", "create_account"]);
        assert!(tasks[0]["due_at"].as_str() < tasks[1]["due_at"].as_str(), "{tasks:#?}");
        assert_eq!(tasks[0]["takes_access"], true);
        // She is wanted again before anybody acted: nobody is asked to remove her.
        house.set_active(&ada, true).await;
        assert_eq!(acts(&house.open_tasks(1).await), ["create_account"]);
        house.set_active(&ada, false).await;
        house.open_tasks(2).await;
        // She is deleted and created again: her account is the new one's, and nobody is to remove it.
        house.scim("DELETE", &format!("/Users/{ada}"), Value::Null).await.expect(204);
        let ada = house.user("ada@example.com").await;
        wait("the removal to be withdrawn", async || acts(&house.tasks("open").await) == ["create_account"]).await;
        assert_eq!(house.tasks("open").await[0]["person"]["name"], "bob@example.com");
        house.set_active(&ada, false).await;
        let tasks = house.open_tasks(2).await;
        house.done(&tasks[0]).await;
        wait("her account to be gone", async || house.why("ada@example.com").await["resource"]["link"] == Value::Null)
            .await;
        let twice =
            house.admin("POST", &format!("/tasks/{}/done", tasks[0]["id"].as_str().unwrap()), Value::Null).await;
        assert!(twice.expect(409).json()["detail"].as_str().unwrap().contains("closed this task as done"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_says_why_and_is_asked_for_again_when_somebody_wants_it() {
    for db in databases() {
        let house = House::open(&db, json!({})).await;
        let ada = house.user("ada@example.com").await;
        let task = house.open_tasks(1).await.remove(0);
        let path = format!("/tasks/{}/refuse", task["id"].as_str().unwrap());
        house.admin("POST", &path, json!({"comment": "no licence left"})).await.expect(200);
        wait("the refusal", async || {
            let work = house.open_work().await;
            work.len() == 1
                && work[0]["need"] == "refused"
                && work[0]["reason"].as_str().is_some_and(|why| why.contains("no licence left"))
        })
        .await;
        assert_eq!(house.tasks("open").await, [] as [Value; 0], "a refusal stands");
        let operation = house.why("ada@example.com").await["operations"][0]["id"].as_str().unwrap().to_owned();
        house.admin("POST", &format!("/operations/{operation}/retry"), Value::Null).await.expect(202);
        let task = house.open_tasks(1).await.remove(0);
        house
            .admin("POST", &format!("/tasks/{}/refuse", task["id"].as_str().unwrap()), json!({"comment": "still none"}))
            .await
            .expect(200);
        // A leaver who never came to be leaves nothing.
        house.set_active(&ada, false).await;
        house.quiet().await;
        assert_eq!(house.tasks("open").await, [] as [Value; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_loses_no_task_and_doubles_none() {
    for db in databases() {
        let mut house = House::open(&db, json!({})).await;
        for n in 0..12 {
            house.user(&format!("p{n}@example.com")).await;
        }
        house.again().await;
        let tasks = house.open_tasks(12).await;
        for task in tasks.iter().take(6) {
            house.done(task).await;
        }
        house.again().await;
        wait("what was done to be heard", async || house.open_work().await.len() == 6).await;
        assert_eq!(house.tasks("all").await.len(), 12);
        for task in house.open_tasks(6).await {
            house.done(&task).await;
        }
        house.quiet().await;
        let users = format!("/instances/{}/users", house.instance);
        let users = house.admin("GET", &users, Value::Null).await.expect(200).json();
        let linked = users["items"].as_array().unwrap().iter().filter(|one| one["link"]["status"] == "active").count();
        assert_eq!((linked, house.tasks("all").await.len()), (12, 12));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_was_thrown_away_if_anything_had_changed_since_the_task_was_made() {
    for db in databases() {
        let house = House::open(&db, json!({})).await;
        let ada = house.user("ada@example.com").await;
        let task = house.open_tasks(1).await.remove(0);
        house.patch(&format!("/Users/{ada}"), json!([{"op": "add", "path": "nickName", "value": "countess"}])).await;
        let refuse = format!("/tasks/{}/refuse", task["id"].as_str().unwrap());
        house.admin("POST", &refuse, json!({"comment": "no seat"})).await.expect(200);
        wait("the refusal to be heard", async || {
            let work = house.open_work().await;
            work.len() == 1 && work[0]["state"] == "needs"
        })
        .await;
        assert!(house.open_work().await[0].to_string().contains("no seat"));
        assert_eq!(house.tasks("all").await.len(), 1, "nobody is asked the same again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_to_put_a_leaver_into_a_group() {
    for db in databases() {
        let house = House::open(&db, json!({})).await;
        let ada = house.user("ada@example.com").await;
        let group = json!({"schemas": [GROUP], "displayName": "Ops", "members": [{"value": ada}]});
        house.scim("POST", "/Groups", group).await.expect(201);
        for task in house.open_tasks(2).await {
            house.done(&task).await;
        }
        assert_eq!(acts(&house.open_tasks(1).await), ["add_member"]);
        house.set_active(&ada, false).await;
        wait("the removal alone", async || acts(&house.tasks("open").await) == ["remove_account"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_taken_out_by_hand_and_was_created_again_counted_as_a_member() {
    for db in databases() {
        let house = House::open(&db, json!({})).await;
        let eve = house.user("eve@example.com").await;
        let group = json!({"schemas": [GROUP], "displayName": "Ops", "members": [{"value": eve}]});
        let group = house.scim("POST", "/Groups", group).await.expect(201).json();
        let group = format!("/Groups/{}", group["id"].as_str().unwrap());
        for task in house.open_tasks(2).await {
            house.done(&task).await;
        }
        house.done(&house.open_tasks(1).await[0]).await;
        house.quiet().await;
        let path = format!("members[value eq \"{eve}\"]");
        house.patch(&group, json!([{"op": "remove", "path": path}])).await;
        let task = house.open_tasks(1).await.remove(0);
        assert_eq!(task["act"], "remove_member");
        // It is done while nothing is driven, so that nobody hears it before she is somebody else.
        let instance = format!("/instances/{}", house.instance);
        house.admin("PATCH", &instance, json!({"mode": "paused"})).await.expect(200);
        house.done(&task).await;
        house.scim("DELETE", &format!("/Users/{eve}"), Value::Null).await.expect(204);
        let again = house.user("eve@example.com").await;
        house.patch(&group, json!([{"op": "add", "path": "members", "value": [{"value": again}]}])).await;
        house.admin("PATCH", &instance, json!({"mode": "enabled"})).await.expect(200);
        let tasks = house.open_tasks(1).await;
        assert_eq!((acts(&tasks), &tasks[0]["person"]["id"]), (vec!["add_member"], &json!(again)));
        house.done(&tasks[0]).await;
        house.quiet().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_accounts_on_record_the_first_was_taken() {
    for db in databases() {
        let house = House::open_with(&db, json!({}), json!({"adopt": "by_user_name"})).await;
        let accounts = json!({"accounts": [{"id": "17", "user_name": "ada@example.com"}, {"id": "18", "user_name": "ada@example.com"}]});
        let path = format!("/instances/{}/desk/accounts", house.instance);
        assert_eq!(house.admin("POST", &path, accounts).await.expect(200).json()["entered"], 2);
        let ada = json!({"schemas": [USER], "userName": "ada@example.com"});
        let reply = house.scim("POST", "/Users", ada).await;
        if reply.status == 409 {
            assert!(reply.text().contains("Several accounts"), "{}", reply.text());
        } else {
            // The answer did not wait for it.
            wait("somebody to be asked which", async || {
                let work = house.open_work().await;
                work.len() == 1 && work[0]["need"] == "name_taken"
            })
            .await;
        }
        assert_eq!(house.tasks("all").await, [] as [Value; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_and_their_members_are_tasks_of_their_own() {
    for db in databases() {
        let house = House::open(&db, json!({})).await;
        let mut people = Vec::new();
        for n in 0..12 {
            people.push(house.user(&format!("p{n}@example.com")).await);
        }
        let members: Vec<Value> = people.iter().map(|id| json!({"value": id})).collect();
        let group = json!({"schemas": [GROUP], "displayName": "Ops", "members": members});
        let group = house.scim("POST", "/Groups", group).await.expect(201).json();
        let group = group["id"].as_str().unwrap().to_owned();
        for task in house.open_tasks(13).await {
            house.done(&task).await;
        }
        // As many as there are, though some wait: more than one batch.
        let tasks = house.open_tasks(12).await;
        assert!(acts(&tasks).iter().all(|act| *act == "add_member"), "{:?}", acts(&tasks));
        assert!(tasks[0]["title"].as_str().unwrap().contains("into the group \"Ops\" in Payroll"), "{}", tasks[0]);
        let mine = |task: &&Value| task["person"]["id"] == json!(people[0]);
        house.done(tasks.iter().find(mine).unwrap()).await;
        // One who is not wanted any more is not asked for, and one who is in is asked away.
        for id in &people[..2] {
            let path = format!("members[value eq \"{id}\"]");
            house.patch(&format!("/Groups/{group}"), json!([{"op": "remove", "path": path}])).await;
        }
        wait("a removal", async || {
            let tasks = house.tasks("open").await;
            tasks.len() == 11 && tasks[0]["act"] == "remove_member"
        })
        .await;
        let tasks = house.tasks("open").await;
        assert!(tasks.iter().all(|task| task["person"]["id"] != json!(people[1])), "{tasks:#?}");
        assert_eq!(tasks[0]["person"]["id"], json!(people[0]));
        // A refusal stays with the one it is about.
        let refused = &tasks[1];
        house
            .admin("POST", &format!("/tasks/{}/refuse", refused["id"].as_str().unwrap()), json!({"comment": "not her"}))
            .await
            .expect(200);
        // Another name of the group waits for no member.
        house
            .patch(
                &format!("/Groups/{group}"),
                json!([{"op": "replace", "path": "displayName", "value": "Operations"}]),
            )
            .await;
        wait("the new name's task", async || {
            house.tasks("open").await.iter().any(|task| task["act"] == "rename_group")
        })
        .await;
        for task in house.tasks("open").await {
            house.done(&task).await;
        }
        house.quiet().await;
        let who = refused["person"]["name"].as_str().unwrap().to_owned();
        let why = house.why(&who).await;
        assert_eq!(why["memberships"][0]["state"], "refused", "{why:#}");
        assert!(why["memberships"][0]["reason"].as_str().unwrap().contains("not her"));
        // The group goes, and with it whatever was asked for in it.
        house.scim("DELETE", &format!("/Groups/{group}"), Value::Null).await.expect(204);
        let tasks = house.open_tasks(1).await;
        assert_eq!(acts(&tasks), ["remove_group"]);
        house.done(&tasks[0]).await;
        house.quiet().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overdue_task_shows_where_admins_look() {
    for db in databases() {
        let house = House::open(&db, json!({"deactivate": "suspend"})).await;
        let ada = house.user("ada@example.com").await;
        let task = house.open_tasks(1).await.remove(0);
        house.done(&task).await;
        house.quiet().await;
        house.set_active(&ada, false).await;
        assert_eq!(acts(&house.open_tasks(1).await), ["suspend_account"]);
        let attention = || async { house.admin("GET", "/attention", Value::Null).await.expect(200).json() };
        house.statement("UPDATE work SET since = 1").await;
        assert_eq!(attention().await["items"], json!([]), "who was asked has their time");
        house.statement("UPDATE task SET due_at = 1").await;
        let told = attention().await;
        let first = &told["items"][0];
        assert_eq!((&first["kind"], &first["deprovision"]), (&json!("task"), &json!(true)), "{told:#}");
        let overdue = house.admin("GET", "/tasks?overdue=true", Value::Null).await.expect(200).json();
        assert_eq!(overdue["items"].as_array().unwrap().len(), 1);
        let task = &overdue["items"][0];
        assert_eq!(task["overdue"], true);
        house.done(task).await;
        house.quiet().await;
        assert_eq!(house.why("ada@example.com").await["resource"]["link"]["status"], "suspended");
        // She returns, and is deleted: the account is restored, and then removed.
        house.set_active(&ada, true).await;
        let tasks = house.open_tasks(1).await;
        assert_eq!(acts(&tasks), ["restore_account"]);
        house.done(&tasks[0]).await;
        house.quiet().await;
        house.scim("DELETE", &format!("/Users/{ada}"), Value::Null).await.expect(204);
        let tasks = house.open_tasks(1).await;
        assert_eq!(acts(&tasks), ["remove_account"]);
        house.done(&tasks[0]).await;
        house.quiet().await;
        // What is erased is nowhere: not in tasks either.
        let path = format!("/instances/{}/erase", house.instance);
        house.admin("POST", &path, json!({"resource": ada})).await.expect(200);
        let all = serde_json::to_string(&house.tasks("all").await).unwrap();
        assert!(!all.contains("ada@example.com") && !all.contains("Lovelace"), "{all}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_that_are_there_already_are_entered_and_taken_over() {
    for db in databases() {
        let house = House::open(&db, json!({})).await;
        let path = format!("/instances/{}/desk/accounts", house.instance);
        let list = json!({"accounts": [
            {"id": "17", "user_name": "Ada@example.com", "email": "ada@example.com", "display_name": "Ada"},
            {"user_name": "bob@example.com"}]});
        let entered = house.admin("POST", &path, list.clone()).await.expect(200).json();
        assert_eq!(entered, json!({"entered": 2, "known": 0}));
        assert_eq!(house.admin("POST", &path, list).await.expect(200).json(), json!({"entered": 0, "known": 2}));
        house.user("ada@example.com").await;
        house.quiet().await;
        assert_eq!(house.tasks("all").await, [] as [Value; 0]);
        assert_eq!(house.why("ada@example.com").await["resource"]["link"]["remote_id"], "17");
        // An id is one account's.
        house.user("eve@example.com").await;
        let task = house.open_tasks(1).await.remove(0);
        let path = format!("/tasks/{}/done", task["id"].as_str().unwrap());
        let taken = house.admin("POST", &path, json!({"account_id": "17"})).await.expect(409).json();
        assert!(taken["detail"].as_str().unwrap().contains("\"17\""), "{taken}");
        house.done(&task).await;
        house.quiet().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_with_the_field() {
    let house = House::open(&Db::Sqlite, json!({})).await;
    let ada = house.user("ada@example.com").await;
    let task = house.open_tasks(1).await.remove(0);
    let id = task["id"].as_str().unwrap();
    let desk = format!("/instances/{}/desk/accounts", house.instance);
    for (method, path, body, status, word) in [
        ("GET", "/tasks?state=gone".to_owned(), Value::Null, 400, "state"),
        ("GET", "/tasks?state=done&overdue=true".to_owned(), Value::Null, 400, "overdue"),
        ("GET", "/tasks?cursor=xx".to_owned(), Value::Null, 400, "cursor"),
        ("GET", "/tasks?instance=nobody".to_owned(), Value::Null, 404, "instance"),
        ("GET", "/tasks/tk_1x".to_owned(), Value::Null, 404, "task"),
        ("GET", "/tasks/7".to_owned(), Value::Null, 404, "task"),
        ("POST", "/tasks/tk_999999999/done".to_owned(), Value::Null, 404, "task"),
        ("POST", format!("/tasks/{id}/refuse"), Value::Null, 400, "body"),
        ("POST", format!("/tasks/{id}/refuse"), json!({"comment": "  "}), 400, "comment"),
        ("POST", format!("/tasks/{id}/refuse"), json!({"comment": "x".repeat(2_001)}), 400, "comment"),
        ("POST", format!("/tasks/{id}/done"), json!({"coment": "x"}), 400, "coment"),
        ("POST", format!("/tasks/{id}/done"), json!({"account_id": "a\nb"}), 400, "account_id"),
        ("POST", desk.clone(), json!({"accounts": []}), 400, "accounts"),
        ("POST", desk.clone(), json!({"accounts": [{"user_name": ""}]}), 400, "accounts.0.user_name"),
        ("POST", desk, json!({"accounts": [{"user_name": "a", "email": "x".repeat(301)}]}), 400, "accounts.0.email"),
    ] {
        let reply = house.admin(method, &path, body).await;
        assert_eq!(reply.status.as_u16(), status, "{path}: {}", reply.text());
        assert!(reply.text().contains(word), "{path}: {}", reply.text());
    }
    assert_eq!(house.tasks("open").await[0]["id"], id, "none of it closed the task");
    // Pages of one go on where the one before ended.
    house.user("bob@example.com").await;
    house.open_tasks(2).await;
    let first = house.admin("GET", "/tasks?limit=1", Value::Null).await.expect(200).json();
    let next = format!("/tasks?limit=1&cursor={}", first["next"].as_str().unwrap());
    let second = house.admin("GET", &next, Value::Null).await.expect(200).json();
    assert_ne!(first["items"][0]["id"], second["items"][0]["id"]);
    assert_eq!(second["next"], Value::Null);
    // A deleted instance asks nobody for anything.
    house.set_active(&ada, false).await;
    house.admin("DELETE", &format!("/instances/{}?force=true", house.instance), Value::Null).await.expect(204);
    let left = house.admin("GET", "/tasks", Value::Null).await.expect(200).json();
    assert_eq!(left["items"], json!([]));
}
