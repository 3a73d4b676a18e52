//! The command line. Data goes to standard output, everything else to standard error; the exit code
//! says how it ended ([`exit::Exit`]).

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line talks")]

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{Parser, Subcommand};

use crate::config::Overrides;
use exit::{Done, Stop};
use out::note;

mod backup;
mod body;
mod check_config;
mod client;
mod connector;
mod connectors;
mod demo;
#[cfg(test)]
mod docs;
mod drift;
mod exit;
mod hold;
mod instance;
mod key;
mod link;
mod manifest;
mod migrate;
mod operations;
mod out;
mod plan;
mod progress;
mod runs;
mod secrets;
mod serve;
mod simulate;
mod table;
mod task;
mod times;
mod token;
mod why;

const AFTER: &str = "\
Examples:
  scimgate demo
  scimgate serve --data-dir ./data
  scimgate instance create --connector github --name \"GitHub acme\" --set org=acme --secret token=@gh.token
  scimgate key create \"GitHub acme\" --name entra > key.txt
  scimgate why \"GitHub acme\" ada@example.com

Every flag can be set by a variable SCIMGATE_… that its help names. A flag goes before the variable, the variable before the config file.

Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 not found, 4 not allowed, 5 not confirmed, 6 partly done, 7 gateway not reachable, 8 timed out, 10 `plan --exit-code` has something to do.";

