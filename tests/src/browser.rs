//! A real browser, Chromium, driven by its debugging protocol.
//!
//! The protocol runs over two pipes (`--remote-debugging-pipe`: it reads file descriptor 3 and writes 4, and a message ends
//! with a NUL): nothing listens on a port, and the browser ends by itself when the pipes close, so also when the test is
//! killed. Scripts are evaluated by the debugger, which the policy of a page (CSP) does not bind.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::{mpsc, oneshot};

use crate::env::setting;
use crate::wait_until;

/// How long the browser may take for anything; for a machine that compiles beside it.
const BOUND: Duration = Duration::from_secs(60);
/// Where Debian puts it; elsewhere it is looked for on the path.
const PLACES: [&str; 3] = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/// What stands for the system's own letters: a typeface as desks have one, where there is one.
const FONTS: &str = r#"<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>
<include ignore_missing="yes">/etc/fonts/fonts.conf</include>
<match target="pattern"><test qual="any" name="family"><string>system-ui</string></test>
<edit name="family" mode="prepend" binding="strong"><string>Inter</string><string>Noto Sans</string></edit>
</match></fontconfig>"#;

/// A width and height of a window, in CSS pixels.
pub type Size = (u32, u32);
/// A window on a desk.
pub const WIDE: Size = (1280, 800);
/// A small phone.
pub const NARROW: Size = (360, 740);

/// Whether tests in a browser can run here: the browser, and the file of axe-core that `tests/run` installed. Where nobody
/// installed it, says that the test is skipped.
///
/// # Panics
/// If `SCIMGATE_TEST_AXE` is set and something is not there.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
pub fn installed(test: &str) -> Option<(PathBuf, String)> {
    let Some(axe) = setting("SCIMGATE_TEST_AXE") else {
        eprintln!("skipped: {test}: no SCIMGATE_TEST_AXE, which tests/run sets");
        return None;
    };
    let axe = std::fs::read_to_string(&axe).unwrap_or_else(|error| panic!("SCIMGATE_TEST_AXE, {axe}: {error}"));
    Some((program().expect("Chromium is installed where SCIMGATE_TEST_AXE is set"), axe))
}

/// Where Chromium is.
pub fn program() -> Option<PathBuf> {
    PLACES.iter().map(PathBuf::from).find(|place| place.is_file())
}

/// What a page did that none should do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// `exception`, `console`, `dialog`, `crash`, or the browser's own word (`security`, `network`).
    pub kind: String,
    /// What was said.
    pub text: String,
    /// Of what, where that is known.
    pub url: String,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<HashMap<u64, oneshot::Sender<Value>>>,
    troubles: Mutex<Vec<Trouble>>,
}

/// A browser with one open tab. It is killed when this is dropped.
pub struct Browser {
    // Dropped before its profile: fields go in order.
    child: Child,
    to: mpsc::UnboundedSender<Value>,
    shared: Arc<Shared>,
    next: AtomicU64,
    session: String,
    profile: TempDir,
}

