//! Model cards: what a checkpoint is, where it came from, how good it is and what it is not for (Mitchell et al.,
//! *Model Cards for Model Reporting*, FAT* 2019).
//!
//! Everything but ancestors and refusals is read from the checkpoint, so that the card of one is always the same.

mod forgetting;
mod lineage;
mod markdown;

use std::collections::BTreeMap;
use std::path::Path;

use plaudit_event::{Objective, Seed, Timestamp};
use plaudit_nn::checkpoint::{self, Checkpoint};
use serde::Serialize;

use crate::challenger::Record;
use crate::encode::ENCODER_VERSION;
use crate::trainer::persist::CHECKPOINT_KIND;
use crate::{
    ChallengerStatus, Config, ConfusablePair, Drift, Error, GoldenReport, LearnedPrinciple, Quality, Statistic, Trainer,
};
pub use forgetting::{confusable_table, forgetting_table};
pub use lineage::Ancestor;

/// A correlation of predictions with response length beyond this, up or down, is an alarm: the model may reward length.
pub const LENGTH_ALARM: f64 = 0.2;

/// What is to be known of a reward checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Card {
    /// Name of the checkpoint.
    pub id: String,
    /// SHA-256 over everything that was learned.
    pub content: String,
    /// The checkpoints that it was trained on from, the nearest first.
    pub lineage: Vec<Ancestor>,
    /// What it was trained on.
    pub data: DataRange,
    /// Hash of the configuration.
    pub config_hash: String,
    /// The configuration itself; the service's settings are the defaults.
    pub config: Config,
    /// Version of the encoder.
    pub encoder_version: u32,
    /// Seed of the training.
    pub seed: Seed,
    /// How well it and its predecessors do on what was held out, and what was forgotten.
    pub golden: GoldenReport,
    /// Segments that are easily confused.
    pub confusable: Vec<ConfusablePair>,
    /// What became of the models that were to serve, its predecessors and successors among them: read from beside the
    /// checkpoint, and empty where there is no such record.
    pub challengers: ChallengerStatus,
    /// Principles learned from reasons, those that most units gave first.
    pub principles: Vec<LearnedPrinciple>,
    /// What is predicted, and how well.
    pub objectives: BTreeMap<Objective, ObjectiveCard>,
}

/// What a checkpoint was trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DataRange {
    /// Examples taken, from the first record of the log on.
    pub examples: u64,
    /// Pairs learned.
    pub pairs: u64,
    /// Offset of the first record that was not taken.
    pub log_position: u64,
    /// When the attribution window of the newest example that was trained on closed; in milliseconds since 1970.
    pub closed_through: Option<Timestamp>,
}

/// One objective of a card.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ObjectiveCard {
    /// Quality of the newest predictions, each made before its example was trained on; absent while there are none.
    pub quality: Option<Quality>,
    /// Whether predictions follow the length of responses beyond [`LENGTH_ALARM`].
    pub length_alarm: bool,
    /// What the detectors of change say.
    pub drift: BTreeMap<Statistic, Drift>,
}

/// The card of the checkpoint in directory `dir`; its ancestors are looked for beside it.
///
/// # Errors
/// Fails when the checkpoint is missing, damaged, or no reward model of this version.
pub fn card(dir: &Path) -> Result<Card, Error> {
    let checkpoint = checkpoint::load(dir)?;
    // A relative path of one name has an empty parent, which is the present directory.
    Card::of(&checkpoint, dir.canonicalize().ok().as_deref().and_then(Path::parent))
}

impl Card {
    /// The card of `checkpoint`, with its ancestors as far as `root` has them; without `root` only the nearest is
    /// named.
    ///
    /// # Errors
    /// Fails when the checkpoint is no reward model of this version.
    pub fn of(checkpoint: &Checkpoint, root: Option<&Path>) -> Result<Self, Error> {
        let manifest = &checkpoint.manifest;
        let mismatch = |reason: String| Error::Mismatch { id: manifest.id.clone(), reason };
        if manifest.kind != CHECKPOINT_KIND {
            return Err(mismatch(format!("kind must be `{CHECKPOINT_KIND}`, got `{}`", manifest.kind)));
        }
        let config: Config = serde_json::from_slice(checkpoint.file("config.json")?)
            .map_err(|error| mismatch(format!("`config.json` cannot be read: {error}")))?;
        let seed = Seed::new(manifest.seed);
        let trainer = Trainer::resume(checkpoint, config.clone(), seed)?;
        let objective = |objective: &Objective| {
            let quality = trainer.quality(&objective.0);
            let correlation = quality.and_then(|quality| quality.length_correlation);
            let card = ObjectiveCard {
                quality,
                length_alarm: correlation.is_some_and(|r| r.abs() > LENGTH_ALARM),
                drift: trainer.drift(&objective.0),
            };
            (objective.clone(), card)
        };
        Ok(Self {
            id: manifest.id.clone(),
            content: manifest.content.clone(),
            lineage: lineage::walk(manifest.parent.as_deref(), root),
            data: DataRange {
                examples: trainer.examples(),
                pairs: trainer.pairs(),
                log_position: manifest.log_position,
                closed_through: trainer.closed_through(),
            },
            config_hash: manifest.config_hash.clone(),
            encoder_version: ENCODER_VERSION,
            seed,
            golden: trainer.golden()?,
            confusable: trainer.confusable(),
            challengers: root.map(Record::read).unwrap_or_default().status(u64::MAX),
            principles: trainer.principles(),
            objectives: trainer.objectives().iter().map(objective).collect(),
            config,
        })
    }

    /// Objectives whose length alarm is on.
    pub fn length_alarms(&self) -> impl Iterator<Item = &Objective> {
        self.objectives.iter().filter(|(_, card)| card.length_alarm).map(|(objective, _)| objective)
    }

    /// The card as Markdown.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        markdown::write(self)
    }
}
