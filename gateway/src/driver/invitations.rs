//! The look-out for accepted invitations: one listing per instance and minute, however many are
//! pending. What is no longer listed is followed, one by one, by ordinary work.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_trait::async_trait;
use connector_sdk::{Cx, Fault, FaultKind, Window};
use engine::Lane;
use futures_util::FutureExt;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::accounts::mark_missing;
use super::ledger::WakeWaiting;
use super::{Shared, accounts};
use crate::service::accept::upsert_work;
use crate::service::types::Instance;
use crate::service::waivers;
use crate::store::{Priority, Rows, Sql, StoreError, Tx, Unit};
use crate::transport::Recorder;

/// Pages of a listing at most; more is a listing that goes in circles.
const MOST_PAGES: usize = 1_000;

/// Looks, every so often, at the instances that have pending invitations and are driven here.
/// Each is looked at by itself: a target that is slow delays nobody else's.
pub(super) async fn look_out(shared: Arc<Shared>, stop: CancellationToken) {
    let mut looks: JoinSet<i64> = JoinSet::new();
    let mut looking: HashSet<i64> = HashSet::new();
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => return,
            () = shared.clock.sleep(shared.invitation_look) => {}
        }
        let instances = match shared.instances.all_enabled().await {
            Ok(instances) => instances,
            Err(error) => {
                tracing::warn!(%error, "the list of instances could not be read");
                continue;
            }
        };
        while let Some(ended) = looks.try_join_next() {
            match ended {
                Ok(instance) => _ = looking.remove(&instance),
                Err(error) => {
                    tracing::error!(%error, "a look at pending invitations failed");
                    looking.clear();
                }
            }
        }
        for instance in instances {
            if shared.held_key(&instance.driver_key).is_none() || !looking.insert(instance.seq) {
                continue;
            }
            let shared = shared.clone();
            looks.spawn(async move {
                // A connector that panics must not end the look-out for everybody.
                let looked = AssertUnwindSafe(look(&shared, &instance)).catch_unwind().await.unwrap_or_else(|_| {
                    tracing::error!(instance = %instance.id, "a connector panicked while it listed invitations");
                    Ok(0)
                });
                match looked {
                    Ok(0) => {}
                    Ok(found) => {
                        tracing::info!(instance = %instance.id, found, "invitations are no longer pending; following them");
                        shared.gauge(&instance.driver_key).ring();
                    }
                    Err(error) => {
                        tracing::warn!(instance = %instance.id, %error, "pending invitations could not be listed")
                    }
                }
                instance.seq
            });
        }
    }
}

/// One look at one instance: how many invitations are to be followed.
async fn look(shared: &Arc<Shared>, instance: &Arc<Instance>) -> Result<usize, StoreError> {
    let pending = shared
        .store
        .reader()
        .one("SELECT 1 AS one FROM account WHERE instance_seq = $1 AND status = 'invited' LIMIT 1", vals![instance.seq])
        .await?;
    if pending.is_none() {
        make_room(shared, instance, 0).await?;
        return Ok(0);
    }
    let started = shared.clock.micros();
    match list(shared, instance).await? {
        Ok(listed) => {
            make_room(shared, instance, listed.len()).await?;
            let missing = Missing { instance: instance.clone(), listed, before: started };
            let found = shared.write_leased(instance, Priority::Driver, missing).await?;
            shared.keep_rows(instance, false).await?;
            Ok(found)
        }
        Err(fault) => {
            tracing::info!(instance = %instance.id, kind = ?fault.kind, context = %fault.context, "pending invitations could not be listed");
            Ok(0)
        }
    }
}

