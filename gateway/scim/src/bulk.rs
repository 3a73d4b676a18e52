//! Bulk requests (RFC 7644 section 3.7): reading them, the order in which their operations can be carried out, and
//! what stands in the answer.
//!
//! An operation may refer to what another one creates, by `bulkId:NAME` in its data or its path, before or behind
//! it. [`Bulk::next_step`] hands the operations out: in the order of the request, except that one which refers to
//! something waits until that exists. Operations on one and the same path never overtake each other. Where creations
//! refer to each other in a circle, the first of them is made without the references that cannot be known yet, and
//! completed as soon as they are (section 3.7.1).
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};

use serde_json::{Map, Value, json};

use crate::error::ScimError;
use crate::list::lists;
use crate::urn;

/// What begins a reference to the resource that another operation creates.
pub const REFERENCE: &str = "bulkId:";

/// A bulk request being carried out.
#[derive(Debug)]
pub struct Bulk {
    fail_on_errors: Option<u64>,
    operations: Vec<Operation>,
    /// The creations by their `bulkId`.
    creations: HashMap<String, usize>,
    nodes: Vec<Node>,
    /// What can be done now; the lowest index first.
    ready: BinaryHeap<Reverse<(usize, bool)>>,
    /// No operation before this one waits.
    waits_from: usize,
}

/// One operation, as it was sent.
#[derive(Debug)]
pub struct Operation {
    /// The HTTP method, in capitals; any word.
    pub method: String,
    /// The path below the base URL.
    pub path: String,
    /// The client's name for it.
    pub bulk_id: Option<String>,
    /// The version that PUT, PATCH and DELETE are bound to, like `If-Match`.
    pub version: Option<String>,
    data: Option<Value>,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Carry the operation out.
    Whole(usize),
    /// Create the resource without the references that are not known yet: it is part of a circle.
    Without(usize),
    /// Replace the resource that was created so by what was asked for.
    Complete(usize),
}

impl Step {
    /// Which operation of the request it is about.
    pub fn index(self) -> usize {
        match self {
            Self::Whole(index) | Self::Without(index) | Self::Complete(index) => index,
        }
    }
}

/// An operation whose references have become ids.
#[derive(Debug, PartialEq)]
pub struct Ready {
    /// The path.
    pub path: String,
    /// The body.
    pub data: Option<Value>,
}

/// What a creation made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Its id.
    pub id: String,
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// HTTP status.
    pub status: u16,
    /// Where the resource is; every entry has it, but a creation that failed.
    pub location: Option<String>,
    /// Its entity tag.
    pub version: Option<String>,
    /// Why it failed.
    pub error: Option<ScimError>,
}

impl Outcome {
    /// A failure.
    pub fn failed(error: ScimError, location: Option<String>) -> Self {
        Self { status: error.status, location, version: None, error: Some(error) }
    }
}

/// Why one operation waits for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wants {
    /// Its data needs the id of what the other creates.
    Id,
    /// The other has to have ended.
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    /// Handed out, or about to be.
    Going,
    /// Created without some of its references.
    Partial,
    Ended,
}

#[derive(Debug)]
struct Node {
    needs: Vec<(usize, Wants)>,
    unmet: usize,
    /// Needs before this one are met: a met need stays met.
    looked: usize,
    wanted_by: Vec<(usize, Wants)>,
    state: State,
    made: Option<Made>,
}

impl Bulk {
    /// Reads a bulk request.
    ///
    /// # Errors
    /// 413 for more than `max_operations`; 400 `invalidSyntax` for a body that is no BulkRequest, 400 `invalidValue`
    /// for a `bulkId` that stands twice or a `failOnErrors` that is no positive integer. What is wrong with one
    /// operation alone is that operation's error, later.
    pub fn parse(body: Value, max_operations: usize) -> Result<Self, ScimError> {
        let Value::Object(mut body) = body else {
            return Err(ScimError::invalid_syntax("The body is not a BulkRequest: it is not a JSON object."));
        };
        if !lists(take(&mut body, "schemas").as_ref(), urn::BULK_REQUEST) {
            return Err(ScimError::invalid_syntax(format!("schemas: {} is missing.", urn::BULK_REQUEST)));
        }
        let fail_on_errors = match take(&mut body, "failOnErrors") {
            None | Some(Value::Null) => None,
            Some(value) => Some(value.as_u64().filter(|count| *count > 0).ok_or_else(|| {
                ScimError::invalid_value("failOnErrors: must be an integer of at least 1, or left out.")
            })?),
        };
        let Some(Value::Array(listed)) = take(&mut body, "Operations") else {
            return Err(ScimError::invalid_syntax("Operations: the list of operations is missing."));
        };
        if listed.is_empty() {
            return Err(ScimError::invalid_syntax("Operations: the list of operations is empty."));
        }
        if listed.len() > max_operations {
            return Err(ScimError::too_large(format!(
                "The bulk request has {} operations; at most {max_operations} are taken at once. Send it in parts.",
                listed.len()
            )));
        }
        let operations: Vec<Operation> =
            listed.into_iter().enumerate().map(|(n, value)| read(n, value)).collect::<Result<_, _>>()?;
        let mut names = BTreeSet::new();
        let mut creations = HashMap::new();
        for (index, operation) in operations.iter().enumerate() {
            let Some(name) = &operation.bulk_id else { continue };
            if !names.insert(name.as_str()) {
                return Err(ScimError::invalid_value(format!(
                    "Operations[{index}].bulkId: another operation of this request has the same bulkId."
                )));
            }
            if operation.method == "POST" {
                creations.insert(name.clone(), index);
            }
        }
        drop(names);
        let nodes = nodes(&operations, &creations);
        let ready = (0..nodes.len())
            .filter(|index| nodes.get(*index).is_some_and(|node| node.unmet == 0))
            .map(|index| Reverse((index, false)))
            .collect();
        let mut bulk = Self { fail_on_errors, operations, creations, nodes, ready, waits_from: 0 };
        for index in 0..bulk.nodes.len() {
            if let Some(node) = bulk.nodes.get_mut(index).filter(|node| node.unmet == 0) {
                node.state = State::Going;
            }
        }
        Ok(bulk)
    }

