//! An OpenID Connect provider as far as a client sees one: it answers on a loopback port, checks what it is asked as RFC 6749,
//! RFC 7636 and OpenID Connect Core say, and says what the test has it say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use axum::extract::{Form, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use gateway::clock::Clock;
use gateway::config::Overrides;
use http::{HeaderMap, StatusCode};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use crate::browser::Browser;
use crate::common::Reply;

pub(crate) const CLIENT: &str = "gate:1";
pub(crate) const SECRET: &str = "canary of the client/+ secret";
pub(crate) const PUBLIC: &str = "http://127.0.0.1:8080";

/// A key pair of the provider.
struct Key {
    pkcs8: Vec<u8>,
    jwk: Value,
}

fn key(kid: &str) -> Key {
    let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
    let pkcs8 = pair.as_ref().to_vec();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8).unwrap();
    let point = pair.public_key().as_ref();
    let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..65]));
    let jwk = json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid, "x": x, "y": y});
    Key { pkcs8, jwk }
}

/// How the ID token is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Signed,
    /// `alg` is `none`, and there is no signature.
    Unsigned,
    /// HS256 under the public key, as anybody could.
    PublicKeyAsSecret,
    /// HS256 under the client's secret.
    ClientSecretAsSecret,
    /// By a key that is not the provider's, under its name.
    Forged,
    /// The right signature, of other claims.
    Altered,
    /// Signed, with an extension that is critical.
    Critical,
}

pub(crate) struct Script {
    /// What the ID token says beside the usual, over it where it is the same; null takes a claim away.
    pub(crate) claims: Value,
    /// What the userinfo endpoint says.
    pub(crate) userinfo: Value,
    pub(crate) manner: Manner,
    /// What the discovery document says beside the usual.
    pub(crate) discovery: Value,
    /// The token endpoint answers so instead.
    pub(crate) token_answer: Option<(u16, Value)>,
    /// Everything is answered 503.
    pub(crate) down: bool,
    /// How often each place was asked.
    pub(crate) asked: BTreeMap<&'static str, usize>,
    codes: BTreeMap<String, BTreeMap<String, String>>,
    spent: BTreeSet<String>,
    key: Key,
    clock: Clock,
}

#[derive(Clone)]
pub(crate) struct Provider {
    pub(crate) issuer: String,
    script: Arc<Mutex<Script>>,
    _server: Arc<Server>,
}

struct Server(tokio::task::JoinHandle<()>);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.abort();
    }
}

type At = State<(String, Arc<Mutex<Script>>)>;

