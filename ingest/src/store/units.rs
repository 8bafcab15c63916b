//! What is asked about the units of an experiment, and what a store answers: sums, or the events of each unit.
//!
//! The store knows nothing of metrics or statistics. Who asks says how values come about ([`Measure`]) and what an
//! exposure's assignments mean ([`Standing`]), and gets either the sums over units, added up where the rows are, or
//! unit after unit what happened to it.

mod packed;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use plaudit_event::{Assignment, Labels, SignalKind, Surface, Timestamp};
use serde_json::{Map, Value};

pub(super) use packed::{Known, labels, pack_assignments, pack_labels, surface, unpack_assignments, words};

/// A day in milliseconds.
pub(super) const DAY_MS: i64 = 86_400_000;

/// What the assignments of an exposure mean to the experiment that is asked about.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Standing {
    /// The arm that the unit was drawn into.
    pub drawn: Option<Drawn>,
    /// Whether a draw is there that cannot be used.
    pub is_unknown: bool,
    /// The variant that was shown without a draw.
    pub undrawn: Option<String>,
    /// Whether another experiment of the layer had the unit.
    pub is_elsewhere: bool,
}

/// An arm in a phase.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawn {
    /// Index of the variant.
    pub variant: usize,
    /// Number of the step of the ramp.
    pub phase: u32,
    /// The probability of each variant.
    pub weights: Vec<f64>,
}

/// Tells what assignments mean.
pub type Standings = Arc<dyn Fn(&[Assignment]) -> Standing + Send + Sync>;

/// A question about the units of an experiment.
#[derive(Clone)]
pub struct Question {
    /// The variants, by which [`Drawn::variant`] counts.
    pub variants: Vec<String>,
    /// Only exposures shown then (end excluded), and reactions to them, whenever they came.
    pub shown: Range<Timestamp>,
    /// Until when the events are complete: a unit whose window ends later has no final value yet.
    pub now: Timestamp,
    /// What assignments mean.
    pub standings: Standings,
    /// What is measured of each unit.
    pub measures: Vec<Measure>,
    /// What units are split by.
    pub splits: Vec<Split>,
}

impl Question {
    /// The kinds of reactions that measures look at. Others are not read, but for those that take back.
    #[must_use]
    pub fn kinds(&self) -> Vec<&SignalKind> {
        let all = self.measures.iter().flat_map(|measure| std::iter::once(&measure.of).chain(&measure.over));
        let mut kinds: Vec<&SignalKind> = all
            .filter_map(|what| match what {
                What::Signal(kind, _) => Some(kind),
                _ => None,
            })
            .collect();
        kinds.sort();
        kinds.dedup();
        kinds
    }

    /// Whether anything asks for the attributes of exposures.
    #[must_use]
    pub fn needs_attributes(&self) -> bool {
        let is_attribute = |what: &What| matches!(what, What::Attribute(_));
        let by_measure = self.measures.iter().any(|measure| {
            let is_source = is_attribute(&measure.of) || measure.over.as_ref().is_some_and(is_attribute);
            is_source || !measure.attributes.is_empty() || matches!(measure.before, Before::Attribute(_))
        });
        by_measure || !self.splits.is_empty()
    }
}

/// A split of the units by an attribute of their first exposure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// The attribute.
    pub attribute: String,
    /// The values that are told apart; all others are one.
    pub values: Vec<String>,
}

/// What is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// One for each exposure.
    Exposures,
    /// Words of the response, for each exposure.
    ResponseWords,
    /// The label of an objective, for each attributed exposure that has it.
    Label(String),
    /// Reactions of a kind.
    Signal(SignalKind, Of),
    /// A number among the attributes of the exposure.
    Attribute(String),
}

/// What is taken of reactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// One for each.
    Each,
    /// Their value, where there is one.
    Value,
    /// One for each exposure that has any.
    Exposure,
}

/// How what is counted becomes one number of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// 1 with anything above 0, else 0.
    Any,
    /// The sum.
    Total,
    /// The mean; a unit without any has no value.
    Average,
    /// The sum of `of`, and beside it the sum of `over`.
    Ratio,
    /// 1 when anything above 0 happened on a day from the first to the last, counted from the first exposure.
    Return(u32, u32),
    /// 0, of every unit that has any: who asks reads the single values from the events.
    Values,
}

