//! Checkpoints: immutable directories named by the hash of what they hold.
//!
//! A checkpoint is written to a temporary directory next to its place, flushed to the disk and renamed, so that a
//! crash leaves either the whole checkpoint or none. `manifest.json` names every file with its SHA-256 sum;
//! [`load`] refuses a directory in which anything differs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
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
    /// The checkpoint that training went on from.
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
/// and gives the description of the first time.
///
/// # Errors
/// Fails when a file cannot be written, or when a damaged directory stands in the place.
pub fn write(root: &Path, prefix: &str, draft: &Draft) -> Result<Manifest, Error> {
    let manifest = draft.manifest(prefix);
    let target = root.join(&manifest.id);
    if target.exists() {
        return Ok(load(&target)?.manifest);
    }
    fs::create_dir_all(root).map_err(Error::io(root))?;
    let temporary = root.join(format!("{TEMPORARY}{}", manifest.id));
    if temporary.exists() {
        fs::remove_dir_all(&temporary).map_err(Error::io(&temporary))?;
    }
    fs::create_dir(&temporary).map_err(Error::io(&temporary))?;
    for (name, bytes) in &draft.files {
        write_synced(&temporary.join(name), bytes)?;
    }
    let text = serde_json::to_vec_pretty(&manifest).expect("a manifest has only string keys");
    write_synced(&temporary.join(MANIFEST), &text)?;
    sync_directory(&temporary)?;
    fs::rename(&temporary, &target).map_err(Error::io(&target))?;
    sync_directory(root)?;
    Ok(manifest)
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

/// Reads the checkpoint in `dir` and verifies every byte of it.
///
/// # Errors
/// Fails, naming the file, when one is missing, unexpected or different from what was written.
pub fn load(dir: &Path) -> Result<Checkpoint, Error> {
    let manifest = read_manifest(dir)?;
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
    if content != manifest.content || !manifest.id.ends_with(&content[..16]) {
        let reason = "the description was changed after it was written";
        return Err(Error::corrupt(&dir.join(MANIFEST), reason));
    }
    Ok(Checkpoint { manifest, files })
}

/// The checkpoints of kind `kind` below `root`, newest log position first; directories that cannot be read as
/// checkpoints are left out. Only descriptions are read: [`load`] verifies.
///
/// # Errors
/// Fails when `root` exists but cannot be listed.
pub fn list(root: &Path, kind: &str) -> Result<Vec<(PathBuf, Manifest)>, Error> {
    if !root.exists() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(root).map_err(Error::io(root))? {
        let path = entry.map_err(Error::io(root))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_none_or(|name| name.starts_with(TEMPORARY)) {
            continue;
        }
        match read_manifest(&path) {
            Ok(manifest) if manifest.kind == kind => found.push((path, manifest)),
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
mod tests {
    use super::*;

    fn draft() -> Draft {
        Draft {
            kind: "reward".to_owned(),
            parent: Some("rm-0".to_owned()),
            log_position: 7,
            config_hash: config_hash(&("lr", 0.5)),
            seed: 3,
            files: BTreeMap::from([("a.bin".to_owned(), vec![1, 2, 3]), ("b.bin".to_owned(), vec![])]),
        }
    }

    #[test]
    fn what_was_written_is_read_and_writing_again_changes_nothing() {
        let root = tempfile::tempdir().unwrap();
        let written = write(root.path(), "rm-", &draft()).unwrap();
        assert!(written.id.starts_with("rm-") && written.id.len() == 19);
        let read = load(&root.path().join(&written.id)).unwrap();
        assert_eq!(read.manifest, written);
        assert_eq!(read.files, draft().files);
        assert_eq!(write(root.path(), "rm-", &draft()).unwrap(), written);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
        assert!(read.file("c.bin").is_err());
    }

    #[test]
    fn the_id_follows_the_content_but_not_the_parent() {
        let id = |change: fn(&mut Draft)| {
            let mut draft = draft();
            change(&mut draft);
            draft.manifest("rm-").id
        };
        let same = id(|_| {});
        assert_eq!(id(|draft| draft.parent = None), same);
        assert_ne!(id(|draft| draft.log_position = 8), same);
        assert_ne!(id(|draft| draft.seed = 4), same);
        assert_ne!(id(|draft| draft.files.get_mut("a.bin").unwrap()[0] = 9), same);
    }

    #[test]
    fn every_damage_is_found_and_names_the_file() {
        let damage = |harm: fn(&Path)| {
            let root = tempfile::tempdir().unwrap();
            let id = write(root.path(), "rm-", &draft()).unwrap().id;
            harm(&root.path().join(&id));
            load(&root.path().join(&id)).unwrap_err().to_string()
        };
        let flipped = damage(|dir| fs::write(dir.join("a.bin"), [1, 2, 4]).unwrap());
        assert!(flipped.contains("a.bin") && flipped.contains("content hash"), "{flipped}");
        let missing = damage(|dir| fs::remove_file(dir.join("b.bin")).unwrap());
        assert!(missing.contains("b.bin"), "{missing}");
        let edited = damage(|dir| {
            let path = dir.join(MANIFEST);
            let text = fs::read_to_string(&path).unwrap();
            fs::write(path, text.replace("\"log_position\": 7", "\"log_position\": 9")).unwrap();
        });
        assert!(edited.contains("changed after it was written"), "{edited}");
        let newer = damage(|dir| {
            let path = dir.join(MANIFEST);
            let text = fs::read_to_string(&path).unwrap();
            fs::write(path, text.replace("\"format\": 1", "\"format\": 2")).unwrap();
        });
        assert!(newer.contains("format must be 1, got 2"), "{newer}");
    }

    #[test]
    fn the_list_is_newest_first_and_skips_what_is_unfinished() {
        let root = tempfile::tempdir().unwrap();
        assert!(list(&root.path().join("none"), "reward").unwrap().is_empty());
        for position in [5, 9, 7] {
            let draft = Draft { log_position: position, ..draft() };
            write(root.path(), "rm-", &draft).unwrap();
        }
        fs::create_dir(root.path().join(".tmp-rm-1")).unwrap();
        fs::create_dir(root.path().join("other")).unwrap();
        let positions: Vec<u64> =
            list(root.path(), "reward").unwrap().iter().map(|(_, manifest)| manifest.log_position).collect();
        assert_eq!(positions, [9, 7, 5]);
        assert!(list(root.path(), "generate").unwrap().is_empty());
    }
}
