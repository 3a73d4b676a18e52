//! `scimgate simulate`: a simulated target as a process of its own.

use std::net::SocketAddr;

use clap::Args;
use clap::builder::PossibleValuesParser;
use simulators::{Clock, Limits, Simulator};
use tokio::net::TcpListener;

use super::exit::{Done, Exit, Stop};
use super::out::{data, note};
use crate::app::until_signalled;

/// `scimgate simulate TARGET`.
#[derive(Debug, Args)]
pub(super) struct Simulate {
    /// Which target
    #[arg(value_parser = PossibleValuesParser::new(simulators::names()))]
    target: String,
    /// Address to listen on; port 0 lets the system choose
    #[arg(long, env = "SCIMGATE_SIMULATE_LISTEN", value_name = "IP:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// What it lets through: none (everything), real (the vendor's limits), or calls a second such as 5/s
    #[arg(long, env = "SCIMGATE_SIMULATE_LIMITS", value_name = "LIMITS", default_value = "none")]
    limits: Limits,
}

impl Simulate {
    pub(super) async fn run(self) -> Done {
        let shutdown = until_signalled()?;
        let target = simulators::target(&self.target, self.limits)
            .ok_or_else(|| Stop::usage(format!("There is no simulated target {:?}.", self.target)))?;
        let simulator = Simulator::new(target, self.limits, Clock::system());
        let listener = bind(self.listen).await?;
        let url = format!("http://{}", listener.local_addr()?);
        data(&format!("{}\n", simulator.offer(&url)))?;
        note(&format!("A simulated {} listens on {url}; its state: {url}/_sim/state. Ctrl-C ends it.", self.target));
        simulators::serve(simulator, listener, shutdown.cancelled_owned()).await?;
        Ok(Exit::Ok)
    }
}

/// A listener, or why there is none.
pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener, Stop> {
    TcpListener::bind(address).await.map_err(|error| {
        let why = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "something else listens there already. Stop it, or choose another address with --listen".to_owned()
            }
            std::io::ErrorKind::PermissionDenied => {
                "this user may not listen there. Choose a port above 1023 with --listen".to_owned()
            }
            _ => error.to_string(),
        };
        Stop::failed(format!("{address}: {why}."))
    })
}
