//! Identity providers' recorded sequences through the real binary, against every target of the catalogue: what the target
//! holds, midway and in the end, is what the client asked for, so far as the connector declares that it can.
//!
//! Targets with an API of their own are simulated ones, as processes. Directories, databases and SCIM servers are the real
//! thing, and the desk is a person with a book. GitHub and Buildkite have a test of their own, call by call (`replay`).

#![expect(clippy::panic, reason = "a test reports by failing")]

#[allow(dead_code, reason = "the connector's own tests use the rest")]
#[path = "../../../connectors/tests/support/certificates.rs"]
mod certificates;
mod check;
mod database;
mod desk;
mod directory;
#[allow(dead_code, reason = "the connector's own tests use the rest")]
#[path = "../../../connectors/tests/sql/layouts.rs"]
mod layouts;
#[allow(dead_code, reason = "the connector's own tests use the rest")]
#[path = "../../../connectors/tests/sql/mariadb.rs"]
mod mariadb;
#[path = "../../../connectors/tests/sql/scratch.rs"]
mod scratch;
mod server;
mod simulated;
#[allow(dead_code, clippy::print_stdout, reason = "the connector's own tests use the rest")]
#[path = "../../../connectors/tests/ldap/slapd.rs"]
mod slapd;
#[allow(dead_code, reason = "the connector's own tests use the rest")]
#[path = "../../../connectors/tests/sql/world.rs"]
mod world;

use check::{NOTHING, Without};

macro_rules! targets {
    ($($name:ident, $target:literal, $without:expr;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                simulated::everyone($target, $without).await;
            }
        )*
    };
}

targets! {
    what_every_client_asks_for_is_at_linear, "linear", NOTHING;
    what_every_client_asks_for_is_at_datadog, "datadog", NOTHING;
    what_every_client_asks_for_is_at_pagerduty, "pagerduty", NOTHING;
    what_every_client_asks_for_is_at_gitlab, "gitlab", Without { acceptance: true, ..NOTHING };
    what_every_client_asks_for_is_at_a_gitlab_server, "gitlab_server", NOTHING;
    what_every_client_asks_for_is_at_sentry, "sentry", NOTHING;
    what_every_client_asks_for_is_at_grafana, "grafana", NOTHING;
    what_every_client_asks_for_is_at_terraform, "terraform", Without { names: true, ..NOTHING };
    what_every_client_asks_for_is_at_tailscale, "tailscale", NOTHING;
    what_every_client_asks_for_is_at_cloudflare, "cloudflare", Without { groups: true, ..NOTHING };
    what_every_client_asks_for_is_at_jupyterhub, "jupyterhub", NOTHING;
    what_every_client_asks_for_is_at_a_scim_server, "scim", NOTHING;
    what_every_client_asks_for_is_at_githubs_managed_users, "github_emu", NOTHING;
    what_every_client_asks_for_is_at_githubs_organisation, "github_scim", Without { groups: true, ..NOTHING };
    what_every_client_asks_for_is_at_slack, "slack", Without { people: true, empty_groups: true, ..NOTHING };
}
