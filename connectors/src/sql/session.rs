//! One connection to the database: statements go in with their values, rows come out.

use std::collections::BTreeMap;
use std::sync::Arc;

use self::stream::collect;
use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgConnection, PgRow, PgTypeInfo, PgTypeKind};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Column as _, Either, Executor, Row as _, SqlSafeStr, Statement as _, TypeInfo, ValueRef};

use super::dialect::Dialect;
use super::failure::Failure;
use super::named::Statement;
use super::relay::Tunnel;
use super::values::{Params, Row, Value};

/// The collation by which SQLite compares names without regard to case, of every script.
pub(super) const FOLD: &str = "scimgate_fold";

/// The type of text, as PostgreSQL numbers it (`pg_type.dat`): text, varchar, bpchar, name, unknown.
const TEXTS: [u32; 5] = [25, 1043, 1042, 19, 705];

/// The driver's connection.
pub(super) enum Link {
    Postgres(PgConnection),
    MariaDb(MySqlConnection),
    Sqlite(SqliteConnection),
}

/// A connection.
pub(super) struct Session {
    link: Link,
    /// What carries its bytes, where that is ours; it ends with the connection.
    _tunnel: Option<Tunnel>,
    /// Whether it served before, and may have died since.
    pub(super) used: bool,
}

/// What a statement gave.
#[derive(Debug, Default)]
pub(super) struct Ran {
    pub(super) rows: Vec<Row>,
    /// Whether it is one that gives rows.
    pub(super) shows: bool,
    /// How many rows it changed.
    pub(super) changed: u64,
}

mod stream {
    //! Reads a statement's stream to its end.

    use futures_util::{Stream, StreamExt};
    use sqlx::Either;

    use super::Failure;

    /// The rows, and the sum of what `count` gives; more rows than `most` are a failure.
    pub(super) async fn collect<Q, R>(
        mut stream: impl Stream<Item = Result<Either<Q, R>, sqlx::Error>> + Unpin,
        most: usize,
        count: impl Fn(&Q) -> u64,
    ) -> Result<(Vec<R>, u64), Failure> {
        let (mut rows, mut changed) = (Vec::new(), 0);
        while let Some(next) = stream.next().await {
            match next.map_err(Failure::from)? {
                Either::Left(done) => changed += count(&done),
                Either::Right(row) if rows.len() < most => rows.push(row),
                Either::Right(_) => {
                    return Err(Failure::Odd(format!(
                        "A statement gave more than {most} rows. Statements that list take :limit, others give few rows."
                    )));
                }
            }
        }
        Ok((rows, changed))
    }
}

impl Session {
    /// A new connection.
    pub(super) fn new(link: Link, tunnel: Option<Tunnel>) -> Self {
        Self { link, _tunnel: tunnel, used: false }
    }

