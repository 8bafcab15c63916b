//! The decoder that comes with the binary, so that one file is enough to start.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use plaudit_nn::checkpoint::{self, Draft, MANIFEST, Manifest};
use plaudit_policy::GeneratePolicy;
use plaudit_policy::generate::PREFIX;

/// Name and content of every file of `deploy/models/tiny` but its description.
const FILES: &[(&str, &[u8])] = &[
    ("model.safetensors", include_bytes!("../deploy/models/tiny/model.safetensors")),
    ("config.json", include_bytes!("../deploy/models/tiny/config.json")),
    ("generation_config.json", include_bytes!("../deploy/models/tiny/generation_config.json")),
    ("tokenizer.json", include_bytes!("../deploy/models/tiny/tokenizer.json")),
];

/// `manifest.json` of `deploy/models/tiny`.
const DESCRIPTION: &[u8] = include_bytes!("../deploy/models/tiny/manifest.json");

/// Puts the policy in `source`, or else the shipped one, in its place below `policies` and returns it verified.
/// It survives a crash of the machine from then on; a copy that is there already is kept.
pub(crate) fn install(source: Option<&Path>, policies: &Path) -> anyhow::Result<GeneratePolicy> {
    let (manifest, files) = match source {
        Some(source) => {
            // Whether it is a policy is found out before anything is written.
            GeneratePolicy::load(source)?;
            let found = checkpoint::load(source)?;
            (found.manifest, found.files)
        }
        None => shipped()?,
    };
    let id = manifest.id.clone();
    let draft = Draft {
        kind: manifest.kind,
        parent: manifest.parent,
        log_position: manifest.log_position,
        config_hash: manifest.config_hash,
        seed: manifest.seed,
        files,
    };
    let written = checkpoint::write(policies, PREFIX, &draft)?;
    anyhow::ensure!(written.id == id, "policy `{id}` has the content of `{}`", written.id);
    Ok(GeneratePolicy::load(&policies.join(id))?)
}

fn shipped() -> anyhow::Result<(Manifest, BTreeMap<String, Vec<u8>>)> {
    let manifest =
        serde_json::from_slice(DESCRIPTION).with_context(|| format!("`{MANIFEST}` of the shipped policy"))?;
    let files = FILES.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec()));
    Ok((manifest, files.collect()))
}
