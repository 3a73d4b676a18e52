//! What the pages of the console cost with a large directory: the server's time and the size of each, against what is
//! promised (100 ms, 100 KB).

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use gateway::service::records::Browse;
use http::{StatusCode, header};
use reqwest::redirect::Policy;

use crate::Options;
use crate::past::{self, EVERYBODY, HOLD};
use crate::place::{Mode, People, Place, TOKEN};

/// The largest page, in bytes.
const LARGEST: usize = 100_000;
/// The longest that a page may take.
const LONGEST: Duration = Duration::from_millis(100);
/// Instances beside the large one, without anybody.
const OTHERS: usize = 50;
/// Times that a page is asked for; the median counts.
const TIMES: usize = 21;
/// Times that a page is asked for which takes so long that its measurement would.
const FEW: usize = 5;
/// How long the measurement of a page may take, unless it has been asked for so few times.
const ENOUGH: Duration = Duration::from_secs(3);

/// Fills a directory, measures every page and prints a line for each.
pub(crate) async fn measure(options: &Options) -> Result<()> {
    let place = Place::open(Mode::Paused).await?;
    let people = place.seed(options).await?;
    let begun = Instant::now();
    past::history(&place.database(), &place.instance).await?;
    eprintln!("seeded the past in {:.1} s", begun.elapsed().as_secs_f64());
    let other = place.others(OTHERS).await?;
    let browser = Browser::open(&place).await?;
    println!(
        "\nconsole, {} users\n{:<64} {:>9} {:>9} {:>9}",
        people.users.len(),
        "page",
        "median ms",
        "worst ms",
        "KB"
    );
    let (mut large, mut slow, mut wrong) = (Vec::new(), 0, Vec::new());
    let all = paths(&place, &people, &other);
    for path in &all {
        // Once before: what is read and prepared then is not what the page costs.
        let (status, size) = browser.get(path).await?;
        if !status.is_success() {
            wrong.push(format!("{path}: {status}"));
            continue;
        }
        let (whole, mut times) = (Instant::now(), Vec::with_capacity(TIMES));
        while times.len() < TIMES && (times.len() < FEW || whole.elapsed() < ENOUGH) {
            let begun = Instant::now();
            browser.get(path).await?;
            times.push(begun.elapsed());
        }
        times.sort();
        let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
        let over = if median > LONGEST { "  over 100 ms" } else { "" };
        slow += usize::from(median > LONGEST);
        let shown = path.replace(&place.instance, "ID").replace(&other, "OTHER");
        let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
        println!("{shown:<64.64} {:>9.1} {:>9.1} {:>9.1}{over}", ms(median), ms(worst), size as f64 / 1_000.0);
        if size > LARGEST {
            large.push(path);
        }
    }
    println!("{} pages, {slow} over 100 ms, {} over {LARGEST} bytes", all.len(), large.len());
    place.close().await;
    if large.is_empty() && wrong.is_empty() { Ok(()) } else { bail!("too large: {large:?}; refused: {wrong:?}") }
}

/// Every page that lists or counts, with each filter and preset it offers; of the whole, of the instance, and, where a
/// statement could take the wrong way, of an instance that has nobody.
fn paths(place: &Place, people: &People, other: &str) -> Vec<String> {
    let middle = &people.users[people.users.len() / 2];
    let states: Vec<String> = Browse::STATES.iter().map(|state| format!("?state={state}")).collect();
    let lists = ["", "?active=yes", "?active=no", "?q=user00", "?q=user0099", "?q=nobody", "?q=user&state=waived"];
    let logs = [
        "",
        "?state=open",
        "?state=applied",
        "?state=failed",
        "?state=superseded",
        "?state=withdrawn",
        "?verb=create",
        "?verb=patch",
        "?verb=delete",
        "?verb=adopt",
        "?verb=delete&since=24h",
        "?verb=repair&since=7d",
        "?state=failed&since=1h",
        "?state=failed&verb=adopt",
        "?since=1h",
        "?until=2000-01-01",
        "?key=Bench",
        "?key=nobody",
        "?q=user00",
        "?q=nobody",
    ];
    let mut all = Vec::new();
    let instance = format!("/instances/{}", place.instance);
    let empty = format!("/instances/{other}");
    for base in ["", &instance, &empty] {
        for end in lists.iter().copied().chain(states.iter().map(String::as_str)) {
            all.push(format!("{base}/people{end}"));
            if base != empty && !end.contains("active") {
                all.push(format!("{base}/groups{end}"));
            }
        }
        all.extend(logs.iter().map(|end| format!("{base}/operations{end}")));
    }
    // Far down a list, and the operations of one.
    all.push(format!("{instance}/people?before=5000"));
    all.push(format!("{instance}/operations?before=400000"));
    all.push(format!("{instance}/operations?resource={middle}"));
    for page in [
        "",
        "/attention",
        "/instances",
        "/holds",
        "/holds?state=open",
        "/tasks",
        "/tasks?state=done",
        "/tasks?state=refused",
        "/tasks?state=all",
        "/tasks?overdue=1",
        "/audit",
        "/audit?before=5000",
        "/catalogue",
        "/settings",
        "/settings/members",
        "/search?q=user",
        "/search?q=user0050000",
        "/search?q=nobody",
        "/search?q=Person",
    ] {
        all.push(page.to_owned());
    }
    all.push(format!("/holds/{HOLD}"));
    all.push(format!("/tasks?instance={}", place.instance));
    all.push(format!("/tasks?state=done&instance={}", other));
    for page in [
        "",
        "?span=week",
        "/rejected",
        "/plan",
        "/plan?class=missing",
        "/plan?class=unmanaged",
        "/holds",
        "/runs",
        "/budget",
        "/keys",
        "/connect",
        "/probe",
        "/settings",
    ] {
        all.push(format!("{instance}{page}"));
    }
    all.push(format!("{instance}/people/{middle}"));
    all.push(format!("{instance}/people/{}", people.users[0]));
    for group in [people.small.first(), Some(&people.large), people.huge.as_ref()].into_iter().flatten() {
        all.push(format!("{instance}/groups/{group}"));
    }
    for end in ["", "?state=parked", "?state=todo", "?q=user0099", "?q=nobody"] {
        all.push(format!("{instance}/groups/{EVERYBODY}{end}"));
    }
    all.into_iter().map(|path| format!("/console{path}")).collect()
}

/// A browser that is signed in.
struct Browser {
    http: reqwest::Client,
    base: String,
    cookies: String,
}

impl Browser {
    async fn open(place: &Place) -> Result<Self> {
        let base = format!("http://{}", place.address);
        let http =
            reqwest::Client::builder().no_proxy().redirect(Policy::none()).timeout(Duration::from_secs(300)).build()?;
        let answer = http
            .post(format!("{base}/console/sign-in"))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(format!("token={TOKEN}&next=/console"))
            .send()
            .await?;
        let set = answer.headers().get_all(header::SET_COOKIE);
        let cookies: Vec<&str> = set.iter().filter_map(|one| one.to_str().ok()?.split(';').next()).collect();
        if cookies.is_empty() {
            bail!("signing in to the console: {}", answer.status());
        }
        Ok(Self { cookies: cookies.join("; "), http, base })
    }

    /// Asks for a page; its status and size.
    async fn get(&self, path: &str) -> Result<(StatusCode, usize)> {
        let request = self.http.get(format!("{}{path}", self.base)).header(header::COOKIE, &self.cookies);
        let answer = request.send().await?;
        let status = answer.status();
        let size = answer.bytes().await?.len();
        Ok((status, size))
    }
}
