//! Folders that are created atomically.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::embedded::private;

/// Returns `parent/name`, filled by `fill` if it does not exist yet.
///
/// `fill` works in a temporary folder beside it, which is renamed at the end; a file lock makes
/// other processes wait for the one that fills.
///
/// # Errors
///
/// The folder cannot be written to, or `fill` fails; nothing is left then.
pub(super) fn ensure_folder(
    parent: &Path,
    name: &str,
    fill: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    private::ensure_folder(parent)
        .with_context(|| format!("cannot use the cache folder {}", parent.display()))?;
    let folder = parent.join(name);
    if folder.is_dir() {
        return Ok(folder);
    }
    let lock_path = parent.join(format!("{name}.lock"));
    let lock = File::create(&lock_path)
        .with_context(|| format!("cannot write to {}", lock_path.display()))?;
    lock.lock().with_context(|| format!("cannot lock {}", lock_path.display()))?;
    if folder.is_dir() {
        return Ok(folder);
    }
    // The holder of the lock is alone, so an existing folder was left by a process that was killed.
    let staging = parent.join(format!("{name}.partial"));
    if staging.exists() {
        fs::remove_dir_all(&staging)
            .with_context(|| format!("cannot remove {}", staging.display()))?;
    }
    private::ensure_folder(&staging)
        .with_context(|| format!("cannot create {}", staging.display()))?;
    let filled = fill(&staging).and_then(|()| {
        private::take_write_from_others(&staging)?;
        fs::rename(&staging, &folder)
            .with_context(|| format!("cannot rename {} to {}", staging.display(), folder.display()))
    });
    if let Err(error) = filled {
        // The first error is the relevant one; what cannot be removed now is removed at the next
        // attempt.
        drop(fs::remove_dir_all(&staging));
        return Err(error);
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_folder_is_filled_once_by_many() {
        let parent = tempfile::tempdir().unwrap();
        let fills = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let folder = ensure_folder(parent.path(), "x-1", |staging| {
                        fills.fetch_add(1, Ordering::Relaxed);
                        std::thread::sleep(Duration::from_millis(20));
                        Ok(fs::write(staging.join("file"), "whole")?)
                    });
                    assert_eq!(fs::read_to_string(folder.unwrap().join("file")).unwrap(), "whole");
                });
            }
        });
        assert_eq!(fills.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_failed_fill_leaves_nothing_and_may_be_repeated() {
        let parent = tempfile::tempdir().unwrap();
        let failed = ensure_folder(parent.path(), "x", |staging| {
            fs::write(staging.join("half"), "")?;
            anyhow::bail!("broke off")
        });
        assert_eq!(failed.unwrap_err().to_string(), "broke off");
        assert!(!parent.path().join("x").exists() && !parent.path().join("x.partial").exists());
        fs::create_dir_all(parent.path().join("x.partial/left/by/a/killed/one")).unwrap();
        let folder = ensure_folder(parent.path(), "x", |_| Ok(())).unwrap();
        assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
    }
}
