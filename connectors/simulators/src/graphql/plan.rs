//! From a syntax tree to what is executed: validation, and merging of selections.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::schema::{ArgDef, FieldDef, Kind, Schema, TypeDef, base};
use super::syntax::{At, Directive, Document, Field, Literal, MAX_NESTING, Operation, Selection};
use super::values::{Variables, arguments, bind};

/// Deepest nesting of fields.
const MAX_DEPTH: usize = 15;
/// Most selections visited in one document, fragments counted where they are spread.
const MAX_VISITS: usize = 20_000;
/// Most issues reported.
const MAX_ISSUES: usize = 50;

const TYPENAME: &FieldDef = &FieldDef { name: "__typename", ty: "String!", args: &[] };

/// One field to resolve.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) key: String,
    pub(crate) def: &'static FieldDef,
    pub(crate) args: Map<String, Value>,
    pub(crate) at: At,
    pub(crate) sub: Sub,
}

/// What is selected of a field's value.
#[derive(Debug)]
pub(crate) enum Sub {
    Leaf,
    Fields(Vec<Plan>),
    /// For an interface: what is selected of each object type.
    ByType(Vec<(&'static str, Vec<Plan>)>),
}

/// Something wrong with a document.
#[derive(Debug, PartialEq)]
pub(crate) struct Issue {
    pub(crate) message: String,
    /// The rule's name, as graphql-ruby tells it in `extensions`.
    pub(crate) code: Option<&'static str>,
    pub(crate) at: Option<At>,
    pub(crate) path: Vec<String>,
}

/// A document ready to run.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) mutation: bool,
    pub(crate) plans: Vec<Plan>,
}

/// Validates the chosen operation of a document.
pub(crate) fn compile(
    schema: &'static Schema,
    document: &Document,
    operation_name: Option<&str>,
    variables: &Map<String, Value>,
) -> Result<Compiled, Vec<Issue>> {
    let plain = |message: String| vec![Issue { message, code: None, at: None, path: Vec::new() }];
    let operation = match operation_name {
        Some(name) => document
            .operations
            .iter()
            .find(|operation| operation.name.as_deref() == Some(name))
            .ok_or_else(|| plain(format!("No operation named \"{name}\"")))?,
        None => match document.operations.as_slice() {
            [only] => only,
            _ => return Err(plain("An operation name is required".to_owned())),
        },
    };
    let root = match operation.kind.as_str() {
        "query" => schema.named("Query"),
        "mutation" => schema.named("Mutation"),
        _ => None,
    };
    let Some(root) = root else {
        return Err(plain(format!("Schema is not configured for {}s", operation.kind)));
    };
    let mut problems = Vec::new();
    let bound = bind(schema, operation, variables, &mut problems);
    let mut compiler = Compiler {
        schema,
        document,
        variables: bound,
        issues: Vec::new(),
        path: vec![operation.kind.clone()],
        visits: 0,
    };
    compiler.report_all(problems, operation.at);
    compiler.names(operation);
    let plans = compiler.select(&[&operation.selections], root, root, 1);
    if compiler.issues.is_empty() {
        Ok(Compiled { mutation: operation.kind == "mutation", plans })
    } else {
        Err(compiler.issues)
    }
}

struct Compiler<'d> {
    schema: &'static Schema,
    document: &'d Document,
    variables: Variables,
    issues: Vec<Issue>,
    path: Vec<String>,
    visits: usize,
}

/// A field as selected: with the type it was selected on, and whether
/// directives let it through.
type Selected<'d> = (&'d Field, &'static TypeDef, bool);

impl<'d> Compiler<'d> {
    fn report(&mut self, code: &'static str, message: String, at: At) {
        self.add(Issue { message, code: Some(code), at: Some(at), path: self.path.clone() });
    }

    fn add(&mut self, issue: Issue) {
        if self.issues.len() < MAX_ISSUES && !self.issues.contains(&issue) {
            self.issues.push(issue);
        }
    }

    fn report_all(&mut self, messages: Vec<String>, at: At) {
        for message in messages {
            self.add(Issue { message, code: None, at: Some(at), path: self.path.clone() });
        }
    }

