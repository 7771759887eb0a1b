//! `libchdb`, the ClickHouse engine, from its npm package.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::read::GzDecoder;
use sha2::{Sha256, Sha512};

use super::cache::cache_dir;
use super::hash;
use super::progress::Step;
use super::staging::ensure_folder;
use crate::embedded::private;

/// The release of the embedded engine.
pub const VERSION: &str = "26.7.3-stable.1";
/// An older release, which the tests are run on too.
pub const OLDER_VERSION: &str = "26.5.3";
/// The library's name in the packages of all platforms.
const LIBRARY_FILE: &str = "libchdb.so";
/// Beside the library: its SHA-256 when it was fetched, for platforms without a pinned one.
const HASH_FILE: &str = "libchdb.so.sha256";
/// The alternatives, for messages.
const WAY_OUT: &str = "or name a libchdb.so of your own by --library FILE, or use an external \
    ClickHouse (clickhouse.url)";

/// The package of a platform's library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Package {
    name: &'static str,
    version: &'static str,
    /// npm's `sha512-` integrity of the package file. `None` if no copy was available to compute
    /// it: npm still checks the file against its registry, and the user is told.
    integrity: Option<&'static str>,
    /// SHA-256 of the library in it, hexadecimal. `None` if `integrity` is: then the hash of the
    /// fetched library is used.
    library_sha256: Option<&'static str>,
}

/// The package for an operating system and processor, as `std::env::consts` names them.
fn package(os: &str, arch: &str) -> Option<Package> {
    let (name, integrity, library_sha256) = match (os, arch) {
        ("linux", "x86_64") => (
            "@chdb/lib-linux-x64-gnu",
            Some(
                "sha512-XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/\
                 gWUNcuFjOMjWoorQICCqBVj5wpw==",
            ),
            Some("36ad4e999882821ef13cf2d0f52c93f48e6ee1b4498b35a201c23ce4b8d15bf5"),
        ),
        ("linux", "aarch64") => ("@chdb/lib-linux-arm64-gnu", None, None),
        ("macos", "x86_64") => ("@chdb/lib-darwin-x64", None, None),
        ("macos", "aarch64") => ("@chdb/lib-darwin-arm64", None, None),
        _ => return None,
    };
    Some(Package { name, version: VERSION, integrity, library_sha256 })
}

/// The package of the older release, for the platform that CI runs on.
fn older_package(os: &str, arch: &str) -> Option<Package> {
    ((os, arch) == ("linux", "x86_64")).then_some(Package {
        name: "@chdb/lib-linux-x64-gnu",
        version: OLDER_VERSION,
        integrity: Some(
            "sha512-fPrLmRt5Moor9yGz4mazbrNje4t7X9KB2mTGkXFWRxRBs2iKy8yh6jx11xsa0Qr3iDFMU/\
             yHqd+bVdYJXu3QaQ==",
        ),
        library_sha256: Some("4330da79405733f7572f27c1442f46c03a08301f00859dce0368645731b1e1dc"),
    })
}

/// The engine's library, ready to be loaded: `override_file` if the user named one, else the pinned
/// one from the cache folder, fetched by npm (180 MB, unpacked 570 MB) if it is not there yet. What
/// comes from the cache is hashed, which takes a second.
///
/// # Errors
///
/// As of [`fetch_engine_library`]; the library in the cache is not the fetched one, or another user
/// may write to it.
pub fn engine_library(override_file: Option<&Path>) -> Result<PathBuf> {
    let library = fetch_engine_library(override_file)?;
    if override_file.is_none() {
        check_cached(&library, this_platform()?.library_sha256, &cache_dir()?)?;
    }
    Ok(library)
}

