//! Who is played, and how.

use std::sync::Arc;

use connector_sdk::Transport;
use connector_sdk::kit::{self, RateLimit, Report};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulators::Limits;

use crate::sim::{self, BuildError, Built};

/// One way of a connector that the kit is played over: a connector whose traits depend on its settings has
/// several.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The connector's name.
    pub connector: &'static str,
    /// The simulated target.
    pub target: &'static str,
    /// Which of its ways, in a few words; empty where there is one.
    pub way: &'static str,
    /// Settings on top of the simulator's offer.
    pub settings: Value,
    /// Knobs of the simulated target that are turned before (`POST /_sim/set`).
    pub knobs: Value,
    /// Whether people are known by their login.
    pub handles: bool,
    /// How the vendor says "too many calls", beside a plain 429 with `Retry-After`.
    pub rate_limits: fn(Timestamp) -> Vec<RateLimit>,
}

impl Subject {
    /// A connector against the simulated target of its name, with the settings that the target offers.
    pub fn of(name: &'static str) -> Self {
        Self {
            connector: name,
            target: name,
            way: "",
            settings: json!({}),
            knobs: json!({}),
            handles: false,
            rate_limits: |_| Vec::new(),
        }
    }

    fn way(mut self, way: &'static str, settings: Value) -> Self {
        self.way = way;
        self.settings = settings;
        self
    }

    fn handles(mut self) -> Self {
        self.handles = true;
        self
    }

    fn knobs(mut self, knobs: Value) -> Self {
        self.knobs = knobs;
        self
    }

    fn limits(mut self, forms: fn(Timestamp) -> Vec<RateLimit>) -> Self {
        self.rate_limits = forms;
        self
    }

    /// What it is called in a report: `github, identity saml`.
    pub fn title(&self) -> String {
        if self.way.is_empty() { self.connector.to_owned() } else { format!("{}, {}", self.connector, self.way) }
    }

    /// Builds the connector and a fresh world for it.
    ///
    /// # Errors
    /// As [`sim::build`].
    pub fn build(&self) -> Result<Built, BuildError> {
        sim::build_with(self.target, Limits::None, &self.settings, self.handles, self.rate_limits, &self.knobs)
    }

    /// Plays the whole kit.
    ///
    /// # Errors
    /// As [`sim::build`]; a promise that is broken stands in the report.
    pub async fn play(&self) -> Result<Report, BuildError> {
        self.build()?;
        Ok(kit::run(|| async {
            // It was built above from the same words.
            #[expect(clippy::expect_used, reason = "the same was built above")]
            let built = self.build().expect("what was built once is built again");
            kit::Subject {
                connector: built.connector,
                transport: Arc::clone(&built.sim) as Arc<dyn Transport>,
                world: built.sim,
                secrets: built.secrets,
                calls: built.calls,
            }
        })
        .await)
    }
}

/// Every connector with a simulated target, in the order of the catalogue.
pub fn subjects() -> Vec<Subject> {
    vec![
        Subject::of("github").way("identity saml", json!({ "identity": "saml" })).limits(github_limits),
        Subject::of("github")
            .way("identity handle", json!({ "identity": "handle", "handle_attribute": "userName" }))
            .handles()
            .limits(github_limits),
        Subject::of("github")
            .way("teams only", json!({ "mode": "teams_only", "identity": "handle" }))
            .handles()
            .limits(github_limits),
        Subject::of("buildkite").limits(buildkite_limits),
        Subject::of("linear").limits(linear_limits),
        Subject::of("scim"),
        Subject::of("scim")
            .way("no PATCH, no filter, small pages", json!({}))
            .knobs(json!({ "patch": false, "filter": false, "page_cap": 30, "plain_json": true })),
        Subject::of("scim")
            .way("filters passed over, no ETag, no schemas", json!({ "filter": "yes" }))
            .knobs(json!({ "filter": false, "filter_ignored": true, "etag": false, "schemas": false })),
        Subject::of("scim")
            .way("cursors, 204, few members, text booleans", json!({ "max_members_per_patch": 10 }))
            .knobs(json!({ "cursor": true, "patch_204": true, "members_cap": 10, "hide_members": true, "text_booleans": true, "group_ignores_members": true })),
        Subject::of("scim")
            .way("no discovery, no filters in paths, a header", json!({
                "path_filters": false, "content_type": "json", "headers": "X-Request-Origin: scimgate\n", "patch_without_path": true,
            }))
            .knobs(json!({
                "discovery": false, "path_filters": false, "bulk": 0, "unique_groups": true,
                "header": { "name": "x-request-origin", "value": "scimgate" },
            })),
        Subject::of("scim")
            .way("deletes instead of suspending, no 409", json!({ "deprovision": "delete", "look_before_create": true }))
            .knobs(json!({ "conflict": false })),
        Subject::of("github_scim").limits(github_limits),
        Subject::of("github_emu").limits(github_limits),
        Subject::of("github_emu").way("deleting for good, 204", json!({ "delete": true })).knobs(json!({ "patch_204": true })),
        Subject::of("jupyterhub"),
        Subject::of("datadog").way("groups as teams", json!({ "groups": "teams" })).limits(datadog_limits),
        Subject::of("datadog").way("groups as roles", json!({ "groups": "roles" })).limits(datadog_limits),
        Subject::of("slack").limits(slack_limits),
        Subject::of("pagerduty").limits(pagerduty_limits),
        Subject::of("gitlab").limits(gitlab_limits),
        Subject::of("gitlab")
            .way("identity handle", json!({ "identity": "handle" }))
            .knobs(json!({ "usernames": true, "identities": false }))
            .handles()
            .limits(gitlab_limits),
        Subject::of("gitlab")
            .way("identity email", json!({ "identity": "email" }))
            .knobs(json!({ "enterprise": true, "identities": false }))
            .limits(gitlab_limits),
        Subject::of("gitlab_server").limits(gitlab_limits),
        Subject::of("sentry").limits(sentry_limits),
        Subject::of("grafana"),
        Subject::of("terraform").limits(terraform_limits),
        Subject::of("tailscale"),
        Subject::of("tailscale").way("people alone", json!({ "policy_groups": false })),
        Subject::of("cloudflare").limits(cloudflare_limits),
    ]
}

