//! Locks a data directory for one process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::embedded::private;

/// What a process does with a data directory: each may be done by one process at a time.
#[derive(Clone, Copy, Debug)]
pub enum Use {
    Engine,
    /// `seatmeter demo`, which runs an engine on it and empties its database.
    Demo,
}

impl Use {
    /// The name of the locked file in the data directory. The file stays; the lock on it is
    /// released by the system with the process.
    fn lock_file(self) -> &'static str {
        match self {
            Use::Engine => "seatmeter.lock",
            Use::Demo => "demo.lock",
        }
    }

    /// Says who has it, and the way out.
    fn refusal(self, data_dir: &Path, holder: &str) -> String {
        let data_dir = data_dir.display();
        match self {
            Use::Engine => format!(
                "the data directory {data_dir} is in use by another engine{holder}; stop it, or \
                choose another --data-dir"
            ),
            Use::Demo => format!(
                "another demo{holder} is running on the data in {data_dir}; use that one, stop it \
                by Ctrl-C, or give this one its own data by --data-dir, and its own port by \
                --listen"
            ),
        }
    }
}

/// Keeps other processes from the same use of a data directory until it is dropped.
#[derive(Debug)]
pub struct DataDirLock {
    _file: File,
}

impl DataDirLock {
    /// Creates the directory where missing, closes it to other users, and locks it.
    ///
    /// # Errors
    ///
    /// It cannot be created or written to, belongs to another user, or another process holds it.
    pub fn take(data_dir: &Path, purpose: Use) -> Result<DataDirLock> {
        private::ensure_folder(data_dir)
            .with_context(|| format!("cannot create the data directory {}", data_dir.display()))?;
        private::refuse_if_of_somebody_else(data_dir)?;
        let path = data_dir.join(purpose.lock_file());
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(|| {
                format!("cannot write to the data directory {}", data_dir.display())
            })?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let known = file.read_to_string(&mut holder).is_ok() && !holder.trim().is_empty();
                let holder =
                    if known { format!(" (process {})", holder.trim()) } else { String::new() };
                bail!(purpose.refusal(data_dir, &holder));
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .with_context(|| format!("cannot write to {}", path.display()))?;
        Ok(DataDirLock { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_taken_once() {
        let directory = tempfile::tempdir().unwrap();
        let data_dir = directory.path().join("new/data");
        let held = DataDirLock::take(&data_dir, Use::Engine).unwrap();
        let refused = DataDirLock::take(&data_dir, Use::Engine).unwrap_err().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        assert!(refused.contains(&data_dir.display().to_string()), "{refused}");
        let demo = DataDirLock::take(&data_dir, Use::Demo).unwrap();
        assert!(DataDirLock::take(&data_dir, Use::Demo).is_err());
        drop((held, demo));
        DataDirLock::take(&data_dir, Use::Engine).unwrap();
    }

    #[test]
    fn a_directory_of_somebody_else_is_not_taken() {
        let directory = tempfile::tempdir().unwrap();
        // Only root can give a directory away; to everybody else, the root directory is somebody
        // else's.
        let given = std::os::unix::fs::chown(directory.path(), Some(12345), None);
        let foreign = if given.is_ok() { directory.path() } else { Path::new("/") };
        let refused = DataDirLock::take(foreign, Use::Engine).unwrap_err().to_string();
        assert!(refused.contains("belongs to user"), "{refused}");
    }
}
