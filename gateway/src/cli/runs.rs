//! `scimgate import` and `scimgate reconcile`: starts a run and watches it to its end.

use std::time::Duration;

use clap::Args;
use http::Method;
use serde_json::{Value, json};

use super::client::{Client, Remote, escape, text};
use super::exit::{Done, Exit, Stop};
use super::progress::{Progress, thousands};
use super::table::{Table, column};

/// Between two looks at a run, at first; it grows to [`SLOW`].
const QUICK: Duration = Duration::from_millis(50);
const SLOW: Duration = Duration::from_secs(1);

/// `scimgate import NAME`, `scimgate reconcile NAME`.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// The instance, by name or id
    instance: String,
    /// Start it and do not wait for its end
    #[arg(long)]
    no_wait: bool,
    /// Watch a run that was started already
    #[arg(long, value_name = "RUN", conflicts_with = "no_wait")]
    watch: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

/// `scimgate reconcile NAME`.
#[derive(Debug, Args)]
pub(super) struct Reconcile {
    #[command(flatten)]
    run: Run,
    /// Compare only this person, by userName or SCIM id
    #[arg(long, value_name = "NAME", conflicts_with = "watch")]
    user: Option<String>,
}

impl Reconcile {
    pub(super) async fn run(self) -> Done {
        match self.user {
            Some(user) => self.run.start("reconcile", "compare", &json!({"resource": user})).await,
            None => self.run.run("reconcile").await,
        }
    }
}

impl Run {
    pub(super) async fn run(self, kind: &str) -> Done {
        self.start(kind, kind, &json!({})).await
    }

    /// Starts it by a call of the admin API, or watches one that was started.
    async fn start(self, kind: &str, call: &str, body: &Value) -> Done {
        let client = Client::new(&self.remote)?;
        let instance = client.instance(&self.instance).await?;
        let (id, name) = (text(&instance, "id"), text(&instance, "name"));
        let run = match self.watch {
            Some(run) => run,
            None => {
                let started = client.call(Method::POST, &format!("/instances/{id}/{call}"), Some(body)).await?;
                if self.no_wait && client.out.json {
                    client.out.document(&started)?;
                    return Ok(Exit::Ok);
                }
                text(&started, "run_id")
            }
        };
        let later = format!("scimgate {kind} {id} --watch {run}");
        if self.no_wait {
            client.out.line(&run)?;
            client.out.hint(&format!("Started. To see its end: {later}"));
            return Ok(Exit::Ok);
        }
        client.out.hint(&format!("The {kind} of {name} runs ({run})."));
        let ended = tokio::select! {
            ended = watch(&client, &id, &run) => ended?,
            _ = tokio::signal::ctrl_c() => {
                client.out.hint(&format!("It goes on in the gateway. To see its end: {later}"));
                return Ok(Exit::TimedOut);
            }
        };
        report(&client, &ended)
    }
}

/// Looks until the run has ended.
async fn watch(client: &Client, instance: &str, run: &str) -> Result<Value, Stop> {
    let path = format!("/instances/{instance}/runs/{}", escape(run));
    let mut progress = Progress::start();
    let mut pause = QUICK;
    loop {
        let now = client.get(&path).await?;
        if now["state"] != "running" {
            progress.clear();
            return Ok(now);
        }
        let text = counts(&now);
        // The wait shows the counts, so that a terminal is never still.
        progress.during(&text, tokio::time::sleep(pause)).await;
        progress.show(&text);
        pause = (pause * 2).min(SLOW);
    }
}

/// What a run has counted, in words.
fn counts(run: &Value) -> String {
    let counted: Vec<String> = run["counts"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(name, count)| Some(format!("{name} {}", thousands(count.as_u64().filter(|count| *count > 0)?))))
        .collect();
    if counted.is_empty() { text(run, "kind") } else { format!("{}: {}", text(run, "kind"), counted.join(", ")) }
}

fn report(client: &Client, run: &Value) -> Done {
    let done = run["state"] == "done";
    if client.out.json {
        client.out.document(run)?;
    } else {
        let mut table = Table::new([column("COUNTED"), column("NUMBER").right()]);
        for (name, count) in run["counts"].as_object().into_iter().flatten() {
            table.row([name.clone(), count.to_string()]);
        }
        client.out.table(&table, "Nothing was counted.")?;
    }
    match (done, run["complete"] == true) {
        (true, true) => Ok(Exit::Ok),
        (true, false) => {
            client.out.hint("The target's lists were not complete, so nothing was taken as gone.");
            Ok(Exit::Partly)
        }
        (false, _) => Err(Stop::failed(run["error"].as_str().unwrap_or("The run failed; the gateway's log says why."))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_told_in_words() {
        for (run, expected) in [
            (
                json!({"kind": "import", "counts": {"accounts": 2300, "groups": 0, "imported": 12}}),
                "import: accounts 2,300, imported 12",
            ),
            (json!({"kind": "reconcile", "counts": {}}), "reconcile"),
            (json!({"kind": "reconcile"}), "reconcile"),
        ] {
            assert_eq!(counts(&run), expected);
        }
    }
}