fn hold<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Browser {
    /// Starts it, headless, with a profile of its own in a temporary folder.
    ///
    /// # Panics
    /// If it does not start; shows what it said.
    pub async fn start(program: &Path) -> Self {
        let profile = tempfile::tempdir().expect("a temporary folder can be made");
        let log = profile.path().join("browser.log");
        let fonts = profile.path().join(".config/fontconfig");
        std::fs::create_dir_all(&fonts).expect("a temporary folder can be written");
        std::fs::write(fonts.join("fonts.conf"), FONTS).expect("a temporary folder can be written");
        let sink = std::fs::File::create(&log).expect("a temporary folder can be written");
        let mut command = Command::new("sh");
        // The shell only moves its pipes to where the browser looks for them, and becomes the browser.
        command.args(["-c", r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >&2"#]).arg(program).args([
            "--headless=new",
            "--remote-debugging-pipe",
            "--no-first-run",
            "--no-default-browser-check",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-extensions",
            "--disable-breakpad",
            "--hide-scrollbars",
            "--password-store=basic",
            "--lang=en-GB",
        ]);
        if std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
            command.arg("--no-sandbox");
        }
        command.arg(format!("--user-data-dir={}", profile.path().join("profile").display())).arg("about:blank");
        command.env_clear().env("HOME", profile.path()).env("TMPDIR", profile.path());
        command.env("TZ", "UTC").env("FONTCONFIG_FILE", fonts.join("fonts.conf"));
        if let Some(path) = setting("PATH") {
            command.env("PATH", path);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(sink).kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("could not start a shell: {error}"));
        let mut pipe = child.stdin.take().expect("stdin was asked for");
        let out = child.stdout.take().expect("stdout was asked for");
        let (to, mut asked) = mpsc::unbounded_channel::<Value>();
        tokio::spawn(async move {
            while let Some(message) = asked.recv().await {
                let mut bytes = message.to_string().into_bytes();
                bytes.push(0);
                if pipe.write_all(&bytes).await.is_err() {
                    break;
                }
            }
        });
        let shared = Arc::new(Shared::default());
        tokio::spawn(listen(out, Arc::clone(&shared), to.clone()));
        let mut browser = Self { child, to, shared, next: AtomicU64::new(1), session: String::new(), profile };
        let made = browser.call("Target.createTarget", json!({"url": "about:blank"})).await;
        let attached =
            browser.call("Target.attachToTarget", json!({"targetId": made["targetId"], "flatten": true})).await;
        browser.session = attached["sessionId"].as_str().expect("a tab has a session").to_owned();
        for domain in ["Page", "Runtime", "Log", "Network", "Inspector"] {
            browser.call(&format!("{domain}.enable"), json!({})).await;
        }
        browser.call("Emulation.setTimezoneOverride", json!({"timezoneId": "Europe/Berlin"})).await;
        browser.size(WIDE).await;
        browser
    }

    /// Its process.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Ends it, and waits until it is gone.
    pub async fn end(mut self) {
        self.child.kill().await.ok();
        drop(self.profile);
    }

    /// One command of the protocol.
    ///
    /// # Panics
    /// If it fails, or is not answered.
    pub async fn call(&self, method: &str, params: Value) -> Value {
        self.try_call(method, params).await.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    async fn try_call(&self, method: &str, params: Value) -> Result<Value, String> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (tell, told) = oneshot::channel();
        hold(&self.shared.waiting).insert(id, tell);
        let mut message = json!({"id": id, "method": method, "params": params});
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        self.to.send(message).map_err(|_| "the browser is gone".to_owned())?;
        let answer = tokio::time::timeout(BOUND, told)
            .await
            .map_err(|_| format!("no answer within {} s: {}", BOUND.as_secs(), self.log()))?
            .map_err(|_| format!("the browser ended: {}", self.log()))?;
        match answer.get("error") {
            Some(error) => Err(error.to_string()),
            None => Ok(answer["result"].clone()),
        }
    }

    fn log(&self) -> String {
        let text = std::fs::read(self.profile.path().join("browser.log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// What pages did since this was asked last that none should do.
    pub fn troubles(&self) -> Vec<Trouble> {
        std::mem::take(&mut *hold(&self.shared.troubles))
    }

    /// Sets the size of the window.
    pub async fn size(&self, (width, height): Size) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// The system's colours: dark or light.
    pub async fn dark(&self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": value}]});
        self.call("Emulation.setEmulatedMedia", features).await;
    }

    /// The value of an expression in the page; promises are waited for.
    ///
    /// # Panics
    /// If it throws.
    pub async fn eval(&self, script: &str) -> Value {
        let shown: String = script.chars().take(200).collect();
        self.try_eval(script).await.unwrap_or_else(|error| panic!("{shown}: {error}"))
    }

    async fn try_eval(&self, script: &str) -> Result<Value, String> {
        let params = json!({"expression": script, "awaitPromise": true, "returnByValue": true, "userGesture": true});
        let answer = self.try_call("Runtime.evaluate", params).await?;
        match answer.get("exceptionDetails") {
            Some(thrown) => Err(thrown.to_string()),
            None => Ok(answer["result"]["value"].clone()),
        }
    }

    /// Does something that leads to another page, and waits until that is there.
    async fn lead(&self, what: &str, act: impl AsyncFnOnce()) {
        let from = self.eval("performance.timeOrigin").await;
        act().await;
        // A page that is being left answers with an error, and one that leads on by itself is none: it has to stand still
        // between two looks.
        let there = "document.body !== null && !document.querySelector('meta[http-equiv=refresh]')
            && performance.getEntriesByType('navigation')[0]?.loadEventEnd > 0 && performance.timeOrigin";
        let mut before = from.clone();
        wait_until(&format!("{what} led to a page"), BOUND, async || {
            let now = self.try_eval(there).await.unwrap_or_default();
            let stands = now.is_number() && now != from && now == before;
            before = now;
            stands.then_some(())
        })
        .await;
    }

    /// Opens an address; answers its status.
    ///
    /// # Panics
    /// If it is no page.
    pub async fn open(&self, url: &str) -> u64 {
        self.lead(url, async || {
            let gone = self.call("Page.navigate", json!({"url": url})).await;
            assert!(gone.get("errorText").is_none(), "{url}: {gone}");
        })
        .await;
        self.status().await
    }

    /// The status that the page came with.
    pub async fn status(&self) -> u64 {
        self.eval("performance.getEntriesByType('navigation')[0].responseStatus").await.as_u64().unwrap_or_default()
    }

    /// Where it is.
    pub async fn address(&self) -> String {
        self.text_of("location.href").await
    }

    /// What a person reads on the page.
    pub async fn words(&self) -> String {
        self.text_of("document.body.innerText.replace(/\\s+/g, ' ')").await
    }

    /// The text of an expression.
    ///
    /// # Panics
    /// If it is no text.
    pub async fn text_of(&self, script: &str) -> String {
        let found = self.eval(script).await;
        found.as_str().unwrap_or_else(|| panic!("{script} is no text: {found}")).to_owned()
    }

    /// Clicks on a link or button by the text on it, with the mouse, and waits for the page it leads to.
    ///
    /// # Panics
    /// If there is none that can be seen and hit.
    pub async fn follow(&self, label: &str) {
        let place = self.place(label).await;
        self.lead(label, async || self.press(&place).await).await;
    }

    /// The same, where it leads nowhere: a box to tick, a summary to open.
    pub async fn click(&self, label: &str) {
        let place = self.place(label).await;
        self.press(&place).await;
    }

    /// Presses Enter in the field that is being typed into, and waits for the page that this leads to.
    pub async fn enter(&self) {
        self.lead("Enter", async || self.key("Enter", "\r").await).await;
    }

    /// Presses a key that types this.
    pub async fn key(&self, key: &str, text: &str) {
        let code = if key == "Enter" { 13 } else { 0 };
        let down = json!({"type": "keyDown", "key": key, "text": text, "windowsVirtualKeyCode": code});
        self.call("Input.dispatchKeyEvent", down).await;
        self.call("Input.dispatchKeyEvent", json!({"type": "keyUp", "key": key, "windowsVirtualKeyCode": code})).await;
    }

    async fn place(&self, label: &str) -> Value {
        let script = format!(
            "(() => {{
                const label = {};
                const all = [...document.querySelectorAll('main a, main button, main summary, main label, a, button, summary')];
                const seen = all.filter((one) => one.getClientRects().length > 0);
                const told = (one) => one.innerText.trim().replace(/\\s+/g, ' ');
                const found = seen.find((one) => told(one) === label) ?? seen.find((one) => told(one).startsWith(label));
                if (!found) return {{none: seen.map(told)}};
                found.scrollIntoView({{block: 'center', behavior: 'instant'}});
                const box = found.getClientRects()[0];
                const at = {{x: box.x + box.width / 2, y: box.y + box.height / 2}};
                const hit = document.elementFromPoint(at.x, at.y);
                return found.contains(hit) ? at : {{covered: hit?.outerHTML.slice(0, 200)}};
            }})()",
            json!(label)
        );
        let place = self.eval(&script).await;
        assert!(place["x"].is_number(), "{label:?} cannot be clicked at {}: {place}", self.address().await);
        place
    }

    async fn press(&self, place: &Value) {
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({"type": kind, "x": place["x"], "y": place["y"], "button": "left", "clickCount": 1});
            self.call("Input.dispatchMouseEvent", event).await;
        }
    }

    /// Types into the field of a label (or name), in place of what stands there; in a list, chooses what is shown so or
    /// has this value.
    ///
    /// # Panics
    /// If there is no such field.
    pub async fn fill(&self, label: &str, text: &str) {
        let script = format!(
            "(() => {{
                const [label, text] = {};
                const told = (one) => one.innerText.trim().replace(/\\s+/g, ' ');
                const all = [...document.querySelectorAll('label')].filter((one) => one.control);
                const of = all.find((one) => told(one) === label) ?? all.find((one) => told(one).startsWith(label));
                const field = of?.control ?? document.getElementsByName(label)[0];
                if (!field) return 'no such label among ' + all.map(told).join(' | ');
                for (let up = field.closest('details'); up; up = up.parentElement.closest('details')) up.open = true;
                field.focus();
                if (field.tagName === 'SELECT') {{
                    const option = [...field.options].find((one) => one.text.trim() === text || one.value === text);
                    if (!option) return 'no such choice among ' + [...field.options].map((one) => one.text).join(' | ');
                    field.value = option.value;
                    return 'chosen';
                }}
                field.select();
                return document.activeElement === field ? '' : 'cannot be focused';
            }})()",
            json!([label, text])
        );
        match self.text_of(&script).await.as_str() {
            "chosen" => {}
            "" if text.is_empty() => {
                self.eval("document.activeElement.value = ''").await;
            }
            "" => {
                self.call("Input.insertText", json!({"text": text})).await;
            }
            wrong => panic!("{label:?} cannot be filled in at {}: {wrong}", self.address().await),
        }
    }

    /// A picture of the whole page, no higher than `most` CSS pixels; `format` is `png` or `webp`.
    pub async fn picture(&self, most: u32, format: &str) -> Vec<u8> {
        let size = self.eval("[innerWidth, Math.ceil(document.documentElement.getBoundingClientRect().height)]").await;
        let height = size[1].as_u64().unwrap_or_default().clamp(1, most.into());
        let clip = json!({"x": 0, "y": 0, "width": size[0], "height": height, "scale": 1});
        let mut shot = json!({"format": format, "captureBeyondViewport": true, "clip": clip});
        if format == "webp" {
            shot["quality"] = json!(82);
        }
        let taken = self.call("Page.captureScreenshot", shot).await;
        BASE64_STANDARD.decode(taken["data"].as_str().unwrap_or_default()).expect("a picture comes as base64")
    }
}

