//! How pairs are learned, and how that was chosen: by accuracy in five-fold cross-validation within the train splits,
//! whole prompts or whole tests per fold. The test splits had no part in it.
//!
//! All train in one pass; more brought nothing. For answers (mean of helpful and harmless) α of 0.3 to 2, λ₂ of 2 to 60,
//! with and without the bilinear term, and 1 to 5 passes were tried: accuracies are flat, 0.632 to 0.654 and 0.608 to
//! 0.622; one pass of α = 2 and λ₂ = 2 gives the best mean, 0.652 and 0.622. For headlines (pairs with |z| > 1.96) α of
//! 0.3 to 5, λ₂ of 0 to 60, and four weights were tried: best in one pass is 0.661 with α = 2, λ₂ = 0 and all pairs
//! weighing |z|/2, against 0.644 for all pairs alike, 0.644 for clear pairs alone and 0.652 for z²/4; three passes gave at
//! most 0.661. Accuracies of the best of so many settings are themselves slightly optimistic.

use anyhow::Context as _;
use clap::ValueEnum;
use plaudit_event::Objective;
use plaudit_nn::decoder::CONFIG_FILE;
use plaudit_reward_model::{Config, EncoderConfig, EncoderKind, TrainedPart};

/// Two-sided 5 % of the normal distribution: beyond it a difference between headlines counts as clear.
pub(super) const CLEAR: f64 = 1.96;

/// What texts are encoded with.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Encoder {
    /// Hashed features.
    Hash,
    /// The network as it is, alone.
    Frozen,
    /// The network as it is, beside the hashed features.
    FrozenHash,
    /// The network, trained as the configuration says, alone.
    Tuned,
    /// The network, trained as the configuration says, beside the hashed features.
    TunedHash,
}

impl Encoder {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::Frozen => "network, frozen, alone",
            Self::FrozenHash => "network, frozen, beside hash",
            Self::Tuned => "network, trained, alone",
            Self::TunedHash => "network, trained, beside hash",
        }
    }

    /// The settings of this encoder, from `configured`.
    pub(super) fn config(self, configured: &EncoderConfig) -> anyhow::Result<EncoderConfig> {
        let mut config = EncoderConfig { kind: EncoderKind::Hash, ..configured.clone() };
        if matches!(self, Self::Hash) {
            return Ok(config);
        }
        let network = &configured.network;
        let path = network.path.join(CONFIG_FILE);
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!("`--network` must be a directory of a network: cannot read `{}`", path.display())
        })?;
        let value: serde_json::Value = serde_json::from_str(&text)?;
        let is_bert = value.get("model_type").is_none_or(|family| family == "bert");
        config.kind = if is_bert { EncoderKind::Bert } else { EncoderKind::Decoder };
        config.network.with_hash = matches!(self, Self::FrozenHash | Self::TunedHash);
        let is_frozen = matches!(self, Self::Frozen | Self::FrozenHash);
        if is_frozen {
            config.network.train = TrainedPart::None;
        } else {
            anyhow::ensure!(network.train != TrainedPart::None, "`encoder.network.train` must not be \"none\"");
        }
        Ok(config)
    }
}

/// How pairs are learned.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) config: Config,
    /// Passes over the train split.
    pub(super) passes: u32,
}

/// For answers: hh-rlhf, both parts.
pub(super) fn answers(encoder: &EncoderConfig) -> Settings {
    settings(encoder, 2.0, 2.0)
}

/// For headlines.
pub(super) fn headlines(encoder: &EncoderConfig) -> Settings {
    settings(encoder, 2.0, 0.0)
}

/// Weight of a pair of headlines whose shares of clicks are `z` standard errors apart.
pub(super) fn weight(z: f64) -> f32 {
    (z / 2.0) as f32
}

fn settings(encoder: &EncoderConfig, alpha: f64, l2: f64) -> Settings {
    let mut config = Config { objectives: vec![Objective::new(Objective::LOVE)], ..Config::default() };
    config.encoder = encoder.clone();
    config.learner.alpha = alpha;
    config.learner.l2 = l2;
    config.learner.average_horizon = 20_000.0;
    // A headline answers no request, and on answers the bilinear term changed nothing.
    config.learner.factors = 0;
    config.learner.ensemble = 0;
    // Each pass as it was when the others were chosen: nothing is learned twice.
    config.pairs.per_pair = 0;
    Settings { config, passes: 1 }
}
