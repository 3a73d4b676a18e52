//! The end of a run: what it did not see any more goes.

use std::sync::Arc;

use async_trait::async_trait;

use super::table;
use crate::service::types::Instance;
use crate::store::{StoreError, Tx, Unit};

/// Ends the comparison.
pub(super) struct Finish {
    pub(super) instance: Arc<Instance>,
    pub(super) run: i64,
    /// Whether accounts, and groups, were listed whole.
    pub(super) accounts: bool,
    pub(super) groups: bool,
}

#[async_trait]
impl Unit for Finish {
    type Out = (u64, u64);
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(u64, u64), StoreError> {
        table::forget_rest(tx, self.instance.seq, self.run, self.accounts, self.groups).await?;
        table::seen(tx, self.instance.seq, self.run).await
    }
}
