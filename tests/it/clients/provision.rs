//! Clients and what they need, fetched once into the cache folder by the package managers of their
//! languages. Versions and hashes are pinned by the files beside this one.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use seatmeter::embedded::provision::CACHE_DIR_VARIABLE;
use sha2::{Digest as _, Sha256};

use crate::support::is_required;

/// With `1`, a client that cannot be tried fails its test; else it is skipped.
const REQUIRED: &str = "SEATMETER_REQUIRE_CLIENTS";

/// A client by its language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    Python,
    Node,
    Go,
    Java,
    Curl,
}

/// A file of a client: its name and content.
type ClientFile = (&'static str, &'static str);

const PYTHON: [ClientFile; 2] = [
    ("requirements.txt", include_str!("python/requirements.txt")),
    ("client.py", include_str!("python/client.py")),
];
const NODE: [ClientFile; 3] = [
    ("package.json", include_str!("node/package.json")),
    ("package-lock.json", include_str!("node/package-lock.json")),
    ("client.mjs", include_str!("node/client.mjs")),
];
const GO: [ClientFile; 3] = [
    ("go.mod", include_str!("go/go.mod")),
    ("go.sum", include_str!("go/go.sum")),
    ("main.go", include_str!("go/main.go")),
];
const JAVA: [ClientFile; 3] = [
    ("pom.xml", include_str!("java/pom.xml")),
    ("jars.sha256", include_str!("java/jars.sha256")),
    ("Client.java", include_str!("java/Client.java")),
];
const CURL: [ClientFile; 1] = [("client.sh", include_str!("curl/client.sh"))];

impl Client {
    /// The command that runs it; `None` if this machine lacks a tool, which is said.
    ///
    /// # Panics
    ///
    /// It is required, or cannot be fetched.
    #[track_caller]
    #[expect(clippy::print_stderr, reason = "says what is skipped")]
    pub(super) fn command(self) -> Option<Command> {
        let missing = self.tools().iter().find(|tool| !has(tool));
        if let Some(tool) = missing {
            let text = format!("{self:?} is not tried as a client: this machine has no {tool}");
            assert!(!is_required(REQUIRED), "{text}");
            eprintln!("skipped: {text}");
            return None;
        }
        let folder = self.folder();
        Some(match self {
            Client::Python => command(folder.join("venv/bin/python"), &["client.py"], &folder),
            Client::Node => command("node", &["client.mjs"], &folder),
            Client::Go => command(folder.join("client"), &[], &folder),
            Client::Java => command("java", &["-cp", "jars/*", "Client.java"], &folder),
            Client::Curl => command("bash", &["client.sh"], &folder),
        })
    }

    fn tools(self) -> &'static [&'static str] {
        match self {
            Client::Python => &["python3"],
            Client::Node => &["node", "npm"],
            Client::Go => &["go"],
            Client::Java => &["java", "javac", "mvn"],
            Client::Curl => &["bash", "curl"],
        }
    }

    fn files(self) -> &'static [ClientFile] {
        match self {
            Client::Python => &PYTHON,
            Client::Node => &NODE,
            Client::Go => &GO,
            Client::Java => &JAVA,
            Client::Curl => &CURL,
        }
    }

    /// The folder with its files and packages. Another version of a file makes another folder.
    #[track_caller]
    fn folder(self) -> PathBuf {
        let content: String = self.files().iter().map(|(_, content)| *content).collect();
        let hash = hex::encode(&Sha256::digest(content)[..6]);
        let name = format!("client-{self:?}-{hash}").to_lowercase();
        let cache = std::env::var_os(CACHE_DIR_VARIABLE)
            .map_or_else(|| dirs::cache_dir().unwrap().join("seatmeter"), PathBuf::from);
        let folder = cache.join(&name);
        fs::create_dir_all(&folder).unwrap();
        // One process fetches, others wait for it.
        let lock = File::create(cache.join(format!("{name}.lock"))).unwrap();
        lock.lock().unwrap();
        let ready = folder.join(".ready");
        if !ready.exists() {
            for (file, content) in self.files() {
                fs::write(folder.join(file), content).unwrap();
            }
            self.fetch(&folder);
            fs::write(ready, "").unwrap();
        }
        folder
    }

    #[track_caller]
    fn fetch(self, folder: &Path) {
        let run = |program: &str, arguments: &str| {
            let arguments: Vec<&str> = arguments.split_whitespace().collect();
            run(command(program, &arguments, folder));
        };
        match self {
            Client::Python => {
                run("python3", "-m venv --clear venv");
                let python = folder.join("venv/bin/python");
                let pip = "-m pip install --quiet --disable-pip-version-check --no-deps \
                    --require-hashes --only-binary :all: -r requirements.txt";
                run(&python.to_string_lossy(), pip);
            }
            Client::Node => run("npm", "ci --ignore-scripts --no-audit --no-fund --loglevel=error"),
            Client::Go => run("go", "build -mod=readonly -o client ."),
            Client::Java => {
                let plugin = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1";
                run(
                    "mvn",
                    &format!(
                        "-q -B {plugin}:copy-dependencies -DincludeScope=runtime \
                         -DoutputDirectory=jars"
                    ),
                );
                check_jars(&folder.join("jars"));
            }
            Client::Curl => {}
        }
    }
}

fn has(tool: &str) -> bool {
    // What it says does not matter; `go` knows no such option.
    let tried = Command::new(tool).arg("--version").output();
    !tried.is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

fn command(program: impl AsRef<OsStr>, arguments: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(program);
    // The toolchain is the one that is there.
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).env("GOTOOLCHAIN", "local");
    command
}

#[track_caller]
fn run(mut command: Command) {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&said));
}

/// Fails unless the folder holds exactly the pinned jars.
#[track_caller]
fn check_jars(folder: &Path) {
    let mut found: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let hash = hex::encode(Sha256::digest(fs::read(entry.path()).unwrap()));
            format!("{hash}  {}", entry.file_name().to_string_lossy())
        })
        .collect();
    let mut pinned: Vec<&str> = JAVA[1].1.lines().collect();
    found.sort_unstable();
    pinned.sort_unstable();
    assert_eq!(found, pinned, "the jars are not the pinned ones");
}
