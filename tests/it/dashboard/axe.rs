//! axe-core, an accessibility checker: fetched from npm into the cache folder, for the tests only.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flate2::read::GzDecoder;
use seatmeter::embedded::provision::CACHE_DIR_VARIABLE;
use serde_json::Value;
use sha2::{Digest as _, Sha512};
use tempfile::TempDir;

use super::browser::Browser;

const PACKAGE: &str = "axe-core@4.14.1";
/// npm's integrity of the archive.
const INTEGRITY: &str =
    "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==";

/// WCAG 2.2 AA and all before it, and axe's own good practices.
const RUN: &str = "const done = arguments[0]; \
    axe.run(document, { resultTypes: ['violations'], runOnly: \
      ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }) \
    .then(({ violations, passes }) => done({ passes: passes.length, violations: violations.map(({ \
    id, help, nodes }) => \
      ({ id, help, nodes: nodes.map(({ html, failureSummary }) => [html, failureSummary]) })) }), \
      (error) => done(String(error)))";

impl Browser {
    /// Fails where axe-core finds a violation on the page as it is now.
    #[track_caller]
    pub(super) fn is_accessible(&self, what: &str) {
        // WebDriver's scripts are no part of the page, so its Content-Security-Policy lets this one
        // in.
        self.eval(&format!("if (!window.axe) {{ {} }}", source()));
        let found = self.eval_async(RUN);
        assert!(
            found["passes"].as_u64().is_some_and(|passes| passes > 10),
            "{what}: axe-core did not run: {found}"
        );
        assert_eq!(
            found["violations"],
            Value::Array(Vec::new()),
            "{what}: {:#}",
            found["violations"]
        );
    }
}

fn source() -> &'static str {
    static SOURCE: OnceLock<String> = OnceLock::new();
    SOURCE.get_or_init(|| {
        let folder = std::env::var_os(CACHE_DIR_VARIABLE)
            .map_or_else(|| dirs::cache_dir().unwrap().join("seatmeter"), PathBuf::from)
            .join(PACKAGE);
        let file = folder.join("axe.min.js");
        if !file.exists() {
            let script = fetch();
            std::fs::create_dir_all(&folder).unwrap();
            // Another test process may read it meanwhile, so it is created atomically.
            let whole = tempfile::NamedTempFile::new_in(&folder).unwrap();
            std::fs::write(whole.path(), script).unwrap();
            whole.persist(&file).unwrap();
        }
        std::fs::read_to_string(file).unwrap()
    })
}

fn fetch() -> String {
    let folder = TempDir::new().unwrap();
    let packed =
        Command::new("npm").args(["pack", PACKAGE, "--silent"]).current_dir(&folder).output();
    let packed = packed.expect("npm is needed to fetch axe-core (Debian: apt install npm)");
    assert!(
        packed.status.success(),
        "npm cannot fetch {PACKAGE}: {}",
        String::from_utf8_lossy(&packed.stderr)
    );
    let archive = std::fs::read(folder.path().join(PACKAGE.replace('@', "-") + ".tgz")).unwrap();
    assert_eq!(
        BASE64_STANDARD.encode(Sha512::digest(&archive)),
        INTEGRITY,
        "{PACKAGE} is not what it was"
    );
    let mut entries = tar::Archive::new(GzDecoder::new(archive.as_slice()));
    for entry in entries.entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.path().unwrap().ends_with("package/axe.min.js") {
            let mut script = String::new();
            entry.read_to_string(&mut script).unwrap();
            return script;
        }
    }
    panic!("{PACKAGE} has no axe.min.js")
}