/// Reads what the browser says: answers go to who asked, and what a page should not do is kept.
async fn listen(out: ChildStdout, shared: Arc<Shared>, to: mpsc::UnboundedSender<Value>) {
    let mut reader = BufReader::new(out);
    let mut bytes = Vec::new();
    // Bounded: what it says is a page's doing in part.
    while let Ok(1..) = (&mut reader).take(1 << 28).read_until(0, &mut bytes).await {
        let message: Value = serde_json::from_slice(bytes.strip_suffix(&[0]).unwrap_or(&bytes)).unwrap_or_default();
        bytes.clear();
        if let Some(id) = message["id"].as_u64() {
            let waiting = hold(&shared.waiting).remove(&id);
            if let Some(waiting) = waiting {
                waiting.send(message).ok();
            }
            continue;
        }
        let params = &message["params"];
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let (kind, said, url) = match message["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" => {
                let details = &params["exceptionDetails"];
                ("exception".to_owned(), text(&details["exception"]["description"]), text(&details["url"]))
            }
            "Runtime.consoleAPICalled" if matches!(params["type"].as_str(), Some("error" | "warning" | "assert")) => {
                ("console".to_owned(), params["args"].to_string(), String::new())
            }
            "Log.entryAdded" if params["entry"]["level"] == "error" => {
                let entry = &params["entry"];
                (text(&entry["source"]), text(&entry["text"]), text(&entry["url"]))
            }
            "Page.javascriptDialogOpening" => {
                let closed = json!({"accept": false});
                let close = json!({"id": 0, "method": "Page.handleJavaScriptDialog", "params": closed, "sessionId": message["sessionId"]});
                to.send(close).ok();
                ("dialog".to_owned(), text(&params["message"]), text(&params["url"]))
            }
            "Inspector.targetCrashed" => ("crash".to_owned(), "the page crashed".to_owned(), String::new()),
            _ => continue,
        };
        hold(&shared.troubles).push(Trouble { kind, text: said, url });
    }
    hold(&shared.waiting).clear();
}
