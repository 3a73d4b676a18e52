//! What is fuzzed: each entry point takes any text, and must come back.
//!
//! Beside not panicking, each holds what must be true of any input: a filter that was read means the same when it is
//! written out and read again, a document that was accepted is a document, a refusal is one of a client's.

use scim::filter::{FilterLimits, check_with};
use scim::json::Limits;
use scim::list::ListRequest;
use scim::patch::{PatchRequest, apply, fold_edits};
use scim::path::{AttrPath, PatchPath};
use scim::{Document, Filter, Projection, Quirks, Registry, ResourceType, ScimError};
use serde_json::Value;

use super::chance::Chance;
use super::grammar;

/// What inputs act on.
pub(crate) struct Ground {
    registry: Registry,
    user: Document,
    group: Document,
    seen: (Document, Document),
}

const USER: &str = r#"{"userName": "ada", "externalId": "e1", "active": true, "displayName": "Ada", "title": "Dr",
    "name": {"givenName": "Ada", "familyName": "L"}, "nickName": "ß",
    "emails": [{"value": "a@example.com", "type": "work", "primary": true}, {"value": "b@example.com", "type": "home"}],
    "phoneNumbers": [{"value": "tel:+1-555", "type": "mobile"}], "roles": [{"value": "admin", "display": "Admin"}],
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"department": "R", "manager": {"value": "m1"}}}"#;
const GROUP: &str = r#"{"displayName": "Ops", "externalId": "g1"}"#;

impl Default for Ground {
    fn default() -> Self {
        let document = |text: &str| serde_json::from_str(text).expect("it is JSON");
        let beside = |text: &str, kind: &str| {
            let mut document: Document = document(text);
            document.insert("id".to_owned(), "1".into());
            let meta = serde_json::json!({"resourceType": kind, "created": "2026-01-01T00:00:00Z",
                "lastModified": "2026-01-01T00:00:00Z", "version": "W/\"1\""});
            document.insert("meta".to_owned(), meta);
            document
        };
        Self {
            registry: Registry::core(),
            user: document(USER),
            group: document(GROUP),
            seen: (beside(USER, "User"), beside(GROUP, "Group")),
        }
    }
}

impl Ground {
    /// As a filter sees them: with what the service keeps beside the document.
    fn seen(&self) -> [(&ResourceType, &Document); 2] {
        let user = self.registry.user().expect("there are users");
        let group = self.registry.group().expect("there are groups");
        [(user, &self.seen.0), (group, &self.seen.1)]
    }

    fn each(&self) -> [(&ResourceType, &Document); 2] {
        let user = self.registry.user().expect("there are users");
        let group = self.registry.group().expect("there are groups");
        [(user, &self.user), (group, &self.group)]
    }
}

/// An entry point.
pub(crate) struct Target {
    /// Its name, and its seeds' file.
    pub(crate) name: &'static str,
    /// Inputs worth keeping, one a line.
    pub(crate) seeds: &'static str,
    /// Words of its grammar.
    pub(crate) words: &'static [&'static str],
    /// An input by the grammar.
    pub(crate) make: fn(&mut Chance) -> String,
    /// The entry point; answers whether the input was accepted.
    pub(crate) run: fn(&Ground, &str) -> bool,
}

/// All of them.
pub(crate) const TARGETS: [Target; 6] = [
    Target {
        name: "filter",
        seeds: include_str!("seeds/filter.txt"),
        words: &grammar::WORDS,
        make: |chance| grammar::filter(chance, 5),
        run: filter,
    },
    Target {
        name: "path",
        seeds: include_str!("seeds/path.txt"),
        words: &grammar::WORDS,
        make: grammar::path,
        run: path,
    },
    Target {
        name: "patch",
        seeds: include_str!("seeds/patch.txt"),
        words: &grammar::KEYS,
        make: grammar::patch,
        run: patch,
    },
    Target {
        name: "body",
        seeds: include_str!("seeds/body.txt"),
        words: &grammar::KEYS,
        make: grammar::body,
        run: body,
    },
    Target {
        name: "search",
        seeds: include_str!("seeds/search.txt"),
        words: &grammar::KEYS,
        make: grammar::search,
        run: search,
    },
    Target {
        name: "query",
        seeds: include_str!("seeds/query.txt"),
        words: &grammar::WORDS,
        make: grammar::query,
        run: query,
    },
];

/// Lenient and strict by turns, told by the input so that it is the same every time.
fn quirks(text: &str) -> Quirks {
    Quirks::new(text.len() % 4 == 3)
}

/// Whatever was wrong is the client's to mend, and says so.
fn refused(error: &ScimError) -> bool {
    assert!((400..500).contains(&error.status), "{error:?}");
    assert!(!error.detail.is_empty(), "{error:?}");
    assert!(error.detail.len() < 20_000, "a refusal of {} bytes", error.detail.len());
    false
}

