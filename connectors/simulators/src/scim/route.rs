//! The endpoints (RFC 7644 section 3.2).

use bytes::Bytes;
use http::{Method, Request, Response, header};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::document::{Refusal, no_content, reply};
use super::filter::Filter;
use super::render::{self, Wanted};
use super::world::{Kind, Stored};
use super::{Flavour, Scim, discovery, github, patch};

type Answer = Result<Response<Bytes>, Refusal>;

/// The parameters of a list.
#[derive(Default)]
struct Query {
    filter: Option<String>,
    start: usize,
    count: Option<usize>,
    /// Present, perhaps empty: the walk goes by cursors.
    cursor: Option<String>,
    wanted: Wanted,
}

impl Query {
    fn read(request: &Request<Bytes>) -> Result<Self, Refusal> {
        let mut query = Self { start: 1, ..Self::default() };
        let names = |text: &str| text.split(',').map(|name| name.trim().to_owned()).collect::<Vec<_>>();
        for (name, value) in url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes()) {
            let number =
                || value.parse::<i64>().map_err(|_| Refusal::bad("invalidValue", format!("{name} is a number")));
            match name.as_ref() {
                "filter" => query.filter = Some(value.into_owned()),
                "startIndex" => query.start = usize::try_from(number()?.max(1)).unwrap_or(1),
                "count" => query.count = Some(usize::try_from(number()?.max(0)).unwrap_or(0)),
                "cursor" => query.cursor = Some(value.into_owned()),
                "attributes" => query.wanted.attributes = Some(names(&value)),
                "excludedAttributes" => query.wanted.excluded = names(&value),
                _ => {}
            }
        }
        Ok(query)
    }
}

impl Scim {
    pub(super) fn route(&mut self, request: &Request<Bytes>, path: &[&str], now: Timestamp) -> Answer {
        let get = request.method() == Method::GET;
        let plain = self.rules.plain_json;
        match path {
            ["ServiceProviderConfig"] if get && self.rules.discovery => {
                Ok(reply(200, &discovery::config(&self.rules), plain))
            }
            ["ResourceTypes"] if get && self.rules.discovery => Ok(reply(200, &discovery::resource_types(), plain)),
            ["Schemas"] if get && self.rules.discovery => Ok(reply(200, &discovery::schemas(), plain)),
            ["Bulk"] if request.method() == Method::POST => self.bulk(request, now),
            ["Users"] => self.collection(request, Kind::User, now),
            ["Groups", ..] if self.flavour == Flavour::GithubOrg => Err(Refusal::missing("the resource")),
            ["Groups"] => self.collection(request, Kind::Group, now),
            ["Users", id] => self.one(request, Kind::User, &decoded(id), now),
            ["Groups", id] => self.one(request, Kind::Group, &decoded(id), now),
            _ => Err(Refusal::missing("the resource")),
        }
    }

    fn collection(&mut self, request: &Request<Bytes>, kind: Kind, now: Timestamp) -> Answer {
        match *request.method() {
            Method::GET => self.list(request, kind),
            Method::POST => {
                let mut body = object(request)?;
                if kind == Kind::Group && self.rules.group_ignores_members {
                    body.retain(|name, _| !name.eq_ignore_ascii_case("members"));
                }
                github::complete(self.flavour, kind, &body)?;
                let doc = self.world.read(kind, &body, None, self.rules.unique_groups).map_err(|refusal| {
                    if refusal.status == 409 && !self.rules.conflict {
                        return Refusal::new(500, None, "an error occurred");
                    }
                    refusal
                })?;
                let id = self.world.add(kind, doc, now);
                let stored = self.world.get(kind, &id)?;
                Ok(render::answer(201, &self.shown(kind, stored, &Wanted::default(), true), stored, &self.rules))
            }
            _ => Err(Refusal::new(405, None, "this endpoint has GET and POST")),
        }
    }

