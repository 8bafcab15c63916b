//! The weights of a Hugging Face directory: one file, or several with an index of which tensor is where.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use candle_core::safetensors::Load as _;
use candle_core::{DType, Device};
use safetensors::SafeTensors;
use serde::Deserialize;

use super::Params;
use crate::{Error, describe};

/// Name of the file with all parameters.
pub const WEIGHTS_FILE: &str = "model.safetensors";
/// Name of the file that says in which file each parameter is, where there are several.
pub const INDEX_FILE: &str = "model.safetensors.index.json";

/// What of the index is read; the sizes that it tells are not needed.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The files that hold the parameters of `dir`: [`WEIGHTS_FILE`] if it is there, else [`INDEX_FILE`] followed by the files
/// that it names, each once and in the order of their names.
///
/// # Errors
/// Fails when there is neither, when the index is corrupt, or when a file that it names is not there.
pub fn weight_files(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let whole = dir.join(WEIGHTS_FILE);
    if whole.is_file() {
        return Ok(vec![whole]);
    }
    let path = dir.join(INDEX_FILE);
    if !path.is_file() {
        return Err(Error::corrupt(dir, format!("has no {WEIGHTS_FILE} and no {INDEX_FILE}")));
    }
    let index = Index::read(&path)?;
    let shards = index.weight_map.values().collect::<BTreeSet<_>>().into_iter().map(|shard| dir.join(shard));
    Ok(std::iter::once(path).chain(shards).collect())
}

impl Index {
    fn read(path: &Path) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(Error::io(path))?;
        let index: Self = serde_json::from_slice(&bytes).map_err(|error| Error::corrupt(path, error.to_string()))?;
        if index.weight_map.is_empty() {
            return Err(Error::corrupt(path, "`weight_map` names no parameter"));
        }
        for shard in index.weight_map.values() {
            let is_plain = Path::new(shard).file_name().is_some_and(|name| name == shard.as_str());
            if !is_plain {
                return Err(Error::corrupt(path, format!("`{shard}` is not a plain file name")));
            }
            if !path.with_file_name(shard).is_file() {
                return Err(Error::corrupt(path, format!("names `{shard}`, which is not there")));
            }
        }
        Ok(index)
    }

    /// Fails unless `shard` holds what the index places in it and nothing else.
    fn check(&self, shard: &Path, tensors: &SafeTensors<'_>) -> Result<(), Error> {
        let file = shard.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let held: BTreeSet<&str> = tensors.names().into_iter().collect();
        for name in &held {
            match self.weight_map.get(*name) {
                Some(placed) if placed == file => {}
                Some(placed) => {
                    return Err(Error::corrupt(shard, format!("holds `{name}`, which the index places in `{placed}`")));
                }
                None => return Err(Error::corrupt(shard, format!("holds `{name}`, which the index does not name"))),
            }
        }
        let missing = self.weight_map.iter().find(|(name, placed)| *placed == file && !held.contains(name.as_str()));
        match missing {
            Some((name, _)) => Err(Error::corrupt(shard, format!("lacks `{name}`, which the index places in it"))),
            None => Ok(()),
        }
    }
}

impl Params {
    /// Reads the parameters of a directory, from [`WEIGHTS_FILE`] or from several files with an [`INDEX_FILE`], converted
    /// to single precision one by one.
    ///
    /// # Errors
    /// Fails as [`weight_files`], and naming the file when one is corrupt, lacks a parameter that the index places in it,
    /// or holds one that the index places elsewhere or does not name.
    pub fn load_dir(dir: &Path, device: &Device) -> Result<Self, Error> {
        let files = weight_files(dir)?;
        let index = (files.len() > 1).then(|| Index::read(&files[0])).transpose()?;
        let mut params = Self::new();
        for path in &files[usize::from(index.is_some())..] {
            let bytes = std::fs::read(path).map_err(Error::io(path))?;
            let corrupt = |error: candle_core::Error| Error::corrupt(path, describe(&Error::from(error)));
            let tensors = SafeTensors::deserialize(&bytes).map_err(|error| corrupt(candle_core::Error::wrap(error)))?;
            if let Some(index) = &index {
                index.check(path, &tensors)?;
            }
            for (name, view) in tensors.tensors() {
                let tensor = view.load(device).and_then(|tensor| tensor.to_dtype(DType::F32)).map_err(corrupt)?;
                params.insert(name, &tensor)?;
            }
        }
        Ok(params)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Tensor;
    use serde_json::json;

    use super::*;

    const SHARDS: [&str; 2] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];

