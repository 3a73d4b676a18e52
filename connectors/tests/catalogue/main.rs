//! What is special about single targets of the catalogue: their refusals, limits and odd answers.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test reports by failing")]

#[path = "../support/mod.rs"]
mod support;

mod datadog;
mod gitlab;
mod gitlab_server;
mod grafana;
mod linear;
mod played;
mod sentry;
mod slack;
