//! The way to the desk: each use of it is a step, in the gateway's record like a call.

use std::future::Future;

use connector_sdk::{Act, Cx, Effect, Fault, FaultKind, Repeat, Step, Stepped, Task, Told};

use super::settings::Settings;
use super::words;

/// The desk, with what every task says.
pub(super) struct Client {
    pub(super) settings: Settings,
}

impl Client {
    /// Asks for a change, in words that are made of what is known of it.
    pub(super) async fn ask(&self, cx: &Cx<'_>, act: Act) -> Result<Told, Fault> {
        let desk = cx.desk()?;
        let step = step(act.word(), Repeat::Idempotent).object("task");
        let work = async {
            let subject = words::subject(desk, &act).await?;
            let title = words::title(&self.settings, &act, &subject);
            let detail = words::detail(&self.settings, &act);
            let hours = if act.takes_access() { self.settings.due_hours_removal } else { self.settings.due_hours };
            let task = Task::new(act, title, detail, u64::from(hours) * 3_600);
            desk.ask(task.assignee(self.settings.assignee.clone())).await
        };
        cx.perform(step, async { Stepped { code: None, result: work.await } }).await
    }

    /// Reads from the record.
    pub(super) async fn read<T: Send>(
        &self,
        cx: &Cx<'_>,
        name: &'static str,
        work: impl Future<Output = Result<T, Fault>> + Send,
    ) -> Result<T, Fault> {
        let step = step(name, Repeat::Read).object("record");
        cx.perform(step, async { Stepped { code: None, result: work.await } }).await
    }
}

fn step(name: &'static str, repeat: Repeat) -> Step {
    Step::new(name, super::PROTOCOL, super::HOST, repeat)
}

/// An answer that is none to the question.
pub(super) fn unfit(told: &Told) -> Fault {
    let what = match told {
        Told::Account { .. } => "an account",
        Told::Group { .. } => "a group",
        Told::Gone { .. } => "gone",
        Told::Member(_) => "a membership",
    };
    Fault::new(
        FaultKind::Malformed,
        "The desk answered something else than was asked. This is a defect of the gateway.",
    )
    .effect(Effect::None)
    .context(format!("the desk told of {what}"))
}