    /// A resource as it is shown; alone, a person is shown with their groups.
    fn shown(&self, kind: Kind, stored: &Stored, wanted: &Wanted, alone: bool) -> Value {
        let prefix = self.flavour.prefix().join("/");
        let groups = if alone && kind == Kind::User { self.world.groups_of(&stored.id) } else { Vec::new() };
        if self.flavour != Flavour::Plain {
            let location = format!("https://api.github.com/{prefix}/{}s/{}", kind.name(), stored.id);
            let shown = render::resource(kind, stored, &self.rules, wanted, &location, &groups);
            return github::shown(shown, &prefix);
        }
        let location = format!("/{prefix}/{}s/{}", kind.name(), stored.id);
        render::resource(kind, stored, &self.rules, wanted, &location, &groups)
    }

    fn list(&self, request: &Request<Bytes>, kind: Kind) -> Answer {
        let query = Query::read(request)?;
        let filter = match &query.filter {
            Some(_) if !self.rules.filter && self.rules.filter_ignored => None,
            Some(_) if !self.rules.filter => return Err(Refusal::new(501, None, "filters are not supported")),
            Some(text) => Some(
                Filter::parse(text).ok_or_else(|| Refusal::bad("invalidFilter", format!("{text:?} is no filter")))?,
            ),
            None => None,
        };
        if self.flavour != Flavour::Plain
            && let Some(filter) = &filter
        {
            github::filter(self.flavour, kind, filter)?;
        }
        let all = self.world.all(kind);
        let meant = |stored: &Stored| {
            filter.as_ref().is_none_or(|filter| {
                let mut doc = stored.doc.clone();
                doc.insert("id".to_owned(), json!(stored.id));
                filter.matches(&doc)
            })
        };
        let size = query.count.unwrap_or(self.rules.page_cap).min(self.rules.page_cap);
        let mut body = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"] });
        let hits: Vec<(&u64, &Stored)> = all.iter().filter(|(_, stored)| meant(stored)).collect();
        body["totalResults"] = json!(hits.len());
        let page: Vec<&Stored> = match query.cursor.filter(|_| self.rules.cursor) {
            Some(cursor) => {
                let after = match cursor.as_str() {
                    "" => 0,
                    text => text
                        .strip_prefix("after-")
                        .and_then(|seq| seq.parse::<u64>().ok())
                        .ok_or_else(|| Refusal::bad("invalidCursor", "this is no cursor of this server"))?,
                };
                let rest: Vec<_> = hits.iter().filter(|(seq, _)| **seq > after).take(size + 1).collect();
                if rest.len() > size && size > 0 {
                    body["nextCursor"] = json!(format!("after-{}", rest[size - 1].0));
                }
                rest.into_iter().take(size).map(|(_, stored)| *stored).collect()
            }
            None => {
                body["startIndex"] = json!(query.start);
                hits.iter().skip(query.start - 1).take(size).map(|(_, stored)| *stored).collect()
            }
        };
        body["itemsPerPage"] = json!(page.len());
        let page: Vec<Value> = page.into_iter().map(|stored| self.shown(kind, stored, &query.wanted, false)).collect();
        body["Resources"] = Value::Array(page);
        Ok(reply(200, &body, self.rules.plain_json))
    }

