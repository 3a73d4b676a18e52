//! `POST /graphql`: reads a query, checks it against the schema, and answers what it selects.

mod check;
mod parse;
mod resolve;
mod schema;

use serde_json::{Map, Value, json};

use super::errors::Reply;
use super::{Cx, GitHub};
use parse::{Document, Operation, Selection, Term, What};
use resolve::{Node, Out};

/// Fields that one query may have answered.
const MAX_FIELDS: usize = 500_000;

impl Term {
    /// The variables in it.
    fn variables(&self) -> Vec<&str> {
        let mut found = Vec::new();
        let mut open = vec![self];
        while let Some(term) = open.pop() {
            match term {
                Term::Variable(name) => found.push(name.as_str()),
                Term::List(list) => open.extend(list),
                Term::Object(object) => open.extend(object.iter().map(|(_, term)| term)),
                Term::Literal(_) | Term::Word(_) => {}
            }
        }
        found
    }

    /// Its value. A reader bounds the depth.
    fn value(&self, variables: &Map<String, Value>) -> Value {
        match self {
            Term::Variable(name) => variables.get(name).cloned().unwrap_or_default(),
            Term::Literal(value) => value.clone(),
            Term::Word(word) => word.clone().into(),
            Term::List(list) => list.iter().map(|term| term.value(variables)).collect(),
            Term::Object(object) => object.iter().map(|(name, term)| (name.clone(), term.value(variables))).collect(),
        }
    }
}

impl GitHub {
    pub(super) fn graphql(&self, cx: &Cx<'_>) -> Reply {
        let body = match cx.object() {
            Ok(body) => body,
            Err(reply) => return reply,
        };
        match self.query(cx, &body) {
            Ok(answer) => Reply::ok(answer),
            Err(errors) => Reply::ok(json!({ "errors": errors })),
        }
    }

    fn query(&self, cx: &Cx<'_>, body: &Map<String, Value>) -> Result<Value, Vec<Value>> {
        let simple = |message: &str| vec![json!({ "message": message })];
        let text = body
            .get("query")
            .and_then(Value::as_str)
            .ok_or_else(|| simple("A query attribute must be specified and must be a string."))?;
        let document = parse::document(text).map_err(|wrong| {
            vec![json!({
                "message": wrong.message,
                "locations": [{ "line": wrong.place.line, "column": wrong.place.column }],
            })]
        })?;
        let name = body.get("operationName").and_then(Value::as_str);
        let operation = choose(&document, name)
            .ok_or_else(|| simple("An operation name is required, and must be one of the document's."))?;
        if operation.kind != "query" {
            return Err(simple("Only queries are simulated: no mutation, no subscription."));
        }
        let errors = check::errors(&document, operation);
        if !errors.is_empty() {
            return Err(errors);
        }
        let variables = variables(operation, body.get("variables"))?;
        let mut run = Run { hub: self, cx, document: &document, variables, errors: Vec::new(), left: MAX_FIELDS };
        let data = run.object(&Node::Query, &[&operation.selections], &mut Vec::new());
        if run.left == 0 {
            return Err(vec![json!({
                "type": "MAX_NODE_LIMIT_EXCEEDED",
                "message": format!("This query may return more than {MAX_FIELDS} fields."),
            })]);
        }
        let mut answer = json!({ "data": data });
        if !run.errors.is_empty() {
            answer["errors"] = run.errors.into();
        }
        Ok(answer)
    }
}

fn choose<'d>(document: &'d Document, name: Option<&str>) -> Option<&'d Operation> {
    match (name, document.operations.as_slice()) {
        (None, [only]) => Some(only),
        (None, _) => None,
        (Some(name), all) => all.iter().find(|o| o.name.as_deref() == Some(name)),
    }
}

/// The variables' values, defaults filled in.
fn variables(operation: &Operation, given: Option<&Value>) -> Result<Map<String, Value>, Vec<Value>> {
    let empty = Map::new();
    let given = given.and_then(Value::as_object).unwrap_or(&empty);
    let mut values = Map::new();
    let mut errors = Vec::new();
    for variable in &operation.variables {
        let value =
            given.get(&variable.name).cloned().or_else(|| variable.default.as_ref().map(|term| term.value(&empty)));
        if variable.kind.ends_with('!') && value.as_ref().is_none_or(Value::is_null) {
            errors.push(json!({
                "message": format!(
                    "Variable ${} of type {} was provided invalid value",
                    variable.name, variable.kind
                ),
                "extensions": { "value": null },
            }));
        }
        if let Some(value) = value {
            values.insert(variable.name.clone(), value);
        }
    }
    if errors.is_empty() { Ok(values) } else { Err(errors) }
}

