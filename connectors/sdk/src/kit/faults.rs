//! What breaks: the target, the credential, the answers.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::fault::{Effect, Fault, FaultKind, Retry};
use crate::kit::stage::{
    Act, Stage, Which, against, always, creates_accounts, creates_accounts_by_http, reference, serves_groups,
    serves_groups_by_http, speaks_http,
};
use crate::kit::{Case, Outcome, Verdict, case};
use crate::outcome::Membership;
use crate::traits::Suspend;
use crate::transport::Reply;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(speaks_http, a_5xx_on_a_read_is_unavailable),
        case!(creates_accounts_by_http, a_5xx_on_a_write_is_unavailable_and_unknown),
        case!(serves_groups_by_http, a_5xx_on_a_group_write_is_unavailable_and_unknown),
        case!(always, an_unreachable_target_is_unavailable),
        case!(always, a_living_credential_probes_well),
        case!(always, a_dead_credential_waits_for_the_operator),
        case!(speaks_http, a_page_of_a_proxy_is_malformed),
        case!(creates_accounts_by_http, a_page_of_a_proxy_does_not_pass_for_a_removal),
        case!(serves_groups_by_http, a_page_of_a_proxy_does_not_pass_for_a_group_write),
        case!(creates_accounts_by_http, a_404_for_an_account_that_is_there_is_no_removal),
        case!(serves_groups_by_http, a_404_for_a_group_that_is_there_is_no_removal),
        case!(speaks_http, odd_answers_never_panic),
        case!(speaks_http, odd_limit_headers_never_panic),
        case!(speaks_http, an_echoed_secret_is_not_passed_on),
    ]
}

/// A proxy's page, with words that must not be taken for the target's.
const PAGE: &str = "<html><body>Not Found. This resource no longer exists.</body></html>";

/// Reads the first page of everything that the connector lists.
async fn read(stage: &Stage) -> Vec<Result<(), Fault>> {
    let mut answers = Vec::new();
    if let Some(accounts) = stage.subject().connector.accounts() {
        answers.push(stage.hear(accounts.list(&stage.cx(), None).await).map(|_| ()));
    }
    if let Some(groups) = stage.subject().connector.groups() {
        answers.push(stage.hear(groups.list(&stage.cx(), None).await).map(|_| ()));
    }
    answers
}

async fn a_5xx_on_a_read_is_unavailable(stage: &Stage) -> Outcome {
    for status in [500, 502, 503, 504] {
        stage.order(Which::Any, Act::status(status, PAGE), usize::MAX);
        for answer in read(stage).await {
            match answer {
                Err(fault) if fault.kind == FaultKind::Unavailable => {}
                other => return against(&format!("{status} is Unavailable"), other),
            }
        }
        stage.calm();
    }
    Ok(Verdict::Passed)
}

/// That a write's fault says that nobody knows.
fn unknown<T: std::fmt::Debug>(what: &str, answer: Result<T, Fault>) -> Result<(), String> {
    match answer {
        Err(fault) if fault.kind == FaultKind::Unavailable && fault.effect == Effect::Unknown => Ok(()),
        other => against(&format!("{what}: a 5xx is Unavailable, effect unknown"), other),
    }
}

async fn a_5xx_on_a_write_is_unavailable_and_unknown(stage: &Stage) -> Outcome {
    let ada = stage.person("ada").await?;
    let at = reference(&stage.people(1).await?.remove(0))?;
    for status in [500, 502, 503] {
        stage.order(Which::Writes, Act::status(status, PAGE), 1);
        unknown("create", stage.create(&ada).await)?;
        stage.order(Which::Writes, Act::status(status, PAGE), 1);
        let answer = stage.hear(stage.accounts()?.remove(&stage.cx(), &at).await);
        unknown("remove", answer)?;
    }
    Ok(Verdict::Passed)
}

