//! Security events: the streams, what waits to be delivered, and requests that are answered by an event.

use sea_orm_migration::prelude::*;

/// Security events: the streams, what waits to be delivered, and requests that are answered by an event.
#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, UP).await
    }
}

// `event.stream_seq` refers to nothing: a stream that is deleted while a change is being written must not make
// that change fail. What is left over goes with the next clean-up.
const UP: &str = r"
ALTER TABLE instance ADD COLUMN has_streams SMALLINT NOT NULL DEFAULT 0;
ALTER TABLE operation ADD COLUMN answer_later SMALLINT NOT NULL DEFAULT 0;
CREATE TABLE event_stream (
  seq BIGINT PRIMARY KEY, id TEXT NOT NULL UNIQUE, instance_seq BIGINT NOT NULL REFERENCES instance(seq), name TEXT NOT NULL,
  delivery TEXT NOT NULL CHECK (delivery IN ('poll','push')), endpoint_url TEXT, authorization_sealed TEXT,
  kinds TEXT NOT NULL, payload TEXT NOT NULL CHECK (payload IN ('notice','full')), audience TEXT NOT NULL,
  paused SMALLINT NOT NULL, tries BIGINT NOT NULL, due_at BIGINT NOT NULL,
  delivered BIGINT NOT NULL, refused BIGINT NOT NULL, dropped BIGINT NOT NULL,
  last_error TEXT, last_error_at BIGINT, delivered_at BIGINT, created_at BIGINT NOT NULL,
  CHECK ((delivery = 'push') = (endpoint_url IS NOT NULL)));
CREATE INDEX event_stream_instance ON event_stream (instance_seq);
CREATE TABLE event (
  seq BIGINT PRIMARY KEY, stream_seq BIGINT NOT NULL, resource_seq BIGINT NOT NULL, place BIGINT NOT NULL,
  jti TEXT NOT NULL UNIQUE, txn TEXT NOT NULL, subject TEXT NOT NULL, events TEXT NOT NULL, at BIGINT NOT NULL,
  refusal TEXT);
CREATE INDEX event_line ON event (stream_seq, place, seq) WHERE refusal IS NULL;
CREATE INDEX event_refused ON event (stream_seq, place, seq) WHERE refusal IS NOT NULL;
CREATE INDEX event_resource ON event (stream_seq, resource_seq, place);
CREATE INDEX event_age ON event (stream_seq, at);
CREATE TABLE async_request (
  operation_seq BIGINT PRIMARY KEY REFERENCES operation(seq), instance_seq BIGINT NOT NULL, resource_seq BIGINT NOT NULL,
  txn TEXT NOT NULL, method TEXT NOT NULL, location TEXT NOT NULL, subject TEXT NOT NULL,
  before TEXT, refused_as TEXT);
CREATE INDEX async_request_instance ON async_request (instance_seq);
";