/// Fetches the engine's library if it is missing, and returns its path. It must not be loaded from
/// this path: see [`engine_library`].
///
/// # Errors
///
/// The named file does not exist; there is no package for this platform; npm is missing or fails;
/// the package is not the pinned one; the cache folder cannot be written to. Each says what to do.
pub fn fetch_engine_library(override_file: Option<&Path>) -> Result<PathBuf> {
    if let Some(file) = override_file {
        if !file.is_file() {
            bail!("there is no library file {}", file.display());
        }
        return Ok(file.to_owned());
    }
    fetched(this_platform()?)
}

/// The library of [the older release](OLDER_VERSION), as [`engine_library`] gives that of the
/// embedded one. For tests.
///
/// # Errors
///
/// As of [`engine_library`].
pub fn older_engine_library() -> Result<PathBuf> {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let package = older_package(os, arch)
        .with_context(|| format!("there is no ClickHouse {OLDER_VERSION} for {os} on {arch}"))?;
    let library = fetched(package)?;
    check_cached(&library, package.library_sha256, &cache_dir()?)?;
    Ok(library)
}

/// The library of a package in the cache folder, fetched if it is missing.
fn fetched(package: Package) -> Result<PathBuf> {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let name = format!("chdb-{}-{os}-{arch}", package.version);
    let folder = ensure_folder(&cache_dir()?, &name, |staging| fetch(package, staging))?;
    Ok(folder.join(LIBRARY_FILE))
}

fn this_platform() -> Result<Package> {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    package(os, arch)
        .with_context(|| format!("there is no embedded ClickHouse for {os} on {arch}: {WAY_OUT}"))
}

/// Refuses a library in the cache that is not the fetched one, or that another user may change.
fn check_cached(library: &Path, pinned: Option<&str>, cache: &Path) -> Result<()> {
    private::refuse_if_others_may_write(library, cache)?;
    let kept = library.with_file_name(HASH_FILE);
    let expected = match pinned {
        Some(pinned) => pinned.to_owned(),
        None => {
            private::refuse_if_others_may_write(&kept, cache)?;
            fs::read_to_string(&kept).with_context(|| format!("cannot read {}", kept.display()))?
        }
    };
    let found = hex::encode(hash::of_file::<Sha256>(library)?);
    if found != expected.trim() {
        bail!(
            "{} has changed since it was fetched (its SHA-256 is {found}, not {}): remove {}, and \
            it is fetched again",
            library.display(),
            expected.trim(),
            library.parent().unwrap_or(library).display()
        );
    }
    Ok(())
}

fn fetch(package: Package, staging: &Path) -> Result<()> {
    let specification = format!("{}@{}", package.name, package.version);
    let step =
        Step::start(&format!("fetching the embedded ClickHouse, {specification} (180 MB, once)"));
    let file = npm_pack(&specification, staging)?;
    let integrity = integrity_of(&file)?;
    match package.integrity {
        Some(pinned) if pinned != integrity => {
            bail!(
                "{specification} is not the package that it should be: its hash is {integrity}, \
                not {pinned}"
            );
        }
        Some(_) => {}
        None => tracing::warn!(
            package = specification,
            integrity,
            "no hash of this platform's package is pinned; npm has checked it against its registry"
        ),
    }
    unpack(&file, staging)?;
    let unpacked = hash::of_file::<Sha256>(&staging.join(LIBRARY_FILE))?;
    fs::write(staging.join(HASH_FILE), hex::encode(unpacked))
        .context("cannot write to the cache folder")?;
    fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
    step.done(&format!("fetched the embedded ClickHouse {}", package.version));
    Ok(())
}

