//! Apache Kafka's jars, from Maven. The tests run a real broker from them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use sha2::Sha256;

use super::cache::cache_dir;
use super::hash;
use super::progress::Step;
use super::staging::ensure_folder;
use crate::embedded::private;

const VERSION: &str = "4.1.0";

/// The SHA-256 of every jar of that release and of what it depends on, as `sha256sum` prints them.
const MANIFEST: &str = include_str!("kafka-4.1.0.sha256");

/// The plugin is named with its version, so that Maven's own defaults do not decide.
const COPY_DEPENDENCIES: &str =
    "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies";

const POM: &str = r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>seatmeter</groupId>
  <artifactId>kafka-jars</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
      <version>4.1.0</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId><artifactId>slf4j-nop</artifactId><version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"#;

/// The folder that holds the jars of Apache Kafka 4.1.0 (43 MB), from the cache, fetched by Maven
/// if they are not there yet.
///
/// # Errors
///
/// Maven is missing or fails; a jar is not the pinned one, even if it was fetched before; another
/// user may write to one; the cache folder cannot be written to.
pub fn kafka_jars() -> Result<PathBuf> {
    let cache = cache_dir()?;
    let folder = ensure_folder(&cache, &format!("kafka-{VERSION}"), |staging| {
        let step = Step::start(&format!("fetching Apache Kafka {VERSION} (43 MB, once)"));
        let jars = copy_jars(staging)?;
        check(&jars, MANIFEST)?;
        step.done(&format!("fetched Apache Kafka {VERSION}"));
        Ok(())
    })?;
    let jars = folder.join("jars");
    check(&jars, MANIFEST).with_context(|| {
        format!("{} has changed: remove it, and it is fetched again", folder.display())
    })?;
    refuse_if_others_may_write(&jars, &cache)?;
    Ok(jars)
}

fn refuse_if_others_may_write(jars: &Path, cache: &Path) -> Result<()> {
    for entry in fs::read_dir(jars).with_context(|| format!("cannot read {}", jars.display()))? {
        private::refuse_if_others_may_write(
            &entry.context("cannot read the cache folder")?.path(),
            cache,
        )?;
    }
    Ok(())
}

fn copy_jars(folder: &Path) -> Result<PathBuf> {
    let (pom, jars) = (folder.join("pom.xml"), folder.join("jars"));
    fs::write(&pom, POM).with_context(|| format!("cannot write {}", pom.display()))?;
    let output = Command::new("mvn")
        .args(["--quiet", "--batch-mode", "--file"])
        .arg(&pom)
        .arg(COPY_DEPENDENCIES)
        .arg(format!("-DoutputDirectory={}", jars.display()))
        .current_dir(folder)
        .stdin(Stdio::null())
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            bail!(
                "Maven is needed to fetch Apache Kafka once, and is not installed (Debian: apt \
                install maven)"
            );
        }
        Err(error) => return Err(error).context("cannot start mvn"),
    };
    if !output.status.success() {
        // Maven tells its errors on stdout.
        let reason = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        bail!("Maven could not fetch Apache Kafka {VERSION} ({}): {reason}", output.status);
    }
    Ok(jars)
}

/// Compares the files of a folder with a manifest: the same names, the same hashes.
fn check(folder: &Path, manifest: &str) -> Result<()> {
    let mut expected: BTreeMap<&str, &str> = manifest
        .lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(hash, name)| (name, hash))
        .collect();
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let path = entry.context("cannot read the cache folder")?.path();
        let name =
            path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let Some(pinned) = expected.remove(name.as_str()) else {
            bail!("{name} is not among the pinned jars");
        };
        let found = hex::encode(hash::of_file::<Sha256>(&path)?);
        if found != pinned {
            bail!("{name} is not the pinned file: its SHA-256 is {found}, not {pinned}");
        }
    }
    match expected.first_key_value() {
        Some((name, _)) => bail!("{name} is missing among the fetched jars"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn the_manifest_lists_the_broker() {
        assert!(MANIFEST.lines().any(|line| line.ends_with("  kafka_2.13-4.1.0.jar")));
        assert!(MANIFEST.lines().all(|line| line.len() > 66 && line.ends_with(".jar")));
    }

    #[test]
    fn only_the_pinned_files_pass() {
        let folder = tempfile::tempdir().unwrap();
        let check_fails = |manifest: &str, part: &str| {
            let error = check(folder.path(), manifest).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        };
        fs::write(folder.path().join("a.jar"), "abc").unwrap();
        check(folder.path(), &format!("{ABC}  a.jar\n")).unwrap();
        check_fails("", "a.jar is not among");
        check_fails(&format!("{ABC}  a.jar\n{ABC}  b.jar\n"), "b.jar is missing");
        fs::write(folder.path().join("a.jar"), "abd").unwrap();
        check_fails(&format!("{ABC}  a.jar\n"), "a.jar is not the pinned file");
    }
}