/// Where the target caps pending invitations: lets as many go on that wait for one to end as there is
/// room for.
async fn make_room(shared: &Arc<Shared>, instance: &Instance, pending: usize) -> Result<(), StoreError> {
    let Ok(connector) = &instance.connector else {
        return Ok(());
    };
    let Some((bucket, most)) = connector
        .traits()
        .buckets
        .iter()
        .find_map(|bucket| Some((bucket.name, bucket.units.filter(|_| bucket.window == Window::Standing)?)))
    else {
        return Ok(());
    };
    let pending = u32::try_from(pending).unwrap_or(u32::MAX);
    if let Some(budget) = shared.budget(instance).await? {
        budget.stand(bucket, pending);
    }
    let waits = shared
        .store
        .reader()
        .one(
            "SELECT 1 AS one FROM work WHERE instance_seq = $1 AND state = 'waiting' AND need = 'quota' LIMIT 1",
            vals![instance.seq],
        )
        .await?;
    if waits.is_none() || pending >= most {
        return Ok(());
    }
    let wake = WakeWaiting { key: instance.driver_key.clone(), room: most - pending };
    if shared.write_leased(instance, Priority::Driver, wake).await? > 0 {
        shared.gauge(&instance.driver_key).ring();
    }
    Ok(())
}

async fn list(shared: &Arc<Shared>, instance: &Instance) -> Result<Result<HashSet<String>, Fault>, StoreError> {
    let record = Arc::new(Recorder::default());
    let (Ok(connector), Some(wire)) =
        (&instance.connector, shared.wire(instance, Lane::Reconcile, shared.invitation_look, &record).await?)
    else {
        return Ok(Err(Fault::new(FaultKind::NotSent, "The connector of this instance cannot be used.")));
    };
    let Some(accounts) = connector.accounts() else {
        return Ok(Ok(HashSet::new()));
    };
    let cx = Cx::new(wire.as_ref(), shared.clock.now());
    let mut listed = HashSet::new();
    let mut page = None;
    for _ in 0..MOST_PAGES {
        let got = match accounts.invitations(&cx, page.as_ref()).await {
            Ok(got) => got,
            Err(fault) => return Ok(Err(fault)),
        };
        if !got.complete {
            return Ok(Err(Fault::new(FaultKind::Malformed, "The target listed only some of the invitations.")
                .context("partial listing")));
        }
        listed
            .extend(got.items.iter().filter_map(|account| account.invite_id.as_ref().map(|id| id.as_str().to_owned())));
        match got.next {
            Some(next) => page = Some(next),
            None => return Ok(Ok(listed)),
        }
    }
    Ok(Err(Fault::new(FaultKind::Malformed, "The target's list of invitations has no end.").context("too many pages")))
}

/// Marks the invitations that are not listed any more and gives their people work. Ones sent after
/// the listing began are left alone.
pub(crate) struct Missing {
    pub(crate) instance: Arc<Instance>,
    pub(crate) listed: HashSet<String>,
    pub(crate) before: i64,
}

#[async_trait]
impl Unit for Missing {
    type Out = usize;
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<usize, StoreError> {
        let rows = tx
            .conn
            .all(
                "SELECT l.resource_seq, a.invite_id, r.rev, r.managed FROM account a JOIN link l ON l.account_seq = a.seq AND l.state = 'live' \
                 JOIN resource r ON r.seq = l.resource_seq \
                 WHERE a.instance_seq = $1 AND a.status = 'invited' AND l.opened_at < $2",
                vals![self.instance.seq, self.before],
            )
            .await?;
        let mut found = 0;
        for row in &rows {
            let invite: Option<String> = row.col("invite_id")?;
            if invite.is_some_and(|id| self.listed.contains(&id)) {
                continue;
            }
            let resource: i64 = row.col("resource_seq")?;
            let Some(account) = accounts::linked(tx, resource).await? else {
                continue;
            };
            if account.is_missing() {
                // Its work is open already, and knows when to look again.
                let open = tx.conn.one("SELECT 1 AS one FROM work WHERE resource_seq = $1", vals![resource]).await?;
                if open.is_some() || waivers::stands(tx, resource, 0, row.col("rev")?).await? {
                    continue;
                }
            } else {
                mark_missing(tx, &account, true).await?;
            }
            if row.col::<i16>("managed")? == 1 {
                upsert_work(tx, &self.instance, resource, Lane::Grant, row.col("rev")?, None).await?;
                found += 1;
            }
        }
        Ok(found)
    }
}