    fn params(names: &[&str]) -> Params {
        let mut params = Params::new();
        for name in names {
            let tensor = Tensor::from_vec(vec![0.5_f32, name.len() as f32], 2, &Device::Cpu).unwrap();
            params.insert(*name, &tensor).unwrap();
        }
        params
    }

    /// A directory whose shards hold `held` and whose index says `map`.
    fn directory(held: [&[&str]; 2], map: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (shard, names) in SHARDS.iter().zip(held) {
            params(names).save(&dir.path().join(shard)).unwrap();
        }
        let map: BTreeMap<_, _> = map.iter().copied().collect();
        let index = json!({"metadata": {"total_size": 16}, "weight_map": map});
        std::fs::write(dir.path().join(INDEX_FILE), index.to_string()).unwrap();
        dir
    }

    const MAP: [(&str, &str); 3] = [("a", SHARDS[0]), ("bb", SHARDS[1]), ("c", SHARDS[0])];

    #[test]
    fn shards_hold_together_what_one_file_would() {
        let dir = directory([&["a", "c"], &["bb"]], &MAP);
        let read = Params::load_dir(dir.path(), &Device::Cpu).unwrap();
        assert_eq!(read.to_bytes().unwrap(), params(&["a", "bb", "c"]).to_bytes().unwrap());
        let names = [INDEX_FILE, SHARDS[0], SHARDS[1]].map(|name| dir.path().join(name));
        assert_eq!(weight_files(dir.path()).unwrap(), names);
        params(&["z"]).to_dtype(DType::F16).unwrap().save(&dir.path().join(WEIGHTS_FILE)).unwrap();
        let read = Params::load_dir(dir.path(), &Device::Cpu).unwrap();
        assert!(read.contains("z") && !read.contains("a"), "one file is read first");
        assert_eq!(read.get("z").unwrap().dtype(), DType::F32);
    }

    #[test]
    fn faults_name_the_file_and_the_parameter() {
        let fault = |dir: &tempfile::TempDir| Params::load_dir(dir.path(), &Device::Cpu).unwrap_err().to_string();
        let twice = fault(&directory([&["a", "c"], &["a", "bb"]], &MAP));
        assert!(
            twice.contains(SHARDS[1]) && twice.contains("holds `a`, which the index places in `model-00001"),
            "{twice}"
        );
        let lacking = fault(&directory([&["a"], &["bb"]], &MAP));
        assert!(lacking.contains(SHARDS[0]) && lacking.contains("lacks `c`"), "{lacking}");
        let unknown = fault(&directory([&["a", "c"], &["bb", "d"]], &MAP));
        assert!(
            unknown.contains(SHARDS[1]) && unknown.contains("holds `d`, which the index does not name"),
            "{unknown}"
        );

        let dir = directory([&["a", "c"], &["bb"]], &MAP);
        std::fs::remove_file(dir.path().join(SHARDS[1])).unwrap();
        let gone = fault(&dir);
        assert!(
            gone.contains(INDEX_FILE) && gone.contains(&format!("names `{}`, which is not there", SHARDS[1])),
            "{gone}"
        );
        let outside = fault(&directory([&[], &[]], &[("a", "../a.safetensors")]));
        assert!(outside.contains("not a plain file name"), "{outside}");
        assert!(fault(&directory([&[], &[]], &[])).contains("names no parameter"));
        assert!(
            fault(&tempfile::tempdir().unwrap())
                .contains("has no model.safetensors and no model.safetensors.index.json")
        );
        let dir = directory([&["a", "c"], &["bb"]], &MAP);
        std::fs::write(dir.path().join(SHARDS[0]), b"no tensors here").unwrap();
        let corrupt = fault(&dir);
        assert!(corrupt.contains(SHARDS[0]) && corrupt.to_lowercase().contains("header"), "{corrupt}");
    }
}