    /// After how many errors the rest is not carried out any more.
    pub fn fail_on_errors(&self) -> Option<u64> {
        self.fail_on_errors
    }

    /// The operations, in the order of the request.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// What to do next; None when all is done. Each step has to be answered by [`Bulk::ended`] before the next.
    pub fn next_step(&mut self) -> Option<Step> {
        if let Some(Reverse((index, complete))) = self.ready.pop() {
            return Some(if complete { Step::Complete(index) } else { Step::Whole(index) });
        }
        let index = self.in_a_circle()?;
        self.nodes.get_mut(index)?.state = State::Going;
        Some(Step::Without(index))
    }

    /// The operation with its references resolved.
    ///
    /// # Errors
    /// 400 `invalidValue` for a reference to nothing in this request, 409 for one to an operation that failed.
    pub fn prepare(&mut self, step: Step) -> Result<Ready, ScimError> {
        let index = step.index();
        let Some(operation) = self.operations.get_mut(index) else {
            return Ok(Ready { path: String::new(), data: None });
        };
        let patch = operation.method == "PATCH";
        let mut data = match step {
            // What is completed later is still needed.
            Step::Without(_) => operation.data.clone(),
            Step::Whole(_) | Step::Complete(_) => operation.data.take(),
        };
        let mut path = operation.path.clone();
        if let Some(name) = path_reference(&path) {
            match self.look(name) {
                Found::Id(id) => path = path.replacen(&format!("{REFERENCE}{name}"), id, 1),
                other => return Err(other.error(name)),
            }
        }
        if let Some(data) = &mut data {
            self.fill(data, "", patch)?;
        }
        Ok(Ready { path, data })
    }

    /// Tells how a step ended: `made` is what a creation created, None if it failed or was no creation.
    pub fn ended(&mut self, step: Step, made: Option<Made>) {
        let index = step.index();
        let Some(node) = self.nodes.get_mut(index) else { return };
        let partial = matches!(step, Step::Without(_)) && made.is_some();
        node.state = if partial { State::Partial } else { State::Ended };
        if !matches!(step, Step::Complete(_)) {
            node.made = made;
        }
        let wanted_by = std::mem::take(&mut node.wanted_by);
        for (other, wants) in wanted_by {
            if partial && wants == Wants::End {
                if let Some(node) = self.nodes.get_mut(index) {
                    node.wanted_by.push((other, wants));
                }
                continue;
            }
            let Some(waiting) = self.nodes.get_mut(other) else { continue };
            waiting.unmet = waiting.unmet.saturating_sub(1);
            match waiting.state {
                State::Waiting if waiting.unmet == 0 => {
                    waiting.state = State::Going;
                    self.ready.push(Reverse((other, false)));
                }
                State::Partial if waiting.unmet == 0 => self.ready.push(Reverse((other, true))),
                _ => {}
            }
        }
    }

    /// The first creation of a circle that holds up the first operation that waits.
    ///
    /// Only creations are referred to, and only a reference leads forward in the request; so every circle is one of
    /// creations that want each other's ids.
    fn in_a_circle(&mut self) -> Option<usize> {
        while self.nodes.get(self.waits_from)?.state != State::Waiting {
            self.waits_from += 1;
        }
        let mut way = Vec::new();
        let mut places: HashMap<usize, usize> = HashMap::new();
        let mut at = self.waits_from;
        loop {
            if let Some(place) = places.insert(at, way.len()) {
                return way.get(place..)?.iter().copied().min();
            }
            way.push(at);
            at = self.first_unmet(at)?;
        }
    }

