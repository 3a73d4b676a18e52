//! The admin API as the commands see it.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use http::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;
use url::form_urlencoded::byte_serialize;

use super::exit::{Exit, Stop};
use super::out::Out;
use super::progress::Progress;

/// The largest answer that is read.
const MAX_ANSWER: usize = 64 << 20;
/// How long an answer that is copied may take.
const LONGEST_COPY: Duration = Duration::from_secs(24 * 3_600);
/// How many items one page asks for.
const PAGE: usize = 100;

/// Where the gateway is and who asks; the same for every command that speaks to one.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Gateway and output")]
pub(super) struct Remote {
    /// URL of the gateway
    #[arg(long, env = "SCIMGATE_URL", value_name = "URL", default_value = "http://127.0.0.1:8080", global = true)]
    pub(super) url: String,
    /// Admin token; others on this machine see it in the list of processes, so use the variable or the file
    #[arg(long, env = "SCIMGATE_ADMIN_TOKEN", value_name = "TOKEN", hide_env_values = true, value_parser = secret, global = true)]
    pub(super) admin_token: Option<SecretString>,
    /// File that holds the admin token, - for standard input; goes before --admin-token
    #[arg(long, env = "SCIMGATE_ADMIN_TOKEN_FILE", value_name = "FILE", global = true)]
    pub(super) admin_token_file: Option<PathBuf>,
    /// Seconds to wait for an answer
    #[arg(long, env = "SCIMGATE_TIMEOUT", value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600), global = true)]
    pub(super) timeout: u64,
    /// Print the admin API's JSON unchanged
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Show every column on a terminal
    #[arg(long, global = true)]
    pub(super) wide: bool,
}

#[expect(clippy::unnecessary_wraps, reason = "clap wants a Result")]
fn secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(SecretString::from(text))
}

/// A client of one gateway's admin API.
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    token: SecretString,
    /// Where answers go.
    pub(super) out: Out,
}

impl Client {
    /// The client that the flags describe.
    ///
    /// # Errors
    /// No token, or a URL that is none.
    pub(super) fn new(remote: &Remote) -> Result<Self, Stop> {
        let out = Out::new(remote.json, remote.wide);
        let token = match (&remote.admin_token_file, &remote.admin_token) {
            (Some(file), _) => read_secret(&file.to_string_lossy())
                .map_err(|error| Stop::usage(format!("--admin-token-file {}: {error}", file.display())))?,
            (None, Some(token)) => {
                out.warn_of_visible_token();
                token.clone()
            }
            (None, None) => {
                return Err(Stop::new(
                    Exit::NotAllowed,
                    "There is no admin token. Set SCIMGATE_ADMIN_TOKEN, or name a file with --admin-token-file. `scimgate serve` printed the token at its first start, unless it was given one.",
                ));
            }
        };
        Self::at(&remote.url, token, Duration::from_secs(remote.timeout), out)
    }

    /// A client of the gateway at a URL.
    ///
    /// # Errors
    /// The URL is none, or the token cannot be sent.
    pub(super) fn at(url: &str, token: SecretString, timeout: Duration, out: Out) -> Result<Self, Stop> {
        let parsed = Url::parse(url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| Stop::usage(format!("--url: {url:?} is not a URL such as http://127.0.0.1:8080")))?;
        if token.expose_secret().is_empty() || !token.expose_secret().bytes().all(|byte| (b' '..=b'~').contains(&byte))
        {
            return Err(Stop::usage("The admin token is empty or holds characters that a header cannot carry."));
        }
        Ok(Self {
            http: http_client(&parsed, timeout)?,
            base: format!("{}/admin/v1", url.trim_end_matches('/')),
            token,
            out,
        })
    }

    /// One call; `path` begins with a slash. The answer's JSON; null if it has no body.
    ///
    /// # Errors
    /// No answer, or an answer that is no success, with its exit code.
    pub(super) async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Stop> {
        let mut progress = Progress::start();
        let what = format!("Asking {}", self.base.trim_end_matches("/admin/v1"));
        progress.during(&what, self.send(method, path, body)).await
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Stop> {
        let mut request =
            self.http.request(method, format!("{}{path}", self.base)).bearer_auth(self.token.expose_secret());
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.map_err(|error| self.unanswered(&error))?;
        let status = answer.status().as_u16();
        let text = read(answer).await.map_err(|words| Stop::new(Exit::Unreachable, words))?;
        let json = serde_json::from_str(&text).ok();
        if Exit::of_status(status) == Exit::Ok {
            return match json {
                Some(json) => Ok(json),
                None if text.trim().is_empty() => Ok(Value::Null),
                None => Err(Stop::failed(format!(
                    "{} answered {status} with something that is not JSON. Is it a scimgate?",
                    self.base
                ))),
            };
        }
        Err(refused(status, json, &self.base))
    }

    fn unanswered(&self, error: &reqwest::Error) -> Stop {
        let url = self.base.trim_end_matches("/admin/v1");
        if error.is_timeout() && !error.is_connect() {
            return Stop::new(
                Exit::TimedOut,
                format!(
                    "{url} did not answer in time. What was asked may still be done there; look before you repeat it, or wait longer with --timeout."
                ),
            );
        }
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        Stop::new(
            Exit::Unreachable,
            format!(
                "No gateway answers at {url} ({cause}). Start it with `scimgate serve`, or say where it is with --url or SCIMGATE_URL."
            ),
        )
    }

    /// A GET.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub(super) async fn get(&self, path: &str) -> Result<Value, Stop> {
        self.call(Method::GET, path, None).await
    }

