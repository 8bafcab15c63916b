//! Which checkpoint to go on from, and which to throw away.

use std::path::Path;

use plaudit_event::Seed;
use plaudit_nn::checkpoint::{self, Manifest};

use crate::trainer::persist::CHECKPOINT_KIND;
use crate::{Config, Error, Trainer, metrics};

/// Prefix of the ids of reward checkpoints.
const PREFIX: &str = "reward-";

/// The newest intact checkpoint of this configuration and seed that the log of `tail` examples can continue.
///
/// # Errors
/// Fails when `dir` cannot be listed. A checkpoint that cannot be used is reported and passed over.
pub(super) fn resume(dir: &Path, config: &Config, seed: Seed, tail: u64) -> Result<Option<(Trainer, Manifest)>, Error> {
    for (path, manifest) in checkpoint::list(dir, CHECKPOINT_KIND)? {
        let checkpoint_id = manifest.id.as_str();
        if !same_lineage(&manifest, &config.hash(), seed.value()) {
            tracing::info!(checkpoint_id, "reward checkpoint of another configuration passed over");
            continue;
        }
        if manifest.log_position > tail {
            let position = manifest.log_position;
            tracing::warn!(checkpoint_id, position, tail, "reward checkpoint is ahead of the log");
            continue;
        }
        let loaded = checkpoint::load(&path).map_err(Error::from);
        match loaded.and_then(|checkpoint| Trainer::resume(&checkpoint, config.clone(), seed)) {
            Ok(trainer) => return Ok(Some((trainer, manifest))),
            Err(error) => {
                metrics::checkpoint("refused");
                tracing::warn!(checkpoint_id, %error, "reward checkpoint refused");
            }
        }
    }
    Ok(None)
}

/// Writes a checkpoint of `trainer` and removes all but the newest `keep` of its lineage, and those of other
/// lineages that training has come past.
///
/// # Errors
/// Fails when the checkpoint cannot be written; a failure to remove an old one is only reported.
pub(super) fn write(
    dir: &Path,
    trainer: &Trainer,
    position: u64,
    parent: Option<String>,
    keep: usize,
) -> Result<Manifest, Error> {
    let draft = trainer.checkpoint(position, parent)?;
    let written = checkpoint::write(dir, PREFIX, &draft)?;
    let mut own = 0;
    for (path, manifest) in checkpoint::list(dir, CHECKPOINT_KIND)? {
        let lineage = same_lineage(&manifest, &written.config_hash, written.seed);
        own += usize::from(lineage);
        let superseded =
            if lineage { own > keep && manifest.id != written.id } else { manifest.log_position <= position };
        if superseded && let Err(error) = std::fs::remove_dir_all(&path) {
            tracing::warn!(checkpoint_id = manifest.id, %error, "old reward checkpoint not removed");
        }
    }
    Ok(written)
}

fn same_lineage(manifest: &Manifest, config_hash: &str, seed: u64) -> bool {
    manifest.config_hash == config_hash && manifest.seed == seed
}