/// Connectors that have no simulated target: what they speak to is run for real by these tests, which play the kit.
pub const PLAYED_FOR_REAL: &[(&str, &str)] =
    &[("ldap", "connectors/tests/ldap"), ("sql", "connectors/tests/sql"), ("manual", "connectors/tests/manual")];

fn pagerduty_limits(_: Timestamp) -> Vec<RateLimit> {
    vec![RateLimit {
        name: "PagerDuty's 429",
        status: 429,
        headers: vec![
            ("ratelimit-limit", "960".to_owned()),
            ("ratelimit-remaining", "0".to_owned()),
            ("ratelimit-reset", "23".to_owned()),
        ],
        body: r#"{"error":{"message":"Rate Limit Exceeded","code":2020}}"#.to_owned(),
        seconds: 23,
    }]
}

fn gitlab_limits(now: Timestamp) -> Vec<RateLimit> {
    let form =
        |name, headers, seconds| RateLimit { name, status: 429, headers, body: "Retry later\n".to_owned(), seconds };
    let reset = now.as_second() + 41;
    let told = vec![
        ("ratelimit-limit", "2000".to_owned()),
        ("ratelimit-name", "throttle_authenticated_api".to_owned()),
        ("ratelimit-remaining", "0".to_owned()),
        ("ratelimit-reset", reset.to_string()),
    ];
    vec![form("GitLab's 429", told, 41), form("GitLab's 429 without headers", Vec::new(), 60)]
}

fn sentry_limits(now: Timestamp) -> Vec<RateLimit> {
    let told = |remaining: &str, seconds: i64| {
        vec![
            ("x-sentry-rate-limit-limit", "40".to_owned()),
            ("x-sentry-rate-limit-remaining", remaining.to_owned()),
            ("x-sentry-rate-limit-reset", (now.as_second() + seconds).to_string()),
        ]
    };
    let form =
        |name, headers, body: &str, seconds| RateLimit { name, status: 429, headers, body: body.to_owned(), seconds };
    vec![
        form(
            "Sentry's 429",
            told("0", 3),
            r#"{"detail":"You are attempting to use this endpoint too frequently. Limit is 40 requests in 1 seconds"}"#,
            3,
        ),
        form(
            "Sentry's 429 for calls at once",
            told("39", 1),
            r#"{"detail":"You are attempting to go above the allowed concurrency for this endpoint. Concurrency limit is 25"}"#,
            60,
        ),
    ]
}

fn terraform_limits(_: Timestamp) -> Vec<RateLimit> {
    vec![RateLimit {
        name: "HCP Terraform's 429, in fractions of seconds",
        status: 429,
        headers: vec![
            ("x-ratelimit-limit", "30".to_owned()),
            ("x-ratelimit-remaining", "0".to_owned()),
            ("x-ratelimit-reset", "6.250".to_owned()),
        ],
        body: r#"{"errors":[{"detail":"You have exceeded the API's rate limit.","status":429,"title":"Too many requests"}]}"#
            .to_owned(),
        seconds: 7,
    }]
}