/// A SCIM 2.0 gateway to targets that have no SCIM of their own.
#[derive(Debug, Parser)]
#[command(name = "scimgate", version, about, after_help = AFTER, arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show it at work: a gateway and simulated targets, with a short conversation
    Demo(demo::Demo),
    /// Run the gateway
    Serve(Box<Overrides>),
    /// Run a simulated target
    Simulate(simulate::Simulate),
    /// The integration instances: one per target
    Instance(instance::Command),
    /// The API keys of an instance
    Key(key::Command),
    /// The admin tokens: who may use the admin API and the console
    Token(token::Command),
    /// For whoever writes a connector: lay one down, check one, write the pages
    Connector(connector::Command),
    /// The connectors there are; with a name, its settings and limits
    Connectors(connectors::Connectors),
    /// Connectors that are data: check, try and upload manifests
    Manifest(manifest::Command),
    /// What was asked for, and what became of it
    Operations(operations::Command),
    /// What the brake holds until somebody decides
    Hold(hold::Command),
    /// Whose account it is: links that are proposed, and links by hand
    Link(link::Command),
    /// What people are asked to do at targets without an API
    Task(task::Command),
    /// Read the accounts and groups that a target has
    Import(runs::Run),
    /// Compare a target with what is wanted
    Reconcile(runs::Reconcile),
    /// What would be sent to a target, before anything is
    Plan(plan::Plan),
    /// Where a target differs from what was asked for
    Drift(drift::Drift),
    /// Why a person or group is as it is
    Why(why::Why),
    /// Check the configuration and show what holds
    CheckConfig(Box<Overrides>),
    /// Bring the database's schema up to date
    Migrate(Box<Overrides>),
    Backup(Box<backup::Backup>),
    Restore(Box<backup::Restore>),
    /// The master key, under which credentials are sealed
    #[command(subcommand)]
    Secrets(secrets::Command),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and version are no errors; clap knows where they go. A closed pipe is nobody's fault.
        Err(mut error) => {
            reword(&mut error);
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            note(&format!("scimgate: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(cli.command)) {
        Ok(exit) => exit.into(),
        Err(Stop { exit: exit @ exit::Exit::Unread, .. }) => exit.into(),
        Err(Stop { exit, message, problem }) => {
            match problem.filter(|_| wants_json()) {
                Some(problem) => note(&problem.to_string()),
                None => note(&format!("scimgate: {message}")),
            }
            exit.into()
        }
    }
}

/// Takes out of a usage line what came from the environment: clap shows it as if it had to be given.
fn reword(error: &mut clap::Error) {
    const OURS: [&str; 4] =
        [" --admin-token <TOKEN>", " --admin-token-file <FILE>", " --url <URL>", " --timeout <SECONDS>"];
    let Some(ContextValue::StyledStr(usage)) = error.get(ContextKind::Usage) else { return };
    let mut usage = usage.to_string();
    for ours in OURS {
        usage = usage.replace(ours, "");
    }
    error.insert(ContextKind::Usage, ContextValue::StyledStr(usage.into()));
}

/// Whether errors are to be problem details, too.
fn wants_json() -> bool {
    std::env::args_os().any(|arg| arg == "--json")
}

async fn run(command: Command) -> Done {
    match command {
        Command::Demo(demo) => demo.run().await,
        Command::Serve(overrides) => serve::run(*overrides).await,
        Command::Simulate(simulate) => simulate.run().await,
        Command::Instance(command) => command.run().await,
        Command::Key(command) => command.run().await,
        Command::Token(command) => command.run().await,
        Command::Connector(command) => command.run().await,
        Command::Connectors(command) => command.run().await,
        Command::Manifest(command) => command.run().await,
        Command::Operations(command) => command.run().await,
        Command::Hold(command) => command.run().await,
        Command::Link(command) => command.run().await,
        Command::Task(command) => command.run().await,
        Command::Import(run) => run.run("import").await,
        Command::Reconcile(run) => run.run().await,
        Command::Plan(plan) => plan.run().await,
        Command::Drift(drift) => drift.run().await,
        Command::Why(why) => why.run().await,
        Command::CheckConfig(overrides) => check_config::run(*overrides),
        Command::Migrate(overrides) => migrate::run(*overrides).await,
        Command::Backup(backup) => backup.run().await,
        Command::Restore(restore) => restore.run().await,
        Command::Secrets(command) => command.run().await,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_usage_line_named_the_token_as_if_it_had_to_be_given() {
        let line = ["scimgate", "instance", "create", "--admin-token", "x", "--url", "http://x"];
        let mut error = Cli::try_parse_from(line).unwrap_err();
        assert!(error.to_string().contains("--admin-token <TOKEN>"), "clap names it: {error}");
        reword(&mut error);
        let said = error.to_string();
        assert!(said.contains("Usage: scimgate instance create") && said.contains("--connector"), "{said}");
        assert!(!said.contains("--admin-token") && !said.contains("--url"), "{said}");
    }

    #[test]
    fn commands_are_understood() {
        for line in [
            "demo --once",
            "serve --ready-json --listen 127.0.0.1:0 --data-dir d",
            "simulate github --limits 5/s --listen 127.0.0.1:0",
            "instance list --json",
            "instance --json list",
            "instance show acme --url http://gw",
            "instance create --connector github --name acme --set org=acme --secret token=@f --policy adopt=never --mode rehearse",
            "instance create --from sim.json --name acme",
            "instance update acme --mode paused --unset identity",
            "instance delete acme --confirm acme --force",
            "instance probe acme",
            "key create acme --name entra --expires 365d --scope scim:read",
            "key list acme",
            "key rotate acme entra --overlap 24h",
            "key revoke acme entra --yes",
            "task list --overdue --instance payroll",
            "task show tk_7",
            "task done tk_7 --comment ok --account-id 17",
            "task refuse tk_7 --comment no",
            "token list",
            "token create Ada --role viewer --expires 90d",
            "token revoke Ada --yes",
            "token whoami --json",
            "connectors",
            "manifest check m.toml --json",
            "manifest preview m.yaml --sample s.json --set base_url=https://x",
            "manifest test m.toml --set base_url=https://x --secret token=@f --allow-writes --yes",
            "manifest test m.toml --local --allow-private-targets",
            "manifest upload m.toml",
            "manifest list",
            "manifest show acme 1.0 --text",
            "manifest delete acme 1.0 --yes",
            "manifest schema",
            "instance upgrade acme 1.1 --dry-run --set a=b --unset c --secret token=@f",
            "connectors github --json",
            "connector new lunch --title Lunch --dir x",
            "connector check github --json",
            "connector check github --live --set org=acme --secret token=@f --allow-writes --person a@b.example --yes",
            "connector docs --out d",
            "operations list --instance acme --state failed --since 24h --resource ada",
            "operations show op_1",
            "operations retry op_1",
            "operations outcome op_1 did_not",
            "operations dismiss op_1",
            "operations retry --instance acme --kind User --state pending --text ada --yes",
            "link list acme --state all --resource ada",
            "link confirm acme lk_1 lk_2",
            "link reject acme lk_1",
            "link set acme ada@example.com 4711",
            "hold list --state open",
            "hold show h_1 --limit 5",
            "hold allow h_1 --yes --comment x",
            "hold discard h_1 --list-hash abc",
            "import acme --no-wait",
            "reconcile acme",
            "reconcile acme --user ada@example.com",
            "plan acme --json --exit-code",
            "plan acme --limit 5",
            "drift acme --class extra --limit 5",
            "drift acme --repair dr_1",
            "drift acme --dismiss dr_1 --why ours",
            "instance update acme --mode enabled --plan-digest 0a1b",
            "why acme ada@example.com",
            "check-config --config f.toml",
            "migrate --database-url sqlite://x",
            "backup --to b.db --key-to b.key --data-dir d",
            "restore --from b.db --replace",
            "secrets rotate --new-key-file k --data-dir d",
        ] {
            let words = std::iter::once("scimgate").chain(line.split(' '));
            if let Err(error) = Cli::try_parse_from(words) {
                panic!("{line}: {error}");
            }
        }
    }

    #[test]
    fn mistakes_are_usage() {
        for (line, kind) in [
            ("", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand),
            ("operation", ErrorKind::InvalidSubcommand),
            ("simulate abacus", ErrorKind::InvalidValue),
            ("simulate github --limits fast", ErrorKind::ValueValidation),
            ("instance create --connector github --name x --set org", ErrorKind::ValueValidation),
            ("instance create --connector github --name x --mode on", ErrorKind::InvalidValue),
            ("operations list --state broken", ErrorKind::InvalidValue),
            ("key rotate acme entra --overlap soon", ErrorKind::ValueValidation),
            ("connector check github --allow-writes", ErrorKind::MissingRequiredArgument),
            ("connector check github --live --person a@b", ErrorKind::MissingRequiredArgument),
            ("why acme", ErrorKind::MissingRequiredArgument),
            ("operations retry", ErrorKind::MissingRequiredArgument),
            ("operations retry op_1 --instance acme", ErrorKind::ArgumentConflict),
            ("operations retry op_1 --state needs", ErrorKind::ArgumentConflict),
            ("link list acme --state open", ErrorKind::InvalidValue),
            ("link set acme ada", ErrorKind::MissingRequiredArgument),
            ("drift acme --class gone", ErrorKind::InvalidValue),
            ("drift acme --repair a --dismiss b", ErrorKind::ArgumentConflict),
            ("token create Ada --role king", ErrorKind::InvalidValue),
            ("serve --nonsense", ErrorKind::UnknownArgument),
        ] {
            let words = std::iter::once("scimgate").chain(line.split(' ').filter(|word| !word.is_empty()));
            let error = Cli::try_parse_from(words).expect_err(line);
            assert_eq!(error.kind(), kind, "{line}");
            assert_eq!(error.exit_code(), 2, "{line}");
        }
        let error = Cli::try_parse_from(["scimgate", "operation"]).unwrap_err().to_string();
        assert!(error.contains("operations"), "{error}");
    }
}