    /// Copies an answer as it comes, however long it is. One that breaks off is an error, behind what came.
    ///
    /// # Errors
    /// As [`Client::call`]; the answer broke off; what it is written to is closed.
    pub(super) async fn copy(&self, path: &str, sink: &mut (impl std::io::Write + Send)) -> Result<(), Stop> {
        let request =
            self.http.get(format!("{}{path}", self.base)).bearer_auth(self.token.expose_secret()).timeout(LONGEST_COPY);
        let mut answer = request.send().await.map_err(|error| self.unanswered(&error))?;
        let status = answer.status().as_u16();
        if Exit::of_status(status) != Exit::Ok {
            let text = read(answer).await.map_err(|words| Stop::new(Exit::Unreachable, words))?;
            return Err(refused(status, serde_json::from_str(&text).ok(), &self.base));
        }
        let broke =
            |_| Stop::failed("The answer broke off. Go on behind the last whole line: --after with its cursor.");
        while let Some(bytes) = answer.chunk().await.map_err(broke)? {
            sink.write_all(&bytes).map_err(|error| Stop::output(&error))?;
        }
        sink.flush().map_err(|error| Stop::output(&error))
    }

    /// Items of a list, page by page, up to `most` of them.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub(super) async fn list(&self, path: &str, most: usize) -> Result<Vec<Value>, Stop> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        while items.len() < most {
            let glue = if path.contains('?') { '&' } else { '?' };
            let mut page = format!("{path}{glue}limit={}", PAGE.min(most - items.len()));
            if let Some(cursor) = &cursor {
                page = format!("{page}&cursor={}", escape(cursor));
            }
            let mut answer = self.get(&page).await?;
            // A list that is one array has no pages.
            if let Value::Array(all) = answer {
                items.extend(all);
                break;
            }
            if let Value::Array(more) = answer["items"].take() {
                items.extend(more);
            }
            let next = answer["next"].as_str().map(str::to_owned);
            if next.is_none() || next == cursor {
                break;
            }
            cursor = next;
        }
        items.truncate(most);
        Ok(items)
    }

    /// The instance that a name or an id means.
    ///
    /// # Errors
    /// None, several, or as [`Client::call`].
    pub(super) async fn instance(&self, word: &str) -> Result<Value, Stop> {
        if crate::service::instances::is_id(word) {
            match self.get(&format!("/instances/{word}")).await {
                Err(stop) if stop.exit == Exit::NotFound => {}
                other => return other,
            }
        }
        let all = self.list("/instances", usize::MAX).await?;
        let named = |test: &dyn Fn(&str) -> bool| -> Vec<&Value> {
            all.iter().filter(|item| item["name"].as_str().is_some_and(test)).collect()
        };
        let mut found = named(&|name| name == word);
        if found.is_empty() {
            found = named(&|name| name.to_lowercase() == word.to_lowercase());
        }
        match found.as_slice() {
            [one] => Ok((*one).clone()),
            [] => Err(Stop::new(
                Exit::NotFound,
                match all.as_slice() {
                    [] => format!(
                        "No instance is called {word:?}: there is none yet. Make one with: scimgate instance create"
                    ),
                    _ => format!("No instance is called {word:?}. There are: {}.", names(&all)),
                },
            )),
            several => Err(Stop::usage(format!(
                "{word:?} means several instances; give the id of one: {}.",
                several.iter().map(|item| text(item, "id")).collect::<Vec<_>>().join(", ")
            ))),
        }
    }

    /// The id of the instance that a name or an id means.
    ///
    /// # Errors
    /// As [`Client::instance`].
    pub(super) async fn instance_id(&self, word: &str) -> Result<String, Stop> {
        let found = self.instance(word).await?;
        found["id"]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| Stop::failed("The gateway answered an instance without an id."))
    }
}

fn names(items: &[Value]) -> String {
    const SHOWN: usize = 10;
    let mut text: Vec<String> = items.iter().take(SHOWN).map(|item| self::text(item, "name")).collect();
    if items.len() > SHOWN {
        text.push(format!("and {} more", items.len() - SHOWN));
    }
    text.join(", ")
}

/// A client that follows no redirect (it would carry the token elsewhere) and takes no proxy to the
/// machine's own address.
pub(super) fn http_client(url: &Url, timeout: Duration) -> Result<reqwest::Client, Stop> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("scimgate/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(timeout.min(Duration::from_secs(10)))
        .timeout(timeout);
    let own = match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if own {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| Stop::failed(format!("The HTTP client cannot be set up: {error}")))
}