async fn a_5xx_on_a_group_write_is_unavailable_and_unknown(stage: &Stage) -> Outcome {
    let people = [reference(&stage.people(1).await?.remove(0))?];
    let group = stage.group("Kit Faults").await?;
    for status in [500, 502, 503] {
        stage.order(Which::Writes, Act::status(status, PAGE), 1);
        unknown("create", stage.create_group("Kit Other").await)?;
        stage.order(Which::Writes, Act::status(status, PAGE), 1);
        for answer in stage.change(&group.id, &people, &[]).await? {
            unknown("add", answer)?;
        }
        // Where a look comes before the removal, only a member's is written.
        stage.change(&group.id, &people, &[]).await?;
        stage.order(Which::Writes, Act::status(status, PAGE), 1);
        for answer in stage.change(&group.id, &[], &people).await? {
            unknown("take out", answer)?;
        }
        stage.change(&group.id, &[], &people).await?;
        stage.order(Which::Writes, Act::status(status, PAGE), 1);
        let answer = stage.hear(stage.groups()?.remove(&stage.cx(), &group.id).await);
        unknown("remove", answer)?;
    }
    Ok(Verdict::Passed)
}

async fn an_unreachable_target_is_unavailable(stage: &Stage) -> Outcome {
    let ada = stage.person("ada").await?;
    stage.order(Which::Any, Act::DropBefore, usize::MAX);
    let mut answers = read(stage).await;
    if creates_accounts(stage.traits()).is_ok() {
        answers.push(stage.create(&ada).await.map(|_| ()));
    }
    if serves_groups(stage.traits()).is_ok() {
        answers.push(stage.create_group("Kit Away").await.map(|_| ()));
    }
    answers.push(stage.hear(stage.subject().connector.probe(&stage.cx()).await).map(|_| ()));
    for answer in answers {
        match answer {
            Err(fault) if fault.kind == FaultKind::Unavailable && fault.effect == Effect::None => {}
            other => return against("a target that cannot be reached is Unavailable, and nothing happened", other),
        }
    }
    Ok(Verdict::Passed)
}

async fn a_living_credential_probes_well(stage: &Stage) -> Outcome {
    let before = stage.state().await?;
    stage.forget();
    match stage.hear(stage.subject().connector.probe(&stage.cx()).await) {
        Ok(probe) if probe.ok() && !probe.checks.is_empty() && probe.identity.is_some() => {}
        other => return against("the offered credential is as needed", other),
    }
    if stage.sent().iter().any(|sent| sent.write) || stage.state().await? != before {
        return against("a probe writes nothing", stage.sent());
    }
    Ok(Verdict::Passed)
}

async fn a_dead_credential_waits_for_the_operator(stage: &Stage) -> Outcome {
    if stage.subject().secrets.is_empty() {
        return Ok(Verdict::Skipped("it has no credential".to_owned()));
    }
    stage.subject().world.revoke_credential().await?;
    let mut answers = read(stage).await;
    if creates_accounts(stage.traits()).is_ok() {
        let ada = stage.person("ada").await?;
        answers.push(stage.create(&ada).await.map(|_| ()));
    }
    if serves_groups(stage.traits()).is_ok() {
        answers.push(stage.create_group("Kit Dead").await.map(|_| ()));
    }
    for answer in answers {
        match answer {
            Err(fault)
                if fault.kind == FaultKind::Credential
                    && fault.retry == Retry::AfterOperator
                    && fault.effect == Effect::None => {}
            other => return against("a dead credential waits for the operator", other),
        }
    }
    match stage.hear(stage.subject().connector.probe(&stage.cx()).await) {
        Ok(probe) if !probe.ok() => Ok(Verdict::Passed),
        other => against("a dead credential is a check that is not ok", other),
    }
}

fn not_understood<T: std::fmt::Debug>(answer: Result<T, Fault>) -> Result<(), String> {
    match answer {
        Err(fault) if matches!(fault.kind, FaultKind::Malformed | FaultKind::Unavailable) => Ok(()),
        other => against("a page of a proxy is Malformed", other),
    }
}

async fn a_page_of_a_proxy_is_malformed(stage: &Stage) -> Outcome {
    stage.order(Which::Any, Act::status(200, PAGE), usize::MAX);
    for answer in read(stage).await {
        not_understood(answer)?;
    }
    if creates_accounts(stage.traits()).is_ok() {
        let ada = stage.person("ada").await?;
        not_understood(stage.create(&ada).await)?;
        let found = stage.hear(stage.accounts()?.find(&stage.cx(), &ada).await);
        not_understood(found)?;
    }
    Ok(Verdict::Passed)
}

