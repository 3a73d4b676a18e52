//! `scimgate serve`: the gateway.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::exit::{Done, Exit, Stop};
use super::out::{data, note};
use super::simulate::bind;
use crate::app::{self, until_signalled};
use crate::clock::Clock;
use crate::config::{Config, Overrides};
use crate::service::App;
use crate::telemetry;

/// Runs the gateway until SIGTERM or Ctrl-C.
pub(super) async fn run(overrides: Overrides) -> Done {
    let mut config = Config::load(overrides)?;
    telemetry::start_log(&config.log, config.log_format).map_err(|error| Stop::usage(error.to_string()))?;
    let shutdown = until_signalled()?;
    let listener = bind(config.listen).await?;
    let local = listener.local_addr()?;
    if config.public_url.is_none() && local.ip().is_unspecified() {
        tracing::warn!(%local, "public_url is not set, so SCIM base URLs name this address, which clients elsewhere cannot use; set --public-url");
    }
    config.public_url = Some(config.public_url_at(local));
    let ready_json = config.ready_json;
    let app = App::build(config, Clock::system()).await?;
    let token = app
        .ensure_admin_token()
        .await
        .map_err(|error| Stop::failed(format!("the admin token could not be stored: {error}")))?;
    announce(local, token.as_ref(), ready_json)?;
    tracing::info!(%local, version = env!("CARGO_PKG_VERSION"), "the gateway listens");
    if let Some(token) = &token {
        // Last, and by itself: what is shown once has to be seen, and taken with a double click.
        note(&format!("Admin token, shown this once:\n{}", token.expose_secret()));
    }
    app::run(app, listener, shutdown).await.map_err(|error| {
        Stop::failed(format!("{error}. The gateway has stopped, so that nothing is acknowledged that is not on the disk. Check the disk, then start it again."))
    })?;
    tracing::info!("the gateway has ended");
    Ok(Exit::Ok)
}

fn announce(local: SocketAddr, token: Option<&SecretString>, ready_json: bool) -> Result<(), Stop> {
    let url = format!("http://{}", reachable(local));
    if ready_json {
        let mut line = json!({"listen": url});
        if let Some(token) = token {
            line["admin_token"] = token.expose_secret().into();
        }
        // A gateway whose starter has gone must not end without a word.
        data(&format!("{line}\n")).map_err(|stop| match stop.exit {
            Exit::Unread => Stop::failed("standard output is closed: nobody reads the ready line"),
            _ => stop,
        })?;
    } else {
        note(&format!("scimgate listens on {url}. Ctrl-C ends it.\nThe console is at {url}/console."));
    }
    Ok(())
}

/// The address as this machine can call it: "all addresses" is none to call.
fn reachable(local: SocketAddr) -> SocketAddr {
    let ip = match local.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, local.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_names_an_address_that_can_be_called() {
        for (local, expected) in
            [("0.0.0.0:80", "127.0.0.1:80"), ("[::]:80", "[::1]:80"), ("10.0.0.1:80", "10.0.0.1:80")]
        {
            assert_eq!(reachable(local.parse().unwrap()).to_string(), expected);
        }
    }
}
