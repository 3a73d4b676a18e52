//! The calls of the hub's API.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Group, JupyterHub, OWN, TOKEN, User, answer, group_model, refusal};

/// Whether the token has a scope, else the refusal.
type May<'a> = &'a dyn Fn(&JupyterHub, &str) -> Result<(), Response<Bytes>>;

/// Items of a page where none or too many are asked for (`api_page_default_limit`, `api_page_max_limit`).
const USUAL_LIMIT: usize = 50;
const MOST: usize = 200;

type Answer = Result<Response<Bytes>, Response<Bytes>>;

fn not_found(message: Option<&str>) -> Response<Bytes> {
    refusal(StatusCode::NOT_FOUND, message)
}

fn bad(message: &str) -> Response<Bytes> {
    refusal(StatusCode::BAD_REQUEST, Some(message))
}

pub(super) fn handle(hub: &mut JupyterHub, request: &Request<Bytes>, now: Timestamp) -> Answer {
    let path: Option<Vec<String>> = request
        .uri()
        .path()
        .strip_prefix("/hub/api")
        .map(|rest| rest.trim_start_matches('/').split('/').map(decoded).collect());
    let path = path.ok_or_else(|| not_found(None))?;
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let known = hub.valid && token(request) == Some(TOKEN);
    let may = |hub: &JupyterHub, scope: &str| {
        if !known {
            return Err(refusal(StatusCode::FORBIDDEN, Some("Missing or invalid credentials.")));
        }
        if hub.scopes.iter().any(|one| one == scope) {
            return Ok(());
        }
        let words = format!("Action is not authorized with current scopes; requires any of [{scope}]");
        Err(refusal(StatusCode::FORBIDDEN, Some(&words)))
    };
    match (request.method(), path.as_slice()) {
        (&Method::GET, [""]) => Ok(answer(StatusCode::OK, &json!({ "version": "6.1.1" }))),
        (&Method::GET, ["user"]) => {
            if !known {
                return Err(refusal(StatusCode::FORBIDDEN, None));
            }
            let mut model = hub.user(OWN).map(|user| hub.user_model(user)).unwrap_or_default();
            model["token_id"] = "a1".into();
            model["session_id"] = Value::Null;
            model["scopes"] = hub.scopes.clone().into();
            Ok(answer(StatusCode::OK, &model))
        }
        (&Method::GET, ["users"]) => {
            may(hub, "list:users")?;
            let filter = parameter(request, "name_filter").unwrap_or_default().to_lowercase();
            let users = hub.users.iter().filter(|user| user.name.to_lowercase().contains(&filter));
            page(request, users.map(|user| hub.user_model(user)).collect())
        }
        (&Method::POST, ["users"]) => {
            may(hub, "admin:users")?;
            create_users(hub, &body(request)?, now)
        }
        (method, ["users", name]) => user(hub, method, name, request, now, &may),
        (&Method::GET, ["groups"]) => {
            may(hub, "list:groups")?;
            page(request, hub.groups.iter().map(group_model).collect())
        }
        (&Method::POST, ["groups", name]) => {
            may(hub, "admin:groups")?;
            if hub.groups.iter().any(|group| group.name == *name) {
                return Err(refusal(StatusCode::CONFLICT, Some(&format!("Group {name} already exists"))));
            }
            let given = if request.body().is_empty() { Map::new() } else { body(request)? };
            let users = if given.contains_key("users") { names(hub, &given)? } else { Vec::new() };
            let group = Group { name: (*name).to_owned(), users, properties: Map::new() };
            let model = group_model(&group);
            hub.groups.push(group);
            Ok(answer(StatusCode::CREATED, &model))
        }
        (method, ["groups", name, rest @ ..]) => {
            may(
                hub,
                match (method, rest) {
                    (&Method::GET, []) => "read:groups",
                    (&Method::DELETE, []) => "delete:groups",
                    _ => "groups",
                },
            )?;
            group(hub, method, name, rest, request)
        }
        _ => Err(not_found(None)),
    }
}

/// The token of `Authorization: token …` or `Bearer …`.
fn token(request: &Request<Bytes>) -> Option<&str> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("token") || scheme.eq_ignore_ascii_case("bearer")).then(|| token.trim())
}

