//! Tells the program which commit it was built from.
//!
//! A release build follows the checkout; a debug build does not, so that a commit does not compile
//! everything anew.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=SEATMETER_COMMIT");
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    // Named by those who build from an archive.
    let named = std::env::var("SEATMETER_COMMIT").ok().filter(|commit| !commit.is_empty());
    let commit = match (named, is_release) {
        (Some(named), _) => named,
        (None, true) => commit_of_checkout().unwrap_or_else(|| "unknown".to_owned()),
        (None, false) => "none: debug build".to_owned(),
    };
    // `cargo run` hands it on to the program, which refuses variables with its own prefix that it
    // does not know.
    println!("cargo::rustc-env=BUILD_COMMIT={commit}");
}

/// The commit that is checked out; `-dirty` follows where files differ from it.
fn commit_of_checkout() -> Option<String> {
    // The index is not among them: to look for changes rewrites it, and the next build would compile
    // everything anew.
    for name in ["HEAD", "logs/HEAD"] {
        let path = git(&["rev-parse", "--git-path", name])?;
        if Path::new(&path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    git(&["describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
