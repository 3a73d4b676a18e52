//! Arguments and variables: checked against the schema and made JSON.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::schema::{ArgDef, Kind, Schema, TypeDef, base};
use super::syntax::{Literal, Operation};

/// A declared variable with the value it has for this run.
#[derive(Debug)]
pub(crate) struct Bound {
    ty: String,
    /// Absent where neither a value nor a default was given.
    value: Option<Value>,
    has_default: bool,
}

/// The variables of an operation.
pub(crate) type Variables = HashMap<String, Bound>;

/// Whether a type may be that of an argument.
fn is_input(ty: &TypeDef) -> bool {
    matches!(ty.kind, Kind::Input(_) | Kind::Enum(_) | Kind::Scalar)
}

/// Checks the declarations of an operation and binds the given values.
pub(crate) fn bind(
    schema: &Schema,
    operation: &Operation,
    given: &Map<String, Value>,
    problems: &mut Vec<String>,
) -> Variables {
    let mut bound = Variables::new();
    for variable in &operation.variables {
        let name = &variable.name;
        if !schema.named(base(&variable.ty)).is_some_and(is_input) {
            problems.push(format!("{} isn't a valid input type (on ${name})", base(&variable.ty)));
            continue;
        }
        let value = match (given.get(name), &variable.default) {
            (Some(value), _) => match from_json(schema, value, &variable.ty, name) {
                Ok(value) => Some(value),
                Err(reason) => {
                    problems.push(format!(
                        "Variable ${name} of type {} was provided invalid value ({reason})",
                        variable.ty
                    ));
                    continue;
                }
            },
            (None, Some(default)) => match literal(schema, default, &variable.ty, &Variables::new(), problems) {
                Ok(value) => value,
                Err(()) => {
                    problems.push(format!("Default value for ${name} doesn't match type {}", variable.ty));
                    continue;
                }
            },
            (None, None) if variable.ty.ends_with('!') => {
                problems.push(format!(
                    "Variable ${name} of type {} was provided invalid value (Expected value to not be null)",
                    variable.ty
                ));
                continue;
            }
            (None, None) => None,
        };
        let entry = Bound { ty: variable.ty.clone(), value, has_default: variable.default.is_some() };
        if bound.insert(name.clone(), entry).is_some() {
            problems.push(format!("There can only be one variable named \"{name}\""));
        }
    }
    bound
}

/// Whether a variable of type `var` may stand where `place` is expected.
fn fits(var: &str, place: &str) -> bool {
    let (mut var, mut place) = (var, place);
    loop {
        if let Some(inner) = place.strip_suffix('!') {
            let Some(stripped) = var.strip_suffix('!') else {
                return false;
            };
            (var, place) = (stripped, inner);
        } else {
            var = var.strip_suffix('!').unwrap_or(var);
        }
        let unlist = |ty: &'_ str| ty.starts_with('[') && ty.ends_with(']');
        match (unlist(var), unlist(place)) {
            (true, true) => {
                var = var.get(1..var.len() - 1).unwrap_or_default();
                place = place.get(1..place.len() - 1).unwrap_or_default();
            }
            (false, false) => return var == place,
            _ => return false,
        }
    }
}

/// The element type of a list type.
fn element(ty: &str) -> Option<&str> {
    ty.strip_prefix('[')?.strip_suffix(']')
}

/// A JSON value of a variable; `path` names the place for the reason.
fn from_json(schema: &Schema, value: &Value, ty: &str, path: &str) -> Result<Value, String> {
    let nullable = ty.strip_suffix('!');
    if value.is_null() {
        return match nullable {
            Some(_) => Err(format!("{path}: Expected value to not be null")),
            None => Ok(Value::Null),
        };
    }
    let ty = nullable.unwrap_or(ty);
    if let Some(inner) = element(ty) {
        return match value {
            Value::Array(list) => list
                .iter()
                .enumerate()
                .map(|(n, value)| from_json(schema, value, inner, &format!("{path}.{n}")))
                .collect(),
            single => Ok(Value::Array(vec![from_json(schema, single, inner, path)?])),
        };
    }
    let wrong = || format!("{path}: Could not coerce value to {ty}");
    let def = schema.named(ty).ok_or_else(wrong)?;
    match &def.kind {
        Kind::Input(fields) => {
            let given = value.as_object().ok_or_else(wrong)?;
            if let Some(unknown) = given.keys().find(|name| !fields.iter().any(|field| field.name == name.as_str())) {
                return Err(format!("{path}.{unknown}: Field is not defined on {ty}"));
            }
            let mut out = Map::new();
            for field in *fields {
                match given.get(field.name) {
                    Some(value) => {
                        let inner = format!("{path}.{}", field.name);
                        out.insert(field.name.to_owned(), from_json(schema, value, field.ty, &inner)?);
                    }
                    None if field.ty.ends_with('!') => {
                        return Err(format!("{path}.{}: Expected value to not be null", field.name));
                    }
                    None => {}
                }
            }
            Ok(Value::Object(out))
        }
        Kind::Enum(values) => match value.as_str() {
            Some(text) if values.contains(&text) => Ok(value.clone()),
            _ => Err(format!("{path}: Expected one of: {}", values.join(", "))),
        },
        Kind::Scalar => scalar(value, ty).ok_or_else(wrong),
        Kind::Object(_) | Kind::Interface(..) => Err(wrong()),
    }
}