async fn a_page_of_a_proxy_does_not_pass_for_a_removal(stage: &Stage) -> Outcome {
    let at = reference(&stage.people(1).await?.remove(0))?;
    stage.order(Which::Writes, Act::status(200, PAGE), 1);
    let answer = stage.hear(stage.accounts()?.remove(&stage.cx(), &at).await);
    match answer {
        Err(fault) if fault.effect == Effect::Unknown => Ok(Verdict::Passed),
        other => against("a page with status 200 is no removal", other),
    }
}

async fn a_page_of_a_proxy_does_not_pass_for_a_group_write(stage: &Stage) -> Outcome {
    let people = [reference(&stage.people(1).await?.remove(0))?];
    let group = stage.group("Kit Pages").await?;
    let mut answers = Vec::new();
    stage.order(Which::Writes, Act::status(200, PAGE), 1);
    answers.extend(stage.change(&group.id, &people, &[]).await?);
    stage.change(&group.id, &people, &[]).await?;
    stage.order(Which::Writes, Act::status(200, PAGE), 1);
    answers.extend(stage.change(&group.id, &[], &people).await?);
    for answer in answers {
        match answer {
            Err(fault) if fault.effect == Effect::Unknown => {}
            other => return against("a page with status 200 is no membership", other),
        }
    }
    stage.order(Which::Writes, Act::status(200, PAGE), 1);
    match stage.hear(stage.groups()?.remove(&stage.cx(), &group.id).await) {
        Err(fault) if fault.effect == Effect::Unknown => Ok(Verdict::Passed),
        other => against("a page with status 200 is no removal", other),
    }
}

/// What targets say of what is not there, and some of what the credential may not touch.
const NOT_FOUND: &str = r#"{"message":"Not Found","errors":[{"status":"404","title":"not found"}]}"#;

async fn a_404_for_an_account_that_is_there_is_no_removal(stage: &Stage) -> Outcome {
    let at = reference(&stage.people(1).await?.remove(0))?;
    stage.order(Which::Writes, Act::status(404, NOT_FOUND), 1);
    match stage.hear(stage.accounts()?.remove(&stage.cx(), &at).await) {
        Err(_) => {}
        other => return against("an account that is shown all the same is not reported as removed", other),
    }
    if stage.calm() {
        return Err("the removal wrote nothing".to_owned());
    }
    if stage.traits().suspend != Suspend::Native {
        return Ok(Verdict::Passed);
    }
    stage.order(Which::Writes, Act::status(404, NOT_FOUND), 1);
    match stage.hear(stage.accounts()?.set_active(&stage.cx(), &at, false).await) {
        Err(_) => Ok(Verdict::Passed),
        other => against("an account that is shown all the same is not reported as suspended", other),
    }
}

async fn a_404_for_a_group_that_is_there_is_no_removal(stage: &Stage) -> Outcome {
    let people = [reference(&stage.people(1).await?.remove(0))?];
    let group = stage.group("Kit Hidden").await?;
    stage.order(Which::Writes, Act::status(404, NOT_FOUND), 1);
    let answers = stage.change(&group.id, &people, &[]).await?;
    if stage.calm() {
        return Err("the addition wrote nothing".to_owned());
    }
    for answer in answers {
        match answer {
            Err(fault) if fault.kind != FaultKind::NotFound => {}
            other => return against("a group and a person who are shown all the same are not NotFound", other),
        }
    }
    stage.change(&group.id, &people, &[]).await?;
    stage.order(Which::Writes, Act::status(404, NOT_FOUND), 1);
    for answer in stage.change(&group.id, &[], &people).await? {
        match answer {
            // By a group below, as far as the target shows.
            Err(_) | Ok(Membership::Kept { .. }) => {}
            other => return against("a member who is listed all the same is not Absent", other),
        }
    }
    stage.order(Which::Writes, Act::status(404, NOT_FOUND), 1);
    match stage.hear(stage.groups()?.remove(&stage.cx(), &group.id).await) {
        Err(_) => Ok(Verdict::Passed),
        other => against("a group that is shown all the same is not reported as removed", other),
    }
}

