//! Statements as text. One text serves both databases: `$1` placeholders, `ON CONFLICT`, `RETURNING`.

use sea_orm::{ConnectionTrait, DbBackend, QueryResult, Statement, TryGetable, Value};

use super::error::StoreError;
use crate::telemetry::names;

/// The values of a statement.
macro_rules! vals {
    ($($value:expr),* $(,)?) => { vec![$(sea_orm::Value::from($value)),*] };
}

/// Running statements on a connection or transaction.
#[allow(async_fn_in_trait, reason = "used with concrete types within the crate only")]
pub(crate) trait Sql: ConnectionTrait {
    /// Runs a statement; the number of rows it touched.
    fn run(&self, text: &str, values: Vec<Value>) -> impl Future<Output = Result<u64, StoreError>> + Send;
    /// The first row.
    fn one(
        &self,
        text: &str,
        values: Vec<Value>,
    ) -> impl Future<Output = Result<Option<QueryResult>, StoreError>> + Send;
    /// Every row.
    fn all(&self, text: &str, values: Vec<Value>) -> impl Future<Output = Result<Vec<QueryResult>, StoreError>> + Send;
    /// A table of one column `v` with the texts of a JSON list, which is the value at a place: however long it is,
    /// it is one value, and what compares with it stays in the database.
    fn each(&self, place: usize) -> String;
    /// ` FOR UPDATE` where rows are locked (PostgreSQL), nothing where there is one writer.
    fn for_update(&self) -> &'static str;
    /// ` FOR NO KEY UPDATE SKIP LOCKED` where rows are locked: without waiting, so that it joins no deadlock. Nothing
    /// where there is one writer, for whom every row stands still.
    fn for_what_is_free(&self) -> &'static str;
    /// The database's own time in microseconds, as an expression, where replicas with clocks of their
    /// own share it; else the placeholder of a value that holds it.
    fn clock_or(&self, placeholder: &'static str) -> &'static str;
}

/// A statement that is about to be sent.
fn statement(connection: &impl ConnectionTrait, text: &str, values: Vec<Value>) -> Statement {
    metrics::counter!(names::STORE_STATEMENTS_TOTAL).increment(1);
    Statement::from_sql_and_values(connection.get_database_backend(), text, values)
}

impl<C: ConnectionTrait + Send> Sql for C {
    async fn run(&self, text: &str, values: Vec<Value>) -> Result<u64, StoreError> {
        let statement = statement(self, text, values);
        Ok(self.execute_raw(statement).await?.rows_affected())
    }

    async fn one(&self, text: &str, values: Vec<Value>) -> Result<Option<QueryResult>, StoreError> {
        let statement = statement(self, text, values);
        Ok(self.query_one_raw(statement).await?)
    }

    async fn all(&self, text: &str, values: Vec<Value>) -> Result<Vec<QueryResult>, StoreError> {
        let statement = statement(self, text, values);
        Ok(self.query_all_raw(statement).await?)
    }

    fn each(&self, place: usize) -> String {
        match self.get_database_backend() {
            DbBackend::Postgres => format!("(SELECT v FROM json_array_elements_text(CAST(${place} AS json)) AS e(v))"),
            _ => format!("(SELECT value AS v FROM json_each(${place}))"),
        }
    }

    fn for_update(&self) -> &'static str {
        match self.get_database_backend() {
            DbBackend::Postgres => " FOR UPDATE",
            _ => "",
        }
    }

    fn for_what_is_free(&self) -> &'static str {
        match self.get_database_backend() {
            DbBackend::Postgres => " FOR NO KEY UPDATE SKIP LOCKED",
            _ => "",
        }
    }

    fn clock_or(&self, placeholder: &'static str) -> &'static str {
        match self.get_database_backend() {
            DbBackend::Postgres => "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)",
            _ => placeholder,
        }
    }
}

/// Reading columns.
pub(crate) trait Rows {
    /// A column by name.
    fn col<T: TryGetable>(&self, name: &str) -> Result<T, StoreError>;
    /// A column by its place.
    fn at<T: TryGetable>(&self, place: usize) -> Result<T, StoreError>;
}

impl Rows for QueryResult {
    fn col<T: TryGetable>(&self, name: &str) -> Result<T, StoreError> {
        self.try_get("", name).map_err(StoreError::from)
    }

    fn at<T: TryGetable>(&self, place: usize) -> Result<T, StoreError> {
        self.try_get_by_index(place).map_err(StoreError::from)
    }
}
