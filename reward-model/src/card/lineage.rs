//! From parent to parent.

use std::path::Path;

use plaudit_nn::checkpoint::read_manifest;
use serde::Serialize;

/// Most ancestors that are told.
const MAX_ANCESTORS: usize = 100;

/// A checkpoint that another was trained on from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ancestor {
    /// Its name.
    pub id: String,
    /// How far it had read the log; absent when the checkpoint is not kept any more, and then nothing before it is
    /// known.
    pub log_position: Option<u64>,
}

/// The ancestors below `root` from `parent` on, at most 100. Parents are hints that no hash covers: they are told, and
/// nothing is decided by them.
pub(super) fn walk(parent: Option<&str>, root: Option<&Path>) -> Vec<Ancestor> {
    let mut ancestors: Vec<Ancestor> = Vec::new();
    let mut next = parent.map(str::to_owned);
    while let Some(id) = next.take().filter(|_| ancestors.len() < MAX_ANCESTORS) {
        if ancestors.iter().any(|known| known.id == id) {
            break;
        }
        let is_plain = !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        let manifest = root.filter(|_| is_plain).and_then(|root| read_manifest(&root.join(&id)).ok());
        let log_position = manifest.as_ref().map(|manifest| manifest.log_position);
        next = manifest.and_then(|manifest| manifest.parent);
        ancestors.push(Ancestor { id, log_position });
    }
    ancestors
}
