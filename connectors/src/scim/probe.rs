//! What the credential may, and what the server says that it can do. Reads only.

use connector_sdk::{Cx, Fault, Probe};

use super::Server;
use crate::shared::probe::{as_check, check};

impl Server {
    pub(super) async fn look(&self, cx: &Cx<'_>) -> Result<Probe, Fault> {
        // No call of SCIM's tells whose the credential is; what it is for is told by the address.
        let mut probe = Probe { identity: Some(self.client.base.as_str().to_owned()), checks: Vec::new() };
        self.discovery.forget().await;
        let offer = match self.discovery.offer(cx, &self.client).await {
            Ok(offer) => offer,
            Err(fault) => {
                probe.checks.push(as_check("discovery", fault)?);
                return Ok(probe);
            }
        };
        let can = |what: &str, can: bool| format!("{what}: {}", if can { "yes" } else { "no" });
        let told = if offer.told || !self.client.dialect.discovery {
            String::new()
        } else {
            "It has no /ServiceProviderConfig, so the settings are believed. ".to_owned()
        };
        let detail = format!(
            "{told}{}, {}, {}, {}, {}, {}.",
            can("PATCH", offer.patch),
            can("filter", offer.filter),
            can("ETag", offer.etag),
            can("cursors", offer.cursor),
            can("bulk", offer.bulk > 0),
            can("groups", offer.groups.is_some()),
        );
        probe.checks.push(check("discovery", true, detail));
        let lists =
            [("users: read", "list users", Some(&offer.users)), ("groups: read", "list groups", offer.groups.as_ref())];
        for (name, call, served) in lists {
            let Some(served) = served else { continue };
            probe.checks.push(match self.client.peek(cx, call, served).await {
                Ok(()) => check(name, true, "They can be listed."),
                Err(fault) => as_check(name, fault)?,
            });
        }
        Ok(probe)
    }
}
