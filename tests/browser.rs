//! A Chromium without a window, for the tests of what people see. It is driven as a person does it: looked at until something is there, typed
//! into, pressed. It is started by the test, and gone with it.

use std::{
    collections::BTreeSet,
    env, fmt, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::{
    By, ChromeCapabilities, ChromiumLikeCapabilities, LoggingPrefsLogLevel, WebDriver, WebElement,
    error::{WebDriverError, WebDriverErrorInner, WebDriverResult},
};

/// How long to wait for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often to look whether it is there.
const LOOK: Duration = Duration::from_millis(50);

/// The folder that [`Browser::look`] puts pictures into.
const SCREENSHOTS: &str = "TELEPHONY_SCREENSHOTS";

/// The first that is seen of those that a selector matches.
const SHOWN: &str = "const shown = (css) =>
    [...document.querySelectorAll(css)].find((it) => it.checkVisibility({ visibilityProperty: true })) ?? null;";

/// How much of a page is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// As on a desk: 1280 x 900.
    Wide,
    /// As on a telephone: 390 x 844.
    Narrow,
}

impl Size {
    /// Width and height of the view, in CSS pixels.
    #[must_use]
    pub const fn pixels(self) -> (u32, u32) {
        match self {
            Self::Wide => (1280, 900),
            Self::Narrow => (390, 844),
        }
    }
}

/// The colours that somebody prefers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

impl Scheme {
    const fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// A rule of accessibility that a page breaks.
#[derive(Clone, Debug)]
pub struct Violation {
    /// What axe-core calls the rule.
    pub rule: String,
    /// How bad it is: `minor`, `moderate`, `serious` or `critical`.
    pub impact: String,
    /// What is asked for.
    pub help: String,
    /// The HTML of each element that breaks it, and why.
    pub elements: Vec<String>,
}

impl Violation {
    /// Whether somebody is kept from using the page by it.
    #[must_use]
    pub fn is_grave(&self) -> bool {
        matches!(self.impact.as_str(), "serious" | "critical")
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.rule, self.impact, self.help)?;
        self.elements.iter().try_for_each(|element| write!(f, "\n    {element}"))
    }
}

/// A browser with one window. It is at home at one origin, and whatever it asks elsewhere is a complaint.
///
/// Whatever is asked of it and does not come, or cannot be done, panics: the test that asked has failed then, and is told what was seen
/// instead. A selector (`css`) means the first that it matches of those that are seen.
#[derive(Debug)]
pub struct Browser {
    driver: WebDriver,
    origin: String,
    complaints: Mutex<Vec<String>>,
    // After the driver's handle: what it speaks to goes last.
    _processes: Processes,
}

impl Browser {
    /// Starts a browser that is at home at an origin, `http://127.0.0.1:1234`. Its microphone hears a WAV file again and again, or a beep
    /// every second; nobody is asked whether it may be used. It is [`Size::Wide`] and [`Scheme::Light`].
    ///
    /// # Panics
    ///
    /// If there is no Chromium on this machine, or it does not start.
    pub async fn start(origin: impl Into<String>, microphone: Option<&Path>) -> Self {
        let mut processes = Processes::start();
        let url = processes.wait_for_driver().await;
        let mut flags: Vec<String> = [
            "--headless=new",
            // As root there is no sandbox, and what is opened here is our own.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
            "--autoplay-policy=no-user-gesture-required",
            // The browser goes when its driver does, whoever ended that.
            "--remote-debugging-pipe",
        ]
        .map(str::to_owned)
        .into();
        flags.push(format!("--user-data-dir={}", processes.folder.path().join("profile").display()));
        flags.extend(microphone.map(|file| format!("--use-file-for-fake-audio-capture={}", file.display())));
        let capabilities = capabilities(&processes.chromium, &flags).expect("they are well formed");
        let driver = WebDriver::new(url, capabilities).await;
        let driver = driver.unwrap_or_else(|error| panic!("Chromium does not start: {error}\n{}", processes.log()));
        // It goes by its process, whether the test passes or panics.
        driver.clone().leak().expect("it has just started");
        let complaints = Mutex::default();
        let browser = Self { driver, origin: origin.into(), complaints, _processes: processes };
        // Debian's start page asks elsewhere.
        browser.goto("about:blank").await;
        for log in ["browser", "performance"] {
            browser.sure(browser.driver.get_log(log).await, "its log");
        }
        browser.show_as(Size::Wide, Scheme::Light).await;
        browser
    }

