//! GraphQL for simulators: a bounded reader, a validator and an executor (GraphQL October 2021) over the part of a
//! vendor's schema that a simulator gives as tables. Introspection is not simulated.

mod lexer;
pub(crate) mod plan;
pub(crate) mod schema;
mod syntax;
mod values;

use serde_json::{Map, Value, json};

use plan::{Compiled, Issue, Plan, Sub};
use schema::Schema;
use syntax::At;

/// Most fields resolved for one document. Vendors' caps on complexity are far below; this one holds where limits are
/// off.
const MAX_FIELDS: u64 = 1_000_000;

/// Reads and validates the operation that a request's body asks for.
///
/// # Errors
/// What is wrong with it, as members of `errors`.
pub(crate) fn prepare(schema: &'static Schema, body: &Map<String, Value>) -> Result<Compiled, Vec<Value>> {
    let Some(query) = body.get("query").and_then(Value::as_str) else {
        return Err(vec![json!({ "message": "No query string was present" })]);
    };
    let document = syntax::parse(query)
        .map_err(|error| vec![json!({ "message": error.message, "locations": [location(error.at)] })])?;
    let none = Map::new();
    let variables = match body.get("variables") {
        None | Some(Value::Null) => &none,
        Some(Value::Object(variables)) => variables,
        Some(_) => return Err(vec![json!({ "message": "Variables must be an object" })]),
    };
    let name = body.get("operationName").and_then(Value::as_str);
    plan::compile(schema, &document, name, variables).map_err(|issues| issues.iter().map(issue).collect())
}

fn location(at: At) -> Value {
    json!({ "line": at.line, "column": at.column })
}

fn issue(issue: &Issue) -> Value {
    let mut told = match issue.at {
        None => json!({ "message": issue.message }),
        Some(at) => json!({ "message": issue.message, "locations": [location(at)], "path": issue.path }),
    };
    if let Some(code) = issue.code {
        told["extensions"] = json!({ "code": code });
    }
    told
}

/// The value of a field before its selections are resolved.
#[derive(Clone)]
pub(crate) enum Out<O> {
    Null,
    Leaf(Value),
    One(O),
    Many(Vec<O>),
}

impl<O> Out<O> {
    /// An object, or null.
    pub(crate) fn maybe(obj: Option<O>) -> Self {
        obj.map_or(Self::Null, Self::One)
    }

    /// A scalar.
    pub(crate) fn leaf(value: impl Into<Value>) -> Self {
        Self::Leaf(value.into())
    }
}

/// What fields are asked of: a vendor's objects over a simulator's state.
pub(crate) trait Resolver {
    /// An object.
    type Obj;

    /// The name of an object's type.
    fn type_name(&self, obj: &Self::Obj) -> String;

    /// A field of the query or, where `mutation`, of the mutation.
    ///
    /// # Errors
    /// A member of `errors`; where and on which path is added.
    fn root(&mut self, plan: &Plan, mutation: bool) -> Result<Out<Self::Obj>, Value>;

    /// A field of an object.
    ///
    /// # Errors
    /// As [`Resolver::root`].
    fn field(&mut self, obj: &Self::Obj, plan: &Plan) -> Result<Out<Self::Obj>, Value>;
}

/// What running a document came to.
pub(crate) struct Done {
    /// `data`.
    pub(crate) data: Value,
    /// `errors`.
    pub(crate) errors: Vec<Value>,
    /// Objects that were resolved.
    pub(crate) points: u64,
}

/// Runs a document.
pub(crate) fn run<R: Resolver>(resolver: &mut R, compiled: &Compiled) -> Done {
    let mut run = Run { resolver, points: 0, fields: 0, errors: Vec::new(), path: Vec::new() };
    let mut data = Map::new();
    for plan in &compiled.plans {
        let out = if plan.def.name == "__typename" {
            Ok(Out::leaf(if compiled.mutation { "Mutation" } else { "Query" }))
        } else {
            run.resolver.root(plan, compiled.mutation)
        };
        run.path.push(Value::from(plan.key.as_str()));
        let value = run.value(out, plan);
        run.path.pop();
        data.insert(plan.key.clone(), value.unwrap_or(Value::Null));
    }
    if run.fields >= MAX_FIELDS {
        let errors = vec![json!({ "message": "Query is too large" })];
        return Done { data: Value::Null, errors, points: run.points };
    }
    Done { data: Value::Object(data), errors: run.errors, points: run.points }
}

struct Run<'r, R> {
    resolver: &'r mut R,
    points: u64,
    fields: u64,
    errors: Vec<Value>,
    path: Vec<Value>,
}

impl<R: Resolver> Run<'_, R> {
    /// Resolves what is selected of a field; nothing where a refused field may not be null, which makes the object
    /// around it null.
    fn value(&mut self, out: Result<Out<R::Obj>, Value>, plan: &Plan) -> Option<Value> {
        let value = match out {
            Ok(Out::Null) => Some(Value::Null),
            Ok(Out::Leaf(value)) => Some(value),
            Ok(Out::One(obj)) => {
                self.points += 1;
                self.object(&obj, &plan.sub)
            }
            Ok(Out::Many(objects)) => {
                self.points += 1;
                let list = objects.iter().map(|obj| self.object(obj, &plan.sub).unwrap_or(Value::Null));
                Some(list.collect())
            }
            Err(mut error) => {
                error["locations"] = json!([location(plan.at)]);
                error["path"] = Value::Array(self.path.clone());
                self.errors.push(error);
                None
            }
        };
        match value {
            None if !plan.def.ty.ends_with('!') => Some(Value::Null),
            value => value,
        }
    }

    fn object(&mut self, obj: &R::Obj, sub: &Sub) -> Option<Value> {
        let plans: &[Plan] = match sub {
            Sub::Leaf => &[],
            Sub::Fields(plans) => plans,
            Sub::ByType(types) => {
                let name = self.resolver.type_name(obj);
                types.iter().find(|(ty, _)| *ty == name).map_or(&[], |(_, plans)| plans.as_slice())
            }
        };
        let mut out = Map::new();
        for plan in plans {
            self.fields += 1;
            if self.fields >= MAX_FIELDS {
                break;
            }
            let resolved = if plan.def.name == "__typename" {
                Ok(Out::leaf(self.resolver.type_name(obj)))
            } else {
                self.resolver.field(obj, plan)
            };
            self.path.push(Value::from(plan.key.as_str()));
            let value = self.value(resolved, plan);
            self.path.pop();
            out.insert(plan.key.clone(), value?);
        }
        Some(Value::Object(out))
    }
}
