//! The harness itself: what the other tests lean on.

use std::time::Duration;

use sea_orm::{ConnectionTrait, Database as Connect};
use tests::{databases, wait_until};

#[tokio::test]
async fn a_postgres_database_is_empty_at_first_and_gone_afterwards() {
    for db in databases() {
        let database = db.fresh().await;
        let Some(url) = database.url.clone() else {
            // SQLite lies in the gateway's data folder; there is nothing to make.
            continue;
        };
        let link = Connect::connect(&url).await.expect("the new database answers");
        link.execute_unprepared("CREATE TABLE mark (n INT)").await.expect("nothing else made that table");
        link.close().await.expect("the connection ends");
        drop(database);
        assert!(Connect::connect(&url).await.is_err(), "{url} is still there");
    }
}

#[tokio::test]
async fn waiting_ends_with_what_was_found() {
    let mut looks = 0;
    let found = wait_until("the third look", Duration::from_secs(10), async || {
        looks += 1;
        (looks == 3).then_some(looks)
    })
    .await;
    assert_eq!(found, 3);
}