impl Provider {
    pub(crate) async fn start(clock: Clock) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        // A path, and a slash at its end, as some have it.
        let issuer = format!("http://{}/tenant/", listener.local_addr().unwrap());
        let script = Arc::new(Mutex::new(Script {
            claims: json!({}),
            userinfo: json!({}),
            manner: Manner::Signed,
            discovery: json!({}),
            token_answer: None,
            down: false,
            asked: BTreeMap::new(),
            codes: BTreeMap::new(),
            spent: BTreeSet::new(),
            key: key("k1"),
            clock,
        }));
        let router = Router::new()
            .route("/tenant/.well-known/openid-configuration", get(discovery))
            .route("/tenant/keys", get(keys))
            .route("/tenant/token", post(token))
            .route("/tenant/userinfo", get(userinfo))
            .with_state((issuer.clone(), Arc::clone(&script)));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { issuer, script, _server: Arc::new(Server(server)) }
    }

    pub(crate) fn settings(&self) -> Overrides {
        Overrides {
            public_url: Some(PUBLIC.to_owned()),
            oidc_issuer: Some(self.issuer.clone()),
            oidc_client_id: Some(CLIENT.to_owned()),
            oidc_client_secret: Some(SECRET.to_owned().into()),
            oidc_name: Some("Example ID".to_owned()),
            ..Overrides::default()
        }
    }

    pub(crate) fn set(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script.lock().unwrap());
    }

    /// What it says of who signs in next.
    pub(crate) fn says(&self, claims: Value) {
        self.set(|script| script.claims = claims);
    }

    pub(crate) fn asked(&self, place: &str) -> usize {
        self.script.lock().unwrap().asked.get(place).copied().unwrap_or(0)
    }

    /// Another key signs from now on.
    pub(crate) fn rotate(&self, kid: &str) {
        self.set(|script| script.key = key(kid));
    }

    /// What a person does there: signs in, and is sent back. The address that the browser goes to.
    pub(crate) fn approve(&self, sent: &Url) -> String {
        let asked: BTreeMap<String, String> = sent.query_pairs().into_owned().collect();
        assert_eq!((asked["response_type"].as_str(), asked["client_id"].as_str()), ("code", CLIENT));
        assert_eq!((asked["code_challenge_method"].as_str(), asked["code_challenge"].len()), ("S256", 43));
        assert!(asked["scope"].split(' ').any(|scope| scope == "openid"), "{}", asked["scope"]);
        assert_eq!(asked["redirect_uri"], format!("{PUBLIC}/console/sign-in/provider/answer"));
        let mut script = self.script.lock().unwrap();
        let code = format!("code-{}", script.codes.len());
        let state = asked["state"].clone();
        script.codes.insert(code.clone(), asked);
        format!("/console/sign-in/provider/answer?code={code}&state={state}")
    }

    /// The whole way of a person who begins on the console's page and signs in at the provider; the last answer.
    pub(crate) async fn through(&self, browser: &Browser) -> Reply {
        let sent = self.sent(browser).await;
        browser.send("GET", &self.approve(&sent), &[("sec-fetch-site", "cross-site")], String::new()).await
    }

    /// Where the console's page sends a browser.
    pub(crate) async fn sent(&self, browser: &Browser) -> Url {
        let page = browser.get("/console/sign-in").await.expect(200);
        let links = page.links();
        let link = links.iter().find(|link| link.starts_with("/console/sign-in/provider")).unwrap();
        let sent = browser.get(link).await.expect(303);
        sent.header("location").parse().unwrap()
    }
}

fn arrived(script: &mut Script, place: &'static str) -> Result<(), (StatusCode, Json<Value>)> {
    *script.asked.entry(place).or_default() += 1;
    if script.down { Err((StatusCode::SERVICE_UNAVAILABLE, Json(json!({})))) } else { Ok(()) }
}

type Said = Result<Json<Value>, (StatusCode, Json<Value>)>;

async fn discovery(State((issuer, script)): At) -> Said {
    let mut script = script.lock().unwrap();
    arrived(&mut script, "discovery")?;
    let mut said = json!({
        "issuer": issuer, "authorization_endpoint": format!("{issuer}authorize?kept=1"),
        "token_endpoint": format!("{issuer}token"), "userinfo_endpoint": format!("{issuer}userinfo"),
        "jwks_uri": format!("{issuer}keys"),
    });
    merge(&mut said, &script.discovery);
    Ok(Json(said))
}

fn merge(to: &mut Value, more: &Value) {
    for (name, value) in more.as_object().unwrap() {
        if value.is_null() {
            to.as_object_mut().unwrap().remove(name);
        } else {
            to[name] = value.clone();
        }
    }
}

async fn keys(State((_, script)): At) -> Said {
    let mut script = script.lock().unwrap();
    arrived(&mut script, "keys")?;
    // Keys of kinds that no client has to know stand beside it.
    let odd = json!({"kty": "oct", "k": "c2VjcmV0", "kid": "shared"});
    Ok(Json(json!({"keys": [{"kty": "AKP", "alg": "ML-DSA-44", "kid": "new"}, odd, script.key.jwk]})))
}

