//! A disk so small that it can be filled.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

/// Its size.
const MEBIBYTES: u64 = 64;
/// Filled in pieces of this size.
const PIECE: usize = 64 << 10;

/// A file system in memory, mounted at a folder until it is dropped.
pub(super) struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts one at `path`, which is made. That takes the rights of root.
    pub(super) fn mount(path: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(path).with_context(|| format!("failed to create `{}`", path.display()))?;
        let size = format!("size={MEBIBYTES}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "plaudit-faults"]).arg(path).output();
        let mounted = mounted.context("failed to run `mount`")?;
        anyhow::ensure!(
            mounted.status.success(),
            "a small disk cannot be mounted (are you root?): {}",
            String::from_utf8_lossy(&mounted.stderr).trim()
        );
        Ok(Self { path: path.to_owned() })
    }

    /// Writes a file until nothing fits any more, and returns it.
    pub(super) fn fill(&self) -> anyhow::Result<PathBuf> {
        let ballast = self.path.join("ballast");
        let mut file = std::fs::File::create(&ballast).context("failed to create the ballast")?;
        let piece = vec![0_u8; PIECE];
        loop {
            match file.write_all(&piece) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::StorageFull => return Ok(ballast),
                Err(error) => return Err(error).context("failed to fill the disk"),
            }
        }
    }

    /// In words.
    pub(super) fn what(&self) -> String {
        format!("a tmpfs of {MEBIBYTES} MiB")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Where it stays mounted, the folder cannot be removed either, and that is told.
        let _ = Command::new("umount").arg(&self.path).status();
    }
}