/// One field of an object, with everything that was selected of it under one name.
struct Wanted<'d> {
    key: &'d str,
    name: &'d str,
    arguments: &'d [(String, Term)],
    selections: Vec<&'d [Selection]>,
    place: parse::Place,
}

struct Run<'r, 'd> {
    hub: &'r GitHub,
    cx: &'r Cx<'r>,
    document: &'d Document,
    variables: Map<String, Value>,
    errors: Vec<Value>,
    left: usize,
}

impl<'d> Run<'_, 'd> {
    /// What was selected of one object. The check has bounded the depth.
    fn object(&mut self, node: &Node, sets: &[&'d [Selection]], path: &mut Vec<Value>) -> Value {
        let mut wanted = Vec::new();
        for set in sets {
            self.collect(set, &mut wanted);
        }
        let mut object = Map::new();
        for field in &wanted {
            self.left = self.left.saturating_sub(1);
            if self.left == 0 {
                return Value::Null;
            }
            path.push(field.key.into());
            object.insert(field.key.to_owned(), self.field(node, field, path));
            path.pop();
        }
        Value::Object(object)
    }

    fn field(&mut self, node: &Node, field: &Wanted<'d>, path: &mut Vec<Value>) -> Value {
        let arguments =
            field.arguments.iter().map(|(name, term)| (name.clone(), term.value(&self.variables))).collect();
        match self.hub.resolve(self.cx, node, field.name, &arguments) {
            Ok(Out::Leaf(value)) => value,
            Ok(Out::One(node)) => self.object(&node, &field.selections, path),
            Ok(Out::Many(nodes)) => {
                let mut list = Vec::with_capacity(nodes.len());
                for (index, node) in nodes.iter().enumerate() {
                    path.push(index.into());
                    list.push(self.object(node, &field.selections, path));
                    path.pop();
                }
                Value::Array(list)
            }
            Err((kind, message)) => {
                self.errors.push(json!({
                    "type": kind,
                    "path": path,
                    "locations": [{ "line": field.place.line, "column": field.place.column }],
                    "message": message,
                }));
                Value::Null
            }
        }
    }

    /// The fields of a selection, fragments unfolded, one entry for each name.
    fn collect(&mut self, selections: &'d [Selection], wanted: &mut Vec<Wanted<'d>>) {
        for selection in selections {
            if !self.included(selection) {
                continue;
            }
            match &selection.what {
                What::Field { alias, name, arguments, selections } => {
                    let key = alias.as_deref().unwrap_or(name);
                    match wanted.iter_mut().find(|w| w.key == key) {
                        Some(same) => {
                            if same.name != name || same.arguments != arguments {
                                let place = selection.place;
                                self.errors.push(json!({
                                    "extensions": { "code": "fieldConflict" },
                                    "locations": [{ "line": place.line, "column": place.column }],
                                    "message": format!("Field '{key}' has a conflict"),
                                }));
                            }
                            same.selections.push(selections);
                        }
                        None => wanted.push(Wanted {
                            key,
                            name,
                            arguments,
                            selections: vec![selections],
                            place: selection.place,
                        }),
                    }
                }
                What::Spread(name) => {
                    let document = self.document;
                    if let Some(fragment) = document.fragments.get(name) {
                        self.collect(&fragment.selections, wanted);
                    }
                }
                What::Inline { selections, .. } => self.collect(selections, wanted),
            }
        }
    }

    fn included(&self, selection: &Selection) -> bool {
        selection.directives.iter().all(|(name, arguments)| {
            let value =
                arguments.iter().find(|(argument, _)| argument == "if").map(|(_, term)| term.value(&self.variables));
            let yes = value == Some(Value::Bool(true));
            if name == "skip" { !yes } else { yes }
        })
    }
}