async fn token(State((issuer, script)): At, headers: HeaderMap, Form(form): Form<BTreeMap<String, String>>) -> Said {
    let mut script = script.lock().unwrap();
    arrived(&mut script, "token")?;
    if let Some((status, answer)) = script.token_answer.clone() {
        let status = StatusCode::from_u16(status).unwrap();
        return if status == StatusCode::OK { Ok(Json(answer)) } else { Err((status, Json(answer))) };
    }
    let bad = |error: &str| (StatusCode::BAD_REQUEST, Json(json!({"error": error})));
    let post = script.discovery["token_endpoint_auth_methods_supported"] == json!(["client_secret_post"]);
    let known = if post {
        !headers.contains_key("authorization") && form.get("client_secret").is_some_and(|secret| secret == SECRET)
    } else {
        // RFC 6749 section 2.3.1: escaped as in a form, then joined.
        let escaped = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let basic = format!("Basic {}", STANDARD.encode(format!("{}:{}", escaped(CLIENT), escaped(SECRET))));
        headers.get("authorization").is_some_and(|value| value == basic.as_str())
    };
    if !known {
        return Err((StatusCode::UNAUTHORIZED, Json(json!({"error": "invalid_client"}))));
    }
    let code = form.get("code").cloned().unwrap_or_default();
    let Some(asked) = script.codes.get(&code).cloned() else { return Err(bad("invalid_grant")) };
    let verifier = form.get("code_verifier").cloned().unwrap_or_default();
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier));
    let right = form.get("grant_type").is_some_and(|kind| kind == "authorization_code")
        && form.get("redirect_uri") == asked.get("redirect_uri")
        && (43..=128).contains(&verifier.len())
        && asked.get("code_challenge") == Some(&challenge);
    if !right || !script.spent.insert(code) {
        return Err(bad("invalid_grant"));
    }
    let now = script.clock.now().as_second();
    let mut claims = json!({
        "iss": issuer, "aud": CLIENT, "sub": "u1", "exp": now + 300, "iat": now, "nonce": asked["nonce"],
        "email": "ada@example.com", "email_verified": true, "name": "Ada Lovelace",
    });
    merge(&mut claims, &script.claims);
    let id_token = written(&script, &claims);
    Ok(Json(json!({"id_token": id_token, "access_token": "access-canary", "token_type": "Bearer"})))
}

fn written(script: &Script, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let kid = script.key.jwk["kid"].as_str().unwrap();
    let signed = |pkcs8: &[u8], claims: &Value| {
        let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, claims, &EncodingKey::from_ec_der(pkcs8)).unwrap()
    };
    let hmac = |secret: &str| {
        let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::HS256) };
        jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
    };
    match script.manner {
        Manner::Signed => signed(&script.key.pkcs8, claims),
        Manner::Unsigned => format!("{}.{}.", part(&json!({"alg": "none", "kid": kid})), part(claims)),
        Manner::PublicKeyAsSecret => hmac(&script.key.jwk.to_string()),
        Manner::ClientSecretAsSecret => hmac(SECRET),
        Manner::Forged => signed(&key(kid).pkcs8, claims),
        Manner::Altered => {
            let other = signed(&script.key.pkcs8, &json!({}));
            let parts: Vec<&str> = other.split('.').collect();
            format!("{}.{}.{}", parts[0], part(claims), parts[2])
        }
        Manner::Critical => {
            let header = part(&json!({"alg": "ES256", "kid": kid, "crit": ["b64"], "b64": true}));
            let message = format!("{header}.{}", part(claims));
            let secret = EncodingKey::from_ec_der(&script.key.pkcs8);
            let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &secret, Algorithm::ES256).unwrap();
            format!("{message}.{signature}")
        }
    }
}

async fn userinfo(State((_, script)): At, headers: HeaderMap) -> Said {
    let mut script = script.lock().unwrap();
    arrived(&mut script, "userinfo")?;
    if headers.get("authorization").is_none_or(|value| value != "Bearer access-canary") {
        return Err((StatusCode::UNAUTHORIZED, Json(json!({"error": "invalid_token"}))));
    }
    let mut said = json!({"sub": script.claims.get("sub").cloned().unwrap_or_else(|| json!("u1"))});
    merge(&mut said, &script.userinfo);
    Ok(Json(said))
}