    fn one(&mut self, request: &Request<Bytes>, kind: Kind, id: &str, now: Timestamp) -> Answer {
        let seq = self.world.seq_of(kind, id)?;
        if request.method() != Method::GET {
            self.unchanged(request, kind, id)?;
        }
        let wanted = Query::read(request)?.wanted;
        match *request.method() {
            Method::GET => {}
            Method::PUT => {
                let body = object(request)?;
                github::complete(self.flavour, kind, &body)?;
                let doc = self.world.read(kind, &body, Some(seq), self.rules.unique_groups)?;
                self.world.change(kind, seq, doc, now);
            }
            Method::PATCH if self.rules.patch => {
                let mut doc = self.world.get(kind, id)?.doc.clone();
                let limits = patch::Limits { path_filters: self.rules.path_filters, members: self.rules.members_cap };
                let message = match self.flavour {
                    Flavour::Plain => Value::Object(object(request)?),
                    _ => github::message(object(request)?),
                };
                patch::apply(&mut doc, &message, limits)?;
                let doc = self.world.read(kind, &doc, Some(seq), self.rules.unique_groups)?;
                self.world.change(kind, seq, doc, now);
                // GitHub documents 204 of groups alone.
                if self.rules.patch_204 && (self.flavour == Flavour::Plain || kind == Kind::Group) {
                    return Ok(no_content());
                }
            }
            Method::PATCH => return Err(Refusal::new(501, None, "PATCH is not supported")),
            Method::DELETE => {
                self.world.remove(kind, id, now)?;
                return Ok(no_content());
            }
            _ => return Err(Refusal::new(405, None, "this endpoint has GET, PUT, PATCH and DELETE")),
        }
        let stored = self.world.get(kind, id)?;
        let answer = render::answer(200, &self.shown(kind, stored, &wanted, true), stored, &self.rules);
        if self.flavour == Flavour::GithubOrg && kind == Kind::User && !stored.active() {
            // The person leaves the organisation, and the id is deleted.
            self.world.remove(kind, id, now)?;
        }
        Ok(answer)
    }

    /// That a conditional write meets the version that it was made for.
    fn unchanged(&self, request: &Request<Bytes>, kind: Kind, id: &str) -> Result<(), Refusal> {
        let Some(given) = request.headers().get(header::IF_MATCH).and_then(|value| value.to_str().ok()) else {
            return Ok(());
        };
        let version = render::version(self.world.get(kind, id)?);
        let met = given.trim() == "*" || given.split(',').any(|one| one.trim() == version);
        if self.rules.etag && !met {
            return Err(Refusal::new(412, None, "the resource has changed"));
        }
        Ok(())
    }

    /// RFC 7644 section 3.7, without bulkIds.
    fn bulk(&mut self, request: &Request<Bytes>, now: Timestamp) -> Answer {
        if self.rules.bulk == 0 {
            return Err(Refusal::new(501, None, "bulk is not supported"));
        }
        let body = object(request)?;
        let operations = body.get("Operations").and_then(Value::as_array).cloned().unwrap_or_default();
        if operations.len() > self.rules.bulk {
            return Err(Refusal::new(413, None, format!("at most {} operations are taken", self.rules.bulk)));
        }
        let most = body.get("failOnErrors").and_then(Value::as_u64).unwrap_or(u64::MAX);
        let (mut results, mut errors) = (Vec::new(), 0);
        for operation in &operations {
            if errors >= most {
                break;
            }
            let (method, path) = (operation["method"].as_str().unwrap_or_default(), operation["path"].as_str());
            let inner = Request::builder()
                .method(method)
                .uri(path.unwrap_or("/"))
                .body(Bytes::from(operation["data"].to_string()))
                .map_err(|_| Refusal::bad("invalidSyntax", "an operation has a method and a path"))?;
            let parts: Vec<&str> = path.unwrap_or_default().trim_matches('/').split('/').collect();
            let mut result = json!({ "method": method, "location": path });
            match self.route(&inner, &parts, now) {
                Ok(answer) => result["status"] = json!(answer.status().as_u16().to_string()),
                Err(refusal) => {
                    errors += 1;
                    result["status"] = json!(refusal.status.to_string());
                    result["response"] = refusal.body();
                }
            }
            results.push(result);
        }
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkResponse"], "Operations": results,
        });
        Ok(reply(200, &body, self.rules.plain_json))
    }
}

/// An id as it stands in a path.
fn decoded(segment: &str) -> String {
    let Ok(url) = url::Url::parse(&format!("http://x/?{segment}")) else { return segment.to_owned() };
    url.query_pairs().next().map_or_else(|| segment.to_owned(), |(name, _)| name.into_owned())
}

fn object(request: &Request<Bytes>) -> Result<Map<String, Value>, Refusal> {
    let body: Value =
        serde_json::from_slice(request.body()).map_err(|_| Refusal::bad("invalidSyntax", "the body is not JSON"))?;
    match body {
        Value::Object(map) => Ok(map),
        _ => Err(Refusal::bad("invalidSyntax", "the body is not an object")),
    }
}
