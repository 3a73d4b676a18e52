//! Sign-in to the console through a real OpenID Connect provider: canaille, started by the test, with its own pages filled
//! in as a person does.

#![expect(clippy::panic, reason = "a test reports by failing")]

use std::collections::BTreeMap;

use http::Method;
use serde_json::Value;
use tests::http_client::{self, Answer};
use tests::party::{Party, free_port, program, run};
use tests::{Db, Gateway};
use url::Url;
use url::form_urlencoded::Serializer;

const PASSWORD: &str = "correct-horse-battery";
const CLIENT: &str = "console";
const SECRET: &str = "third-party/secret+";

/// A browser without script: cookies by origin, links and forms.
struct Browser {
    client: reqwest::Client,
    cookies: BTreeMap<(String, String), String>,
    here: Url,
}

impl Browser {
    fn new(start: &str) -> Self {
        Self { client: http_client::client(), cookies: BTreeMap::new(), here: url(start) }
    }

    async fn send(&mut self, method: Method, to: Url, form: Option<String>) -> Answer {
        let origin = to.origin().ascii_serialization();
        let mine = self.cookies.iter().filter(|((of, _), _)| *of == origin);
        let cookies: Vec<String> = mine.map(|((_, name), value)| format!("{name}={value}")).collect();
        let (cookies, from) = (cookies.join("; "), self.here.origin().ascii_serialization());
        let mut headers = vec![("cookie", cookies.as_str()), ("accept", "text/html")];
        if form.is_some() {
            headers.extend([("content-type", "application/x-www-form-urlencoded"), ("origin", from.as_str())]);
        }
        let answer = http_client::send(&self.client, method, to.as_str(), &headers, form).await;
        let answer = answer.unwrap_or_else(|error| panic!("{to}: {error}"));
        for set in answer.headers.get_all("set-cookie") {
            let text = set.to_str().unwrap_or_else(|error| panic!("{error}"));
            let (name, value) = text.split(';').next().and_then(|pair| pair.split_once('=')).unwrap_or_default();
            let key = (origin.clone(), name.to_owned());
            if text.contains("Max-Age=0") {
                self.cookies.remove(&key);
            } else {
                self.cookies.insert(key, value.to_owned());
            }
        }
        self.here = to;
        answer
    }

    /// Goes where an answer leads, as long as it leads on.
    async fn follow(&mut self, mut answer: Answer) -> Answer {
        for _ in 0..10 {
            let refresh = answer.text.split("content=\"0;url=").nth(1).and_then(|rest| rest.split('"').next());
            let refresh = refresh.map(|to| to.replace("&amp;", "&"));
            let location = answer.header("location").map(str::to_owned).filter(|_| (300..400).contains(&answer.status));
            let Some(to) = location.or(refresh) else { return answer };
            let to = self.here.join(&to).unwrap_or_else(|error| panic!("{to}: {error}"));
            answer = self.send(Method::GET, to, None).await;
        }
        panic!("{} leads on and on", self.here)
    }