    /// Fragments and variables: all that are used exist, all that exist are used.
    fn names(&mut self, operation: &'d Operation) {
        let mut used = Used::default();
        used.selections(&operation.selections);
        let mut queue: Vec<&str> = used.fragments.iter().copied().collect();
        let mut reached: HashSet<&str> = HashSet::new();
        while let Some(name) = queue.pop() {
            if !reached.insert(name) {
                continue;
            }
            if let Some(fragment) = self.document.fragments.get(name) {
                used.selections(&fragment.selections);
                queue.extend(used.fragments.difference(&reached).copied());
            }
        }
        let declared: HashSet<&str> = operation.variables.iter().map(|variable| variable.name.as_str()).collect();
        let label = operation.name.as_deref().unwrap_or("anonymous query");
        let mut undeclared: Vec<&str> = used.variables.difference(&declared).copied().collect();
        undeclared.sort_unstable();
        for name in undeclared {
            self.report(
                "variableNotDefined",
                format!("Variable ${name} is used by {label} but not declared"),
                operation.at,
            );
        }
        for variable in &operation.variables {
            if !used.variables.contains(variable.name.as_str()) {
                self.report(
                    "variableNotUsed",
                    format!("Variable ${} is declared by {label} but not used", variable.name),
                    variable.at,
                );
            }
        }
        for other in &self.document.operations {
            used.selections(&other.selections);
        }
        let mut unused: Vec<(&String, At)> = self
            .document
            .fragments
            .iter()
            .filter(|(name, _)| !reached.contains(name.as_str()))
            .filter(|(name, _)| !used.fragments.contains(name.as_str()))
            .map(|(name, fragment)| (name, fragment.at))
            .collect();
        unused.sort_unstable_by_key(|(_, at)| (at.line, at.column));
        for (name, at) in unused {
            self.report("useAndDefineFragment", format!("Fragment {name} was defined, but not used"), at);
        }
    }

    /// Whether `@include` and `@skip` let a selection through.
    fn included(&mut self, directives: &[Directive], at: At) -> bool {
        const IF: &[ArgDef] = &[ArgDef { name: "if", ty: "Boolean!" }];
        let mut included = true;
        for directive in directives {
            if directive.name != "include" && directive.name != "skip" {
                self.report("undefinedDirective", format!("Directive @{} is not defined", directive.name), at);
                continue;
            }
            let mut problems = Vec::new();
            let owner = format!("Directive '{}'", directive.name);
            let args = arguments(self.schema, &owner, IF, &directive.arguments, &self.variables, &mut problems);
            self.report_all(problems, at);
            let on = args.get("if").and_then(Value::as_bool).unwrap_or(false);
            included &= on == (directive.name == "include");
        }
        included
    }

    /// Collects the fields of `selections` that apply to objects of `runtime`.
    fn flatten(
        &mut self,
        selections: &'d [Selection],
        parent: &'static TypeDef,
        runtime: &'static TypeDef,
        included: bool,
        stack: &mut Vec<&'d str>,
        out: &mut Vec<Selected<'d>>,
    ) {
        for selection in selections {
            self.visits += 1;
            if self.visits == MAX_VISITS {
                self.report("tooComplex", "Query is too large".to_owned(), At { line: 1, column: 1 });
            }
            if self.visits >= MAX_VISITS {
                return;
            }
            match selection {
                Selection::Field(field) => {
                    let here = self.included(&field.directives, field.at);
                    out.push((field, parent, included && here));
                }
                Selection::Spread { name, directives, at } => {
                    let here = self.included(directives, *at);
                    let document = self.document;
                    let Some(fragment) = document.fragments.get(name) else {
                        self.report("useAndDefineFragment", format!("Fragment {name} was used, but not defined"), *at);
                        continue;
                    };
                    if stack.contains(&name.as_str()) {
                        self.report("infiniteLoop", format!("Fragment {name} contains an infinite loop"), *at);
                        continue;
                    }
                    if stack.len() >= MAX_NESTING {
                        self.report("tooComplex", "Fragments are nested too deeply".to_owned(), *at);
                        continue;
                    }
                    if let Some(on) = self.condition(&fragment.on, parent, runtime, *at) {
                        stack.push(name);
                        self.flatten(&fragment.selections, on, runtime, included && here, stack, out);
                        stack.pop();
                    }
                }
                Selection::Inline { on, directives, selections, at } => {
                    let here = self.included(directives, *at);
                    let on = match on {
                        None => Some(parent),
                        Some(on) => self.condition(on, parent, runtime, *at),
                    };
                    if let Some(on) = on {
                        self.flatten(selections, on, runtime, included && here, stack, out);
                    }
                }
            }
        }
    }