fn decoded(segment: &str) -> String {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = (*first == b'%').then(|| after.get(..2)).flatten().and_then(|two| std::str::from_utf8(two).ok());
        match hex.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn parameter(request: &Request<Bytes>, name: &str) -> Option<String> {
    let query = request.uri().query()?;
    url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn body(request: &Request<Bytes>) -> Result<Map<String, Value>, Response<Bytes>> {
    match serde_json::from_slice(request.body()) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(bad("Body must be a JSON dict")),
        Err(_) => Err(bad("Invalid JSON in body of request")),
    }
}

/// A page, or a bare array for those who did not ask for pages.
fn page(request: &Request<Bytes>, items: Vec<Value>) -> Answer {
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let paged = accept.contains("application/jupyterhub-pagination+json");
    let number = |name: &str, usual: usize| match parameter(request, name) {
        None => Ok(usual),
        Some(text) => text
            .parse::<i64>()
            .map(|number| usize::try_from(number.unsigned_abs()).unwrap_or(usize::MAX))
            .map_err(|_| bad("Invalid argument type, offset and limit must be integers")),
    };
    let offset = number("offset", 0)?;
    let limit = number("limit", if paged { USUAL_LIMIT } else { MOST })?.clamp(1, MOST);
    let total = items.len();
    let items: Vec<Value> = items.into_iter().skip(offset).take(limit).collect();
    if !paged {
        return Ok(answer(StatusCode::OK, &Value::Array(items)));
    }
    let end = offset.saturating_add(limit);
    let next = (end < total).then(|| {
        let url = format!("{}?offset={end}&limit={limit}", request.uri().path());
        json!({ "offset": end, "limit": limit, "url": url })
    });
    let pagination = json!({ "offset": offset, "limit": limit, "total": total, "next": next });
    Ok(answer(StatusCode::OK, &json!({ "items": items, "_pagination": pagination })))
}

fn create_users(hub: &mut JupyterHub, given: &Map<String, Value>, now: Timestamp) -> Answer {
    let wanted = given.get("usernames").and_then(Value::as_array).filter(|names| !names.is_empty());
    let wanted = wanted.ok_or_else(|| bad("Must specify at least one user to create"))?;
    let admin = given.get("admin").and_then(Value::as_bool).unwrap_or(false);
    let wanted: Vec<String> =
        wanted.iter().map(|name| name.as_str().unwrap_or_default().trim().to_lowercase()).collect();
    let invalid: Vec<&String> = wanted.iter().filter(|name| name.is_empty() || name.contains('/')).collect();
    match invalid.as_slice() {
        [] => {}
        [one] => return Err(bad(&format!("Invalid username: {one}"))),
        many => {
            let all: Vec<&str> = many.iter().map(|name| name.as_str()).collect();
            return Err(bad(&format!("Invalid usernames: {}", all.join(", "))));
        }
    }
    let count = wanted.len();
    let new: Vec<String> = wanted.into_iter().filter(|name| hub.user(name).is_none()).collect();
    if new.is_empty() {
        return Err(refusal(StatusCode::CONFLICT, Some(&format!("All {count} users already exist"))));
    }
    let mut created = Vec::new();
    for name in new {
        let user = User { name, admin, created: now };
        created.push(hub.user_model(&user));
        hub.users.push(user);
    }
    Ok(answer(StatusCode::CREATED, &Value::Array(created)))
}

fn user(
    hub: &mut JupyterHub,
    method: &Method,
    name: &str,
    request: &Request<Bytes>,
    now: Timestamp,
    may: May<'_>,
) -> Answer {
    match *method {
        Method::GET => {
            may(hub, "read:users")?;
            let user = hub.user(name).ok_or_else(|| not_found(None))?;
            Ok(answer(StatusCode::OK, &hub.user_model(user)))
        }
        Method::POST => {
            may(hub, "admin:users")?;
            if hub.user(name).is_some() {
                return Err(refusal(StatusCode::CONFLICT, Some(&format!("User {name} already exists"))));
            }
            let user = User { name: name.to_owned(), admin: false, created: now };
            let model = hub.user_model(&user);
            hub.users.push(user);
            Ok(answer(StatusCode::CREATED, &model))
        }
        Method::PATCH => {
            may(hub, "admin:users")?;
            let place = hub.users.iter().position(|user| user.name == name).ok_or_else(|| not_found(None))?;
            let given = body(request)?;
            if let Some(new) = given.get("name").and_then(Value::as_str).filter(|new| *new != name) {
                let new = new.trim().to_lowercase();
                if hub.user(&new).is_some() {
                    return Err(bad(&format!("User {new} already exists, username must be unique")));
                }
                for group in &mut hub.groups {
                    for member in group.users.iter_mut().filter(|member| *member == name) {
                        *member = new.clone();
                    }
                }
                hub.users[place].name = new;
            }
            if let Some(admin) = given.get("admin").and_then(Value::as_bool) {
                hub.users[place].admin = admin;
            }
            Ok(answer(StatusCode::OK, &hub.user_model(&hub.users[place])))
        }
        Method::DELETE => {
            may(hub, "delete:users")?;
            let place = hub.users.iter().position(|user| user.name == name).ok_or_else(|| not_found(None))?;
            if name == OWN {
                return Err(bad("Cannot delete yourself!"));
            }
            hub.users.remove(place);
            for group in &mut hub.groups {
                group.users.retain(|member| member != name);
            }
            Ok(no_content())
        }
        _ => Err(refusal(StatusCode::METHOD_NOT_ALLOWED, None)),
    }
}

fn no_content() -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// The users that a body names; nothing is done where one of them is not there.
fn names(hub: &JupyterHub, given: &Map<String, Value>) -> Result<Vec<String>, Response<Bytes>> {
    let names = given.get("users").and_then(Value::as_array).ok_or_else(|| bad("Must specify users"))?;
    let mut found = Vec::new();
    for name in names {
        let name = name.as_str().unwrap_or_default().to_lowercase();
        if hub.user(&name).is_none() {
            return Err(bad(&format!("No such user: {name}")));
        }
        found.push(name);
    }
    Ok(found)
}

fn group(hub: &mut JupyterHub, method: &Method, name: &str, rest: &[&str], request: &Request<Bytes>) -> Answer {
    let place = hub
        .groups
        .iter()
        .position(|group| group.name == name)
        .ok_or_else(|| not_found(Some(&format!("No such group: {name}"))))?;
    match (method, rest) {
        (&Method::GET, []) => {}
        (&Method::DELETE, []) => {
            hub.groups.remove(place);
            return Ok(no_content());
        }
        (&Method::PUT, ["properties"]) => hub.groups[place].properties = body(request)?,
        (&Method::POST, ["users"]) => {
            for user in names(hub, &body(request)?)? {
                if !hub.groups[place].users.contains(&user) {
                    hub.groups[place].users.push(user);
                }
            }
        }
        (&Method::DELETE, ["users"]) => {
            let users = names(hub, &body(request)?)?;
            hub.groups[place].users.retain(|user| !users.contains(user));
        }
        _ => return Err(not_found(None)),
    }
    Ok(answer(StatusCode::OK, &group_model(&hub.groups[place])))
}
