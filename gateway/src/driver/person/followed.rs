//! What became of an invitation, as a look at it tells.

use connector_sdk::{Ended, Followed, Need};
use engine::person::MAX_INVITES;

use super::{tie, unknown_answer};
use crate::driver::run::{Subject, Verdict};
use crate::driver::{accounts, doubt, late};
use crate::service::types::Instance;
use crate::store::{Sql, StoreError, Tx};

/// Records what became of an invitation.
pub(super) async fn apply(
    tx: &Tx<'_>,
    instance: &Instance,
    subject: &Subject,
    followed: &Followed,
) -> Result<Option<Verdict>, StoreError> {
    let Some(row) = accounts::linked(tx, subject.seq).await? else {
        return Ok(None);
    };
    match followed {
        Followed::Pending(account) => {
            accounts::observe(tx, instance, account, None, None).await?;
            let row = accounts::linked(tx, subject.seq).await?.unwrap_or(row);
            accounts::mark_missing(tx, &row, false).await?;
            // Past its time by our clock, not by the target's: the next listing tells.
            tx.conn
                .run("UPDATE account SET expires_at = NULL WHERE seq = $1 AND expires_at <= $2", vals![row.seq, tx.now])
                .await?;
            Ok(None)
        }
        // That account has gone meanwhile: the plan asks again.
        Followed::Accepted { account, .. } if accounts::went_since(tx, instance, account, subject.asked).await? => {
            Ok(None)
        }
        Followed::Accepted { account, evidence } => {
            // The invitation's row ends; the account's row, perhaps known from an import, takes over.
            let accepted = accounts::observe(tx, instance, account, Some(true), None).await?;
            if accepted.seq != row.seq {
                tx.conn
                    .run("UPDATE account SET status = 'gone', seen_at = $2 WHERE seq = $1", vals![row.seq, tx.now])
                    .await?;
                tx.conn
                    .run(
                        "UPDATE link SET state = 'closed', closed_at = $2 WHERE account_seq = $1 AND state = 'live'",
                        vals![row.seq, tx.now],
                    )
                    .await?;
                late::over(tx, row.seq).await?;
            } else {
                accounts::mark_missing(tx, &accepted, false).await?;
            }
            tx.conn.run("UPDATE account SET invites = 0 WHERE seq IN ($1, $2)", vals![row.seq, accepted.seq]).await?;
            let verdict = tie(tx, instance, subject, &accepted, *evidence, true).await?;
            if accepted.seq == row.seq {
                accounts::wake_memberships(tx, instance, subject.seq).await?;
            }
            Ok(verdict)
        }
        Followed::Ended(ended) => {
            accounts::gone(tx, subject.seq, row.seq).await?;
            if *ended == Ended::Declined {
                // Never again by itself (DECISIONS 21), also not at the next automatic look.
                tx.conn
                    .run(
                        "UPDATE account SET invites = $2 WHERE seq = $1",
                        vals![row.seq, i16::try_from(MAX_INVITES).unwrap_or(i16::MAX)],
                    )
                    .await?;
            }
            if *ended == Ended::Declined && subject.active && !subject.deleted {
                let need = Need::new(
                    "invitation",
                    format!(
                        "\"{}\" declined the invitation. Ask them, then retry the operation to invite again.",
                        subject.name
                    ),
                );
                return Ok(Some(Verdict::Need { need, refused: None }));
            }
            Ok(None)
        }
        // We asked for its end and heard no answer: it was ours, and nobody is known to have accepted. Who is wanted
        // again meanwhile is invited again.
        Followed::Unclear(_) if doubt::taken_back(tx, subject.seq).await? => {
            tx.conn.run("UPDATE account SET invites = 0 WHERE seq = $1", vals![row.seq]).await?;
            accounts::gone(tx, subject.seq, row.seq).await?;
            Ok(None)
        }
        // Somebody accepted, and nothing ties them to this person: who leaves may still have access, so
        // it is asked for whose account it is, and never taken for done (DECISIONS 5).
        Followed::Unclear(need) if unwanted(subject) => {
            let need = Need::new(
                "link",
                format!(
                    "\"{}\" has left, and their invitation was accepted by an account that nothing ties to them. Link that account by hand, so that it is removed, or remove it at the target. {}",
                    subject.name, need.message
                ),
            );
            Ok(Some(Verdict::Need { need, refused: None }))
        }
        Followed::Unclear(need) => Ok(Some(Verdict::Need { need: need.clone(), refused: None })),
        _ => Ok(Some(unknown_answer())),
    }
}

fn unwanted(subject: &Subject) -> bool {
    !subject.active || subject.deleted
}