async fn odd_answers_never_panic(stage: &Stage) -> Outcome {
    let ada = stage.person("ada").await?;
    let people = [reference(&stage.people(1).await?.remove(0))?];
    let deep = "[".repeat(20_000);
    let odd = [
        "",
        "null",
        "[]",
        "{}",
        "0",
        "\"\"",
        "[null]",
        "[{}]",
        "{\"data\":null}",
        "{\"errors\":[]}",
        "{\"errors\":[{}]}",
        "{\"data\":{\"organization\":null}}",
        "{\"items\":[{}]}",
        "{\"message\":7}",
        "[{\"id\":\"../..\"}]",
        "[{\"id\":-1,\"login\":\"\"}]",
        "\u{0}\u{ffff}",
        "{\"id\":18446744073709551616}",
        deep.as_str(),
    ];
    for status in [200, 201, 204, 301, 400, 403, 404, 409, 410, 422, 451, 500] {
        for body in odd {
            stage.order(Which::Any, Act::status(status, body), usize::MAX);
            read(stage).await;
            if creates_accounts(stage.traits()).is_ok() {
                let _ = stage.create(&ada).await;
                for at in &people {
                    let _ = stage.hear(stage.accounts()?.get(&stage.cx(), at).await);
                    let _ = stage.hear(stage.accounts()?.remove(&stage.cx(), at).await);
                }
                let _ = stage.hear(stage.accounts()?.find(&stage.cx(), &ada).await);
            }
            if serves_groups(stage.traits()).is_ok() {
                let _ = stage.create_group("Kit Odd").await;
                let id = crate::id::RemoteId::new("1");
                let _ = stage.change(&id, &people, &people).await?;
                let _ = stage.hear(stage.groups()?.remove(&stage.cx(), &id).await);
            }
            stage.calm();
        }
    }
    // The same where the work was done and only its answer is odd.
    for body in odd {
        stage.order(Which::Any, Act::Garble(body.to_owned()), usize::MAX);
        read(stage).await;
        let _ = stage.hear(stage.subject().connector.probe(&stage.cx()).await);
        stage.calm();
    }
    Ok(Verdict::Passed)
}

async fn odd_limit_headers_never_panic(stage: &Stage) -> Outcome {
    const NAMES: [&str; 12] = [
        "retry-after",
        "ratelimit-scope",
        "ratelimit-limit",
        "ratelimit-remaining",
        "ratelimit-reset",
        "ratelimit-user-limit",
        "ratelimit-user-remaining",
        "ratelimit-user-reset",
        "x-ratelimit-resource",
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
    ];
    let odd = [
        "",
        "0",
        "-1",
        "1e9",
        "NaN",
        "4294967296",
        "-9223372036854775808",
        "9223372036854775807",
        "99999999999999999999",
        "soon",
        " 5 ",
        "5, 6",
    ];
    for value in odd {
        let mut headers = HeaderMap::new();
        for name in NAMES {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        for status in [200_u16, 403, 429] {
            let reply = Reply::new(
                StatusCode::from_u16(status).map_err(|error| error.to_string())?,
                headers.clone(),
                Bytes::new(),
                stage.subject().world.now(),
            );
            let known: Vec<&str> = stage.traits().buckets.iter().map(|b| b.name).collect();
            for reading in stage.subject().connector.read_limits(&reply) {
                if !known.contains(&reading.bucket) {
                    return against("a reading names a declared bucket", reading);
                }
            }
            let act = Act::Answer {
                status,
                headers: NAMES.iter().map(|name| (*name, value.to_owned())).collect(),
                body: String::new(),
            };
            stage.order(Which::Any, act, usize::MAX);
            read(stage).await;
            stage.calm();
        }
    }
    Ok(Verdict::Passed)
}

async fn an_echoed_secret_is_not_passed_on(stage: &Stage) -> Outcome {
    let Some(secret) = stage.subject().secrets.first().cloned() else {
        return Ok(Verdict::Skipped("the subject names no secret".to_owned()));
    };
    let body = serde_json::json!({
        "message": format!("the token {secret} is refused"),
        "errors": [{ "message": format!("the token {secret} is refused") }],
    })
    .to_string();
    for status in [200, 400, 401, 403, 404, 422, 429, 500] {
        stage.order(Which::Any, Act::status(status, &body), usize::MAX);
        read(stage).await;
        if creates_accounts(stage.traits()).is_ok() {
            let ada = stage.person("ada").await?;
            let _ = stage.create(&ada).await;
        }
        if serves_groups(stage.traits()).is_ok() {
            let _ = stage.create_group("Kit Echo").await;
        }
        stage.calm();
    }
    // What was said is looked through after every case.
    Ok(Verdict::Passed)
}
