//! Members who sign in through an identity provider.

use sea_orm_migration::prelude::*;

/// Members who sign in through an identity provider.
#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, UP).await
    }
}

// Such a member has no token: `hash` is empty, which no token hashes to. `email` is the address of the invitation, in lower
// case; it is looked at for the first sign-in alone. From then on the person is `issuer` and `subject`, which a provider
// gives to nobody else. `by_claim` is 1 where the role is the provider's to say, anew at each sign-in.
const UP: &str = r"
ALTER TABLE admin_member ADD COLUMN email TEXT;
ALTER TABLE admin_member ADD COLUMN issuer TEXT;
ALTER TABLE admin_member ADD COLUMN subject TEXT;
ALTER TABLE admin_member ADD COLUMN by_claim BIGINT NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX admin_member_person ON admin_member (issuer, subject) WHERE revoked_at IS NULL AND subject IS NOT NULL;
CREATE UNIQUE INDEX admin_member_invited ON admin_member (email) WHERE revoked_at IS NULL AND subject IS NULL AND email IS NOT NULL;
";
