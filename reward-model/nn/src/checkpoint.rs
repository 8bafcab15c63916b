//! Checkpoints: immutable directories named by the hash of what they hold.
//!
//! A checkpoint is written to a temporary directory next to its place, flushed to the disk and renamed, so that a
//! crash leaves either the whole checkpoint or none. `manifest.json` names every file with its SHA-256 sum;
//! [`load`] refuses a directory in which anything but the name of the parent differs. What a crash leaves unfinished
//! [`sweep`] removes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Error;

/// Version of the directory's layout; the only one read.
pub const FORMAT: u32 = 1;

/// Name of the file that describes the others.
pub const MANIFEST: &str = "manifest.json";

/// Prefix of directories that are not finished.
const TEMPORARY: &str = ".tmp-";

/// What a checkpoint is and where it came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the layout, [`FORMAT`].
    pub format: u32,
    /// What kind of model: `reward`, `generate`.
    pub kind: String,
    /// Name of the directory: a prefix and the first 16 digits of `content`.
    pub id: String,
    /// SHA-256 over everything but `id` and `parent`: equal training gives equal content, however it was interrupted.
    pub content: String,
    /// The checkpoint that training went on from. A hint that no hash covers: nothing may be decided by it that an
    /// altered one could harm.
    pub parent: Option<String>,
    /// Offset in the log of the first record that has not been trained on.
    pub log_position: u64,
    /// Hash of the configuration it was trained under.
    pub config_hash: String,
    /// Seed it was trained with.
    pub seed: u64,
    /// SHA-256 of each file by name.
    pub files: BTreeMap<String, String>,
}

/// A checkpoint to be written.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// What kind of model.
    pub kind: String,
    /// The checkpoint that training went on from.
    pub parent: Option<String>,
    /// Offset in the log of the first record that has not been trained on.
    pub log_position: u64,
    /// Hash of the configuration, see [`config_hash`].
    pub config_hash: String,
    /// Seed of the training.
    pub seed: u64,
    /// The files by name.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// A checkpoint as read.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// Its description.
    pub manifest: Manifest,
    /// Its files by name.
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Checkpoint {
    /// The content of the file called `name`.
    ///
    /// # Errors
    /// Fails when the checkpoint has no such file.
    pub fn file(&self, name: &str) -> Result<&[u8], Error> {
        let found = self.files.get(name).map(Vec::as_slice);
        found.ok_or_else(|| Error::corrupt(Path::new(&self.manifest.id), format!("`{name}` is missing")))
    }
}

impl Draft {
    /// The description that this draft gets when written with `prefix`.
    #[must_use]
    pub fn manifest(&self, prefix: &str) -> Manifest {
        let files: BTreeMap<String, String> =
            self.files.iter().map(|(name, bytes)| (name.clone(), sha256(bytes))).collect();
        let mut manifest = Manifest {
            format: FORMAT,
            kind: self.kind.clone(),
            id: String::new(),
            content: String::new(),
            parent: self.parent.clone(),
            log_position: self.log_position,
            config_hash: self.config_hash.clone(),
            seed: self.seed,
            files,
        };
        manifest.content = content_hash(&manifest);
        manifest.id = format!("{prefix}{}", &manifest.content[..16]);
        manifest
    }
}

/// Writes `draft` below `root` as directory `{prefix}{first 16 digits of the content hash}`.
///
/// When it returns, the checkpoint survives a crash of the machine. Writing the same content again changes nothing
/// and gives the description of the first time; what is damaged in the place is replaced.
///
/// # Errors
/// Fails when a file cannot be written, or when what stands in the place cannot be read.
pub fn write(root: &Path, prefix: &str, draft: &Draft) -> Result<Manifest, Error> {
    let manifest = draft.manifest(prefix);
    let target = root.join(&manifest.id);
    let occupied = fs::symlink_metadata(&target).is_ok();
    if occupied {
        match load(&target) {
            Ok(found) if found.manifest.id == manifest.id => return Ok(found.manifest),
            Err(error) if !is_damage(&error) => return Err(error),
            _ => {}
        }
    }
    fs::create_dir_all(root).map_err(Error::io(root))?;
    let temporary = root.join(format!("{TEMPORARY}{}", manifest.id));
    remove(&temporary)?;
    fs::create_dir(&temporary).map_err(Error::io(&temporary))?;
    for (name, bytes) in &draft.files {
        write_synced(&temporary.join(name), bytes)?;
    }
    let text = serde_json::to_vec_pretty(&manifest).expect("a manifest has only string keys");
    write_synced(&temporary.join(MANIFEST), &text)?;
    sync_directory(&temporary)?;
    let damaged = root.join(format!("{TEMPORARY}{}-damaged", manifest.id));
    if occupied {
        remove(&damaged)?;
        fs::rename(&target, &damaged).map_err(Error::io(&target))?;
    }
    fs::rename(&temporary, &target).map_err(Error::io(&target))?;
    sync_directory(root)?;
    remove(&damaged)?;
    Ok(manifest)
}

/// Removes what crashes left unfinished of checkpoints with `prefix` below `root`, and returns how many there were.
/// Nobody may be writing such a checkpoint meanwhile.
///
/// # Errors
/// Fails when `root` exists but cannot be listed, or when something unfinished cannot be removed.
pub fn sweep(root: &Path, prefix: &str) -> Result<usize, Error> {
    let unfinished = format!("{TEMPORARY}{prefix}");
    let mut swept = 0;
    for path in entries(root)? {
        if file_name(&path).is_some_and(|name| name.starts_with(&unfinished)) {
            remove(&path)?;
            swept += 1;
        }
    }
    Ok(swept)
}

