//! Targets without an API: a person reads the tasks on the desk, does what their words say in a book that stands for the
//! application, and closes them. Nothing but the tasks tells them what to do.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use serde_json::{Value, json};
use tests::admin::{Admin, Instance};
use tests::{Db, Gateway, facts, wait_until};
use tokio::sync::Mutex;

use crate::check::{CLIENTS, NOTHING, Target, check};

/// How long all tasks may take.
const BOUND: Duration = Duration::from_secs(120);

/// The application that nobody can reach but by hand.
#[derive(Clone, Default)]
struct Book {
    /// By their ids: what stands in the lines of a task, and whether they may sign in.
    accounts: BTreeMap<String, (BTreeMap<String, String>, bool)>,
    /// Names with the ids of members.
    groups: BTreeMap<String, BTreeSet<String>>,
    /// The ids given so far.
    given: usize,
}

impl Book {
    /// Does what a task says; answers the id of what it made.
    fn carry_out(&mut self, task: &Value) -> Option<String> {
        let title = task["title"].as_str().unwrap_or_default();
        let act = task["act"].as_str().unwrap_or_default();
        let lines: BTreeMap<String, String> = task["detail"]
            .as_str()
            .unwrap_or_default()
            .lines()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut quoted = title.split('"').skip(1).step_by(2).map(str::to_owned);
        let mut group = || quoted.next().unwrap_or_else(|| panic!("which group? {task:#}"));
        match act {
            "create_account" => {
                self.given += 1;
                let id = format!("seat {}", self.given);
                self.accounts.insert(id.clone(), (lines, true));
                Some(id)
            }
            "update_account" => {
                self.whose(task).0 = lines;
                None
            }
            "suspend_account" | "restore_account" => {
                self.whose(task).1 = act == "restore_account";
                None
            }
            "remove_account" => {
                self.whose(task);
                let id = task["account_id"].as_str().unwrap_or_default();
                self.accounts.remove(id);
                for members in self.groups.values_mut() {
                    members.remove(id);
                }
                None
            }
            "create_group" => {
                let name = group();
                assert!(self.groups.insert(name.clone(), BTreeSet::new()).is_none(), "it is there: {task:#}");
                self.given += 1;
                Some(format!("team {}", self.given))
            }
            "rename_group" => {
                let (old, new) = (group(), group());
                let members = self.groups.remove(&old).unwrap_or_else(|| panic!("there is no such group: {task:#}"));
                assert!(self.groups.insert(new, members).is_none(), "the name is taken: {task:#}");
                None
            }
            "remove_group" => {
                assert!(self.groups.remove(&group()).is_some(), "there is no such group: {task:#}");
                None
            }
            "add_member" | "remove_member" => {
                let id = task["account_id"].as_str().unwrap_or_default().to_owned();
                if act == "remove_member" && !self.accounts.contains_key(&id) {
                    // They have left altogether, and nobody has taken the task back yet.
                    return None;
                }
                self.whose(task);
                // The title has the name of when it was asked. Who renamed the group since finds it by today's.
                let (asked, now) = (group(), task["group"]["name"].as_str().unwrap_or_default());
                let name = if self.groups.contains_key(&asked) { asked.as_str() } else { now };
                let members = self.groups.get_mut(name).unwrap_or_else(|| panic!("there is no such group: {task:#}"));
                if act == "add_member" {
                    members.insert(id)
                } else {
                    members.remove(&id)
                };
                None
            }
            other => panic!("a task to {other}: {task:#}"),
        }
    }

    /// The account that a task is about. Whoever reads its title must recognise them.
    fn whose(&mut self, task: &Value) -> &mut (BTreeMap<String, String>, bool) {
        let (id, title) = (task["account_id"].as_str().unwrap_or_default(), task["title"].as_str().unwrap_or_default());
        let account = self.accounts.get_mut(id).unwrap_or_else(|| panic!("there is no such account: {task:#}"));
        assert!(account.0.values().any(|value| title.contains(value.as_str())), "who is that? {task:#}\n{account:?}");
        account
    }
}