fn cloudflare_limits(_: Timestamp) -> Vec<RateLimit> {
    vec![RateLimit {
        name: "Cloudflare's 429, for five minutes",
        status: 429,
        headers: vec![("retry-after", "300".to_owned())],
        body: r#"{"result":null,"success":false,"errors":[{"code":971,"message":"Please wait and consider throttling your request speed"}],"messages":[]}"#
            .to_owned(),
        seconds: 300,
    }]
}

fn buildkite_limits(_: Timestamp) -> Vec<RateLimit> {
    vec![
        RateLimit {
            name: "Buildkite's 429 for the user",
            status: 429,
            headers: vec![
                ("ratelimit-scope", "rest".to_owned()),
                ("ratelimit-limit", "200".to_owned()),
                ("ratelimit-remaining", "120".to_owned()),
                ("ratelimit-reset", "9".to_owned()),
                ("ratelimit-user-scope", "rest_user".to_owned()),
                ("ratelimit-user-limit", "50".to_owned()),
                ("ratelimit-user-remaining", "0".to_owned()),
                ("ratelimit-user-reset", "42".to_owned()),
            ],
            body: r#"{"message":"You have exceeded your API rate limit. Please wait 42 seconds before making more requests.","scope":"rest_user","limit":50,"current":55,"reset":42}"#.to_owned(),
            seconds: 42,
        },
        RateLimit {
            name: "Buildkite's GraphQL 429",
            status: 429,
            headers: Vec::new(),
            body: r#"{"errors":[{"message":"You have exceeded your per-user limit of 5000 complexity points. Please try again in 187 seconds."}]}"#.to_owned(),
            seconds: 187,
        },
    ]
}

fn github_limits(now: Timestamp) -> Vec<RateLimit> {
    let reset = now + SignedDuration::from_secs(600);
    let primary = |name, status| RateLimit {
        name,
        status,
        headers: vec![
            ("x-ratelimit-limit", "5000".to_owned()),
            ("x-ratelimit-remaining", "0".to_owned()),
            ("x-ratelimit-reset", reset.as_second().to_string()),
            ("x-ratelimit-resource", "core".to_owned()),
        ],
        body: r#"{"message":"API rate limit exceeded for user ID 1."}"#.to_owned(),
        seconds: 600,
    };
    vec![
        primary("GitHub's primary limit, 403", 403),
        primary("GitHub's primary limit, 429", 429),
        RateLimit {
            name: "GitHub's secondary limit with retry-after",
            status: 403,
            headers: vec![("retry-after", "73".to_owned())],
            body: r#"{"message":"You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}"#.to_owned(),
            seconds: 73,
        },
        RateLimit {
            name: "GitHub's secondary limit without retry-after",
            status: 403,
            headers: Vec::new(),
            body: r#"{"message":"You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}"#.to_owned(),
            seconds: 60,
        },
    ]
}

fn linear_limits(now: Timestamp) -> Vec<RateLimit> {
    const BODY: &str =
        r#"{"errors":[{"message":"Rate limit exceeded","extensions":{"type":"ratelimited","code":"RATELIMITED"}}]}"#;
    let used_up = |remaining, reset, seconds: i64| {
        vec![(remaining, "0".to_owned()), (reset, (now.as_millisecond() + seconds * 1_000).to_string())]
    };
    let requests = |seconds| used_up("x-ratelimit-requests-remaining", "x-ratelimit-requests-reset", seconds);
    let points = |seconds| used_up("x-ratelimit-complexity-remaining", "x-ratelimit-complexity-reset", seconds);
    let form = |name, status, headers, seconds| RateLimit { name, status, headers, body: BODY.to_owned(), seconds };
    vec![
        form("Linear's 400 that is a rate limit", 400, requests(90), 90),
        form("Linear's 429", 429, requests(120), 120),
        form("Linear's 200 with an error that is a rate limit", 200, Vec::new(), 60),
        form(
            "Linear's complexity, used up for longer than the requests",
            400,
            [requests(30), points(200)].concat(),
            200,
        ),
    ]
}

fn datadog_limits(_: Timestamp) -> Vec<RateLimit> {
    vec![RateLimit {
        name: "Datadog's 429",
        status: 429,
        headers: vec![
            ("x-ratelimit-limit", "600".to_owned()),
            ("x-ratelimit-period", "60".to_owned()),
            ("x-ratelimit-remaining", "0".to_owned()),
            ("x-ratelimit-reset", "37".to_owned()),
        ],
        body: r#"{"errors":["Rate limit exceeded"]}"#.to_owned(),
        seconds: 37,
    }]
}

fn slack_limits(_: Timestamp) -> Vec<RateLimit> {
    vec![RateLimit {
        name: "Slack's 429",
        status: 429,
        headers: vec![("retry-after", "30".to_owned())],
        body: r#"{"ok":false,"error":"ratelimited"}"#.to_owned(),
        seconds: 30,
    }]
}