/// The body of an answer, bounded.
pub(super) async fn read(mut answer: reqwest::Response) -> Result<String, String> {
    let mut body = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= MAX_ANSWER => body.extend_from_slice(&chunk),
            Ok(Some(_)) => return Err(format!("The answer is larger than {} MiB.", MAX_ANSWER >> 20)),
            Ok(None) => break,
            Err(error) => return Err(format!("The answer broke off: {error}")),
        }
    }
    String::from_utf8(body).map_err(|_| "The answer is not text.".to_owned())
}

/// What a refusal means. Problem details (RFC 9457) say it best.
fn refused(status: u16, problem: Option<Value>, base: &str) -> Stop {
    let said = problem.as_ref().and_then(|problem| {
        let detail = problem["detail"].as_str().or_else(|| problem["title"].as_str())?;
        let field = problem["field"].as_str().filter(|field| !detail.starts_with(*field));
        Some(field.map_or_else(|| detail.to_owned(), |field| format!("{field}: {detail}")))
    });
    if said.is_none() && matches!(status, 300..=399 | 404 | 405) {
        return Stop::new(
            Exit::Unreachable,
            format!(
                "{} answered {status}, as no scimgate gateway does. Say where the gateway is with --url or SCIMGATE_URL.",
                base.trim_end_matches("/admin/v1")
            ),
        );
    }
    let said = said.unwrap_or_else(|| format!("{base} answered {status}."));
    let message = match status {
        401 => format!("{said} Check SCIMGATE_ADMIN_TOKEN, and that --url names the right gateway."),
        _ => said,
    };
    Stop { exit: Exit::of_status(status), message, problem }
}

/// A secret from a file, or from standard input for `-`; without the line's end.
pub(super) fn read_secret(place: &str) -> Result<SecretString, std::io::Error> {
    const MOST: u64 = 1 << 20;
    let mut text = String::new();
    if place == "-" {
        std::io::stdin().lock().take(MOST).read_to_string(&mut text)?;
    } else {
        std::fs::File::open(place)?.take(MOST).read_to_string(&mut text)?;
    }
    Ok(SecretString::from(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// A text for a URL's path or query.
pub(super) fn escape(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

/// A field for a cell: texts as they are, nothing for null, JSON for the rest.
pub(super) fn text(item: &Value, field: &str) -> String {
    match &item[field] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(status: u16, problem: Option<Value>, exit: Exit, words: &str) {
        let stop = refused(status, problem, "http://gw/admin/v1");
        assert_eq!(stop.exit, exit, "{status}");
        assert_eq!(stop.message, words);
    }

    #[test]
    fn refusals_keep_the_gateways_words() {
        check(
            404,
            Some(json!({"title": "Not Found", "detail": "There is no such key."})),
            Exit::NotFound,
            "There is no such key.",
        );
        check(
            422,
            Some(json!({"detail": "must be a number", "field": "settings.app_id"})),
            Exit::Usage,
            "settings.app_id: must be a number",
        );
        check(422, Some(json!({"detail": "name: is empty", "field": "name"})), Exit::Usage, "name: is empty");
        check(409, Some(json!({"title": "Conflict"})), Exit::Failed, "Conflict");
        check(502, None, Exit::Failed, "http://gw/admin/v1 answered 502.");
        for status in [301, 404] {
            check(
                status,
                None,
                Exit::Unreachable,
                &format!(
                    "http://gw answered {status}, as no scimgate gateway does. Say where the gateway is with --url or SCIMGATE_URL."
                ),
            );
        }
        check(
            401,
            None,
            Exit::NotAllowed,
            "http://gw/admin/v1 answered 401. Check SCIMGATE_ADMIN_TOKEN, and that --url names the right gateway.",
        );
    }

    #[test]
    fn names_are_escaped_in_urls() {
        assert_eq!(escape("a b/c?d&é+"), "a%20b%2Fc%3Fd%26%C3%A9%2B");
    }

    #[tokio::test]
    async fn a_gateway_that_is_not_there_is_told_apart() {
        // A port that was free a moment ago.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let client =
            Client::at(&format!("http://127.0.0.1:{port}"), "t".into(), Duration::from_secs(5), Out::new(false, false))
                .unwrap();
        let stop = client.get("/instances").await.unwrap_err();
        assert_eq!(stop.exit, Exit::Unreachable, "{stop}");
        assert!(stop.message.contains("scimgate serve"), "{stop}");
    }

    #[test]
    fn wrong_urls_and_tokens_are_usage() {
        for (url, token) in [("gateway:8080", "t"), ("ftp://x", "t"), ("http://x", ""), ("http://x", "a\nb")] {
            let stop = Client::at(url, token.into(), Duration::from_secs(5), Out::new(false, false)).err().unwrap();
            assert_eq!(stop.exit, Exit::Usage, "{url}");
        }
    }
}
