//! After the database was restored: every account that it is tied to is looked at before anything is written at the
//! target (DECISIONS 33).

use std::sync::Arc;

use async_trait::async_trait;
use connector_sdk::{Connector, Cx};

use super::Stop;
use super::sweep::{SweepAccounts, Vanished, unseen_accounts};
use crate::driver::Shared;
use crate::service::types::Instance;
use crate::store::{Hint, Priority, Sql, StoreError, Tx, Unit};

/// Ends the wait of an instance whose database was restored: reads the accounts that the run's listings did not show,
/// complete or not, one by one, and lets the driver go on. Nothing for any other instance.
pub(super) async fn links(
    shared: &Arc<Shared>,
    instance: &Arc<Instance>,
    run: i64,
    connector: &dyn Connector,
    cx: &Cx<'_>,
) -> Result<(), Stop> {
    if instance.verifying_since.is_none() {
        return Ok(());
    }
    if let Some(accounts) = connector.accounts() {
        let mut after = 0;
        loop {
            let unseen = unseen_accounts(shared, instance, run, i64::MAX, after).await?;
            if unseen.is_empty() {
                break;
            }
            for account in unseen {
                after = account.seq;
                let Some(at) = account.reference() else {
                    continue;
                };
                let asked = shared.clock.micros();
                match accounts.get(cx, &at).await? {
                    Some(found) => {
                        let started = shared.clock.micros();
                        let sweep = SweepAccounts { instance: instance.clone(), run, accounts: vec![found], started };
                        shared.write_leased(instance, Priority::Background, sweep).await?;
                    }
                    None => {
                        let vanished = Vanished { account: account.seq, asked };
                        shared.write_leased(instance, Priority::Background, vanished).await?;
                    }
                }
            }
        }
    }
    shared.write_leased(instance, Priority::Background, Verified(instance.seq)).await?;
    shared.instances.invalidate(instance.seq);
    tracing::info!(instance = %instance.id, "the accounts of a restored instance were looked at; the driver goes on");
    Ok(())
}

struct Verified(i64);

#[async_trait]
impl Unit for Verified {
    type Out = ();
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        tx.conn
            .run(
                "UPDATE instance SET verify_since = NULL, config_rev = config_rev + 1 WHERE seq = $1 AND verify_since IS NOT NULL",
                vals![self.0],
            )
            .await?;
        tx.hint(Hint::Instance(self.0));
        Ok(())
    }
}