fn scalar(value: &Value, ty: &str) -> Option<Value> {
    match (ty, value) {
        ("Int", Value::Number(n)) => {
            let n = n.as_i64()?;
            i32::try_from(n).ok().map(Value::from)
        }
        ("Boolean", Value::Bool(_)) | ("Float", Value::Number(_)) => Some(value.clone()),
        ("ID", Value::Number(n)) => n.as_i64().map(|n| Value::String(n.to_string())),
        ("Int" | "Boolean" | "Float", _) => None,
        (_, Value::String(_)) => Some(value.clone()),
        _ => None,
    }
}

/// A literal at a place of type `ty`; nothing for a variable that has no value.
/// An error means that the literal does not fit; what is wrong deeper inside
/// has then been reported already, or is for the caller to report.
pub(crate) fn literal(
    schema: &Schema,
    given: &Literal,
    ty: &str,
    variables: &Variables,
    problems: &mut Vec<String>,
) -> Result<Option<Value>, ()> {
    if let Literal::Variable(name) = given {
        // An undeclared variable is reported by the check of all variables.
        let Some(bound) = variables.get(name) else {
            return Ok(None);
        };
        let place = match ty.strip_suffix('!') {
            Some(inner) if bound.has_default => inner,
            _ => ty,
        };
        if !fits(&bound.ty, place) {
            problems.push(format!("Type mismatch on variable ${name} ({} / {ty})", bound.ty));
            return Ok(None);
        }
        return Ok(bound.value.clone());
    }
    let nullable = ty.strip_suffix('!');
    if *given == Literal::Null {
        return if nullable.is_some() { Err(()) } else { Ok(Some(Value::Null)) };
    }
    let ty = nullable.unwrap_or(ty);
    if let Some(inner) = element(ty) {
        let one = [given.clone()];
        let list = match given {
            Literal::List(list) => list.as_slice(),
            _ => &one,
        };
        let mut out = Vec::with_capacity(list.len());
        for item in list {
            out.push(literal(schema, item, inner, variables, problems)?.unwrap_or(Value::Null));
        }
        return Ok(Some(Value::Array(out)));
    }
    let def = schema.named(ty).ok_or(())?;
    let value = match (&def.kind, given) {
        (Kind::Input(fields), Literal::Object(entries)) => {
            let owner = format!("InputObject '{ty}'");
            Value::Object(arguments(schema, &owner, fields, entries, variables, problems))
        }
        (Kind::Enum(values), Literal::Enum(name)) if values.contains(&name.as_str()) => Value::String(name.clone()),
        (Kind::Scalar, Literal::Bool(flag)) if ty == "Boolean" => Value::Bool(*flag),
        (Kind::Scalar, Literal::Float(n)) => scalar(&Value::from(*n), ty).ok_or(())?,
        (Kind::Scalar, Literal::Int(n)) => scalar(&Value::from(*n), ty).ok_or(())?,
        (Kind::Scalar, Literal::Text(text)) => scalar(&Value::String(text.clone()), ty).ok_or(())?,
        _ => return Err(()),
    };
    Ok(Some(value))
}

/// The arguments of a field, a directive or an input object, checked.
pub(crate) fn arguments(
    schema: &Schema,
    owner: &str,
    defs: &[ArgDef],
    given: &[(String, Literal)],
    variables: &Variables,
    problems: &mut Vec<String>,
) -> Map<String, Value> {
    let mut out = Map::new();
    let mut seen = HashSet::new();
    for (name, value) in given {
        if !seen.insert(name.as_str()) {
            problems.push(format!("There can be only one argument named \"{name}\""));
            continue;
        }
        let Some(def) = defs.iter().find(|def| def.name == name) else {
            problems.push(format!("{owner} doesn't accept argument '{name}'"));
            continue;
        };
        match literal(schema, value, def.ty, variables, problems) {
            Ok(Some(value)) => {
                out.insert(name.clone(), value);
            }
            Ok(None) => {}
            Err(()) => {
                problems.push(format!("Argument '{name}' on {owner} has an invalid value. Expected type '{}'.", def.ty))
            }
        }
    }
    let missing: Vec<&str> =
        defs.iter().filter(|def| def.ty.ends_with('!') && !seen.contains(def.name)).map(|def| def.name).collect();
    if !missing.is_empty() {
        problems.push(format!("{owner} is missing required arguments: {}", missing.join(", ")));
    }
    out
}
