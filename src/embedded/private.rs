//! Folders and files for their owner only: the engine's data and the cache.
//!
//! It never loosens a mode, and never changes what belongs to another user.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::Path;

use anyhow::{Context as _, Result, bail};

const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// Bits of a mode that let the group or everybody write.
const OTHERS_WRITE: u32 = 0o022;
/// Bits of a mode that let the group or everybody do anything.
const OTHERS: u32 = 0o077;

/// Creates a folder, with its parents, that only this user may enter; one that exists and is this
/// user's is closed to others.
///
/// # Errors
///
/// It cannot be created, or its mode cannot be changed.
pub(super) fn ensure_folder(folder: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(FOLDER_MODE)
        .create(folder)
        .context("cannot create the folder")?;
    close(folder, FOLDER_MODE)
}

/// Refuses a folder that belongs to somebody else: its owner may read and change whatever is kept
/// in it, and only the owner can close it to others.
///
/// # Errors
///
/// Whose it is, and what to do; or that it cannot be looked at.
pub(super) fn refuse_if_of_somebody_else(folder: &Path) -> Result<()> {
    let metadata =
        fs::metadata(folder).with_context(|| format!("cannot look at {}", folder.display()))?;
    if !is_ours(&metadata) {
        bail!(
            "{} belongs to user {}, who could read and change what is kept in it: name another \
            folder, or one in it that does not exist yet, or make this user its owner (chown)",
            folder.display(),
            metadata.uid()
        );
    }
    Ok(())
}

/// Writes a file that only this user may read. It appears whole or not at all.
///
/// # Errors
///
/// It cannot be written.
pub(super) fn write_file(path: &Path, text: &str) -> Result<()> {
    let unwritable = || format!("cannot write {}", path.display());
    let staging = path.with_extension("partial");
    match fs::remove_file(&staging) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(unwritable);
        }
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(&staging)
        .with_context(unwritable)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(unwritable)?;
    fs::rename(&staging, path).with_context(unwritable)
}

/// Reads a file that only this user should read; `None` if there is none. A mode that lets others
/// read is corrected.
///
/// # Errors
///
/// It cannot be read, or belongs to another user.
pub(super) fn read_file(path: &Path) -> Result<Option<String>> {
    let unreadable = || format!("cannot read {}", path.display());
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(unreadable),
    };
    if !metadata.is_file() || !is_ours(&metadata) {
        bail!(
            "{} belongs to somebody else, or is no file: remove it, and it is made anew",
            path.display()
        );
    }
    close(path, FILE_MODE)?;
    fs::read_to_string(path).with_context(unreadable).map(Some)
}

/// Refuses a file that another user may change, directly or through a folder from it up to `root`.
///
/// # Errors
///
/// Which of them it is, and what to do; or that one cannot be inspected.
pub(super) fn refuse_if_others_may_write(file: &Path, root: &Path) -> Result<()> {
    let real = |path: &Path| {
        path.canonicalize().with_context(|| format!("cannot look at {}", path.display()))
    };
    let (file, root) = (real(file)?, real(root)?);
    if !file.starts_with(&root) {
        bail!(
            "{} is not in {}, but a link to somewhere else: remove it, and it is fetched again",
            file.display(),
            root.display()
        );
    }
    for path in file.ancestors() {
        let metadata =
            fs::metadata(path).with_context(|| format!("cannot look at {}", path.display()))?;
        if !is_ours(&metadata) && metadata.uid() != 0 {
            bail!(
                "{} belongs to user {}, who may change what is loaded from it: remove it, and it \
                is fetched again, or name another cache folder by SEATMETER_CACHE_DIR",
                path.display(),
                metadata.uid()
            );
        }
        if metadata.mode() & OTHERS_WRITE != 0 {
            bail!(
                "others may write to {} (mode {:03o}), and so change what is loaded from it: \
                remove it, and it is fetched again, or take their right away (chmod go-w)",
                path.display(),
                metadata.mode() & 0o777
            );
        }
        if path == root {
            break;
        }
    }
    Ok(())
}

/// Removes the write permission of others from a folder and its content, which a permissive umask
/// grants.
///
/// # Errors
///
/// It cannot be inspected, or a mode cannot be changed.
pub(super) fn take_write_from_others(path: &Path) -> Result<()> {
    let failed = || format!("cannot take the rights of others from {}", path.display());
    let metadata = fs::symlink_metadata(path).with_context(failed)?;
    if metadata.is_symlink() {
        return Ok(());
    }
    let mode = metadata.mode() & 0o7777;
    if mode & OTHERS_WRITE != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(mode & !OTHERS_WRITE))
            .with_context(failed)?;
    }
    if metadata.is_dir() {
        for entry in fs::read_dir(path).with_context(failed)? {
            take_write_from_others(&entry.with_context(failed)?.path())?;
        }
    }
    Ok(())
}

fn is_ours(metadata: &fs::Metadata) -> bool {
    metadata.uid() == rustix::process::geteuid().as_raw()
}

/// Removes the permissions of others from what this user owns.
fn close(path: &Path, mode: u32) -> Result<()> {
    let metadata =
        fs::metadata(path).with_context(|| format!("cannot look at {}", path.display()))?;
    if is_ours(&metadata) && metadata.mode() & OTHERS != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
            .with_context(|| format!("cannot take the rights of others from {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn folders_are_made_and_mended() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("a/b");
        ensure_folder(&folder).unwrap();
        assert_eq!(mode(&folder), 0o700);
        set_mode(&folder, 0o777);
        ensure_folder(&folder).unwrap();
        assert_eq!(mode(&folder), 0o700);
    }

    #[test]
    fn a_folder_of_somebody_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        refuse_if_of_somebody_else(folder.path()).unwrap();
        // Only root can give a folder away; to everybody else, the root folder is somebody else's.
        let given = std::os::unix::fs::chown(folder.path(), Some(12345), None);
        let foreign = if given.is_ok() { folder.path() } else { Path::new("/") };
        let error = refuse_if_of_somebody_else(foreign).unwrap_err().to_string();
        assert!(error.contains("belongs to user") && error.contains("chown"), "{error}");
    }

    #[test]
    fn a_file_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        assert_eq!(read_file(&path).unwrap(), None);
        write_file(&path, "secret").unwrap();
        assert_eq!(mode(&path), 0o600);
        set_mode(&path, 0o644);
        assert_eq!(read_file(&path).unwrap().as_deref(), Some("secret"));
        assert_eq!(mode(&path), 0o600);
        std::os::unix::fs::symlink("/etc/hostname", folder.path().join("link")).unwrap();
        assert!(read_file(&folder.path().join("link")).is_err());
    }

    #[test]
    fn what_others_may_change_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("chdb");
        fs::create_dir(&folder).unwrap();
        let file = folder.join("lib.so");
        fs::write(&file, "").unwrap();
        for path in [root.path(), &folder, &file] {
            set_mode(path, 0o755);
        }
        let check = || refuse_if_others_may_write(&file, root.path());
        check().unwrap();
        for path in [root.path(), &folder, &file] {
            for open in [0o775, 0o757] {
                set_mode(path, open);
                let error = check().unwrap_err().to_string();
                assert!(
                    error.contains(&path.display().to_string()) && error.contains("chmod go-w"),
                    "{error}"
                );
                set_mode(path, 0o755);
            }
        }
        let link = folder.join("link.so");
        std::os::unix::fs::symlink("/etc/hostname", &link).unwrap();
        assert!(refuse_if_others_may_write(&link, root.path()).is_err());
    }
}