    pub(super) fn dialect(&self) -> Dialect {
        match self.link {
            Link::Postgres(_) => Dialect::Postgres,
            Link::MariaDb(_) => Dialect::MariaDb,
            Link::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// Runs SQL of our own that has no values.
    pub(super) async fn plain(&mut self, sql: &'static str) -> Result<(), Failure> {
        match &mut self.link {
            Link::Postgres(link) => link.execute(sqlx::raw_sql(sql)).await.map(|_| ()),
            Link::MariaDb(link) => link.execute(sqlx::raw_sql(sql)).await.map(|_| ()),
            Link::Sqlite(link) => link.execute(sqlx::raw_sql(sql)).await.map(|_| ()),
        }
        .map_err(Failure::from)
    }

    /// How a statement is sent. PostgreSQL says which types its parameters have; all values go as text
    /// and are cast there, so that any type of column that text can be cast to is served. `None`: the
    /// text has to be rendered by [`Session::learn`] first.
    pub(super) fn rendered(&self, statement: &Statement) -> Option<String> {
        match self.link {
            Link::Postgres(_) => None,
            _ => Some(statement.render(|number| self.dialect().place(number))),
        }
    }

    /// Asks the database whether it would take a statement, and gives the text that is to be sent.
    pub(super) async fn learn(&mut self, statement: &Statement) -> Result<String, Failure> {
        let dialect = self.dialect();
        let link = match &mut self.link {
            Link::Postgres(link) => link,
            Link::MariaDb(link) => {
                let text = statement.render(|number| dialect.place(number));
                link.prepare(AssertSqlSafe(text.clone()).into_sql_str()).await?;
                return Ok(text);
            }
            Link::Sqlite(link) => {
                let text = statement.render(|number| dialect.place(number));
                link.prepare(AssertSqlSafe(text.clone()).into_sql_str()).await?;
                return Ok(text);
            }
        };
        // A parameter whose type nothing determines (`:after IS NULL`) is text. The error names it, and
        // ends the transaction, if it is not in one of its own.
        link.execute(sqlx::raw_sql("SAVEPOINT scimgate_learn")).await?;
        let mut casts: BTreeMap<usize, String> = BTreeMap::new();
        let untold = loop {
            let text = statement.render(|number| place(number, &casts));
            match link.prepare(AssertSqlSafe(text).into_sql_str()).await {
                Ok(prepared) => break prepared,
                Err(error) => match undetermined(&error).filter(|number| !casts.contains_key(number)) {
                    Some(number) => {
                        casts.insert(number, "text".to_owned());
                        link.execute(sqlx::raw_sql("ROLLBACK TO SAVEPOINT scimgate_learn")).await?;
                    }
                    None => return Err(error.into()),
                },
            };
        };
        let oids: Vec<Option<Oid>> = match untold.parameters() {
            Some(Either::Left(kinds)) => kinds.iter().map(PgTypeInfo::oid).collect(),
            _ => Vec::new(),
        };
        for (n, oid) in oids.into_iter().enumerate() {
            let Some(oid) = oid.filter(|oid| !TEXTS.contains(&oid.0)) else { continue };
            // -1: without the length of one that a bare `bpchar` or `bit` would have.
            let name: String = sqlx::query_scalar("SELECT format_type($1, -1)").bind(oid).fetch_one(&mut *link).await?;
            casts.insert(n + 1, name);
        }
        link.execute(sqlx::raw_sql("RELEASE SAVEPOINT scimgate_learn")).await?;
        Ok(statement.render(|number| place(number, &casts)))
    }

    /// Runs a statement that was rendered. More rows than `most` are a failure.
    pub(super) async fn run(
        &mut self,
        sql: Arc<str>,
        statement: &Statement,
        params: &Params,
        most: usize,
    ) -> Result<Ran, Failure> {
        let values = statement.names().map(|name| params.get(name));
        let sql = AssertSqlSafe(sql);
        match &mut self.link {
            Link::Postgres(link) => {
                let mut query = sqlx::query(sql);
                for value in values {
                    query = query.bind(value.text());
                }
                let (rows, changed) = collect(link.fetch_many(query), most, |done| done.rows_affected()).await?;
                ran(&rows, changed, from_postgres)
            }
            Link::MariaDb(link) => {
                let mut query = sqlx::query(sql);
                for value in values {
                    query = match value {
                        Value::Null => query.bind(None::<String>),
                        Value::Flag(flag) => query.bind(flag),
                        Value::Number(number) => query.bind(number),
                        Value::Text(text) => query.bind(text),
                    };
                }
                let (rows, changed) = collect(link.fetch_many(query), most, |done| done.rows_affected()).await?;
                ran(&rows, changed, from_mariadb)
            }
            Link::Sqlite(link) => {
                let mut query = sqlx::query(sql);
                for value in values {
                    query = match value {
                        Value::Null => query.bind(None::<String>),
                        Value::Flag(flag) => query.bind(flag),
                        Value::Number(number) => query.bind(number),
                        Value::Text(text) => query.bind(text),
                    };
                }
                let (rows, changed) = collect(link.fetch_many(query), most, |done| done.rows_affected()).await?;
                ran(&rows, changed, from_sqlite)
            }
        }
    }
}

fn place(number: usize, casts: &BTreeMap<usize, String>) -> String {
    match casts.get(&number) {
        Some(kind) => format!("CAST(${number} AS {kind})"),
        None => format!("${number}"),
    }
}

/// The number of the parameter whose type could not be determined (42P18), from the error's words,
/// which name it as `$1` in every language.
fn undetermined(error: &sqlx::Error) -> Option<usize> {
    let error = error.as_database_error().filter(|error| error.code().as_deref() == Some("42P18"))?;
    let (_, rest) = error.message().split_once('$')?;
    rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
}

fn ran<R: sqlx::Row>(
    rows: &[R],
    changed: u64,
    value: impl Fn(&R, usize) -> Result<Value, String>,
) -> Result<Ran, Failure> {
    let mut read = Vec::with_capacity(rows.len());
    for row in rows {
        let mut columns = BTreeMap::new();
        for (n, column) in row.columns().iter().enumerate() {
            let name = column.name().to_ascii_lowercase();
            let value = value(row, n).map_err(|kind| {
                Failure::Odd(format!(
                    "The column {name} of a result is of the type {kind}, which is not read here. Cast it to text in the statement."
                ))
            })?;
            columns.insert(name, value);
        }
        read.push(Row(columns));
    }
    Ok(Ran { shows: !read.is_empty(), rows: read, changed })
}

fn from_postgres(row: &PgRow, n: usize) -> Result<Value, String> {
    let raw = row.try_get_raw(n).map_err(|error| error.to_string())?;
    if raw.is_null() {
        return Ok(Value::Null);
    }
    let info = raw.type_info().into_owned();
    let bytes = raw.as_bytes().map_err(|error| error.to_string())?;
    binary(&info, bytes).ok_or_else(|| info.name().to_owned())
}

/// A value in PostgreSQL's binary form (the `…send` functions of its source).
fn binary(info: &PgTypeInfo, bytes: &[u8]) -> Option<Value> {
    if let PgTypeKind::Domain(base) = info.kind() {
        return binary(base, bytes);
    }
    let text = || std::str::from_utf8(bytes).ok().map(Value::from);
    if matches!(info.kind(), PgTypeKind::Enum(_)) {
        return text();
    }
    match info.name().to_ascii_uppercase().as_str() {
        "BOOL" => Some(Value::Flag(*bytes.first()? != 0)),
        "INT2" => Some(Value::Number(i64::from(i16::from_be_bytes(bytes.try_into().ok()?)))),
        "INT4" => Some(Value::Number(i64::from(i32::from_be_bytes(bytes.try_into().ok()?)))),
        "INT8" => Some(Value::Number(i64::from_be_bytes(bytes.try_into().ok()?))),
        "OID" => Some(Value::Number(i64::from(u32::from_be_bytes(bytes.try_into().ok()?)))),
        "UUID" => Some(Value::Text(uuid::Uuid::from_slice(bytes).ok()?.to_string())),
        "TEXT" | "VARCHAR" | "CHAR" | "BPCHAR" | "NAME" | "UNKNOWN" | "CITEXT" | "\"CHAR\"" => text(),
        _ => None,
    }
}

fn from_mariadb(row: &MySqlRow, n: usize) -> Result<Value, String> {
    let raw = row.try_get_raw(n).map_err(|error| error.to_string())?;
    if raw.is_null() {
        return Ok(Value::Null);
    }
    let name = raw.type_info().name().to_owned();
    let failed = |_| name.clone();
    match name.as_str() {
        "BOOLEAN" | "TINYINT" | "SMALLINT" | "MEDIUMINT" | "INT" | "BIGINT" | "YEAR" => {
            row.try_get_unchecked::<i64, _>(n).map(Value::Number).map_err(failed)
        }
        "TINYINT UNSIGNED" | "SMALLINT UNSIGNED" | "MEDIUMINT UNSIGNED" | "INT UNSIGNED" | "BIGINT UNSIGNED" => {
            let number = row.try_get_unchecked::<u64, _>(n).map_err(failed)?;
            Ok(i64::try_from(number).map_or_else(|_| Value::Text(number.to_string()), Value::Number))
        }
        // By the collation: a column that compares by bytes is named as if it were binary.
        _ if <str as sqlx::Type<sqlx::MySql>>::compatible(&raw.type_info()) => {
            row.try_get_unchecked::<String, _>(n).map(Value::Text).map_err(failed)
        }
        _ => Err(name),
    }
}

fn from_sqlite(row: &SqliteRow, n: usize) -> Result<Value, String> {
    let raw = row.try_get_raw(n).map_err(|error| error.to_string())?;
    if raw.is_null() {
        return Ok(Value::Null);
    }
    // Of the value, not of the column's declaration.
    let name = raw.type_info().name().to_owned();
    let failed = |_| name.clone();
    match name.as_str() {
        "BLOB" | "REAL" => Err(name),
        "TEXT" => row.try_get_unchecked::<String, _>(n).map(Value::Text).map_err(failed),
        _ => row.try_get_unchecked::<i64, _>(n).map(Value::Number).map_err(failed),
    }
}
