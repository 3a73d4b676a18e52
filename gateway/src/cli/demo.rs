//! `scimgate demo`: the product at work in one process, over real HTTP.

mod story;
mod target;

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::client::{Client, text};
use super::exit::{Done, Exit, Stop};
use super::out::{Out, data, note};
use super::simulate::bind;
use crate::app::{self, until_signalled};
use crate::clock::Clock;
use crate::config::{Config, LogFormat, Overrides};
use crate::service::App;
use crate::telemetry;
use target::Target;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// The targets of the demonstration: the simulator's name, and how people call it.
const TARGETS: [(&str, &str); 2] = [("github", "GitHub"), ("buildkite", "Buildkite")];

/// `scimgate demo`.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// End after the conversation; the exit code says whether all went well
    #[arg(long)]
    once: bool,
    /// Address of the gateway; port 0 lets the system choose
    #[arg(long, env = "SCIMGATE_DEMO_LISTEN", value_name = "IP:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

impl Demo {
    pub(super) async fn run(self) -> Done {
        let shutdown = until_signalled()?;
        note("Starting a gateway on a temporary database, and simulated targets.");
        telemetry::start_log("warn", LogFormat::Text).map_err(|error| Stop::failed(error.to_string()))?;
        let folder = tempfile::Builder::new().prefix("scimgate-demo-").tempdir()?;
        let mut stage = Stage { tasks: Vec::new(), stop: CancellationToken::new() };
        let played = tokio::select! {
            played = stage.play(&folder, self.listen) => played.map(Some),
            () = shutdown.cancelled() => Ok(None),
        };
        let ended = match played {
            Ok(Some(set)) => {
                set.report(self.once)?;
                if !self.once {
                    shutdown.cancelled().await;
                }
                Ok(Exit::Ok)
            }
            Ok(None) => Err(Stop::failed("Interrupted before the conversation was over.")),
            Err(stop) => Err(stop),
        };
        stage.strike().await;
        folder.close()?;
        ended
    }
}

/// Everything that runs for the demonstration.
struct Stage {
    tasks: Vec<JoinHandle<()>>,
    stop: CancellationToken,
}

/// What was set up, for the person who goes on playing.
struct Set {
    url: String,
    token: SecretString,
    targets: Vec<Target>,
}

impl Stage {
    async fn play(&mut self, folder: &TempDir, listen: SocketAddr) -> Result<Set, Stop> {
        let listener = bind(listen).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let overrides = Overrides {
            data_dir: Some(folder.path().to_owned()),
            public_url: Some(url.clone()),
            allow_private_targets: Some(true),
            ..Overrides::default()
        };
        let app = App::build(Config::load(overrides)?, Clock::system()).await?;
        let token = app
            .ensure_admin_token()
            .await
            .map_err(|error| Stop::failed(format!("the admin token could not be stored: {error}")))?
            .ok_or_else(|| Stop::failed("The new database has an admin token already."))?;
        let stop = self.stop.clone();
        self.tasks.push(tokio::spawn(async move {
            if let Err(error) = app::run(app, listener, stop).await {
                tracing::error!(%error, "the gateway ended");
            }
        }));
        let admin = Client::at(&url, token.clone(), PATIENCE, Out::new(false, false))?;
        let mut targets = Vec::new();
        for (name, title) in TARGETS {
            let offer = self.simulate(name).await?;
            targets.push(Target::connect(&admin, title, &offer).await?);
        }
        for target in &mut targets {
            story::tell(&admin, target).await?;
        }
        Ok(Set { url, token, targets })
    }

    /// Starts a simulated target; answers what an admin needs to know of it.
    async fn simulate(&mut self, name: &str) -> Result<Value, Stop> {
        let limits = simulators::Limits::None;
        let target = simulators::target(name, limits)
            .ok_or_else(|| Stop::failed(format!("There is no simulated target {name:?}.")))?;
        let simulator = simulators::Simulator::new(target, limits, simulators::Clock::system());
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let offer = simulator.offer(&format!("http://{}", listener.local_addr()?));
        let stop = self.stop.clone();
        self.tasks.push(tokio::spawn(async move {
            if let Err(error) = simulators::serve(simulator, listener, stop.cancelled_owned()).await {
                tracing::error!(%error, "a simulated target ended");
            }
        }));
        Ok(offer)
    }

    /// Ends everything, the gateway in good order.
    async fn strike(self) {
        self.stop.cancel();
        for task in self.tasks {
            // A task that panicked has said so; the others are still to be ended.
            let _ = task.await;
        }
    }
}

impl Set {
    fn report(&self, once: bool) -> Result<(), Stop> {
        let token = self.token.expose_secret();
        let mut lines = vec![
            String::new(),
            format!("gateway    {}", self.url),
            format!("console    {}/console", self.url),
            format!("token      {token}"),
        ];
        for target in &self.targets {
            lines.extend([
                String::new(),
                target.title.to_owned(),
                format!("  base URL {}", target.base_url),
                format!("  key      {}", target.key),
            ]);
            if once {
                continue;
            }
            let auth = format!("-H 'Authorization: Bearer {}'", target.key);
            let content = "-H 'Content-Type: application/scim+json'";
            let linus = story::person("Linus", "linus@example.com");
            let off = story::patch(&json!([{"op": "replace", "path": "active", "value": false}]));
            lines.extend([
                "  what the target holds:".to_owned(),
                format!("    curl -s {}/_sim/state", target.origin),
                "  list the users:".to_owned(),
                format!("    curl -s {auth} {}/Users", target.base_url),
                "  create a user:".to_owned(),
                format!("    curl -s {auth} {content} -d '{linus}' {}/Users", target.base_url),
                "  deactivate Grace:".to_owned(),
                format!("    curl -s -X PATCH {auth} {content} -d '{off}' {}/Users/{}", target.base_url, target.grace),
            ]);
        }
        if !once {
            lines.extend([
                String::new(),
                "what happened to Ada, and why:".to_owned(),
                format!(
                    "    SCIMGATE_URL={} SCIMGATE_ADMIN_TOKEN={token} scimgate why GitHub ada@example.com",
                    self.url
                ),
                "have the brake hold the next leaver (then deactivate Grace, and decide in the console under Holds):".to_owned(),
                format!(
                    "    SCIMGATE_URL={} SCIMGATE_ADMIN_TOKEN={token} scimgate instance update GitHub --policy 'brake={{\"accounts\": 1, \"percent\": 0}}'",
                    self.url
                ),
                String::new(),
                "Ready. Ctrl-C stops and removes everything.".to_owned(),
            ]);
        }
        data(&(lines.join("\n") + "\n"))
    }
}

/// The text of an answer's field that has to be there.
fn needed(answer: &Value, field: &str) -> Result<String, Stop> {
    let found = text(answer, field);
    if found.is_empty() {
        Err(Stop::failed(format!("The gateway's answer has no {field}: {answer}")))
    } else {
        Ok(found)
    }
}
