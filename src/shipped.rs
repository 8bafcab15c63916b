//! The decoder that comes with the binary, so that one file is enough to start.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use plaudit_policy::GeneratePolicy;

/// Name and content of every file of `deploy/models/tiny`.
const FILES: &[(&str, &[u8])] = &[
    ("model.safetensors", include_bytes!("../deploy/models/tiny/model.safetensors")),
    ("config.json", include_bytes!("../deploy/models/tiny/config.json")),
    ("generation_config.json", include_bytes!("../deploy/models/tiny/generation_config.json")),
    ("tokenizer.json", include_bytes!("../deploy/models/tiny/tokenizer.json")),
    ("manifest.json", include_bytes!("../deploy/models/tiny/manifest.json")),
];

/// Copies the policy in `source`, or else the shipped one, to its place below `policies` and returns it verified.
/// A copy that is there already is kept.
pub(crate) fn install(source: Option<&Path>, policies: &Path) -> anyhow::Result<GeneratePolicy> {
    std::fs::create_dir_all(policies).with_context(|| format!("failed to create `{}`", policies.display()))?;
    let staging = tempfile::tempdir_in(policies).context("failed to create a temporary directory")?;
    let policy = match source {
        Some(source) => GeneratePolicy::load(source)?,
        None => {
            for (name, bytes) in FILES {
                std::fs::write(staging.path().join(name), bytes)
                    .with_context(|| format!("failed to write `{name}` of the shipped policy"))?;
            }
            GeneratePolicy::load(staging.path())?
        }
    };
    let place = policies.join(policy.id().as_str());
    if place.is_dir() {
        return Ok(GeneratePolicy::load(&place)?);
    }
    if let Some(source) = source {
        copy(source, staging.path())?;
    }
    let staged: PathBuf = staging.keep();
    std::fs::rename(&staged, &place).with_context(|| format!("failed to create `{}`", place.display()))?;
    Ok(GeneratePolicy::load(&place)?)
}

fn copy(source: &Path, target: &Path) -> anyhow::Result<()> {
    for (name, _) in FILES {
        let (from, to) = (source.join(name), target.join(name));
        std::fs::copy(&from, to).with_context(|| format!("failed to copy `{}`", from.display()))?;
    }
    Ok(())
}
