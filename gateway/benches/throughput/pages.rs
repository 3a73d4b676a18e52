//! What the pages of the console cost with a large directory: the server's time and the size of each, against what is
//! promised (100 ms, 100 KB).

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use http::header;
use reqwest::redirect::Policy;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};

use crate::Options;
use crate::place::{Mode, People, Place, TOKEN};

/// The largest page, in bytes.
const LARGEST: usize = 100_000;
/// The longest that a page may take.
const LONGEST: Duration = Duration::from_millis(100);
/// Times that a page is asked for; the median counts.
const TIMES: usize = 7;

/// Fills a directory, measures every page and prints a line for each.
pub(crate) async fn measure(options: &Options) -> Result<()> {
    let place = Place::open(Mode::Paused).await?;
    let people = place.seed(options).await?;
    let begun = Instant::now();
    history(&place.database(), &place.instance).await?;
    eprintln!("seeded accounts and operations in {:.1} s", begun.elapsed().as_secs_f64());
    let browser = Browser::open(&place).await?;
    println!(
        "\nconsole, {} users\n{:<44} {:>9} {:>9} {:>9}",
        people.users.len(),
        "page",
        "median ms",
        "worst ms",
        "KB"
    );
    let mut large = Vec::new();
    for path in paths(&place, &people) {
        let mut times = Vec::with_capacity(TIMES);
        let mut size = 0;
        for _ in 0..TIMES {
            let begun = Instant::now();
            size = browser.get(&path).await?;
            times.push(begun.elapsed());
        }
        times.sort();
        let (median, worst) = (times[TIMES / 2], times[TIMES - 1]);
        let slow = if median > LONGEST { "  over 100 ms" } else { "" };
        let shown = path.replace(&place.instance, "ID");
        let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
        println!("{:<44.44} {:>9.1} {:>9.1} {:>9.1}{slow}", shown, ms(median), ms(worst), size as f64 / 1_000.0);
        if size > LARGEST {
            large.push(path);
        }
    }
    place.close().await;
    if large.is_empty() { Ok(()) } else { bail!("pages over {LARGEST} bytes: {large:?}") }
}

fn paths(place: &Place, people: &People) -> Vec<String> {
    let middle = &people.users[people.users.len() / 2];
    let mut all: Vec<String> = [
        "",
        "/attention",
        "/instances",
        "/people",
        "/people?state=pending",
        "/people?state=unlinked",
        "/people?active=no",
        "/people?q=user00",
        "/groups",
        "/operations",
        "/operations?state=failed",
        "/operations?state=open",
        "/operations?verb=delete&since=24h",
        "/operations?q=user00",
        "/holds",
        "/audit",
        "/settings",
        "/settings/members",
        "/search?q=user00",
        "/search?q=nobody",
    ]
    .map(|page| format!("/console{page}"))
    .into();
    let mut own: Vec<String> = [
        "",
        "/people",
        "/people?state=settled",
        "/people?state=needs",
        "/people?q=user00",
        "/people?state=parked",
        "/groups",
        "/operations",
        "/operations?state=failed",
        "/rejected",
        "/plan",
        "/holds",
        "/budget",
        "/keys",
        "/connect",
        "/settings",
    ]
    .map(str::to_owned)
    .into();
    own.push(format!("/people/{middle}"));
    own.push(format!("/people/{}", people.users[0]));
    own.push(format!("/groups/{}", people.large));
    own.extend(people.huge.iter().map(|group| format!("/groups/{group}")));
    all.extend(own.into_iter().map(|page| format!("/console/instances/{}{page}", place.instance)));
    all
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

    /// Asks for a page; its size.
    async fn get(&self, path: &str) -> Result<usize> {
        let request = self.http.get(format!("{}{path}", self.base)).header(header::COOKIE, &self.cookies);
        let answer = request.send().await?;
        let status = answer.status();
        let size = answer.bytes().await?.len();
        if !status.is_success() {
            bail!("{path}: {status}");
        }
        Ok(size)
    }
}

/// Gives the people of a seeded directory their past: an account and a link each, and operations over the last week, of
/// which one in fifty failed.
async fn history(database: &Path, instance: &str) -> Result<()> {
    let options = SqliteConnectOptions::new().filename(database).busy_timeout(Duration::from_secs(600));
    let mut connection = SqliteConnection::connect_with(&options).await?;
    let mut tx = connection.begin().await?;
    let (of, users): (i64, i64) = sqlx::query_as(
        "SELECT i.seq, COUNT(*) FROM instance i JOIN resource r ON r.instance_seq = i.seq AND r.kind = 'User' WHERE i.id = $1 GROUP BY i.seq",
    )
    .bind(instance)
    .fetch_one(&mut *tx)
    .await?;
    let (next,): (i64,) = sqlx::query_as("UPDATE counter SET next = next + $1 WHERE name = 'seq' RETURNING next")
        .bind(users * 5)
        .fetch_one(&mut *tx)
        .await?;
    let now = gateway::clock::Clock::system().now().as_microsecond();
    let week = 604_800_000_000_i64;
    let people = "(SELECT r.seq, r.name_key, ROW_NUMBER() OVER (ORDER BY r.seq) - 1 AS n FROM resource r WHERE r.instance_seq = $1 AND r.kind = 'User') p";
    let statements = [
        format!(
            "INSERT INTO account (seq, instance_seq, kind, remote_id, status, protected, ours, doc, login_key, email_key, invites, seen_at) \
             SELECT $2 + p.n, $1, 'User', 'acc-' || p.n, 'active', 0, 1, '{{\"login\":\"' || p.name_key || '\"}}', p.name_key, p.name_key, 0, $4 FROM {people}"
        ),
        format!(
            "INSERT INTO link (seq, resource_seq, account_seq, state, evidence, opened_at) SELECT $2 + $3 + p.n, p.seq, $2 + p.n, 'live', 'created', $4 FROM {people}"
        ),
        format!(
            "INSERT INTO operation (seq, id, instance_seq, resource_seq, actor, request_id, verb, rev, changes, quirks, state, items, open_items, failed_items, parked_items, \
             superseded_items, at, closed_at, key_name, source) \
             SELECT $2 + (2 + k.k) * $3 + p.n, 'op_' || k.k || '_' || p.n, $1, p.seq, 'key:bench', 'request-' || k.k || '-' || p.n, CASE k.k WHEN 0 THEN 'create' ELSE 'patch' END, 1, \
             '[{{\"path\":\"title\",\"to\":\"Engineer\"}}]', '[]', CASE WHEN p.n % 50 = k.k THEN 'failed' ELSE 'applied' END, 1, 0, CASE WHEN p.n % 50 = k.k THEN 1 ELSE 0 END, 0, 0, \
             $4 + (k.k * $3 + p.n) * ({week} / (3 * $3)), $4 + (k.k * $3 + p.n) * ({week} / (3 * $3)) + 1000000, 'Bench', 'scim' \
             FROM {people} CROSS JOIN (SELECT 0 AS k UNION ALL SELECT 1 UNION ALL SELECT 2) k"
        ),
    ];
    for text in statements {
        sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(of)
            .bind(next - users * 5)
            .bind(users)
            .bind(now - week)
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    connection.close().await?;
    Ok(())
}
