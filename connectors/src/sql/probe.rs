//! Whether the connection, the mapping and the user's rights are as needed. Reads only.

use connector_sdk::{Cx, Fault, FaultKind, Probe, ProbeCheck};

use super::client::{Client, Mode, Place, Tx};
use super::dialect::Dialect;
use super::failure::{Class, Failure};
use super::mapping::{Groups, Users};
use super::named::Statement;
use super::ops;
use super::schema::{self, Schema};
use super::values::Params;
use crate::shared::probe::check;

/// A fault as a check that is not ok; what says nothing of the settings stays a fault.
fn as_check(name: &str, fault: Fault) -> Result<ProbeCheck, Fault> {
    match fault.kind {
        FaultKind::Credential | FaultKind::Permission | FaultKind::Refused => Ok(check(name, false, fault.message)),
        _ => Err(fault),
    }
}

/// Checks connection, tables, columns, unique indexes, rights and statements.
pub(super) async fn probe(client: &Client, cx: &Cx<'_>) -> Result<Probe, Fault> {
    let mut probe = Probe { identity: None, checks: Vec::new() };
    let asked = client
        .within(cx, "probe", "mapped tables", Mode::Read, |mut tx| async move {
            let asked = ask(client, &mut tx).await;
            (tx, asked)
        })
        .await;
    let (identity, checks, schema) = match asked {
        Ok(asked) => asked,
        Err(fault) => {
            probe.checks.push(as_check("connection", fault)?);
            return Ok(probe);
        }
    };
    probe.identity = Some(identity.clone());
    probe.checks.push(check(
        "connection",
        true,
        format!("{} answers; the user is {identity}.", client.dialect.title()),
    ));
    probe.checks.extend(checks);
    let missing = schema.missing(&schema::wanted(&client.mapping));
    if !missing.is_empty() {
        probe.checks.push(check("mapping", false, missing.join(" ")));
        return Ok(probe);
    }
    // Each statement is looked at by itself: after one that is wrong, a transaction takes no more.
    let ops = match client.ops(cx).await {
        Ok(ops) => ops,
        Err(fault) => {
            probe.checks.push(as_check("mapping", fault)?);
            return Ok(probe);
        }
    };
    let mut lists: Vec<(&str, &[Statement])> = Vec::new();
    match &client.mapping.users {
        Users::Declared(declared) => lists.extend(declared.all()),
        Users::Table(_) => {
            lists.extend([("users.list", ops.users.list.as_slice()), ("users.find", ops.users.find.as_slice())]);
        }
    }
    if let Some(Groups::Declared(declared)) = &client.mapping.groups {
        lists.extend(declared.all());
    }
    let mut wrong = false;
    for (name, statements) in lists {
        for statement in statements {
            let taken = client
                .within(cx, "check statement", name, Mode::Check, |mut tx| async move {
                    let taken = tx.check(statement).await;
                    (tx, taken)
                })
                .await;
            if let Err(fault) = taken {
                wrong = true;
                probe.checks.push(as_check(name, fault)?);
            }
        }
    }
    if !wrong {
        probe.checks.push(check("mapping", true, "Every table, column and statement is taken by the database."));
    }
    Ok(probe)
}

async fn ask(client: &Client, tx: &mut Tx<'_>) -> Result<(String, Vec<ProbeCheck>, Schema), Failure> {
    let mut checks = Vec::new();
    let identity = match &client.place {
        Place::File(file) => file.clone(),
        Place::Server { host, database, .. } => {
            let who = run(client, tx, "SELECT CURRENT_USER AS id", &Params::default()).await?;
            let who = who.first().and_then(|row| row.text("id")).unwrap_or_default();
            format!("{who} of {database} at {host}")
        }
    };
    let schema = tx.schema().await?;
    if let Users::Table(map) = &client.mapping.users {
        checks.push(unique(client, tx, &map.table, &map.user_name).await?);
    }
    if let Some(Groups::Tables(groups, _)) = &client.mapping.groups {
        checks.push(unique(client, tx, &groups.table, &groups.name).await?);
    }
    if client.dialect == Dialect::Postgres {
        for (table, _) in schema::wanted(&client.mapping) {
            if schema.0.contains_key(&table) {
                checks.push(rights(client, tx, &table).await?);
            }
        }
    }
    Ok((identity, checks, schema))
}

async fn run(client: &Client, tx: &mut Tx<'_>, sql: &str, params: &Params) -> Result<Vec<super::values::Row>, Failure> {
    let statement = ops::read(client.dialect, sql).map_err(Failure::Odd)?;
    Ok(tx.one(&statement, params, 1000).await?.rows)
}

/// Whether a name can be there twice: then two who write at once make two of one.
async fn unique(client: &Client, tx: &mut Tx<'_>, table: &str, column: &str) -> Result<ProbeCheck, Failure> {
    let (schema, name) = schema::parts(table);
    let params = Params::default().with("schema", schema).with("table", name).with("column", column);
    let found = run(client, tx, schema::unique_on(client.dialect), &params).await?;
    let what = format!("unique {table}.{column}");
    Ok(if found.is_empty() {
        check(
            what,
            false,
            format!(
                "Nothing keeps {column} of {table} unique. Add a unique index on it, so that nobody can be there twice."
            ),
        )
    } else {
        check(what, true, "A unique index is there.")
    })
}

/// What the user may do with a table. Tables that a view or a trigger reaches show when they are used.
async fn rights(client: &Client, tx: &mut Tx<'_>, table: &str) -> Result<ProbeCheck, Failure> {
    let quoted = super::tables::quoted(client.dialect, table);
    let mut lacking = Vec::new();
    for right in ["SELECT", "INSERT", "UPDATE", "DELETE"] {
        let params = Params::default().with("table", quoted.as_str()).with("right", right);
        let sql = "SELECT has_table_privilege(CAST(:table AS text), CAST(:right AS text)) OR has_any_column_privilege(CAST(:table AS text), CASE WHEN :right = 'DELETE' THEN 'SELECT WITH GRANT OPTION' ELSE CAST(:right AS text) END) AS id";
        let rows = match run(client, tx, sql, &params).await {
            Err(failure) if failure.class() == Some(Class::Permission) => Vec::new(),
            rows => rows?,
        };
        if !rows.first().is_some_and(|row| row.flag("id").is_ok_and(|may| may == Some(true))) {
            lacking.push(right);
        }
    }
    let what = format!("rights on {table}");
    Ok(if lacking.is_empty() {
        check(what, true, "SELECT, INSERT, UPDATE and DELETE are granted.")
    } else {
        check(what, false, format!("Missing: GRANT {} ON {quoted} TO the gateway's user.", lacking.join(", ")))
    })
}
