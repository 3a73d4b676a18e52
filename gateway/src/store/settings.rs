//! What the gateway keeps for itself, by name: the key check, the admin token's hash, the key that signs events.

use async_trait::async_trait;

use super::{Priority, Rows, Sql, Store, StoreError, Tx, Unit};

const READ: &str = "SELECT value FROM setting WHERE name = $1";

impl Store {
    /// What is kept under a name.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.reader().one(READ, vals![name]).await?.map(|row| row.col("value")).transpose()
    }

    /// Keeps a value under a name if there is none, and answers the one that is kept: of several processes that
    /// begin at once the first wins, and the others go by its value.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn keep_setting(&self, name: &'static str, value: String) -> Result<String, StoreError> {
        self.write(Priority::Request, Keep { name, value }).await
    }
}

struct Keep {
    name: &'static str,
    value: String,
}

#[async_trait]
impl Unit for Keep {
    type Out = String;
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<String, StoreError> {
        tx.conn
            .run(
                "INSERT INTO setting (name, value) VALUES ($1,$2) ON CONFLICT (name) DO NOTHING",
                vals![self.name, self.value.as_str()],
            )
            .await?;
        let row = tx.conn.one(READ, vals![self.name]).await?;
        row.ok_or_else(|| StoreError::damaged(format!("setting {}", self.name)))?.col("value")
    }
}
