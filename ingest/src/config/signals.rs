//! What each kind of signal means.

use std::collections::BTreeMap;
use std::time::Duration;

use plaudit_event::{Objective, SignalKind};
use serde::{Deserialize, Deserializer, Serialize};

use super::{Config, Problems, duration};

/// How a signal bears on its objectives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// Speaks for the answer: +1.
    Positive,
    /// Speaks against it: −1.
    Negative,
    /// Its `value` v in \[0, 1\] speaks with 2v − 1.
    Value,
}

/// What one kind of signal means.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SignalSpec {
    /// The objectives it bears on; none for a kind that is only recorded.
    pub objectives: Vec<Objective>,
    /// In which direction.
    pub polarity: Evidence,
    /// How much it counts against other kinds, above 0.
    pub weight: f64,
    /// How far a single one can be believed, in (0, 1\].
    pub trust: f64,
    /// How long after the exposure it may happen, when shorter than the `window` of all.
    #[serde(serialize_with = "serialize_window", skip_serializing_if = "Option::is_none")]
    pub window: Option<Duration>,
    /// Whether it is taken in; a kind that is not enabled is quarantined.
    pub enabled: bool,
}

impl Default for SignalSpec {
    fn default() -> Self {
        Self {
            objectives: Vec::new(),
            polarity: Evidence::Positive,
            weight: 1.0,
            trust: 1.0,
            window: None,
            enabled: true,
        }
    }
}

impl SignalSpec {
    fn of(objective: &str, polarity: Evidence, trust: f64) -> Self {
        Self { objectives: vec![Objective::new(objective)], polarity, trust, ..Self::default() }
    }

    pub(super) fn validate(&self, kind: &SignalKind, config: &Config, problems: &mut Problems) {
        let path = format!("signals.{kind}");
        if kind.as_str().is_empty() || kind.as_str().len() > 64 {
            let length = kind.as_str().len();
            problems.add(path.clone(), format!("the name must have 1 to 64 bytes, got {length}"));
        }
        problems.factor(format!("{path}.weight"), self.weight, 1_000.0);
        problems.factor(format!("{path}.trust"), self.trust, 1.0);
        if let Some(window) = self.window
            && (window < Duration::from_millis(1) || window > config.window)
        {
            let [most, got] = [config.window, window].map(humantime::format_duration);
            problems.add(format!("{path}.window"), format!("must be 1ms to {most} (the `window` of all), got {got}"));
        }
        for objective in &self.objectives {
            if !config.objectives.contains_key(objective) {
                let known: Vec<&str> = config.objectives.keys().map(|o| o.0.as_str()).collect();
                let known = known.join(", ");
                problems.add(
                    format!("{path}.objectives"),
                    format!("unknown objective `{objective}`: must be one of {known}"),
                );
            }
        }
    }
}

/// Every built-in kind; those without a clear meaning are recorded but make no label.
pub(super) fn defaults() -> BTreeMap<SignalKind, SignalSpec> {
    let mut specs: BTreeMap<SignalKind, SignalSpec> =
        SignalKind::BUILT_IN.iter().map(|kind| (kind.clone(), SignalSpec::default())).collect();
    let helpful = |polarity, trust| SignalSpec::of(Objective::HELPFULNESS, polarity, trust);
    let labelled = [
        (SignalKind::Love, SignalSpec::of(Objective::LOVE, Evidence::Positive, 1.0)),
        (SignalKind::ThumbsUp, helpful(Evidence::Positive, 1.0)),
        (SignalKind::Copy, helpful(Evidence::Positive, 0.5)),
        (SignalKind::Share, helpful(Evidence::Positive, 0.5)),
        (SignalKind::ThumbsDown, helpful(Evidence::Negative, 1.0)),
        (SignalKind::Regenerate, helpful(Evidence::Negative, 0.5)),
        (SignalKind::Rating, helpful(Evidence::Value, 1.0)),
        (SignalKind::Click, SignalSpec::of("click", Evidence::Positive, 1.0)),
        (SignalKind::AddToCart, SignalSpec::of("click", Evidence::Positive, 1.0)),
        (SignalKind::Purchase, SignalSpec::of("click", Evidence::Positive, 1.0)),
    ];
    specs.extend(labelled);
    specs
}

/// The keys of one kind as written in a file: what is absent keeps its default.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    objectives: Option<Vec<Objective>>,
    polarity: Option<Evidence>,
    weight: Option<f64>,
    trust: Option<f64>,
    window: Option<String>,
    enabled: Option<bool>,
}

impl Given {
    fn over(self, spec: SignalSpec) -> Result<SignalSpec, String> {
        let window = match self.window {
            Some(text) => Some(duration::parse(&text)?),
            None => spec.window,
        };
        Ok(SignalSpec {
            objectives: self.objectives.unwrap_or(spec.objectives),
            polarity: self.polarity.unwrap_or(spec.polarity),
            weight: self.weight.unwrap_or(spec.weight),
            trust: self.trust.unwrap_or(spec.trust),
            window,
            enabled: self.enabled.unwrap_or(spec.enabled),
        })
    }
}

impl<'de> Deserialize<'de> for SignalSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let given = Given::deserialize(deserializer)?;
        given.over(Self::default()).map_err(serde::de::Error::custom)
    }
}

pub(super) fn over_defaults<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<SignalKind, SignalSpec>, D::Error> {
    let given: BTreeMap<SignalKind, Given> = BTreeMap::deserialize(deserializer)?;
    let mut specs = defaults();
    for (kind, keys) in given {
        let base = specs.remove(&kind).unwrap_or_default();
        let spec = keys.over(base).map_err(serde::de::Error::custom)?;
        specs.insert(kind, spec);
    }
    Ok(specs)
}

fn serialize_window<S: serde::Serializer>(window: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match window {
        Some(window) => duration::serialize(window, serializer),
        None => serializer.serialize_none(),
    }
}
