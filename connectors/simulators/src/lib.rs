//! Faithful fakes of the targets, run by `scimgate simulate TARGET` and by the tests.
//!
//! A [`Target`] is a plain synchronous state machine: one call in, one answer out, the time as an
//! argument. [`Simulator`] puts it behind one lock and adds what is the same for all of them: the
//! ledger of calls, faults on order, a limit in calls a second, and the control API under `/_sim`.
//! [`serve`] puts a simulator on a socket.

pub mod buildkite;
mod calls;
mod clock;
pub mod cloudflare;
mod control;
pub mod datadog;
mod faults;
pub mod github;
pub mod gitlab;
pub mod grafana;
mod graphql;
pub mod jupyterhub;
mod knobs;
mod limits;
pub mod linear;
pub mod pagerduty;
mod rest;
pub mod scim;
pub mod sentry;
mod server;
mod simulator;
pub mod slack;
pub mod tailscale;
pub mod terraform;

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

pub use clock::Clock;
pub use limits::{Limits, LimitsError};
pub use server::serve;
pub use simulator::{Dropped, Simulator};

/// A simulated target. Synchronous, behind one lock: a call is atomic.
pub trait Target: Send + 'static {
    /// Its name on the command line: `github`.
    fn name(&self) -> &'static str;

    /// What an admin sends in `POST /admin/v1/instances` to use this target at `base_url`.
    fn offer(&self, base_url: &str) -> Offer;

    /// One call of the target's own API. The URI is as sent; `now` is the simulator's clock.
    fn handle(&mut self, request: &Request<Bytes>, now: Timestamp) -> Response<Bytes>;

    /// The body of `GET /_sim/state`: accounts, invitations, groups, without the credential's own
    /// account.
    fn state(&self) -> Value;

    /// People accept their pending invitations. The answer names them: `{"accepted":[…]}`.
    fn accept(&mut self, which: &Accept, now: Timestamp) -> Value;

    /// Adds `load0000…` accounts and groups, as if they had always been there.
    fn load(&mut self, accounts: usize, groups: usize, now: Timestamp);

    /// Turns the target's own knobs (`POST /_sim/set`).
    ///
    /// # Errors
    /// A text naming the unknown or malformed key. Nothing is changed then.
    fn set(&mut self, what: &Value) -> Result<(), String>;

    /// The vendor's own "too many calls", for [`Limits::PerSecond`].
    fn too_many(&self, wait: Duration, now: Timestamp) -> Response<Bytes>;
}

/// What `scimgate simulate` prints for a target, ready for `POST /admin/v1/instances`.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// The connector that speaks this API.
    pub connector: &'static str,
    /// Its settings.
    pub settings: Value,
    /// Its secrets: those of the simulator, worthless elsewhere.
    pub secrets: Value,
}

/// Which invitations are accepted (`POST /_sim/accept`); with nothing said, all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accept {
    /// Only the invitation sent to this address.
    pub email: Option<String>,
    /// The login of the accepting account; without `email`, the invited login.
    pub login: Option<String>,
}

/// The names [`target`] knows.
pub fn names() -> &'static [&'static str] {
    &[
        "github",
        "buildkite",
        "jupyterhub",
        "linear",
        "scim",
        "github_scim",
        "github_emu",
        "datadog",
        "slack",
        "pagerduty",
        "gitlab",
        "gitlab_server",
        "sentry",
        "grafana",
        "terraform",
        "tailscale",
        "cloudflare",
    ]
}

/// A new, empty target of this name; `None` if there is no such target.
pub fn target(name: &str, limits: Limits) -> Option<Box<dyn Target>> {
    match name {
        "github" => Some(Box::new(github::GitHub::new(limits))),
        "buildkite" => Some(Box::new(buildkite::Buildkite::new(limits))),
        "jupyterhub" => Some(Box::new(jupyterhub::JupyterHub::new(limits))),
        "pagerduty" => Some(Box::new(pagerduty::PagerDuty::new(limits))),
        "gitlab" => Some(Box::new(gitlab::GitLab::new(limits))),
        "sentry" => Some(Box::new(sentry::Sentry::new(limits))),
        "grafana" => Some(Box::new(grafana::Grafana::new(limits))),
        "cloudflare" => Some(Box::new(cloudflare::Cloudflare::new(limits))),
        "tailscale" => Some(Box::new(tailscale::Tailscale::new(limits))),
        "terraform" => Some(Box::new(terraform::Terraform::new(limits))),
        "gitlab_server" => Some(Box::new(gitlab::GitLab::server(limits))),
        "linear" => Some(Box::new(linear::Linear::new(limits))),
        "scim" => Some(Box::new(scim::Scim::new(limits))),
        "github_scim" => Some(Box::new(scim::Scim::github_organisation(limits))),
        "github_emu" => Some(Box::new(scim::Scim::github_enterprise(limits))),
        "datadog" => Some(Box::new(datadog::Datadog::new(limits))),
        "slack" => Some(Box::new(slack::Slack::new(limits))),
        _ => None,
    }
}