    fn first_unmet(&mut self, index: usize) -> Option<usize> {
        let mut looked = self.nodes.get(index)?.looked;
        let found = loop {
            let (other, wants) = *self.nodes.get(index)?.needs.get(looked)?;
            let state = self.nodes.get(other)?.state;
            let met = state == State::Ended || (wants == Wants::Id && state == State::Partial);
            if !met {
                break other;
            }
            looked += 1;
        };
        self.nodes.get_mut(index)?.looked = looked;
        Some(found)
    }

    fn look(&self, name: &str) -> Found<'_> {
        let Some(node) = self.creations.get(name).and_then(|index| self.nodes.get(*index)) else {
            return Found::Nothing;
        };
        match (&node.made, node.state) {
            (Some(made), _) => Found::Id(&made.id),
            (None, State::Ended) => Found::Failed,
            (None, _) => Found::Later,
        }
    }

    /// Puts ids in the place of references. What cannot be known yet is left out: with the element of a list, or the
    /// attribute, that it stands in. The reader of bodies bounds how deep this goes.
    fn fill(&self, value: &mut Value, key: &str, patch: bool) -> Result<Fate, ScimError> {
        match value {
            Value::String(text) => self.fill_text(text, key, patch),
            Value::Array(items) => {
                let mut kept = Vec::with_capacity(items.len());
                for mut item in std::mem::take(items) {
                    if self.fill(&mut item, key, patch)? == Fate::Stays {
                        kept.push(item);
                    }
                }
                *items = kept;
                Ok(Fate::Stays)
            }
            Value::Object(map) => {
                let mut left_out = Vec::new();
                for (name, value) in map.iter_mut() {
                    if self.fill(value, name, patch)? == Fate::LeftOut {
                        left_out.push(name.clone());
                    }
                }
                if left_out.iter().any(|name| refers(name)) {
                    return Ok(Fate::LeftOut);
                }
                left_out.iter().for_each(|name| drop(map.remove(name)));
                Ok(Fate::Stays)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(Fate::Stays),
        }
    }

    fn fill_text(&self, text: &mut String, key: &str, patch: bool) -> Result<Fate, ScimError> {
        if patch && key.eq_ignore_ascii_case("path") {
            for name in quoted_references(text) {
                match self.look(&name) {
                    Found::Id(id) => *text = text.replace(&format!("\"{REFERENCE}{name}\""), &format!("\"{id}\"")),
                    other => return Err(other.error(&name)),
                }
            }
            return Ok(Fate::Stays);
        }
        let Some((before, name)) = reference(text, key) else { return Ok(Fate::Stays) };
        match self.look(name) {
            Found::Id(id) => {
                *text = format!("{before}{id}");
                Ok(Fate::Stays)
            }
            Found::Later => Ok(Fate::LeftOut),
            // Elsewhere it is a text like any other.
            Found::Nothing if !refers(key) => Ok(Fate::Stays),
            other => Err(other.error(name)),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stays,
    LeftOut,
}

enum Found<'a> {
    Id(&'a str),
    /// Not made yet.
    Later,
    Failed,
    Nothing,
}

impl Found<'_> {
    fn error(&self, name: &str) -> ScimError {
        let name: String = name.chars().take(64).collect();
        match self {
            Self::Nothing => ScimError::invalid_value(format!(
                "There is no POST with the bulkId \"{name}\" in this request that {REFERENCE}{name} could mean."
            )),
            Self::Failed | Self::Later | Self::Id(_) => ScimError {
                status: 409,
                scim_type: None,
                detail: format!(
                    "The operation with the bulkId \"{name}\" did not succeed, and this one refers to what it was to create."
                ),
            },
        }
    }
}

impl Operation {
    /// What the answer says of it (RFC 7644 section 3.7.3). `response` stands there for errors alone.
    pub fn entry(&self, outcome: &Outcome) -> Value {
        let mut entry = Map::with_capacity(6);
        if let Some(location) = &outcome.location {
            entry.insert("location".into(), json!(location));
        }
        entry.insert("method".into(), json!(self.method));
        if let Some(bulk_id) = &self.bulk_id {
            entry.insert("bulkId".into(), json!(bulk_id));
        }
        if let Some(version) = &outcome.version {
            entry.insert("version".into(), json!(version));
        }
        if let Some(error) = &outcome.error {
            entry.insert("response".into(), error.to_json());
        }
        entry.insert("status".into(), json!(outcome.status.to_string()));
        Value::Object(entry)
    }
}

/// The BulkResponse message.
pub fn response(entries: Vec<Value>) -> Value {
    json!({"schemas": [urn::BULK_RESPONSE], "Operations": entries})
}

/// Attribute names compare without case; the reader of bodies refuses one that stands twice.
fn take(map: &mut Map<String, Value>, name: &str) -> Option<Value> {
    if let Some(value) = map.remove(name) {
        return Some(value);
    }
    let key = map.keys().find(|key| key.eq_ignore_ascii_case(name)).cloned()?;
    map.remove(&key)
}

fn read(n: usize, value: Value) -> Result<Operation, ScimError> {
    let Value::Object(mut map) = value else {
        return Err(ScimError::invalid_syntax(format!("Operations[{n}]: it is not a JSON object.")));
    };
    let mut text = |name: &str, required: bool| match take(&mut map, name) {
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
        None | Some(Value::Null) if !required => Ok(None),
        None | Some(Value::Null) => Err(ScimError::invalid_syntax(format!("Operations[{n}].{name}: is missing."))),
        Some(_) => Err(ScimError::invalid_syntax(format!("Operations[{n}].{name}: must be a text."))),
    };
    Ok(Operation {
        method: text("method", true)?.unwrap_or_default().to_ascii_uppercase(),
        path: text("path", true)?.unwrap_or_default(),
        bulk_id: text("bulkId", false)?,
        version: text("version", false)?,
        data: take(&mut map, "data").filter(|data| !data.is_null()),
    })
}

/// Who waits for whom.
fn nodes(operations: &[Operation], creations: &HashMap<String, usize>) -> Vec<Node> {
    let mut all: Vec<Node> = Vec::with_capacity(operations.len());
    let mut last_at: HashMap<String, usize> = HashMap::new();
    for (index, operation) in operations.iter().enumerate() {
        let mut needs = BTreeSet::new();
        if let Some(other) = path_reference(&operation.path).and_then(|name| creations.get(name)) {
            needs.insert((*other, Wants::End));
        }
        if let Some(data) = &operation.data {
            references(data, "", operation.method == "PATCH", &mut |name| {
                if let Some(other) = creations.get(name) {
                    needs.insert((*other, Wants::Id));
                }
            });
        }
        if operation.method != "POST"
            && let Some(before) = last_at.insert(place(&operation.path), index)
        {
            needs.insert((before, Wants::End));
        }
        let needs: Vec<(usize, Wants)> = needs.into_iter().collect();
        all.push(Node {
            unmet: needs.len(),
            needs,
            looked: 0,
            wanted_by: Vec::new(),
            state: State::Waiting,
            made: None,
        });
    }
    for index in 0..all.len() {
        let needs = all.get(index).map(|node| node.needs.clone()).unwrap_or_default();
        for (other, wants) in needs {
            if let Some(node) = all.get_mut(other) {
                node.wanted_by.push((index, wants));
            }
        }
    }
    all
}

/// A path without what does not matter: case of the endpoint, doubled slashes.
fn place(path: &str) -> String {
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    let endpoint = segments.next().unwrap_or_default().to_ascii_lowercase();
    segments.fold(endpoint, |place, segment| place + "/" + segment)
}

/// The bulkId in a path such as `/Users/bulkId:x`.
fn path_reference(path: &str) -> Option<&str> {
    path.split('/').find_map(|segment| segment.strip_prefix(REFERENCE)).filter(|name| !name.is_empty())
}

/// Whether an attribute of this name holds references by definition.
fn refers(key: &str) -> bool {
    key.eq_ignore_ascii_case("value") || key.eq_ignore_ascii_case("$ref")
}

/// The bulkId that a text refers to, and what stands before the reference: nothing, or the rest of a `$ref`'s URL.
fn reference<'a>(text: &'a str, key: &str) -> Option<(&'a str, &'a str)> {
    let name = |text: &'a str| text.strip_prefix(REFERENCE).filter(|name| !name.is_empty());
    if let Some(name) = name(text) {
        return Some(("", name));
    }
    if !key.eq_ignore_ascii_case("$ref") {
        return None;
    }
    let (before, last) = text.split_at_checked(text.rfind('/')? + 1)?;
    name(last).map(|name| (before, name))
}

/// The bulkIds in the literals of a PATCH path, as in `members[value eq "bulkId:x"]`.
fn quoted_references(path: &str) -> Vec<String> {
    let parts = path.split("\"bulkId:").skip(1);
    parts
        .filter_map(|part| part.split_once('"').map(|(name, _)| name.to_owned()))
        .filter(|name| !name.is_empty())
        .collect()
}

fn references(value: &Value, key: &str, patch: bool, found: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) if patch && key.eq_ignore_ascii_case("path") => {
            quoted_references(text).iter().for_each(|name| found(name));
        }
        Value::String(text) => {
            if let Some((_, name)) = reference(text, key) {
                found(name);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, key, patch, found)),
        Value::Object(map) => map.iter().for_each(|(name, value)| references(value, name, patch, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
#[path = "bulk/tests.rs"]
mod tests;