    /// Opens a page by its path, and waits until it is loaded with what belongs to it.
    pub async fn open(&self, path: &str) {
        self.goto(&format!("{}{path}", self.origin)).await;
    }

    /// Opens a page by its whole address.
    pub async fn goto(&self, url: &str) {
        self.sure(self.driver.goto(url).await, url);
    }

    /// Loads the page again.
    pub async fn reload(&self) {
        self.sure(self.driver.refresh().await, "to load the page again");
    }

    /// The path of the page, with its query.
    pub async fn path(&self) -> String {
        self.text_of("return location.pathname + location.search", vec![]).await
    }

    /// The title of the page.
    pub async fn title(&self) -> String {
        self.text_of("return document.title", vec![]).await
    }

    /// Waits until something is seen.
    pub async fn wait_for(&self, css: &str) {
        self.shown(css).await;
    }

    /// Waits until nothing of it is seen.
    pub async fn wait_gone(&self, css: &str) {
        let script = format!("{SHOWN} return shown(arguments[0]) === null");
        self.until(&format!("the end of {css}"), &script, vec![json!(css)]).await;
    }

    /// Waits until something that is seen has these words in it.
    pub async fn wait_text(&self, css: &str, text: &str) {
        let script =
            "return [...document.querySelectorAll(arguments[0])].some((it) => it.checkVisibility({ visibilityProperty: true })
                && it.innerText.includes(arguments[1]))";
        self.until(&format!("{text:?} in {css}"), script, vec![json!(css), json!(text)]).await;
    }

    /// Waits until the page of this path is there; a query is left out.
    pub async fn wait_path(&self, path: &str) {
        let script = "return location.pathname === arguments[0] && document.readyState === 'complete'";
        self.until(&format!("the page {path}"), script, vec![json!(path)]).await;
    }

    /// Waits until a script returns something other than `false`, `null` and `undefined`, and returns that.
    ///
    /// # Panics
    ///
    /// If that takes too long; `what` is said then.
    pub async fn until(&self, what: &str, script: &str, arguments: Vec<Value>) -> Value {
        let mut looks = tokio::time::interval(LOOK);
        let found = async {
            loop {
                looks.tick().await;
                let found = self.evaluate(script, arguments.clone()).await;
                if !matches!(found, Value::Null | Value::Bool(false)) {
                    return found;
                }
            }
        };
        match tokio::time::timeout(PATIENCE, found).await {
            Ok(found) => found,
            Err(_) => panic!("{what} does not come: {}", self.describe().await),
        }
    }

    /// Types into a field, in place of what is in it.
    pub async fn type_into(&self, css: &str, text: &str) {
        self.act(css, async |field| {
            field.clear().await?;
            field.send_keys(text).await
        })
        .await;
    }

    /// Types where the keyboard's focus is. Keys with a name are in [`thirtyfour::Key`]: `Key::Tab + Key::Enter`.
    pub async fn type_keys(&self, keys: impl Into<thirtyfour::TypingData>) {
        let focused = self.driver.active_element().await;
        self.sure(self.sure(focused, "the focus").send_keys(keys).await, "to type");
    }

    /// Presses something, once it can be pressed.
    pub async fn press(&self, css: &str) {
        self.act(css, async |button| button.click().await).await;
    }

    /// Chooses one of the options of a `select`, by its value.
    pub async fn choose(&self, css: &str, value: &str) {
        let option = format!("option[value={value:?}]");
        self.act(css, async |select| select.find(By::Css(&option)).await?.click().await).await;
    }

    /// Gives a file to a field for files, which need not be seen: a label of it is, mostly.
    pub async fn give_file(&self, css: &str, file: &Path) {
        let field = self.sure(self.driver.find(By::Css(css)).await, css);
        self.sure(field.send_keys(file.to_string_lossy()).await, css);
    }

    /// Says yes to the question that the page has just asked, and returns the question.
    pub async fn say_yes(&self) -> String {
        let question = self.sure(self.driver.get_alert_text().await, "the question");
        self.sure(self.driver.accept_alert().await, &question);
        question
    }

    /// What the browser keeps under this name for the gateway, though no script may read it.
    pub async fn cookie(&self, name: &str) -> Option<String> {
        let kept = self.sure(self.driver.get_all_cookies().await, "the cookies");
        kept.into_iter().find(|cookie| cookie.name == name).map(|cookie| cookie.value)
    }

    /// The text of something, as it is seen.
    pub async fn text(&self, css: &str) -> String {
        let element = self.shown(css).await;
        self.sure(element.text().await, css)
    }

    /// What a field holds.
    pub async fn value(&self, css: &str) -> String {
        let element = self.shown(css).await;
        self.sure(element.value().await, css).unwrap_or_default()
    }

    /// How many are there, seen or not.
    pub async fn count(&self, css: &str) -> usize {
        self.sure(self.driver.find_all(By::Css(css)).await, css).len()
    }

    /// Runs a script in the page, and returns what it returns. The page's rules for its own scripts do not concern it.
    pub async fn evaluate(&self, script: &str, arguments: Vec<Value>) -> Value {
        self.sure(self.driver.execute(script, arguments).await, script).json().clone()
    }

    /// Runs a script that calls its last argument with what it has found, once it has.
    pub async fn evaluate_async(&self, script: &str, arguments: Vec<Value>) -> Value {
        self.sure(self.driver.execute_async(script, arguments).await, script).json().clone()
    }

    /// Shows the page in another size and with other colours. Nothing on it moves any more than it must.
    pub async fn show_as(&self, size: Size, scheme: Scheme) {
        let ((width, height), name) = (size.pixels(), scheme.name());
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        let still = json!({"name": "prefers-reduced-motion", "value": "reduce"});
        let colours = json!({"name": "prefers-color-scheme", "value": name});
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
        // They would take some of the width.
        self.devtools("Emulation.setScrollbarsHidden", json!({"hidden": true})).await;
        self.devtools("Emulation.setEmulatedMedia", json!({"features": [still, colours]})).await;
        let script = "return innerWidth === arguments[0] && innerHeight === arguments[1]
            && document.documentElement.clientWidth === innerWidth
            && matchMedia(`(prefers-color-scheme: ${arguments[2]})`).matches";
        self.until("the size and the colours", script, vec![json!(width), json!(height), json!(name)]).await;
        // What is drawn then is drawn anew, and what moves by it has come to its end.
        let frames = "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done(true)))";
        self.evaluate_async(frames, vec![]).await;
        let script = "return document.getAnimations().every((it) =>
            it.playState !== 'running' || it.effect.getComputedTiming().endTime === Infinity)";
        self.until("the end of all that moves", script, vec![]).await;
    }

    /// Writes a picture of the whole page, also of what is not in view: a PNG.
    ///
    /// # Panics
    ///
    /// If the file cannot be written.
    pub async fn screenshot(&self, file: &Path) {
        let metrics = self.devtools("Page.getLayoutMetrics", json!({})).await;
        let size = &metrics["cssContentSize"];
        let clip = json!({"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1});
        let picture = json!({"captureBeyondViewport": true, "clip": clip});
        let picture = self.devtools("Page.captureScreenshot", picture).await;
        let picture = STANDARD.decode(picture["data"].as_str().unwrap_or_default());
        let written = picture.map_err(std::io::Error::other).and_then(|png| fs::write(file, png));
        assert!(written.is_ok(), "{}: {written:?}", file.display());
    }

    /// The rules of accessibility that the page breaks, as axe-core sees them.
    ///
    /// # Panics
    ///
    /// If axe-core is not installed.
    pub async fn axe(&self) -> Vec<Violation> {
        if self.evaluate("return typeof axe", vec![]).await == "undefined" {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser/node_modules/axe-core/axe.min.js");
            let axe = fs::read_to_string(&file).unwrap_or_else(|error| {
                panic!("{} cannot be read: {error}; `cargo xtask test tools` installs it", file.display())
            });
            self.evaluate(&axe, vec![]).await;
        }
        let script = "const done = arguments[0];
            axe.run(document, { preload: false, resultTypes: ['violations'] }).then(({ violations }) => done(violations), (error) => done(String(error)))";
        let found = self.evaluate_async(script, vec![]).await;
        let Some(found) = found.as_array() else { panic!("axe-core fails: {found}") };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let element = |node: &Value| {
            let why = text(&node["failureSummary"]).split_whitespace().collect::<Vec<_>>().join(" ");
            format!("{}: {why}", text(&node["html"]))
        };
        let violation = |found: &Value| Violation {
            rule: text(&found["id"]),
            impact: text(&found["impact"]),
            help: text(&found["help"]),
            elements: found["nodes"].as_array().into_iter().flatten().map(element).collect(),
        };
        found.iter().map(violation).collect()
    }

    /// What has gone wrong since the start, and was not excused: errors in the console, what the page's own policy forbade it, requests to
    /// other origins, answers that say that something is wrong.
    pub async fn complaints(&self) -> Vec<String> {
        let said = self.sure(self.driver.get_log("browser").await, "its log");
        let asked = self.sure(self.driver.get_log("performance").await, "its log");
        let grave = said.into_iter().filter(|entry| entry.level == "SEVERE");
        let grave = grave.map(|entry| format!("{}: {}", entry.source.unwrap_or_default(), entry.message));
        let elsewhere = asked.iter().filter_map(|entry| self.is_asked_elsewhere(&entry.message));
        let elsewhere = elsewhere.map(|url| format!("asks another origin: {url}"));
        let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        complaints.extend(grave.chain(elsewhere));
        complaints.clone()
    }

    /// The address that an event of the network is about, if it is none of the browser's own and of another origin.
    fn is_asked_elsewhere(&self, event: &str) -> Option<String> {
        let event: Value = serde_json::from_str(event).ok()?;
        let (method, about) = (event["message"]["method"].as_str()?, &event["message"]["params"]);
        let url = match method {
            "Network.requestWillBeSent" => about["request"]["url"].as_str()?,
            "Network.webSocketCreated" => about["url"].as_str()?,
            _ => return None,
        };
        let (scheme, rest) = url.split_once(':')?;
        let (_, home) = self.origin.split_once(':')?;
        let is_home = rest.strip_prefix(home).is_some_and(|path| path.is_empty() || path.starts_with('/'));
        (matches!(scheme, "http" | "https" | "ws" | "wss") && !is_home).then(|| url.to_owned())
    }

    /// Waits for a complaint with these words in it, and takes it back: it is as it should be. For a request that is refused, these are
    /// `status of 422`.
    ///
    /// # Panics
    ///
    /// If none comes.
    pub async fn excuse(&self, words: &str) {
        let mut looks = tokio::time::interval(LOOK);
        let excused = async {
            loop {
                looks.tick().await;
                self.complaints().await;
                let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(at) = complaints.iter().position(|complaint| complaint.contains(words)) {
                    complaints.remove(at);
                    return;
                }
            }
        };
        if tokio::time::timeout(PATIENCE, excused).await.is_err() {
            panic!("nothing complains of {words:?}: {}", self.describe().await);
        }
    }

    /// Looks at the page as it is: [`Browser::wrong`] finds nothing.
    ///
    /// # Panics
    ///
    /// If anything is wrong; all of it is said.
    pub async fn look(&self, name: &str) {
        let wrong = self.wrong(name).await;
        assert!(
            wrong.is_empty(),
            "{} is not as it should be:\n{}",
            self.path().await,
            Vec::from_iter(wrong).join("\n")
        );
    }

    /// What is wrong with the page as it is, in both sizes and both colours: what sticks out at the side, what breaks a grave rule of
    /// accessibility, what complains. With `TELEPHONY_SCREENSHOTS`, the absolute path of a folder, pictures are written there:
    /// `name-1280-light.png` and so on. The page is left [`Size::Wide`] and [`Scheme::Light`].
    ///
    /// # Panics
    ///
    /// If a picture cannot be written.
    pub async fn wrong(&self, name: &str) -> BTreeSet<String> {
        let mut wrong = BTreeSet::new();
        for (size, scheme) in [
            (Size::Wide, Scheme::Dark),
            (Size::Narrow, Scheme::Dark),
            (Size::Narrow, Scheme::Light),
            (Size::Wide, Scheme::Light),
        ] {
            self.show_as(size, scheme).await;
            let seen = format!("{name}-{}-{}", size.pixels().0, scheme.name());
            if let Some(folder) = env::var_os(SCREENSHOTS).map(PathBuf::from) {
                assert!(folder.is_absolute(), "{SCREENSHOTS} is no absolute path: {}", folder.display());
                fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
                self.screenshot(&folder.join(format!("{seen}.png"))).await;
            }
            wrong.extend(self.sticks_out().await.map(|what| format!("{seen}: {what}")));
            let violations = self.axe().await;
            let grave = violations.iter().filter(|violation| violation.is_grave());
            wrong.extend(grave.map(|violation| format!("{seen}: {violation}")));
        }
        wrong.extend(self.complaints().await);
        wrong
    }

    /// What is wrong with the width of the page, if anything is.
    async fn sticks_out(&self) -> Option<String> {
        let script = "
            const view = document.querySelector('meta[name=viewport]')?.getAttribute('content') ?? '';
            if (!view.includes('width=device-width')) return 'the page does not ask for the width of a telephone';
            const wide = document.documentElement.scrollWidth;
            if (wide <= innerWidth) return null;
            const beyond = [...document.body.querySelectorAll('*')].filter((it) => it.getBoundingClientRect().right > innerWidth);
            return `${wide} pixels are wider than the view; beyond it: `
                + beyond.slice(0, 5).map((it) => it.cloneNode(false).outerHTML).join(' ');";
        self.evaluate(script, vec![]).await.as_str().map(str::to_owned)
    }

    /// Ends the browser, in which nothing may have gone wrong.
    ///
    /// # Panics
    ///
    /// If something complains.
    pub async fn end(self) {
        let complaints = self.complaints().await;
        assert!(complaints.is_empty(), "the browser complains:\n{}", complaints.join("\n"));
    }

    /// Does something with an element, once that is seen and not disabled.
    async fn act(&self, css: &str, action: impl AsyncFn(WebElement) -> WebDriverResult<()>) {
        let script =
            format!("{SHOWN} const it = shown(arguments[0]); return it !== null && !it.matches(':disabled') && it");
        let started = Instant::now();
        loop {
            let element = self.until(css, &script, vec![json!(css)]).await;
            let element = self.sure(WebElement::from_json(element, self.driver.handle().clone()), css);
            match action(element).await {
                Ok(()) => return,
                // It was drawn anew just then, or something passes before it.
                Err(error) if passes(&error) && started.elapsed() < PATIENCE => {}
                Err(error) => panic!("{css}: {error}: {}", self.describe().await),
            }
        }
    }

    async fn shown(&self, css: &str) -> WebElement {
        let script = format!("{SHOWN} return shown(arguments[0])");
        let element = self.until(css, &script, vec![json!(css)]).await;
        self.sure(WebElement::from_json(element, self.driver.handle().clone()), css)
    }

    async fn text_of(&self, script: &str, arguments: Vec<Value>) -> String {
        self.evaluate(script, arguments).await.as_str().unwrap_or_default().to_owned()
    }

    async fn devtools(&self, method: &str, parameters: Value) -> Value {
        self.sure(self.driver.cdp().send_raw(method, parameters).await, method)
    }

    /// What is seen, for somebody who expected something else.
    async fn describe(&self) -> String {
        let page = self.text_of("return `${location.href} ${document.title}\n${document.body?.innerText}`", vec![]);
        let (page, complaints) = (page.await, self.complaints().await.join("\n"));
        format!("{}\n{complaints}", page.chars().take(1_500).collect::<String>())
    }

    fn sure<T>(&self, outcome: WebDriverResult<T>, what: &str) -> T {
        outcome.unwrap_or_else(|error| {
            panic!("the browser fails: {}: {error}", what.chars().take(400).collect::<String>());
        })
    }
}

/// Whether it may be otherwise in a moment.
fn passes(error: &WebDriverError) -> bool {
    matches!(
        **error,
        WebDriverErrorInner::StaleElementReference(_)
            | WebDriverErrorInner::ElementNotInteractable(_)
            | WebDriverErrorInner::ElementClickIntercepted(_)
    )
}

fn capabilities(chromium: &Path, flags: &[String]) -> WebDriverResult<ChromeCapabilities> {
    let mut capabilities = ChromeCapabilities::new();
    capabilities.set_binary(&chromium.to_string_lossy())?;
    flags.iter().try_for_each(|flag| capabilities.add_arg(flag))?;
    capabilities.set_logging_prefs("browser", LoggingPrefsLogLevel::All)?;
    capabilities.set_logging_prefs("performance", LoggingPrefsLogLevel::All)?;
    Ok(capabilities)
}

/// The driver and the browser that it starts, in a folder of their own. Dropping it ends them all, and removes the folder.
#[derive(Debug)]
struct Processes {
    driver: Child,
    chromium: PathBuf,
    folder: TempDir,
}

impl Processes {
    fn start() -> Self {
        let (chromium, driver) = (find(&["chromium", "chromium-browser", "google-chrome"]), find(&["chromedriver"]));
        let (Some(chromium), Some(driver)) = (chromium, driver) else {
            panic!(
                "there is no Chromium with its driver: install the packages chromium and chromium-driver, which \
                 `cargo xtask test tools` does"
            );
        };
        let folder = tempfile::Builder::new().prefix("browser").tempdir().expect("a temporary folder can be made");
        let log = fs::File::create(folder.path().join("log")).expect("a file can be made there");
        let mut command = Command::new(driver);
        // A port that is free.
        command.arg("--port=0").current_dir(folder.path()).stdin(Stdio::null());
        for home in ["HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "TMPDIR"] {
            command.env(home, folder.path());
        }
        command.stdout(log.try_clone().expect("a file can be used twice")).stderr(log);
        let driver = command.spawn().expect("chromedriver can be run");
        Self { driver, chromium, folder }
    }

    /// Waits until the driver listens, and returns where.
    async fn wait_for_driver(&mut self) -> String {
        let mut looks = tokio::time::interval(LOOK);
        let started = Instant::now();
        loop {
            looks.tick().await;
            let log = self.log();
            let port = log.lines().find_map(|line| line.split_once("started successfully on port "));
            if let Some((_, port)) = port {
                return format!("http://127.0.0.1:{}", port.trim_end_matches('.'));
            }
            let ended = self.driver.try_wait().expect("a child can be asked for");
            assert!(ended.is_none() && started.elapsed() < PATIENCE, "chromedriver does not start ({ended:?}): {log}");
        }
    }

    fn log(&self) -> String {
        fs::read(self.folder.path().join("log")).map(|log| String::from_utf8_lossy(&log).into()).unwrap_or_default()
    }

    /// Those that live of the driver's descendants, and of those whose command line names the folder: some leave the family.
    fn living(&self) -> Vec<u32> {
        let folder = self.folder.path().to_string_lossy().into_owned();
        let mut family = BTreeSet::from([self.driver.id()]);
        let all: Vec<Process> = fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(read).collect();
        loop {
            let known = family.len();
            let belongs = |process: &&Process| family.contains(&process.parent) || process.line.contains(&folder);
            let more: Vec<u32> = all.iter().filter(belongs).map(|process| process.id).collect();
            family.extend(more);
            if family.len() == known {
                break;
            }
        }
        all.iter().map(|process| process.id).filter(|id| family.contains(id)).collect()
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        let started = Instant::now();
        let mut living = self.living();
        // Both fail only for those that have gone by themselves.
        let _killed = self.driver.kill();
        let _waited = self.driver.wait();
        while !living.is_empty() && started.elapsed() < PATIENCE {
            let ids = living.iter().map(u32::to_string);
            let _killed = Command::new("kill").arg("-KILL").args(ids).stderr(Stdio::null()).status();
            std::thread::sleep(LOOK);
            let known: BTreeSet<u32> = living.into_iter().collect();
            let is_known = |process: &Process| known.contains(&process.id);
            let left = fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(read).filter(is_known);
            living = left.map(|process| process.id).collect();
            living.extend(self.living());
        }
    }
}

/// A process that lives.
struct Process {
    id: u32,
    parent: u32,
    line: String,
}

/// Reads a folder of `/proc`; `None` if it is none of a process, or that is over.
fn read(folder: fs::DirEntry) -> Option<Process> {
    let id = folder.file_name().to_str()?.parse().ok()?;
    let line = fs::read(folder.path().join("cmdline")).ok()?;
    let status = fs::read_to_string(folder.path().join("stat")).ok()?;
    // The name stands in brackets, and may hold anything.
    let mut fields = status.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then(|| Process { id, parent, line: String::from_utf8_lossy(&line).into() })
}

/// The first of these programs that is on the path.
fn find(programs: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let folders: Vec<PathBuf> = env::split_paths(&path).collect();
    let files = programs.iter().flat_map(|program| folders.iter().map(move |folder| folder.join(program)));
    files.into_iter().find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page that is as good as what is in it.
    fn page(body: &str) -> String {
        const HEAD: &str = "<title>Test</title><meta name=viewport content='width=device-width'>";
        let page = format!("<!doctype html><html lang=en>{HEAD}<main><h1>Test</h1>{body}</main>");
        format!("data:text/html;base64,{}", STANDARD.encode(page))
    }

    async fn open(body: &str) -> Browser {
        let browser = Browser::start("http://127.0.0.1:1", None).await;
        browser.goto(&page(body)).await;
        browser
    }

    #[tokio::test]
    async fn a_page_is_used_as_by_a_person() {
        let browser = open(
            "<form><label>Name <input name=name value=before></label>
            <label>Colour <select name=colour><option value=r>red<option value=b>blue</select></label>
            <button id=send disabled>Send</button></form><p hidden>Sent</p><p id=wait>Fill in</p>
            <div id=over style='position:fixed;inset:0'></div>
            <script>
                const form = document.forms[0], over = document.getElementById('over');
                form.addEventListener('change', () => { form.elements.send.disabled = form.elements.colour.value !== 'b'; });
                form.addEventListener('submit', (event) => {
                    event.preventDefault();
                    document.querySelector('[hidden]').hidden = false;
                    document.getElementById('wait').remove();
                });
                setTimeout(() => over.remove(), 200);
            </script>",
        )
        .await;
        browser.wait_text("p", "Fill in").await;
        browser.press("input").await;
        browser.type_into("[name=name]", "Ada").await;
        browser.type_keys(" L.").await;
        browser.choose("[name=colour]", "b").await;
        browser.press("#send").await;
        browser.wait_text("p", "Sent").await;
        browser.wait_gone("#wait").await;
        assert_eq!(browser.value("[name=name]").await, "Ada L.");
        assert_eq!((browser.text("p").await.as_str(), browser.count("option").await), ("Sent", 2));
        browser.look("form").await;
        browser.end().await;
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_page_is_seen() {
        let browser = open(
            "<meta http-equiv=Content-Security-Policy content=\"script-src 'nonce-1'\"><button></button>
            <p style='width:500px'>Wide</p><img alt='' src=http://127.0.0.1:10/img>
            <p id=pale>Pale</p><style>@media (prefers-color-scheme: dark) { #pale { color: #eee } }</style>
            <script>forbidden</script>
            <script nonce=1>
                console.error('thing'); console.log('chatter'); new WebSocket('ws://127.0.0.1:81/socket');
                Promise.reject(new Error('unheard'));
            </script>",
        )
        .await;
        let complaints = browser.complaints().await;
        let complained = |words: &str| complaints.iter().any(|complaint| complaint.contains(words));
        for words in [
            "thing",
            "unheard",
            "Content Security Policy",
            "asks another origin: http://127.0.0.1:10/img",
            "asks another origin: ws://127.0.0.1:81",
        ] {
            assert!(complained(words), "{words}: {complaints:#?}");
        }
        assert!(!complained("chatter"), "{complaints:#?}");
        browser.excuse("thing").await;
        assert!(!browser.complaints().await.iter().any(|complaint| complaint.contains("thing")));

        let wrong = browser.wrong("wrong").await;
        let is = |words: &str| wrong.iter().any(|wrong| wrong.contains(words));
        assert!(is("wrong-390-light: 5") && is("<p style=\"width:500px\">"), "{wrong:#?}");
        assert!(!is("wrong-1280-light: 5"), "{wrong:#?}");
        assert!(is("wrong-1280-light: button-name (critical)"), "{wrong:#?}");
        assert!(is("wrong-1280-dark: color-contrast") && !is("-light: color-contrast"), "{wrong:#?}");
        assert!(is("unheard"), "{wrong:#?}");
    }

    #[tokio::test]
    async fn nothing_is_left_when_a_test_panics() {
        let browser = open("").await;
        let (folder, processes) = (browser._processes.folder.path().to_owned(), browser._processes.living());
        assert!(processes.len() > 3 && folder.join("profile").is_dir(), "{processes:?}");
        let failed = tokio::spawn(async move {
            browser.evaluate("throw new Error('no')", vec![]).await;
        });
        assert!(failed.await.unwrap_err().is_panic());
        let left = || fs::read_dir("/proc").unwrap().flatten().filter_map(read).map(|process| process.id);
        assert!(!left().any(|id| processes.contains(&id)) && !folder.exists());
    }
}