    /// The type of a fragment, where it applies to objects of `runtime`.
    fn condition(
        &mut self,
        on: &str,
        parent: &'static TypeDef,
        runtime: &'static TypeDef,
        at: At,
    ) -> Option<&'static TypeDef> {
        let Some(ty) = self.schema.named(on).filter(|ty| ty.fields().is_some()) else {
            self.report("undefinedType", format!("No such type {on}, so it can't be a fragment condition"), at);
            return None;
        };
        let covers = |outer: &TypeDef, inner: &TypeDef| {
            outer.name == inner.name || matches!(outer.kind, Kind::Interface(_, types) if types.contains(&inner.name))
        };
        if !covers(parent, ty) && !covers(ty, parent) {
            self.report("cannotSpreadFragment", format!("Fragment on {on} can't be spread inside {}", parent.name), at);
            return None;
        }
        covers(ty, runtime).then_some(ty)
    }

    /// Plans the merged selections on objects of type `runtime`.
    fn select(
        &mut self,
        sets: &[&'d [Selection]],
        parent: &'static TypeDef,
        runtime: &'static TypeDef,
        depth: usize,
    ) -> Vec<Plan> {
        let mut selected = Vec::new();
        for set in sets {
            self.flatten(set, parent, runtime, true, &mut Vec::new(), &mut selected);
        }
        let mut order: Vec<(&'d str, bool)> = Vec::new();
        let mut groups: HashMap<(&'d str, bool), Vec<Selected<'d>>> = HashMap::new();
        for entry in selected {
            let key = (entry.0.key(), entry.2);
            let group = groups.entry(key).or_default();
            if group.is_empty() {
                order.push(key);
            }
            group.push(entry);
        }
        let mut plans = Vec::new();
        for key in order {
            let group = groups.remove(&key).unwrap_or_default();
            let plan = self.field(key.0, &group, depth);
            // What a directive keeps out is validated like the rest.
            if key.1 {
                plans.extend(plan);
            }
        }
        plans
    }

    fn field(&mut self, key: &'d str, group: &[Selected<'d>], depth: usize) -> Option<Plan> {
        let (first, _, _) = group.first()?;
        self.path.push(key.chars().take(100).collect());
        let plan = self.field_plan(key, first, group, depth);
        self.path.pop();
        plan
    }

    fn field_plan(&mut self, key: &'d str, first: &'d Field, group: &[Selected<'d>], depth: usize) -> Option<Plan> {
        if depth > MAX_DEPTH {
            self.report(
                "tooComplex",
                format!("Query has depth of {depth}, which exceeds max depth of {MAX_DEPTH}"),
                first.at,
            );
            return None;
        }
        let mut def: Option<&'static FieldDef> = None;
        for (field, on, _) in group {
            let found = if field.name == TYPENAME.name {
                Some(TYPENAME)
            } else {
                on.fields().and_then(|fields| fields.iter().find(|def| def.name == field.name))
            };
            if found.is_none() {
                self.report(
                    "undefinedField",
                    format!("Field '{}' doesn't exist on type '{}'", field.name, on.name),
                    field.at,
                );
                return None;
            }
            def = def.or(found);
            if field.name != first.name || field.arguments != first.arguments {
                self.report(
                    "fieldConflict",
                    format!("Field '{key}' has a field conflict: {} or {}?", first.name, field.name),
                    field.at,
                );
                return None;
            }
        }
        let def = def?;
        let mut problems = Vec::new();
        let owner = format!("Field '{}'", def.name);
        let args = arguments(self.schema, &owner, def.args, &first.arguments, &self.variables, &mut problems);
        self.report_all(problems, first.at);
        let ty = self.schema.named(base(def.ty))?;
        let sets: Vec<&'d [Selection]> =
            group.iter().map(|(field, _, _)| field.selections.as_slice()).filter(|set| !set.is_empty()).collect();
        let sub = match (&ty.kind, sets.is_empty()) {
            (Kind::Object(_), false) => Sub::Fields(self.select(&sets, ty, ty, depth + 1)),
            (Kind::Interface(_, types), false) => Sub::ByType(
                types
                    .iter()
                    .filter_map(|name| self.schema.named(name))
                    .map(|runtime| (runtime.name, self.select(&sets, ty, runtime, depth + 1)))
                    .collect(),
            ),
            (Kind::Object(_) | Kind::Interface(..), true) => {
                self.report(
                    "selectionMismatch",
                    format!(
                        "Field must have selections (field '{}' returns {} but has no selections. Did you mean '{} {{ ... }}'?)",
                        def.name, ty.name, def.name
                    ),
                    first.at,
                );
                return None;
            }
            (_, false) => {
                self.report(
                    "selectionMismatch",
                    format!(
                        "Selections can't be made on scalars (field '{}' returns {} but has selections)",
                        def.name, ty.name
                    ),
                    first.at,
                );
                return None;
            }
            (_, true) => Sub::Leaf,
        };
        Some(Plan { key: key.to_owned(), def, args, at: first.at, sub })
    }
}

/// The fragments and variables that selections name.
#[derive(Default)]
struct Used<'d> {
    fragments: HashSet<&'d str>,
    variables: HashSet<&'d str>,
}

impl<'d> Used<'d> {
    fn selections(&mut self, selections: &'d [Selection]) {
        for selection in selections {
            match selection {
                Selection::Field(field) => {
                    self.values(&field.arguments);
                    self.directives(&field.directives);
                    self.selections(&field.selections);
                }
                Selection::Spread { name, directives, .. } => {
                    self.fragments.insert(name);
                    self.directives(directives);
                }
                Selection::Inline { directives, selections, .. } => {
                    self.directives(directives);
                    self.selections(selections);
                }
            }
        }
    }

    fn directives(&mut self, directives: &'d [Directive]) {
        for directive in directives {
            self.values(&directive.arguments);
        }
    }

    fn values(&mut self, values: &'d [(String, Literal)]) {
        for (_, value) in values {
            self.value(value);
        }
    }

    fn value(&mut self, value: &'d Literal) {
        match value {
            Literal::Variable(name) => {
                self.variables.insert(name);
            }
            Literal::List(list) => list.iter().for_each(|value| self.value(value)),
            Literal::Object(fields) => self.values(fields),
            _ => {}
        }
    }
}