fn filter(ground: &Ground, text: &str) -> bool {
    let limits = FilterLimits::default();
    let mut quirks = quirks(text);
    let read = match Filter::parse(text, &limits, &mut quirks) {
        Ok(read) => read,
        Err(error) => return refused(&error),
    };
    evaluate(ground, &read);
    let written = read.to_string();
    // Written out it may be longer than what is read (quotes, parentheses); within that it is the same.
    let roomy = FilterLimits { max_chars: usize::MAX, max_depth: 64, max_clauses: usize::MAX, max_value: usize::MAX };
    let again = Filter::parse(&written, &roomy, &mut Quirks::lenient());
    assert_eq!(again.as_ref().ok(), Some(&read), "written as {written}");
    true
}

fn evaluate(ground: &Ground, filter: &Filter) {
    for (rt, document) in ground.seen() {
        if let Err(error) = check_with(filter, rt, &mut Quirks::lenient()) {
            refused(&error);
        }
        let matches = filter.matches(rt, document);
        assert_eq!(matches, filter.matches(rt, document));
        let terms = filter.index_terms(rt);
        assert!(
            !terms.is_empty() || !filter.terms_are_whole(rt) || matches,
            "no terms, and they say all, and yet not everything passes: {filter}"
        );
    }
}

fn path(ground: &Ground, text: &str) -> bool {
    if let Ok(path) = AttrPath::parse(text) {
        let written = path.to_string();
        assert_eq!(AttrPath::parse(&written).ok().as_ref(), Some(&path), "written as {written}");
        for (rt, document) in ground.each() {
            rt.resolve(&path).attribute();
            scim::sort::compare(rt, &path, document, document);
        }
    }
    match PatchPath::parse(text, &mut quirks(text)) {
        Ok(_) => true,
        Err(error) => refused(&error),
    }
}

fn patch(ground: &Ground, text: &str) -> bool {
    let Some(body) = json(text) else { return false };
    let mut quirks = quirks(text);
    let request = match PatchRequest::parse(body, &mut quirks) {
        Ok(request) => request,
        Err(error) => return refused(&error),
    };
    let mut accepted = false;
    for (rt, document) in ground.each() {
        accepted |= match apply(rt, document, &request, &mut quirks) {
            Ok(patched) => {
                fold_edits(&patched.edits);
                whole(rt, patched.document)
            }
            Err(error) => refused(&error),
        };
    }
    accepted
}

fn body(ground: &Ground, text: &str) -> bool {
    let Some(body) = json(text) else { return false };
    let (mut quirks, mut accepted) = (quirks(text), false);
    for (rt, document) in ground.each() {
        accepted |= match scim::resource::create(rt, body.clone(), &mut quirks) {
            Ok(parsed) => whole(rt, parsed.document),
            Err(error) => refused(&error),
        };
        accepted |= match scim::resource::replace(rt, document, body.clone(), &mut quirks) {
            Ok(parsed) => whole(rt, parsed.document),
            Err(error) => refused(&error),
        };
    }
    accepted
}

/// A document that was accepted is shown, and put back as it is shown it is accepted again.
fn whole(rt: &ResourceType, document: Document) -> bool {
    let shown = Projection::default().apply(rt, document.clone());
    let mut again = shown.clone();
    again.insert("schemas".into(), serde_json::json!(scim::resource::schemas_of(rt, &document)));
    if let Err(error) = scim::resource::replace(rt, &document, Value::Object(again), &mut Quirks::lenient()) {
        panic!("{} is not accepted as it is shown: {error:?}", Value::Object(shown));
    }
    true
}

fn search(ground: &Ground, text: &str) -> bool {
    let Some(body) = json(text) else { return false };
    match ListRequest::from_search(body, &mut quirks(text)) {
        Ok(request) => listed(ground, &request),
        Err(error) => refused(&error),
    }
}

fn query(ground: &Ground, text: &str) -> bool {
    let pairs: Vec<(String, String)> = text
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (name.to_owned(), value.replace("%20", " ").replace('+', " ").replace("%22", "\"")))
        .collect();
    scim::etag::if_match_holds(Some(text), 1);
    scim::etag::not_modified(Some(text), 1);
    scim::datetime::parse(text);
    match ListRequest::from_query(&pairs, &mut quirks(text)) {
        Ok(request) => listed(ground, &request),
        Err(error) => refused(&error),
    }
}

fn listed(ground: &Ground, request: &ListRequest) -> bool {
    for (rt, document) in ground.each() {
        let shown = request.projection.apply(rt, document.clone());
        assert!(shown.len() <= document.len());
        if let Some(path) = &request.sort_by {
            scim::sort::compare(rt, path, document, document);
        }
    }
    if let Some(filter) = &request.filter {
        evaluate(ground, filter);
    }
    true
}

/// A body within a user's limits.
fn json(text: &str) -> Option<Value> {
    match scim::json::parse(text.as_bytes(), &Limits::default()) {
        Ok(body) => Some(body),
        Err(error) => {
            refused(&error);
            None
        }
    }
}
