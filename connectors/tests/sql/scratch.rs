//! A database of one test on the PostgreSQL server that tests share.

use crate::world::{Admin, Server, admin};

/// A database on PostgreSQL, for one test; roles of its cases go with it.
pub(crate) struct Scratch<'a> {
    server: &'a Server,
    pub(crate) name: String,
}

impl<'a> Scratch<'a> {
    pub(crate) async fn new(server: &'a Server, test: &str) -> Self {
        let name = format!("sql_{test}_{}", std::process::id());
        let mut link = admin(server, None).await;
        link.run(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
        link.run(&format!("CREATE DATABASE {name}")).await;
        Self { server, name }
    }

    pub(crate) async fn end(self) {
        let mut link = admin(self.server, None).await;
        link.run(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name)).await;
        let mine = format!("SELECT rolname FROM pg_roles WHERE rolname LIKE '{}\\_%'", self.name.replace('_', "\\_"));
        for role in link.texts(&mine).await.into_iter().flatten().flatten() {
            sqlx::raw_sql(sqlx::AssertSqlSafe(format!("DROP ROLE IF EXISTS {role}")))
                .execute(match &mut link {
                    Admin::Postgres(link) => link,
                    _ => unreachable!("it is PostgreSQL"),
                })
                .await
                .ok();
        }
    }
}
