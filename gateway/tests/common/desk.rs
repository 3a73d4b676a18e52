//! The desk: a small REST target of people and rooms, and the manifest that speaks to it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use serde_json::{Value, json};

/// The manifest, in its first version.
pub(crate) const MANIFEST: &str = include_str!("desk.toml");
pub(crate) const TOKEN: &str = "canary-desk-token";

/// The manifest in another version, with a change.
pub(crate) fn manifest(version: &str, from: &str, to: &str) -> String {
    assert!(MANIFEST.contains(from), "{from}");
    MANIFEST.replace("version = \"1\"", &format!("version = {version:?}")).replace(from, to)
}

#[derive(Default)]
struct Held {
    people: BTreeMap<String, Value>,
    rooms: BTreeMap<String, Value>,
    members: BTreeMap<String, Vec<String>>,
    next: u32,
    /// What came, as `METHOD path`.
    calls: Vec<String>,
    /// The deliberate defect: it answers a creation with this id.
    wrong_id: Option<String>,
}

/// A desk that listens for as long as the test lives.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) url: String,
    held: Arc<Mutex<Held>>,
}

type Shared = State<Arc<Mutex<Held>>>;

impl Desk {
    pub(crate) async fn open() -> Self {
        let held = Arc::new(Mutex::new(Held::default()));
        let router = Router::new()
            .route("/me", get(async || Json(json!({"name": "desk bot"}))))
            .route("/{kind}", any(list))
            .route("/{kind}/{id}", any(one))
            .route("/rooms/{id}/members", get(members))
            .route("/rooms/{id}/members/{who}", any(member))
            .layer(axum::middleware::from_fn_with_state(held.clone(), guard))
            .with_state(held.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, held }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap()
    }

    /// The addresses of who is there.
    pub(crate) fn people(&self) -> Vec<String> {
        self.held().people.values().map(|one| one["email"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn rooms(&self) -> Vec<String> {
        self.held().rooms.values().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    }

    /// What the second version of the manifest says beside the name.
    pub(crate) fn teams(&self) -> Vec<String> {
        self.held().people.values().filter_map(|one| one["team"].as_str().map(str::to_owned)).collect()
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.held().calls.clone()
    }

    pub(crate) fn writes(&self) -> Vec<String> {
        self.calls().into_iter().filter(|call| !call.starts_with("GET ")).collect()
    }

    /// Somebody is there; their id.
    pub(crate) fn put(&self, email: &str) -> String {
        let mut held = self.held();
        let id = held.id();
        held.people.insert(id.clone(), json!({"id": id, "email": email, "name": email}));
        id
    }

    pub(crate) fn answer_creations_with(&self, id: &str) {
        self.held().wrong_id = Some(id.to_owned());
    }
}

impl Held {
    fn id(&mut self) -> String {
        self.next += 1;
        format!("d{:04}", self.next)
    }

    fn table(&mut self, kind: &str) -> Option<&mut BTreeMap<String, Value>> {
        match kind {
            "people" => Some(&mut self.people),
            "rooms" => Some(&mut self.rooms),
            _ => None,
        }
    }
}

async fn guard(
    State(held): Shared,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> Response {
    held.lock().unwrap().calls.push(format!("{method} {}", uri.path()));
    if headers.get("authorization").is_none_or(|value| value != &format!("Bearer {TOKEN}")) {
        return (StatusCode::UNAUTHORIZED, Json(json!({"error": "who are you?"}))).into_response();
    }
    next.run(request).await
}

fn missing() -> Response {
    (StatusCode::NOT_FOUND, Json(json!({"error": "not here"}))).into_response()
}

fn page(all: Vec<Value>, query: &BTreeMap<String, String>) -> Response {
    let page: usize = query.get("page").map_or(1, |page| page.parse().unwrap());
    let items: Vec<&Value> = all.iter().skip((page - 1) * 2).take(2).collect();
    Json(json!({"items": items, "more": all.len() > page * 2})).into_response()
}

async fn list(
    State(held): Shared,
    method: Method,
    Path(kind): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
    body: Bytes,
) -> Response {
    let mut held = held.lock().unwrap();
    if method != Method::POST {
        let Some(table) = held.table(&kind) else { return missing() };
        let asked = query.get("email");
        let fits = |one: &&Value| asked.is_none_or(|email| one["email"] == email.as_str());
        return page(table.values().filter(fits).cloned().collect(), &query);
    }
    let mut new: Value = serde_json::from_slice(&body).unwrap();
    let id = held.id();
    new["id"] = json!(id);
    let wrong = held.wrong_id.clone();
    let Some(table) = held.table(&kind) else { return missing() };
    let key = if kind == "people" { "email" } else { "name" };
    if table.values().any(|one| one[key] == new[key]) {
        return (StatusCode::CONFLICT, Json(json!({"error": "there already"}))).into_response();
    }
    table.insert(id, new.clone());
    if let Some(wrong) = wrong {
        new["id"] = json!(wrong);
    }
    (StatusCode::CREATED, Json(new)).into_response()
}

async fn one(State(held): Shared, method: Method, Path((kind, id)): Path<(String, String)>, body: Bytes) -> Response {
    let mut held = held.lock().unwrap();
    if method == Method::DELETE {
        held.members.values_mut().for_each(|all| all.retain(|who| *who != id));
    }
    let Some(table) = held.table(&kind) else { return missing() };
    if !table.contains_key(&id) {
        return missing();
    }
    match method {
        Method::DELETE => {
            table.remove(&id);
            StatusCode::NO_CONTENT.into_response()
        }
        Method::PATCH => {
            let change: Value = serde_json::from_slice(&body).unwrap();
            for (name, value) in change.as_object().unwrap() {
                table.get_mut(&id).unwrap()[name] = value.clone();
            }
            Json(table[&id].clone()).into_response()
        }
        _ => Json(table[&id].clone()).into_response(),
    }
}

async fn members(
    State(held): Shared,
    Path(id): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let held = held.lock().unwrap();
    if !held.rooms.contains_key(&id) {
        return missing();
    }
    let all = held.members.get(&id).cloned().unwrap_or_default();
    page(all.into_iter().map(Value::from).collect(), &query)
}

async fn member(State(held): Shared, method: Method, Path((id, who)): Path<(String, String)>) -> Response {
    let mut held = held.lock().unwrap();
    if !held.rooms.contains_key(&id) || !held.people.contains_key(&who) {
        return missing();
    }
    let all = held.members.entry(id).or_default();
    all.retain(|one| *one != who);
    if method == Method::PUT {
        all.push(who);
    }
    StatusCode::NO_CONTENT.into_response()
}
