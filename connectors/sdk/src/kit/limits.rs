//! "Too many calls" is heard.

use jiff::{SignedDuration, Timestamp};

use crate::fault::{Effect, Fault, FaultKind, Retry};
use crate::kit::stage::{Act, Stage, Which, against, creates_accounts_by_http, serves_groups_by_http, speaks_http};
use crate::kit::{Case, Outcome, RateLimit, Verdict, case};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(speaks_http, a_rate_limit_on_a_read_is_heard),
        case!(creates_accounts_by_http, a_rate_limit_on_a_creation_is_heard),
        case!(serves_groups_by_http, a_rate_limit_on_a_group_creation_is_heard),
    ]
}

fn forms(stage: &Stage) -> Vec<RateLimit> {
    let mut forms = vec![RateLimit::retry_after()];
    forms.extend(stage.subject().world.rate_limits());
    forms
}

/// That the fault says what the target said, and that nothing was sent after it.
fn heard<T: std::fmt::Debug>(
    stage: &Stage,
    form: &RateLimit,
    at: Timestamp,
    answer: Result<T, Fault>,
) -> Result<(), String> {
    let fault = match answer {
        Err(fault) if fault.kind == FaultKind::RateLimited => fault,
        other => return against(&format!("{} is RateLimited", form.name), other),
    };
    if fault.effect != Effect::None {
        return against(&format!("{}: a call that was refused had no effect", form.name), fault);
    }
    let least = at.checked_add(SignedDuration::from_secs(form.seconds)).map_err(|error| error.to_string())?;
    match fault.retry {
        Retry::NotBefore(time) if time >= least => {}
        other => {
            return against(&format!("{}: not before {least}", form.name), other);
        }
    }
    let sent = stage.sent();
    match sent.last() {
        Some(last) if last.struck => Ok(()),
        _ => against(&format!("{}: nothing is sent after it", form.name), sent),
    }
}

async fn a_rate_limit_on_a_read_is_heard(stage: &Stage) -> Outcome {
    for form in forms(stage) {
        stage.forget();
        stage.order(Which::Any, Act::limit(&form), 1);
        let at = stage.subject().world.now();
        if let Some(accounts) = stage.subject().connector.accounts() {
            let answer = stage.hear(accounts.list(&stage.cx(), None).await);
            heard(stage, &form, at, answer)?;
        } else {
            let answer = stage.hear(stage.groups()?.list(&stage.cx(), None).await);
            heard(stage, &form, at, answer)?;
        }
    }
    Ok(Verdict::Passed)
}

async fn a_rate_limit_on_a_creation_is_heard(stage: &Stage) -> Outcome {
    let ada = stage.person("ada").await?;
    for form in forms(stage) {
        stage.forget();
        stage.order(Which::Writes, Act::limit(&form), 1);
        let at = stage.subject().world.now();
        let answer = stage.create(&ada).await;
        heard(stage, &form, at, answer)?;
    }
    let there = stage.at_target(&ada).await?;
    if !there.is_empty() {
        return against("nobody was created", there);
    }
    Ok(Verdict::Passed)
}

async fn a_rate_limit_on_a_group_creation_is_heard(stage: &Stage) -> Outcome {
    for form in forms(stage) {
        stage.forget();
        stage.order(Which::Writes, Act::limit(&form), 1);
        let at = stage.subject().world.now();
        let answer = stage.create_group("Kit Limited").await;
        heard(stage, &form, at, answer)?;
    }
    Ok(Verdict::Passed)
}