/// What is known of a unit before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Before {
    /// Nothing.
    Nothing,
    /// The same in so many days before the first exposure.
    Days(u32),
    /// A number among the attributes of the first exposure; 0 without.
    Attribute(String),
}

/// What is measured of each unit.
#[derive(Debug, Clone, PartialEq)]
pub struct Measure {
    /// How it becomes a number.
    pub shape: Shape,
    /// What is counted.
    pub of: What,
    /// What a ratio is relative to.
    pub over: Option<What>,
    /// Only exposures on this surface.
    pub surface: Option<Surface>,
    /// Only exposures with these attributes.
    pub attributes: BTreeMap<String, Value>,
    /// Days from the first exposure after which it is final; what comes later does not count, and before that the
    /// unit has no value.
    pub final_after_days: Option<u32>,
    /// What is known before.
    pub before: Before,
    /// Greater values are set to this.
    pub most: Option<f64>,
}

/// Sums over units of four numbers: numerator and denominator after and before.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Moments {
    /// Units with a value.
    pub units: u64,
    /// Σ of each number.
    pub sums: [f64; 4],
    /// Σ of each product of two.
    pub products: [[f64; 4]; 4],
}

/// The units of an arm that are alike in all splits.
#[derive(Debug, Clone, PartialEq)]
pub struct CellSums {
    /// The arm.
    pub arm: Drawn,
    /// Whether another experiment of the layer had the units before.
    pub is_carried: bool,
    /// By split, the index of the value, or their number for others.
    pub splits: Vec<usize>,
    /// How many.
    pub units: u64,
    /// By measure.
    pub measures: Vec<Moments>,
}

/// Sums over the units of an experiment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UnitSums {
    /// In no order; alike units may be in several.
    pub cells: Vec<CellSums>,
    /// Units that saw more than one variant; part of no cell.
    pub multiple: u64,
    /// Reactions, of kinds that are measured, older than their exposure.
    pub backwards: u64,
    /// Exposures with a draw that cannot be used.
    pub unknown_variants: u64,
    /// The first entry of a unit.
    pub first: Option<Timestamp>,
}

/// An exposure, as far as measures need it.
#[derive(Debug, Clone, PartialEq)]
pub struct ShownRow {
    /// Names it within the unit.
    pub exposure_id: String,
    /// When.
    pub ts: Timestamp,
    /// Where.
    pub surface: Surface,
    /// Words of the response.
    pub words: u32,
    /// Its assignments; of a draw only phase and weights.
    pub assignments: Arc<Vec<Assignment>>,
    /// Its attributes, where anything asks for them.
    pub attributes: Map<String, Value>,
    /// What it was worth, of an example.
    pub worth: Option<Worth>,
}

/// What an exposure was worth.
#[derive(Debug, Clone, PartialEq)]
pub struct Worth {
    /// The highest one counts.
    pub revision: u32,
    /// When that was told.
    pub told: Timestamp,
    /// By objective; alike for many.
    pub labels: Arc<Labels>,
}

/// A reaction, as far as measures need it.
#[derive(Debug, Clone, PartialEq)]
pub struct ReactionRow {
    /// Names it within the unit.
    pub signal_id: String,
    /// The exposure reacted to.
    pub exposure_id: String,
    /// What was done.
    pub kind: SignalKind,
    /// A number that belongs to it.
    pub value: Option<f64>,
    /// When.
    pub ts: Timestamp,
    /// The earlier one that is taken back.
    pub retracts: Option<String>,
}

/// What happened to one unit.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitEvents {
    /// The first eight bytes of the SHA-256 of its id, most significant first.
    pub hash: u64,
    /// Its exposures, then its examples.
    pub shown: Vec<ShownRow>,
    /// What it did, without what simulated stand-ins did.
    pub reactions: Vec<ReactionRow>,
}

/// Most parts that the units of a store are visited in.
pub const PARTS: usize = 16;

/// Takes a unit, given the part (below [`PARTS`]) that it is of. The units of a part come one after the other, as of one
/// moment; parts may come at once, each as of a moment of its own. Which units a part has, and in which order, is a
/// function of what the store holds: sums that are made by part and put together in the order of the parts are the same
/// every time.
pub type Visit = Arc<dyn Fn(usize, UnitEvents) + Send + Sync>;
