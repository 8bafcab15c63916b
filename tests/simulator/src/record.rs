//! What a run will be judged by: the truth about every exposure it produced.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use plaudit_event::ExposureId;

use crate::truth::{Judgement, Summary, Tally, auroc};

/// Conversations remembered word by word.
const MAX_SAMPLES: usize = 200;

/// The truth about one answer.
#[derive(Debug, Clone)]
pub struct Row {
    /// Number of the request.
    pub index: u64,
    /// The exposure.
    pub exposure_id: ExposureId,
    /// Number of the user.
    pub unit: u32,
    /// Variant that answered, if the user was in an experiment.
    pub variant: Option<Arc<str>>,
    /// Policy that answered.
    pub policy_id: Arc<str>,
    /// What users think of the answer.
    pub judgement: Judgement,
    /// Whether a love reaction stands in the end.
    pub loved: bool,
    /// Whether it was called helpful, by a user who said so either way.
    pub helpful: Option<bool>,
    /// Whether the user reacts without regard to the answer.
    pub spam: bool,
}

/// The truth about one choice.
#[derive(Debug, Clone)]
pub struct Choice {
    /// Number of the request.
    pub index: u64,
    /// The exposure.
    pub exposure_id: ExposureId,
    /// Number of the user.
    pub unit: u32,
    /// What was chosen.
    pub item_id: String,
    /// The probability the policy says it gave to the choice.
    pub propensity: Option<f64>,
    /// Probability of a click on it.
    pub p_click: f64,
    /// Whether it was clicked.
    pub clicked: bool,
}

/// One exchange, word by word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Number of the request.
    pub index: u64,
    /// Variant that answered.
    pub variant: Option<Arc<str>>,
    /// What the user said.
    pub prompt: String,
    /// What was answered.
    pub response: String,
    /// Whether it was loved.
    pub loved: bool,
}

/// Everything remembered of a run, oldest first in the order of the answers.
///
/// Methods that take a range look at the requests with those numbers.
#[derive(Debug)]
pub struct Record {
    rows: VecDeque<Row>,
    choices: VecDeque<Choice>,
    samples: VecDeque<Sample>,
    names: BTreeMap<Box<str>, Arc<str>>,
    max_rows: usize,
    forgotten: u64,
}

fn push<T>(queue: &mut VecDeque<T>, item: T, max: usize) -> u64 {
    let full = queue.len() >= max;
    if full {
        queue.pop_front();
    }
    queue.push_back(item);
    u64::from(full)
}

impl Record {
    pub(crate) fn new(max_rows: usize) -> Self {
        Self {
            rows: VecDeque::new(),
            choices: VecDeque::new(),
            samples: VecDeque::new(),
            names: BTreeMap::new(),
            max_rows,
            forgotten: 0,
        }
    }

    /// One shared copy of a variant or policy name.
    pub(crate) fn name(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.names.get(text) {
            return Arc::clone(known);
        }
        let name: Arc<str> = text.into();
        self.names.insert(text.into(), Arc::clone(&name));
        name
    }

    pub(crate) fn add(&mut self, row: Row) {
        self.forgotten += push(&mut self.rows, row, self.max_rows);
    }

    pub(crate) fn add_choice(&mut self, choice: Choice) {
        self.forgotten += push(&mut self.choices, choice, self.max_rows);
    }

    pub(crate) fn add_sample(&mut self, sample: Sample) {
        push(&mut self.samples, sample, MAX_SAMPLES);
    }

    /// Answers, oldest first.
    pub fn rows(&self, range: Range<u64>) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| range.contains(&row.index))
    }

    /// Choices, oldest first.
    pub fn choices(&self, range: Range<u64>) -> impl Iterator<Item = &Choice> {
        self.choices.iter().filter(move |choice| range.contains(&choice.index))
    }

    /// The newest exchanges, oldest first.
    pub fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter()
    }

    /// Number of exposures that no longer fit into the memory of the run.
    #[must_use]
    pub const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// The truth about all answers together.
    #[must_use]
    pub fn overall(&self, range: Range<u64>) -> Summary {
        let mut tally = Tally::default();
        for row in self.rows(range) {
            tally.add(&row.judgement, row.loved);
        }
        tally.summary()
    }

    /// The truth by variant; users outside of any experiment are under `none`.
    #[must_use]
    pub fn by_variant(&self, range: Range<u64>) -> BTreeMap<Arc<str>, Summary> {
        let none: Arc<str> = "none".into();
        self.by(range, |row| row.variant.as_ref().unwrap_or(&none))
    }

    /// The truth by policy.
    #[must_use]
    pub fn by_policy(&self, range: Range<u64>) -> BTreeMap<Arc<str>, Summary> {
        self.by(range, |row| &row.policy_id)
    }

    fn by<'a>(&'a self, range: Range<u64>, key: impl Fn(&'a Row) -> &'a Arc<str>) -> BTreeMap<Arc<str>, Summary> {
        let mut tallies: BTreeMap<Arc<str>, Tally> = BTreeMap::new();
        for row in self.rows(range) {
            let tally = tallies.entry(Arc::clone(key(row))).or_default();
            tally.add(&row.judgement, row.loved);
        }
        let summaries = tallies.into_iter();
        summaries.map(|(key, tally)| (key, tally.summary())).collect()
    }

    /// AUROC of the true probability of love on the love that was shown: what the best model of
    /// the text could reach. Nothing without both loved and unloved answers.
    #[must_use]
    pub fn oracle_auroc(&self, range: Range<u64>) -> Option<f64> {
        let rows = self.rows(range);
        auroc(rows.map(|row| (row.judgement.love_logit, row.loved)))
    }
}
