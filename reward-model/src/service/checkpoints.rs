//! Which checkpoint to go on from, and which to throw away.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use plaudit_event::{Example, Seed};
use plaudit_nn::checkpoint::{self, Manifest};
use plaudit_nn::describe;

use crate::trainer::Taken;
use crate::trainer::persist::CHECKPOINT_KIND;
use crate::{Config, Error, Trainer, metrics};

/// Prefix of the ids of reward checkpoints.
const PREFIX: &str = "reward-";

/// Removes what a crash left unfinished in `dir`; a failure is only reported.
pub(super) fn sweep(dir: &Path) {
    match checkpoint::sweep(dir, PREFIX) {
        Ok(0) => {}
        Ok(removed) => tracing::info!(removed, "unfinished reward checkpoints removed"),
        Err(error) => tracing::warn!(error = describe(&error), "unfinished reward checkpoints not removed"),
    }
}

/// The checkpoints of this configuration and seed that a log of `tail` examples may continue, newest first.
///
/// # Errors
/// Fails when `dir` cannot be listed.
pub(super) fn candidates(
    dir: &Path,
    config: &Config,
    seed: Seed,
    tail: u64,
) -> Result<Vec<(PathBuf, Manifest)>, Error> {
    let mut found = checkpoint::list(dir, CHECKPOINT_KIND)?;
    let config_hash = config.hash();
    found.retain(|(_, manifest)| {
        let (checkpoint_id, position) = (manifest.id.as_str(), manifest.log_position);
        if manifest.config_hash != config_hash || manifest.seed != seed.value() {
            tracing::info!(checkpoint_id, "reward checkpoint of another configuration passed over");
            return false;
        }
        if position > tail {
            tracing::warn!(checkpoint_id, position, tail, "reward checkpoint is ahead of the log");
        }
        position <= tail
    });
    Ok(found)
}

/// The trainer of the checkpoint in `dir`; one that cannot be used is reported.
pub(super) fn open(dir: &Path, manifest: &Manifest, config: &Config, seed: Seed) -> Option<Trainer> {
    let loaded = checkpoint::load(dir).map_err(Error::from);
    let resumed = loaded.and_then(|checkpoint| Trainer::resume(&checkpoint, config.clone(), seed));
    let refused = |error: &Error| {
        metrics::checkpoint("refused");
        tracing::warn!(checkpoint_id = manifest.id, error = describe(error), "reward checkpoint refused");
    };
    resumed.inspect_err(refused).ok()
}

/// Whether `before`, the example before the position of the checkpoint that `trainer` came from, is the one that
/// `trainer` took last. A log that was replaced and has grown past that position has another one; this is reported.
pub(super) fn continues(trainer: &Trainer, manifest: &Manifest, before: Option<&Example>) -> bool {
    let found = before.map(Taken::of);
    if found.is_some() && found.as_ref() == trainer.last() {
        return true;
    }
    metrics::checkpoint("refused");
    let (checkpoint_id, position) = (manifest.id.as_str(), manifest.log_position);
    let exposure_id = |taken: Option<&Taken>| taken.map_or_else(String::new, |taken| taken.exposure_id.clone());
    tracing::warn!(
        checkpoint_id,
        position,
        trained_last = exposure_id(trainer.last()),
        in_log = exposure_id(found.as_ref()),
        "reward checkpoint was trained on another log"
    );
    false
}

/// Writes a checkpoint of `trainer` and removes all but the newest `keep` of those that it goes back to, and those of
/// other logs and configurations that training has come past. The one named `champion` stays, unless `keep` is 0.
///
/// # Errors
/// Fails when the checkpoint cannot be written; a failure to remove an old one is only reported.
pub(super) fn write(
    dir: &Path,
    trainer: &Trainer,
    position: u64,
    parent: Option<String>,
    (keep, champion): (usize, Option<&str>),
) -> Result<Manifest, Error> {
    let draft = trainer.checkpoint(position, parent)?;
    let written = checkpoint::write(dir, PREFIX, &draft)?;
    let found = checkpoint::list(dir, CHECKPOINT_KIND)?;
    let own = ancestry(&found, &written, draft.parent.as_deref());
    let mut kept = 0;
    for (path, manifest) in &found {
        let superseded = if own.contains(manifest.id.as_str()) {
            kept += 1;
            kept > keep && manifest.id != written.id
        } else {
            manifest.log_position <= position
        };
        let is_champion = keep > 0 && champion == Some(manifest.id.as_str());
        if superseded
            && !is_champion
            && let Err(error) = std::fs::remove_dir_all(path)
        {
            tracing::warn!(checkpoint_id = manifest.id, %error, "old reward checkpoint not removed");
        }
    }
    Ok(written)
}

/// The ids of `newest` and of those among `found`, which come newest first, that it goes back to over parents. Others
/// of the same configuration were trained on another log, or have been given up.
fn ancestry<'a>(found: &'a [(PathBuf, Manifest)], newest: &'a Manifest, parent: Option<&'a str>) -> BTreeSet<&'a str> {
    let mut own = BTreeSet::from([newest.id.as_str()]);
    own.extend(parent);
    own.extend(newest.parent.as_deref());
    for (_, manifest) in found {
        if own.contains(manifest.id.as_str()) {
            own.extend(manifest.parent.as_deref());
        }
    }
    own
}

#[cfg(test)]
mod tests;