/// Runs npm to put the package into `folder`, as the only file there.
fn npm_pack(specification: &str, folder: &Path) -> Result<PathBuf> {
    let output = Command::new("npm")
        .args(["pack", specification, "--loglevel=error", "--ignore-scripts", "--pack-destination"])
        .arg(folder)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!(
                "npm is needed to fetch the embedded ClickHouse once, and is not installed: \
                install Node.js (Debian: apt install npm; macOS: brew install node), {WAY_OUT}"
            );
        }
        Err(error) => return Err(error).context("cannot start npm"),
    };
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        bail!(
            "npm could not fetch {specification} ({}): {reason}; try again, {WAY_OUT}",
            output.status
        );
    }
    let mut files = fs::read_dir(folder).context("cannot read the cache folder")?;
    let file = files.find_map(|entry| {
        let path = entry.ok()?.path();
        (path.extension()? == "tgz").then_some(path)
    });
    file.with_context(|| format!("npm pack {specification} left no package file"))
}

/// npm's integrity string of a file.
fn integrity_of(file: &Path) -> Result<String> {
    Ok(format!("sha512-{}", BASE64.encode(hash::of_file::<Sha512>(file)?)))
}

/// Extracts only the library from the package.
fn unpack(file: &Path, folder: &Path) -> Result<()> {
    let reader = BufReader::new(
        File::open(file).with_context(|| format!("cannot read {}", file.display()))?,
    );
    let mut archive = tar::Archive::new(GzDecoder::new(reader));
    for entry in archive.entries().context("the package is no tar archive")? {
        let mut entry = entry.context("the package is damaged")?;
        let is_library = entry.path().is_ok_and(|path| path.ends_with(LIBRARY_FILE));
        if is_library {
            let target = folder.join(LIBRARY_FILE);
            entry.unpack(&target).with_context(|| {
                format!("cannot unpack the library to {} (it takes 570 MB)", target.display())
            })?;
            return Ok(());
        }
    }
    bail!("the package holds no {LIBRARY_FILE}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_platforms_have_a_package() {
        for (os, arch) in
            [("linux", "x86_64"), ("linux", "aarch64"), ("macos", "x86_64"), ("macos", "aarch64")]
        {
            assert!(package(os, arch).is_some(), "{os} {arch}");
        }
        assert_eq!(package("windows", "x86_64"), None);
        assert_eq!(package("linux", "riscv64"), None);
    }

    #[test]
    fn a_named_file_must_exist() {
        let error =
            engine_library(Some(Path::new("/nonexistent/libchdb.so"))).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/libchdb.so"), "{error}");
    }

    #[test]
    fn a_library_in_the_cache_is_what_was_fetched() {
        let cache = tempfile::tempdir().unwrap();
        let library = cache.path().join(LIBRARY_FILE);
        fs::write(&library, "abc").unwrap();
        private::ensure_folder(cache.path()).unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        check_cached(&library, Some(abc), cache.path()).unwrap();
        assert!(check_cached(&library, None, cache.path()).is_err(), "no hash is known");
        fs::write(cache.path().join(HASH_FILE), abc).unwrap();
        check_cached(&library, None, cache.path()).unwrap();
        fs::write(&library, "abd").unwrap();
        for pinned in [Some(abc), None] {
            let error = check_cached(&library, pinned, cache.path()).unwrap_err().to_string();
            assert!(error.contains("has changed") && error.contains("remove"), "{error}");
        }
    }

    #[test]
    fn a_package_is_hashed_and_unpacked() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("p.tgz");
        let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(
            File::create(&file).unwrap(),
            flate2::Compression::fast(),
        ));
        for (name, data) in [("package/index.js", "no"), ("package/libchdb.so", "library")] {
            let mut header = tar::Header::new_gnu();
            header.set_size(u64::try_from(data.len()).unwrap());
            header.set_mode(0o755);
            builder.append_data(&mut header, name, data.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap();
        unpack(&file, folder.path()).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join(LIBRARY_FILE)).unwrap(), "library");
        assert!(!folder.path().join("index.js").exists());

        let empty = folder.path().join("empty");
        fs::write(&empty, "").unwrap();
        // The SHA-512 of nothing.
        assert_eq!(
            integrity_of(&empty).unwrap(),
            "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+\
             DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="
        );
        assert!(unpack(&empty, folder.path()).is_err());
    }
}
