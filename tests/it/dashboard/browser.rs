//! A headless Chromium, driven through chromedriver, for one test.
//!
//! If either is not installed the test reports it and passes, unless `SEATMETER_REQUIRE_BROWSER=1`
//! (CI).

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{LazyLock, Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use axum::http::Method;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use fantoccini::actions::{InputSource as _, KeyAction, KeyActions, MouseActions, PointerAction};
use fantoccini::elements::Element;
use fantoccini::error::CmdError;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::support::{is_required, patience, process_folder, unique};

/// How long the page usually takes at most to reach what a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs chromedriver as a child of a shell that ends it when its own standard input closes: with
/// this process, however it ends. chromedriver does not stop its browsers when it ends, so they are
/// signalled too.
const GUARD: &str = r#"trap '' INT; "$@" & pid=$!; read -r _
    kill $(cat /proc/$pid/task/*/children 2>/dev/null || pgrep -P $pid) $pid; wait $pid"#;

/// The shared browser, used by one test at a time: a test machine has few cores, and starting one
/// takes a second.
static CHROMIUM: Mutex<Option<Chromium>> = Mutex::new(None);

/// A browser window of one test. The next test gets a new one, without anything that this one has
/// stored.
pub(super) struct Browser {
    chromium: Chromium,
    /// Messages of the console that the test expects, such as that of a request that is refused.
    expected: Vec<&'static str>,
    turn: MutexGuard<'static, Option<Chromium>>,
}

/// How the window looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) scheme: &'static str,
}

/// A laptop's window.
pub(super) const LIGHT: Look = Look { width: 1280, height: 900, scheme: "light" };
/// The same in dark mode.
pub(super) const DARK: Look = Look { scheme: "dark", ..LIGHT };
/// A small phone.
pub(super) const PHONE: Look = Look { width: 360, height: 740, scheme: "light" };

/// A running browser and its driver.
struct Chromium {
    // Declared first, so that it ends before the runtime that its client needs.
    _driver: Driver,
    client: Client,
    downloads: PathBuf,
    runtime: Runtime,
}

struct Driver {
    guard: Child,
    stdin: Option<ChildStdin>,
    url: String,
}

impl Browser {
    /// Opens a window, or reports why there is none.
    pub(super) fn open(look: Look) -> Option<Self> {
        let missing =
            ["chromedriver", "chromium"].into_iter().find(|program| !is_installed(program));
        if let Some(program) = missing {
            let words = format!(
                "{program} is not installed (Debian: apt install chromium chromium-driver)"
            );
            assert!(
                !is_required("SEATMETER_REQUIRE_BROWSER"),
                "a browser is required here: {words}"
            );
            skip(&words);
            return None;
        }
        let mut turn = CHROMIUM.lock().unwrap_or_else(PoisonError::into_inner);
        // A failed test has not put it back: the next one starts a new browser.
        let chromium = turn.take().unwrap_or_else(Chromium::start);
        let browser = Self { chromium, expected: Vec::new(), turn };
        browser.begin_anew();
        browser.look(look);
        Some(browser)
    }

    /// Replaces all tabs by a new one, with empty storage, downloads and console.
    fn begin_anew(&self) {
        let client = &self.chromium.client;
        self.run(async {
            let before = client.windows().await?;
            let tab = client.new_window(true).await?;
            for window in before {
                client.switch_to_window(window).await?;
                client.close_window().await?;
            }
            client.switch_to_window(tab.handle).await
        });
        self.devtools(
            "Storage.clearDataForOrigin",
            json!({ "origin": "*", "storageTypes": "all" }),
        );
        let folder = &self.chromium.downloads;
        for entry in std::fs::read_dir(folder).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
        // A headless Chromium saves nothing until a download folder is set.
        self.devtools(
            "Browser.setDownloadBehavior",
            json!({ "behavior": "allow", "downloadPath": folder }),
        );
        self.console();
    }

    /// Sets the appearance of the window.
    pub(super) fn look(&self, Look { width, height, scheme }: Look) {
        let metrics = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500,
        });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics);
        let features = json!({
            "media": "", "features": [{ "name": "prefers-color-scheme", "value": scheme }],
        });
        self.devtools("Emulation.setEmulatedMedia", features);
    }

    /// Runs the script in every page that is opened from here on, before any of its own.
    pub(super) fn before_each_page(&self, script: &str) {
        self.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script }));
    }

    /// Emulates print layout at that width.
    pub(super) fn look_as_on_paper(&self, width: u32) {
        self.look(Look { width, ..LIGHT });
        self.devtools("Emulation.setEmulatedMedia", json!({ "media": "print" }));
    }

    /// Goes to an address and waits for its report.
    #[track_caller]
    pub(super) fn goto(&self, address: &str) {
        self.visit(address);
        self.settled();
    }

    /// Goes to an address that shows no report.
    #[track_caller]
    pub(super) fn visit(&self, address: &str) {
        self.run(self.chromium.client.goto(address));
    }

    /// Shows another report on the open page, like a link on it, without loading the page again.
    #[track_caller]
    pub(super) fn follow(&self, address: &str) {
        let followed = self.eval(&format!(
            "const to = new URL({}); if (to.origin !== location.origin || \
            !document.querySelector('.view')) return false; \
             history.pushState(null, '', to); dispatchEvent(new PopStateEvent('popstate')); return \
             true",
            json!(address),
        ));
        if followed == true { self.settled() } else { self.goto(address) }
    }

    /// Waits until no request is pending.
    #[track_caller]
    pub(super) fn settled(&self) {
        self.wait(
            "the report is there",
            "const view = document.querySelector('.view, .state'); \
             return Boolean(view) && !document.querySelector('.loading') && view.ariaBusy !== \
             'true'",
        );
    }

    /// Waits until every chart is drawn.
    #[track_caller]
    pub(super) fn drawn(&self) {
        self.wait(
            "the charts are drawn",
            "return [...document.querySelectorAll('.plot')].every((plot) => \
            plot.querySelector('.drawing'))",
        );
    }

    /// Goes back in the history.
    pub(super) fn back(&self) {
        self.run(self.chromium.client.back());
    }

    /// The current address.
    pub(super) fn address(&self) -> String {
        self.run(self.chromium.client.current_url()).to_string()
    }

    /// What the script returns.
    #[track_caller]
    pub(super) fn eval(&self, script: &str) -> Value {
        self.run(self.chromium.client.execute(script, Vec::new()))
    }

    /// The value that the script passes to the callback `arguments[0]`, possibly later.
    #[track_caller]
    pub(super) fn eval_async(&self, script: &str) -> Value {
        self.run(self.chromium.client.execute_async(script, Vec::new()))
    }

    /// Waits until the script returns something true, and returns that.
    #[track_caller]
    pub(super) fn wait(&self, what: &str, script: &str) -> Value {
        let deadline = Instant::now() + patience(PATIENCE);
        loop {
            let value = self.eval(script);
            if !matches!(value, Value::Null | Value::Bool(false)) {
                return value;
            }
            if Instant::now() > deadline {
                let shown = self.eval("return document.body.innerText");
                panic!(
                    "still not so: {what}; at {} the page shows:\n{}",
                    self.address(),
                    shown.as_str().unwrap_or("")
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the element shows exactly this text.
    #[track_caller]
    pub(super) fn wait_for_text(&self, selector: &str, text: &str) {
        let script = format!(
            "return document.querySelector({})?.innerText.trim() === {}",
            json!(selector),
            json!(text)
        );
        self.wait(&format!("{selector} shows {text:?}"), &script);
    }

    /// Waits until the page shows this text somewhere.
    #[track_caller]
    pub(super) fn wait_for_words(&self, text: &str) {
        self.wait(
            &format!("the page says {text:?}"),
            &format!("return document.body.innerText.includes({})", json!(text)),
        );
    }

    /// The text of the element, without what is hidden.
    #[track_caller]
    pub(super) fn text(&self, selector: &str) -> String {
        self.run(async { self.find(selector).await?.text().await }).trim().to_owned()
    }

    #[track_caller]
    pub(super) fn click(&self, selector: &str) {
        self.run(async { self.find(selector).await?.click().await });
    }

    /// Types into the focused element, or into the given one.
    #[track_caller]
    pub(super) fn type_into(&self, selector: &str, text: &str) {
        self.run(async { self.find(selector).await?.send_keys(text).await });
    }

    /// Presses the keys one by one in the focused element.
    #[track_caller]
    pub(super) fn press(&self, keys: &str) {
        let keyboard = KeyActions::new("keyboard".to_owned());
        let actions = keys.chars().fold(keyboard, |actions, value| {
            actions.then(KeyAction::Down { value }).then(KeyAction::Up { value })
        });
        self.run(self.chromium.client.perform_actions(actions));
    }

    /// Clears a field with the keyboard.
    #[track_caller]
    pub(super) fn clear(&self, selector: &str) {
        self.run(async { self.find(selector).await?.clear().await });
    }

    /// Moves the pointer over the element, to a position given as shares of its width and height.
    #[track_caller]
    pub(super) fn hover(&self, selector: &str, across: f64, down: f64) {
        let script = format!(
            "const plot = document.querySelector({}); plot.scrollIntoView({{ block: 'center' }}); \
             const box = plot.getBoundingClientRect(); \
             return [Math.round(box.left + box.width * {across}), Math.round(box.top + box.height \
             * {down})]",
            json!(selector),
        );
        let place: Vec<f64> = serde_json::from_value(self.eval(&script)).unwrap();
        let duration = Some(Duration::from_millis(20));
        let mouse = |x, y| PointerAction::MoveTo { duration, x, y };
        let actions = MouseActions::new("mouse".to_owned())
            .then(mouse(1.0, 1.0))
            .then(mouse(place[0], place[1]));
        self.run(self.chromium.client.perform_actions(actions));
    }

    /// The cells of a table's body, row by row, including those in closed `<details>`.
    #[track_caller]
    pub(super) fn table(&self, selector: &str) -> Vec<Vec<String>> {
        let script = format!(
            "return [...document.querySelectorAll({})].map((row) => [...row.cells].map((cell) => \
            cell.textContent.trim()))",
            json!(format!("{selector} tbody tr")),
        );
        serde_json::from_value(self.eval(&script)).unwrap()
    }

    /// Waits for a downloaded file of that name and some day, `NAME-YYYY-MM-DD.csv`, and reads it.
    #[track_caller]
    pub(super) fn download(&self, name: &str) -> String {
        let deadline = Instant::now() + patience(PATIENCE);
        loop {
            let folder = std::fs::read_dir(&self.chromium.downloads).unwrap();
            let saved: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
            let is_named = |path: &&PathBuf| {
                let file = path.file_name().and_then(|file| file.to_str());
                file.and_then(|file| {
                    file.strip_prefix(name)?.strip_prefix('-')?.strip_suffix(".csv")
                })
                .is_some_and(|day| day.parse::<chrono::NaiveDate>().is_ok())
            };
            if let Some(path) = saved.iter().find(is_named) {
                return std::fs::read_to_string(path).unwrap();
            }
            if Instant::now() > deadline {
                let said = self.eval("return document.querySelector('.notice')?.innerText ?? ''");
                panic!("no {name} was saved, but {saved:?}; the page says {said}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A screenshot of the whole page, PNG, with its layout in the window.
    pub(super) fn picture(&self) -> Vec<u8> {
        self.captured(json!({ "captureBeyondViewport": true }))
    }

    /// A screenshot of the window, PNG.
    pub(super) fn picture_of_window(&self) -> Vec<u8> {
        self.captured(json!({}))
    }

    fn captured(&self, parameters: Value) -> Vec<u8> {
        // The transitions of dialogs and focus are over by then.
        std::thread::sleep(Duration::from_millis(300));
        let picture = self.devtools("Page.captureScreenshot", parameters);
        BASE64_STANDARD.decode(picture["data"].as_str().unwrap()).unwrap()
    }

    /// The page as it is printed, PDF.
    pub(super) fn paper(&self) -> Vec<u8> {
        let paper = self.devtools("Page.printToPDF", json!({ "printBackground": true }));
        BASE64_STANDARD.decode(paper["data"].as_str().unwrap()).unwrap()
    }

    /// Allows this console message: the page handles a refused request, but Chromium reports it.
    pub(super) fn expect(&mut self, part: &'static str) {
        self.expected.push(part);
    }

    /// Fails on unexpected console messages: a script error, a missing file, a violation of the
    /// Content-Security-Policy. Every test ends with it.
    #[track_caller]
    pub(super) fn console_is_clean(self) {
        let said = self.console();
        let messages =
            said.as_array().unwrap().iter().filter_map(|entry| entry["message"].as_str());
        let bad: Vec<&str> = messages
            .filter(|message| !self.expected.iter().any(|expected| message.contains(expected)))
            .collect();
        assert!(bad.is_empty(), "the console says {bad:#?}");
        let Self { chromium, mut turn, .. } = self;
        *turn = Some(chromium);
    }

    /// Console messages since the last call.
    fn console(&self) -> Value {
        self.run(
            self.chromium
                .client
                .issue_cmd(Extension { path: "se/log", body: json!({ "type": "browser" }) }),
        )
    }

    /// Runs a command of Chromium's developer tools.
    fn devtools(&self, command: &str, parameters: Value) -> Value {
        let body = json!({ "cmd": command, "params": parameters });
        self.run(self.chromium.client.issue_cmd(Extension { path: "goog/cdp/execute", body }))
    }

    async fn find(&self, selector: &str) -> Result<Element, CmdError> {
        self.chromium
            .client
            .wait()
            .at_most(patience(PATIENCE))
            .for_element(Locator::Css(selector))
            .await
    }

    #[track_caller]
    fn run<T>(&self, command: impl Future<Output = Result<T, CmdError>>) -> T {
        match self.chromium.runtime.block_on(command) {
            Ok(value) => value,
            Err(error) => panic!("the browser refuses: {error}"),
        }
    }
}

impl Chromium {
    fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        // An earlier browser may still use its profile.
        static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| process_folder("browser"));
        let folder = FOLDER.join(unique("of"));
        let downloads = folder.join("downloads");
        std::fs::create_dir_all(&downloads).unwrap();
        let driver = Driver::start();
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities(&folder.join("profile")).as_object().unwrap().clone());
        let client = runtime.block_on(builder.connect(&driver.url)).unwrap();
        Self { _driver: driver, client, downloads, runtime }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.guard.wait();
    }
}

impl Driver {
    fn start() -> Self {
        let mut guard = Command::new("sh")
            .args(["-c", GUARD, "sh", "chromedriver", "--port=0"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdin = guard.stdin.take();
        let mut lines = BufReader::new(guard.stdout.take().unwrap()).lines();
        let started = lines
            .by_ref()
            .map_while(Result::ok)
            .find(|line| line.contains("started successfully on port"));
        // It goes on writing; a full pipe would block it.
        std::thread::spawn(move || lines.for_each(drop));
        let port = started
            .as_deref()
            .and_then(|line| line.trim_end_matches('.').rsplit(' ').next())
            .unwrap_or_default();
        Self { guard, stdin, url: format!("http://127.0.0.1:{port}") }
    }
}

/// A command that WebDriver's standard does not have.
#[derive(Debug)]
struct Extension {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Extension {
    fn endpoint(
        &self,
        base: &url::Url,
        session: Option<&str>,
    ) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &url::Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}

/// Reports a skipped test, bypassing the test harness, which hides the output of passing tests.
fn skip(why: &str) {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        let _ = writeln!(std::io::stderr(), "SKIPPED, the dashboard is not tested: {why}");
    });
}

fn is_installed(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|folder: PathBuf| folder.join(program).is_file())
}

fn capabilities(profile: &Path) -> Value {
    let profile = format!("--user-data-dir={}", profile.display());
    let arguments = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
        "--window-size=1280,900",
        &profile,
        "--lang=en-US",
    ];
    json!({
        "goog:loggingPrefs": { "browser": "ALL" },
        "goog:chromeOptions": { "args": arguments },
    })
}