    async fn open(&mut self, path: &str) -> Answer {
        let to = self.here.join(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let answer = self.send(Method::GET, to, None).await;
        self.follow(answer).await
    }

    /// Sends the form of a page that has this field, filled in.
    async fn fill(&mut self, page: &Answer, action: Option<&str>, field: &str, value: &str) -> Answer {
        let forms = page.text.split("<form").skip(1).map(|rest| rest.split("</form>").next().unwrap_or_default());
        let form = forms.into_iter().find(|form| form.contains(&format!("name=\"{field}\"")));
        let form = form.unwrap_or_else(|| panic!("{} has no form with {field}: {}", self.here, page.text));
        let mut sent = Serializer::new(String::new());
        for input in form.split("<input").skip(1).map(|rest| rest.split('>').next().unwrap_or_default()) {
            match (attribute(input, "name"), attribute(input, "type").as_deref()) {
                (Some(name), _) if name == field => {}
                (Some(name), Some("hidden" | "text")) => {
                    sent.append_pair(&name, &attribute(input, "value").unwrap_or_default());
                }
                _ => {}
            }
        }
        let body = sent.append_pair(field, value).finish();
        let to = self.here.join(action.unwrap_or("")).unwrap_or_else(|error| panic!("{error}"));
        let answer = self.send(Method::POST, to, Some(body)).await;
        self.follow(answer).await
    }

    /// The whole way: from the console's page over the provider's two to where it ends.
    async fn sign_in(&mut self, console: &str, who: &str) -> Answer {
        self.here = url(console);
        let page = self.open("/console/settings").await;
        assert!(page.text.contains("/console/sign-in/provider?next="), "{}", page.text);
        let link = page.text.split("href=\"").find(|rest| rest.starts_with("/console/sign-in/provider"));
        let link = link.and_then(|rest| rest.split('"').next()).unwrap_or_else(|| panic!("no link: {}", page.text));
        let page = self.open(&link.replace("&amp;", "&")).await;
        let page = self.fill(&page, None, "login", who).await;
        self.fill(&page, None, "password", PASSWORD).await
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let rest = tag.split(&format!(" {name}=\"")).nth(1).or_else(|| tag.split(&format!("\n{name}=\"")).nth(1))?;
    Some(rest.split('"').next().unwrap_or_default().replace("&amp;", "&"))
}

fn url(text: &str) -> Url {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// canaille with a client for the console at `origin`, and two people, of whom Ada is in a group.
async fn canaille(test: &str, origin: &str) -> Option<Party> {
    let program = program(test, "canaille")?;
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let port = free_port();
    let config = format!(
        "SECRET_KEY = \"test\"\nSERVER_NAME = \"127.0.0.1:{port}\"\nPREFERRED_URL_SCHEME = \"http\"\n\
         [CANAILLE]\nNAME = \"Test\"\nDATABASE = \"sql\"\n\
         [CANAILLE_SQL]\nDATABASE_URI = \"sqlite:///canaille.sqlite\"\n"
    );
    std::fs::write(folder.path().join("canaille.toml"), config).unwrap_or_else(|error| panic!("{error}"));
    run(&program, &["install"], folder.path()).await;
    let back = format!("{origin}/console/sign-in/provider/answer");
    let mut client = vec!["create", "client", "--client-id", CLIENT, "--client-name", "scimgate"];
    client.extend(["--client-secret", SECRET, "--token-endpoint-auth-method", "client_secret_basic"]);
    client.extend(["--grant-types", "authorization_code", "--response-types", "code", "--redirect-uris", &back]);
    // Of a trusted domain, so that people are not asked for consent.
    client.extend(["--client-uri", origin]);
    client.extend(["openid", "profile", "email", "groups"].iter().flat_map(|scope| ["--scope", scope]));
    run(&program, &client, folder.path()).await;
    run(&program, &["set", "client", CLIENT, "--audience", CLIENT], folder.path()).await;
    for (who, name) in [("ada", "Ada Lovelace"), ("eve", "Eve Stranger")] {
        let email = format!("{who}@example.com");
        let mut user = vec!["create", "user", "--user-name", who, "--formatted-name", name, "--family-name", name];
        user.extend(["--emails", &email, "--password", PASSWORD]);
        run(&program, &user, folder.path()).await;
    }
    run(&program, &["create", "group", "--display-name", "platform", "--members", "ada"], folder.path()).await;
    Some(Party::start(&program, &["run", "--bind", &format!("127.0.0.1:{port}")], folder, port).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_at_canaille_and_a_stranger_does_not() {
    let listen = format!("127.0.0.1:{}", free_port());
    let origin = format!("http://{listen}");
    let Some(canaille) = canaille("a_person_signs_in_at_canaille_and_a_stranger_does_not", &origin).await else {
        return;
    };
    let issuer = format!("http://127.0.0.1:{}", canaille.port);
    let env = [
        ("SCIMGATE_LISTEN", listen.as_str()),
        ("SCIMGATE_PUBLIC_URL", &origin),
        ("SCIMGATE_OIDC_ISSUER", &issuer),
        ("SCIMGATE_OIDC_CLIENT_ID", CLIENT),
        ("SCIMGATE_OIDC_CLIENT_SECRET", SECRET),
        ("SCIMGATE_OIDC_NAME", "Canaille"),
        ("SCIMGATE_OIDC_SCOPES", "openid profile email groups"),
        ("SCIMGATE_OIDC_ROLE_CLAIM", "groups"),
        ("SCIMGATE_OIDC_ROLES", "platform=owner"),
    ];
    let gateway = Gateway::start_with(Db::Sqlite, &env).await;

    // Eve has an account there, is in no group, and canaille says of nobody that an address is verified.
    let mut eve = Browser::new(&origin);
    let page = eve.sign_in(&origin, "eve").await;
    assert_eq!(page.status, 403, "{}\n{}", page.text, gateway.log());
    assert!(page.text.contains("eve@example.com") && page.text.contains("is not verified"), "{}", page.text);
    assert!(eve.open("/console").await.text.contains("/console/sign-in/provider?next="));

    let mut ada = Browser::new(&origin);
    let page = ada.sign_in(&origin, "ada").await;
    assert_eq!(page.status, 200, "{}\n{}", page.text, gateway.log());
    assert!(ada.here.as_str().ends_with("/console/settings") && page.text.contains("Ada Lovelace"), "{}", page.text);
    assert!(page.text.contains("Owner"), "{}", page.text);
    let kept = ada.cookies.clone();

    let out = ada.fill(&page, Some("/console/sign-out"), "csrf", &csrf(&page)).await;
    assert!(out.text.contains("You are signed out here"), "{}", out.text);
    ada.cookies = kept;
    assert!(ada.open("/console").await.text.contains("/console/sign-in/provider?next="), "the session had not ended");

    let audit = gateway.admin().get("/audit").await;
    let acts: Vec<(&Value, &Value)> =
        audit["items"].as_array().into_iter().flatten().map(|one| (&one["act"], &one["target"])).collect();
    for (act, target) in [
        ("session.refused", "Eve Stranger"),
        ("member.create", "Ada Lovelace"),
        ("session.begin", "Ada Lovelace"),
        ("session.end", "Ada Lovelace"),
    ] {
        assert!(acts.iter().any(|(one, of)| *one == act && *of == target), "{act} {target}: {acts:?}");
    }
    let log = gateway.log();
    assert!(!log.contains(SECRET) && !log.contains("eyJ"), "{log}");
}

fn csrf(page: &Answer) -> String {
    let input = page.text.split("<input").find(|rest| rest.contains("name=\"csrf\""));
    input.and_then(|input| attribute(input, "value")).unwrap_or_else(|| panic!("no form: {}", page.text))
}
