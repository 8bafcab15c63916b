//! What a readout says.

use std::collections::BTreeMap;

use plaudit_event::{ExperimentId, LayerId, VariantId};
use serde::Serialize;

use plaudit_experiment::stats::Interval;

/// One variant.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VariantReadout {
    /// The variant.
    pub variant: VariantId,
    /// Exposures whose window has closed.
    pub exposures: u64,
    /// Units with at least one of them.
    pub units: u64,
    /// The deciding objective: sum of its labels.
    pub loves: f64,
    /// Its rate.
    pub love: Option<Interval>,
    /// Mean helpfulness among the labelled.
    pub helpfulness: Option<Interval>,
    /// Number of helpfulness labels.
    pub helpfulness_labels: u64,
    /// Mean of each tripwire measure, by its name; empty with fewer than two units.
    pub tripwires: BTreeMap<&'static str, Interval>,
}

/// A treatment against control.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The treatment variant.
    pub variant: VariantId,
    /// Relative lift of the objective.
    pub lift: Option<Interval>,
    /// Difference of the objective's rates.
    pub difference: Option<Interval>,
    /// Difference of mean helpfulness.
    pub helpfulness: Option<Interval>,
    /// Difference of the rates of unsolicited closings.
    pub closings: Option<Interval>,
}

/// The sample-ratio check.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SampleRatio {
    /// The p-value that may be watched; decisions use it.
    pub sequential_p: f64,
    /// Pearson's p-value: valid only for a single look.
    pub chi2_p: Option<f64>,
    /// Whether the proportions are credible.
    pub ok: bool,
}

/// Everything about one experiment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExperimentReadout {
    /// The experiment, or the run of a rolling one.
    pub experiment: ExperimentId,
    /// Its layer.
    pub layer: LayerId,
    /// Whether it enrols units now.
    pub running: bool,
    /// The variant that the others are compared with.
    pub control: VariantId,
    /// Per variant, in the order of the configuration.
    pub variants: Vec<VariantReadout>,
    /// Per treatment variant; none where weights follow what was seen, and sums over all cohorts compare nothing.
    pub comparisons: Vec<Comparison>,
    /// The sample-ratio check; nothing where weights follow what was seen.
    pub sample_ratio: Option<SampleRatio>,
    /// Units that were seen in two variants; their later exposures are left out.
    pub crossed_units: u64,
    /// Exposures left out because too many units are followed.
    pub skipped_exposures: u64,
}
