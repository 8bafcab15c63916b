//! Experiments in files.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use plaudit_event::Timestamp;
use plaudit_ingest::Problem;

use super::Definition;
use crate::Error;

/// What the file system tells of a file, or of all `.toml` files of a directory, without reading them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp(Vec<(PathBuf, Option<SystemTime>, u64)>);

impl Stamp {
    /// Looks at `path`.
    ///
    /// # Errors
    /// As [`read_texts`].
    pub fn of(path: &Path) -> Result<Self, Error> {
        let stamp = |path: PathBuf| {
            let metadata = std::fs::metadata(&path).map_err(|error| problem(&path, error.to_string()))?;
            Ok((path, metadata.modified().ok(), metadata.len()))
        };
        files(path)?.into_iter().map(stamp).collect::<Result<_, Error>>().map(Self)
    }

    /// Whether a file could have been changed again since, within the same tick of the file system's clock, without
    /// another stamp: it was changed less than two seconds before `now`, or nobody knows when.
    #[must_use]
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        let least = u64::try_from(now.as_millis()).ok().map(|now| SystemTime::UNIX_EPOCH + Duration::from_millis(now));
        let settled = least.and_then(|now| now.checked_sub(TICK));
        self.0.iter().any(|(_, changed, _)| settled.is_none() || changed.is_none() || *changed > settled)
    }
}

/// Longer than the coarsest clock of a file system.
const TICK: Duration = Duration::from_secs(2);

/// The text of a file, or of all `.toml` files of a directory in the order of their names, one path each.
///
/// # Errors
/// Fails when `path` is not there or cannot be read, and on a directory without such files.
pub fn read_texts(path: &Path) -> Result<Vec<(PathBuf, String)>, Error> {
    let read = |path: PathBuf| match std::fs::read_to_string(&path) {
        Ok(text) => Ok((path, text)),
        Err(error) => Err(problem(&path, error.to_string())),
    };
    files(path)?.into_iter().map(read).collect()
}

fn files(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut paths = vec![path.to_owned()];
    if path.is_dir() {
        let entries = std::fs::read_dir(path).map_err(|error| problem(path, error.to_string()))?;
        paths = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
        paths.sort();
        if paths.is_empty() {
            return Err(problem(path, "must have at least one file with the ending `.toml`, got none".to_owned()));
        }
    }
    Ok(paths)
}

/// The definition that `texts` make together: lists are put one after the other, everything else may stand in one file
/// only.
///
/// # Errors
/// Fails on what is no TOML, on unknown keys and on keys that two files set; the message names the file.
pub fn parse(texts: &[(PathBuf, String)]) -> Result<Definition, Error> {
    let mut all = toml::Table::new();
    for (path, text) in texts {
        let table: toml::Table = toml::from_str(text).map_err(|error| problem(path, error.to_string()))?;
        // Alone, so that a wrong key is told with its file and line.
        toml::from_str::<Definition>(text).map_err(|error| problem(path, error.to_string()))?;
        for (key, value) in table {
            match (all.get_mut(&key), value) {
                (Some(toml::Value::Array(before)), toml::Value::Array(more)) => before.extend(more),
                (Some(_), _) => return Err(problem(path, format!("`{key}` is set by another file, too"))),
                (None, value) => {
                    all.insert(key, value);
                }
            }
        }
    }
    let path = texts.first().map_or_else(PathBuf::new, |(path, _)| path.clone());
    all.try_into().map_err(|error: toml::de::Error| problem(&path, error.to_string()))
}

fn problem(path: &Path, message: String) -> Error {
    Error::Experiments(vec![Problem { path: path.display().to_string(), message: message.trim().to_owned() }])
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYER: &str = "[[layers]]\nid = \"generation\"\nunit = \"user\"\n";

    fn experiment(id: &str, from: f64, to: f64) -> String {
        format!(
            "[[experiments]]\nid = \"{id}\"\nlayer = \"generation\"\nrange = [{from:?}, {to:?}]\n\
             variants = [{{id = \"a\", weight = 0.5, policy = \"champion\"}}, {{id = \"b\", weight = 0.5, policy = \"p-1\"}}]\n"
        )
    }

    #[test]
    fn a_stamp_tells_of_every_change_that_the_file_system_could_tell() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("1.toml");
        std::fs::write(&path, LAYER).unwrap();
        let stamp = || Stamp::of(dir.path()).unwrap();
        let written = Timestamp::from_millis(1_700_000_000_000);
        let at = |millis: i64| SystemTime::UNIX_EPOCH + Duration::from_millis(millis as u64);
        let date = |time| std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        date(at(written.as_millis()));
        let before = stamp();
        assert_eq!(before, stamp());
        // Within a tick the same length may be another text.
        let later = |millis: i64| Timestamp::from_millis(written.as_millis() + millis);
        assert!(before.is_fresh(written) && before.is_fresh(later(1_999)) && !before.is_fresh(later(2_000)));
        assert!(before.is_fresh(Timestamp::from_millis(-5)), "a clock that has gone back knows nothing");
        date(at(written.as_millis() + 1));
        assert_ne!(before, stamp());
        date(at(written.as_millis()));
        std::fs::write(dir.path().join("2.toml"), "").unwrap();
        assert_ne!(before, stamp());
        assert!(Stamp::of(&dir.path().join("gone.toml")).is_err());
    }

    #[test]
    fn a_directory_is_one_definition() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("1.toml"), format!("{LAYER}{}", experiment("one", 0.0, 0.5))).unwrap();
        std::fs::write(dir.path().join("2.toml"), experiment("two", 0.5, 1.0)).unwrap();
        std::fs::write(dir.path().join("notes.txt"), "not read").unwrap();
        let definition = parse(&read_texts(dir.path()).unwrap()).unwrap();
        let ids: Vec<&str> = definition.experiments.iter().map(|experiment| experiment.id.as_str()).collect();
        assert_eq!(ids, ["one", "two"]);
        assert_eq!(super::super::validate("", &definition), []);
    }

    #[test]
    fn what_cannot_be_used_is_told_with_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let said = |texts: &[(&str, String)]| {
            let texts: Vec<_> = texts.iter().map(|(name, text)| (PathBuf::from(name), text.clone())).collect();
            parse(&texts).unwrap_err().to_string()
        };
        let typo = said(&[("a.toml", "kiled = true".to_owned())]);
        assert!(typo.contains("a.toml") && typo.contains("kiled"), "{typo}");
        let twice = said(&[("a.toml", "killed = true".to_owned()), ("b.toml", "killed = true".to_owned())]);
        assert!(twice.contains("b.toml: `killed` is set by another file"), "{twice}");
        let none = read_texts(dir.path()).unwrap_err().to_string();
        assert!(none.contains("at least one file"), "{none}");
        assert!(read_texts(&dir.path().join("gone.toml")).is_err());
    }
}
