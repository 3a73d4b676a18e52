//! SCIM servers that others wrote, started by the test that needs them: scim2-server and canaille.

use std::path::Path;

use http::Method;
use serde_json::{Value, json};

use crate::http_client;
use crate::party::{Party, free_port, program, run};

/// The token of servers that take one as they start.
const TOKEN: &str = "third-party-token";

/// A running server, and how one speaks to it.
#[derive(Debug)]
pub struct ScimServer {
    /// Its name.
    pub title: &'static str,
    /// Its base URL.
    pub base: String,
    /// What an instance of the connector `scim` is set to for it.
    pub settings: Value,
    /// The secrets of such an instance, by name.
    pub secrets: Value,
    /// The user name of an account that stands in its groups, for a server whose groups are never empty.
    pub placeholder: Option<&'static str>,
    token: String,
    client: reqwest::Client,
    // Ends with this.
    _party: Party,
}

impl ScimServer {
    /// scim2-server, which says that it can do what `config` holds; `None` where it is not installed.
    ///
    /// # Panics
    /// If it is there and does not start.
    pub async fn scim2_server(test: &str, config: Option<Value>) -> Option<Self> {
        let program = program(test, "scim2-server")?;
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let port = free_port();
        let mut args = vec!["--port".to_owned(), port.to_string(), "--bearer-token".to_owned(), TOKEN.to_owned()];
        if let Some(config) = &config {
            std::fs::write(folder.path().join("config.json"), config.to_string()).expect("it can be written");
            args.extend(["--service-provider-config".to_owned(), "config.json".to_owned()]);
        }
        let party = Party::start(&program, &args, folder, port).await;
        let base = format!("http://127.0.0.1:{port}/v2");
        Some(Self {
            title: "scim2-server",
            settings: json!({ "base_url": base }),
            secrets: json!({ "token": TOKEN }),
            placeholder: None,
            base,
            token: TOKEN.to_owned(),
            client: http_client::client(),
            _party: party,
        })
    }

    /// canaille on a database of its own, with a client that gets its tokens by client credentials; `None` where it is
    /// not installed.
    ///
    /// # Panics
    /// If it is there and does not start.
    pub async fn canaille(test: &str) -> Option<Self> {
        let program = program(test, "canaille")?;
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let port = free_port();
        let config = "SECRET_KEY = \"test\"\n[CANAILLE]\nNAME = \"Test\"\nDATABASE = \"sql\"\n\
                      [CANAILLE_SQL]\nDATABASE_URI = \"sqlite:///canaille.sqlite\"\n";
        std::fs::write(folder.path().join("canaille.toml"), config).expect("it can be written");
        run(&program, &["install"], folder.path()).await;
        let client = [
            "create",
            "client",
            "--client-id",
            "scimgate",
            "--client-name",
            "scimgate",
            "--client-secret",
            "third-party-secret",
            "--token-endpoint-auth-method",
            "client_secret_basic",
            "--grant-types",
            "client_credentials",
            "--scope",
            "openid",
        ];
        run(&program, &client, folder.path()).await;
        placeholder(&program, folder.path()).await;
        let party = Party::start(&program, &["run", "--bind", &format!("127.0.0.1:{port}")], folder, port).await;
        let origin = format!("http://127.0.0.1:{port}");
        let base = format!("{origin}/scim/v2");
        let settings = json!({
            "base_url": base, "auth": "oauth2", "token_url": format!("{origin}/oauth/token"),
            "client_id": "scimgate", "page_size": 0, "look_before_create": true, "patch": "no", "member_value": "user_name",
            "placeholder_member": "placeholder",
        });
        let client = http_client::client();
        let token = token(&client, &origin).await;
        Some(Self {
            title: "canaille",
            base,
            settings,
            secrets: json!({ "client_secret": "third-party-secret" }),
            placeholder: Some("placeholder"),
            token,
            client,
            _party: party,
        })
    }

    /// One call of the server's own API, by no connector; `path` begins with a slash.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn call(&self, method: Method, path: &str) -> http_client::Answer {
        let bearer = format!("Bearer {}", self.token);
        let url = format!("{}{path}", self.base);
        let answer = http_client::send(&self.client, method, &url, &[("authorization", &bearer)], None).await;
        answer.unwrap_or_else(|error| panic!("{}: {error}", self.title))
    }

    /// A resource, by the server's own API.
    ///
    /// # Panics
    /// If it is not there.
    pub async fn get(&self, path: &str) -> Value {
        self.call(Method::GET, path).await.expect(200)
    }

    /// Every resource at an endpoint (`/Users`), page by page.
    ///
    /// # Panics
    /// If they cannot be listed, or not to the end.
    pub async fn all(&self, endpoint: &str) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            let page = self.get(&format!("{endpoint}?startIndex={}", all.len() + 1)).await;
            let items = page["Resources"].as_array().cloned().unwrap_or_default();
            let (none, total) = (items.is_empty(), page["totalResults"].as_u64().unwrap_or_default());
            all.extend(items);
            if all.len() as u64 >= total {
                return all;
            }
            assert!(!none, "{}: {endpoint} ends before its {total} resources", self.title);
        }
    }
}

/// Makes the account that stands in canaille's groups, which may not be empty.
async fn placeholder(program: &Path, folder: &Path) {
    let args = [
        "create",
        "user",
        "--user-name",
        "placeholder",
        "--formatted-name",
        "Placeholder",
        "--family-name",
        "Placeholder",
        "--display-name",
        "Placeholder",
        "--emails",
        "placeholder@example.com",
    ];
    run(program, &args, folder).await;
}

async fn token(client: &reqwest::Client, origin: &str) -> String {
    // "scimgate:third-party-secret"
    let basic = "Basic c2NpbWdhdGU6dGhpcmQtcGFydHktc2VjcmV0";
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("authorization", basic)];
    let body = Some("grant_type=client_credentials".to_owned());
    let answer = http_client::send(client, Method::POST, &format!("{origin}/oauth/token"), &headers, body).await;
    let answer = answer.unwrap_or_else(|error| panic!("{error}")).expect(200);
    answer["access_token"].as_str().unwrap_or_else(|| panic!("no token in {answer}")).to_owned()
}
