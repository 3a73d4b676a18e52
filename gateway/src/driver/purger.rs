//! Purges what is too old to be kept, under the housekeeping's lease: one replica does it.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{HOUSEKEEPING, Shared, lease};
use crate::service::records::keep_time;
use crate::store::{Priority, StoreError};

/// How often it is looked for what is too old. Times are days, so a few hours more or less are nothing.
const EVERY: Duration = Duration::from_secs(6 * 3_600);

/// Purges until told to stop, or the lease is another replica's.
pub(super) async fn keep(shared: Arc<Shared>, stop: CancellationToken, epoch: i64) {
    while !stop.is_cancelled() {
        let purged = keep_time(&shared.retention, |unit| {
            let stopping = stop.is_cancelled();
            let leased = lease::Leased { name: HOUSEKEEPING.to_owned(), epoch, unit };
            let store = shared.store.clone();
            async move {
                if stopping {
                    return Err(StoreError::Unavailable("the gateway stops".to_owned()));
                }
                store.write(Priority::Background, leased).await
            }
        })
        .await;
        match purged {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "what was too old to be kept was purged"),
            Err(_) if stop.is_cancelled() => return,
            Err(error) => tracing::warn!(%error, "what is too old to be kept could not be purged; it is tried again"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = shared.clock.sleep(EVERY) => {}
        }
    }
}
