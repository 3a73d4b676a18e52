//! Does a query fit the schema? GitHub refuses the whole query before it runs any of it.

use serde_json::{Value, json};

use super::parse::{Document, Operation, Place, Selection, What};
use super::schema::{self, Kind};

/// Selections looked at, fragments counted each time they are used.
const MAX_VISITS: usize = 20_000;
/// How deep fragments may nest.
const MAX_DEPTH: usize = 32;

struct Check<'d> {
    document: &'d Document,
    variables: Vec<&'d str>,
    errors: Vec<Value>,
    visits: usize,
}

/// The errors of an operation, in GitHub's form.
pub(super) fn errors(document: &Document, operation: &Operation) -> Vec<Value> {
    let mut check = Check {
        document,
        variables: operation.variables.iter().map(|v| v.name.as_str()).collect(),
        errors: Vec::new(),
        visits: 0,
    };
    let mut path = vec![match &operation.name {
        Some(name) => format!("query {name}"),
        None => "query".to_owned(),
    }];
    check.selections(Kind::Query, &operation.selections, &mut path, 0);
    check.errors
}

impl Check<'_> {
    fn error(&mut self, code: &str, message: String, path: &[String], place: Place) {
        self.errors.push(json!({
            "path": path,
            "extensions": { "code": code },
            "locations": [{ "line": place.line, "column": place.column }],
            "message": message,
        }));
    }

    fn selections(&mut self, kind: Kind, selections: &[Selection], path: &mut Vec<String>, depth: usize) {
        for selection in selections {
            self.visits += 1;
            let place = selection.place;
            if self.visits > MAX_VISITS || depth > MAX_DEPTH {
                if self.errors.last().is_none_or(|e| e["extensions"]["code"] != "tooComplex") {
                    let message = "Query is too complex, or its fragments go in a circle";
                    self.error("tooComplex", message.to_owned(), path, place);
                }
                return;
            }
            self.directives(selection, path);
            match &selection.what {
                What::Field { alias, name, arguments, selections } => {
                    path.push(alias.as_ref().unwrap_or(name).clone());
                    self.field(kind, name, arguments, selections, place, path, depth);
                    path.pop();
                }
                What::Spread(name) => match self.document.fragments.get(name) {
                    Some(fragment) => {
                        self.fragment(kind, &fragment.on, place, path);
                        self.selections(kind, &fragment.selections, path, depth + 1);
                    }
                    None => {
                        let message = format!("Fragment {name} was used, but not defined");
                        self.error("useAndDefineFragment", message, path, place);
                    }
                },
                What::Inline { on, selections } => {
                    if let Some(on) = on {
                        self.fragment(kind, on, place, path);
                    }
                    self.selections(kind, selections, path, depth + 1);
                }
            }
        }
    }

    fn fragment(&mut self, kind: Kind, on: &str, place: Place, path: &[String]) {
        if on != kind.name() {
            let message = format!("Fragment on {on} can't be spread inside {}", kind.name());
            self.error("cannotSpreadFragment", message, path, place);
        }
    }

    fn directives(&mut self, selection: &Selection, path: &[String]) {
        for (name, arguments) in &selection.directives {
            if !matches!(name.as_str(), "include" | "skip") {
                let message = format!("Directive @{name} is not defined");
                self.error("undefinedDirective", message, path, selection.place);
            }
            self.variables_of(arguments, path, selection.place);
        }
    }

    fn variables_of(&mut self, arguments: &[(String, super::parse::Term)], path: &[String], place: Place) {
        for (_, term) in arguments {
            for name in term.variables() {
                if !self.variables.contains(&name) {
                    let message = format!("Variable ${name} is used but not declared");
                    self.error("variableNotDefined", message, path, place);
                }
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one field")]
    fn field(
        &mut self,
        kind: Kind,
        name: &str,
        arguments: &[(String, super::parse::Term)],
        selections: &[Selection],
        place: Place,
        path: &mut Vec<String>,
        depth: usize,
    ) {
        let Some(field) = schema::field(kind, name) else {
            let message = format!("Field '{name}' doesn't exist on type '{}'", kind.name());
            self.error("undefinedField", message, path, place);
            return;
        };
        for (argument, _) in arguments {
            if !field.arguments.contains(&argument.as_str()) {
                let message = format!("Field '{name}' doesn't accept argument '{argument}'");
                self.error("argumentNotAccepted", message, path, place);
            }
        }
        for required in field.required {
            if !arguments.iter().any(|(a, _)| a == required) {
                let message = format!("Field '{name}' is missing required arguments: {required}");
                self.error("missingRequiredArguments", message, path, place);
            }
        }
        self.variables_of(arguments, path, place);
        match (field.gives, selections.is_empty()) {
            (Some(gives), false) => self.selections(gives, selections, path, depth + 1),
            (None, true) => {}
            (Some(gives), true) => {
                let message = format!(
                    "Field must have selections (field '{name}' returns {} but has no selections. \
                     Did you mean '{name} {{ ... }}'?)",
                    gives.name()
                );
                self.error("selectionMismatch", message, path, place);
            }
            (None, false) => {
                let message = format!(
                    "Selections can't be made on scalars (field '{name}' returns a scalar but has \
                     selections)"
                );
                self.error("selectionMismatch", message, path, place);
            }
        }
    }
}
