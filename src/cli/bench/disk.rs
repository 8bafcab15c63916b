//! Whether a run fits on the disk, before it begins.

use std::path::Path;

use anyhow::Context as _;

/// Fails when `dir` has no room for `needed` bytes, less what it holds already.
pub(super) fn ensure_room(dir: &Path, needed: u64) -> anyhow::Result<()> {
    let free = fs4::available_space(dir).with_context(|| format!("failed to ask for room in `{}`", dir.display()))?;
    let missing = needed.saturating_sub(folder_bytes(dir)?);
    anyhow::ensure!(
        missing <= free,
        "the run needs about {} in `{}`, where {} are free: take fewer tests with `--tests`, or another directory with \
         `--data`",
        gibibytes(missing),
        dir.display(),
        gibibytes(free)
    );
    Ok(())
}

/// Bytes of all files under `dir`.
pub(super) fn folder_bytes(dir: &Path) -> anyhow::Result<u64> {
    let mut total = 0;
    let entries = std::fs::read_dir(dir).with_context(|| format!("failed to read `{}`", dir.display()))?;
    for entry in entries {
        let entry = entry?;
        total += match entry.file_type()?.is_dir() {
            true => folder_bytes(&entry.path())?,
            false => entry.metadata()?.len(),
        };
    }
    Ok(total)
}

fn gibibytes(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_does_not_fit_is_refused_with_what_it_needs() {
        let dir = tempfile::tempdir().unwrap();
        ensure_room(dir.path(), 1 << 10).unwrap();
        let said = ensure_room(dir.path(), 1 << 60).unwrap_err().to_string();
        assert!(said.contains("needs about 1073741824.0 GiB in"), "{said}");
    }

    #[test]
    fn what_is_there_already_needs_no_room() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("inner")).unwrap();
        std::fs::write(dir.path().join("inner/file"), [0_u8; 1000]).unwrap();
        std::fs::write(dir.path().join("file"), [0_u8; 24]).unwrap();
        assert_eq!(folder_bytes(dir.path()).unwrap(), 1024);
        let free = fs4::available_space(dir.path()).unwrap();
        // More than is free, but for the most part there already: what is free may change by the way.
        let sparse = std::fs::File::create(dir.path().join("sparse")).unwrap();
        sparse.set_len(free).unwrap();
        ensure_room(dir.path(), free + (1 << 10)).unwrap();
    }
}