/// Reads the description of the checkpoint in `dir` without its files.
///
/// # Errors
/// Fails when there is none, or when it is not of this format.
pub fn read_manifest(dir: &Path) -> Result<Manifest, Error> {
    let path = dir.join(MANIFEST);
    let bytes = fs::read(&path).map_err(Error::io(&path))?;
    let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(|e| Error::corrupt(&path, e.to_string()))?;
    let format = value.get("format").and_then(serde_json::Value::as_u64);
    if format != Some(u64::from(FORMAT)) {
        let found = format.map_or_else(|| "none".to_owned(), |format| format.to_string());
        let reason = format!("format must be {FORMAT}, got {found}");
        return Err(Error::corrupt(&path, reason));
    }
    serde_json::from_value(value).map_err(|e| Error::corrupt(&path, e.to_string()))
}

/// Reads the checkpoint in `dir` and verifies every byte of it but the name of the parent. The directory may have
/// another name than the checkpoint: one that is to be installed lies anywhere.
///
/// # Errors
/// Fails, naming the file, when one is missing, unexpected or different from what was written.
pub fn load(dir: &Path) -> Result<Checkpoint, Error> {
    let manifest = read_manifest(dir)?;
    for path in entries(dir)? {
        let expected = file_name(&path).is_some_and(|name| name == MANIFEST || manifest.files.contains_key(name));
        if !expected {
            return Err(Error::corrupt(&path, "not a file of this checkpoint"));
        }
    }
    let mut files = BTreeMap::new();
    for (name, expected) in &manifest.files {
        let path = dir.join(name);
        if name.contains(['/', '\\']) || name == MANIFEST {
            return Err(Error::corrupt(&path, "not a plain file name"));
        }
        let bytes = fs::read(&path).map_err(Error::io(&path))?;
        let found = sha256(&bytes);
        if found != *expected {
            let reason = format!("content hash must be {expected}, got {found}");
            return Err(Error::corrupt(&path, reason));
        }
        files.insert(name.clone(), bytes);
    }
    let content = content_hash(&manifest);
    if content != manifest.content || !is_id(&manifest.id, &content) {
        let reason = "the description was changed after it was written";
        return Err(Error::corrupt(&dir.join(MANIFEST), reason));
    }
    Ok(Checkpoint { manifest, files })
}

/// The checkpoints of kind `kind` below `root`, newest log position first; directories that cannot be read as
/// checkpoints, or are named otherwise than theirs, are left out. Only descriptions are read: [`load`] verifies.
///
/// # Errors
/// Fails when `root` exists but cannot be listed.
pub fn list(root: &Path, kind: &str) -> Result<Vec<(PathBuf, Manifest)>, Error> {
    let mut found = Vec::new();
    for path in entries(root)? {
        match read_manifest(&path) {
            Ok(manifest) if manifest.kind == kind && file_name(&path) == Some(&manifest.id) => {
                found.push((path, manifest));
            }
            _ => {}
        }
    }
    found.sort_by(|(_, a), (_, b)| {
        let newest_first = b.log_position.cmp(&a.log_position);
        newest_first.then_with(|| a.id.cmp(&b.id))
    });
    Ok(found)
}

/// The hash under which a configuration is recorded: SHA-256 of its JSON form, in hexadecimal digits.
///
/// # Panics
/// Panics when `config` has a map with keys that are not strings.
#[must_use]
pub fn config_hash(config: &impl Serialize) -> String {
    sha256(&serde_json::to_vec(config).expect("a configuration has only string keys"))
}

/// SHA-256 in hexadecimal digits.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        write!(text, "{byte:02x}").expect("a string takes everything");
    }
    text
}

/// Whether `id` is a prefix, fit for the name of a directory, and the first 16 digits of `content`.
fn is_id(id: &str, content: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    id.strip_suffix(&content[..16]).is_some_and(|prefix| prefix.chars().all(is_plain))
}

/// Whether a checkpoint that failed to load with `error` is of no use any more; the system may fail for a moment.
fn is_damage(error: &Error) -> bool {
    match error {
        Error::Io { source, .. } => {
            matches!(source.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory)
        }
        error => matches!(error, Error::Corrupt { .. }),
    }
}

/// The paths in directory `root`; none when it does not exist.
fn entries(root: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Error::io(root))?,
    };
    entries.map(|entry| Ok(entry.map_err(Error::io(root))?.path())).collect()
}

fn file_name(path: &Path) -> Option<&str> {
    path.file_name().and_then(|name| name.to_str())
}

/// Removes the file or directory at `path`, if there is one.
fn remove(path: &Path) -> Result<(), Error> {
    let removed = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        _ => fs::remove_file(path),
    };
    removed.map_err(Error::io(path))
}

fn content_hash(manifest: &Manifest) -> String {
    let fields =
        (manifest.format, &manifest.kind, manifest.log_position, &manifest.config_hash, manifest.seed, &manifest.files);
    sha256(&serde_json::to_vec(&fields).expect("the fields have only string keys"))
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut file = fs::File::create(path).map_err(Error::io(path))?;
    file.write_all(bytes).map_err(Error::io(path))?;
    file.sync_all().map_err(Error::io(path))
}

fn sync_directory(path: &Path) -> Result<(), Error> {
    let directory = fs::File::open(path).map_err(Error::io(path))?;
    directory.sync_all().map_err(Error::io(path))
}

#[cfg(test)]
mod tests;