/// A desk with the person who works at it.
struct Desk {
    deactivate: &'static str,
    /// Whether they are at work while the client is; else they come when it is through.
    prompt: bool,
    book: Mutex<Book>,
}

impl Desk {
    /// Takes the first task, does it and says so; false if there is none. What turns out not to be wanted any more is undone.
    async fn work(&self, admin: &Admin, instance: &Instance) -> bool {
        let open = admin.get(&format!("/tasks?state=open&limit=1&instance={}", instance.id)).await;
        let task = &open["items"][0];
        if task.is_null() {
            return false;
        }
        let mut book = self.book.lock().await;
        let mut done = book.clone();
        let made = done.carry_out(task);
        let path = format!("/tasks/{}/done", task["id"].as_str().unwrap_or_default());
        let answer = admin.call(Method::POST, &path, Some(json!({ "account_id": made, "comment": "as asked" }))).await;
        match answer.status {
            200 => *book = done,
            409 => assert_eq!(admin.get(path.trim_end_matches("/done")).await["state"], "withdrawn", "{}", answer.text),
            _ => panic!("{task:#}: {} {}", answer.status, answer.text),
        }
        true
    }
}

#[async_trait(?Send)]
impl Target for Desk {
    fn instance(&self) -> Value {
        json!({
            "connector": "manual", "settings": { "app": "Payroll", "deactivate": self.deactivate }, "secrets": {},
        })
    }

    async fn state(&self) -> Value {
        let book = self.book.lock().await;
        let account = |id: &String| {
            let (lines, active) = &book.accounts[id];
            json!({
                "id": id, "login": lines.get("User name"), "email": lines.get("E-mail"), "active": active,
                "shown": {
                    "/displayName": lines.get("Name"), "/name/givenName": lines.get("Given name"),
                    "/name/familyName": lines.get("Family name"), "/title": lines.get("Title"),
                },
            })
        };
        let accounts: Vec<Value> = book.accounts.keys().map(account).collect();
        let groups: Vec<Value> = book
            .groups
            .iter()
            .map(|(name, members)| json!({ "name": name, "members": members.iter().map(account).collect::<Vec<_>>() }))
            .collect();
        json!({ "accounts": accounts, "invitations": [], "groups": groups })
    }

    async fn meanwhile(&self, admin: &Admin, instance: &Instance, through: &Cell<bool>) {
        if !self.prompt {
            return;
        }
        // A task that was taken up is closed before they go.
        wait_until("the client is through", BOUND, async || {
            self.work(admin, instance).await;
            through.get().then_some(())
        })
        .await;
    }

    async fn caught_up(&self, admin: &Admin, instance: &Instance) {
        wait_until("no task is open and nothing left to do", BOUND, async || {
            while self.work(admin, instance).await {}
            let open = admin.get(&format!("/instances/{}/operations?state=open&limit=1", instance.id)).await;
            let work = admin.get(&format!("/instances/{}/work?limit=1", instance.id)).await;
            (open["items"] == json!([]) && work["items"] == json!([])).then_some(())
        })
        .await;
        // What is on record as done is what was done, by the ids of the application.
        let book = self.book.lock().await;
        let links = admin.list(&format!("/instances/{}/links", instance.id)).await;
        let links = links.iter().filter(|link| link["state"] == "live" && link["resource"]["kind"] == "User");
        let linked: BTreeSet<&str> = links.filter_map(|link| link["account"]["remote_id"].as_str()).collect();
        let there: BTreeSet<&str> = book.accounts.keys().map(String::as_str).collect();
        assert_eq!(linked, there, "the accounts on record");
    }
}

async fn everyone(title: &str, deactivate: &'static str, prompt: bool) {
    let Some(facts) = facts(title) else { return };
    let gateway = Gateway::start(Db::Sqlite).await;
    for client in CLIENTS {
        let desk = Desk { deactivate, prompt, book: Mutex::default() };
        check(&facts, &gateway, (title, &desk), NOTHING, client).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_every_client_asks_for_is_done_by_who_comes_later() {
    everyone("a desk whose clerk comes later", "remove", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_every_client_asks_for_is_done_by_who_is_at_it_meanwhile() {
    everyone("a desk whose clerk is at work", "suspend", true).await;
}
