//! What the store holds, test by test and arm by arm, against the data.

use std::collections::HashMap;

use plaudit_datasets::upworthy::{Arm, LAYER, Upworthy, origin};
use plaudit_event::{Actor, Assignment, SignalKind};
use plaudit_ingest::store::{EventStore, SCAN_ROWS};
use serde::Serialize;

/// The objective that clicks are labels of.
const CLICK: &str = "click";

/// Rows of one arm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tally {
    exposures: u64,
    clicks: u64,
    examples: u64,
    /// Examples that say that the exposure was clicked.
    clicked: u64,
}

impl Tally {
    const fn expected(arm: &Arm) -> Self {
        Self { exposures: arm.impressions, clicks: arm.clicks, examples: arm.impressions, clicked: arm.clicks }
    }

    const fn named(self) -> [(&'static str, u64); 4] {
        [
            ("exposures", self.exposures),
            ("clicks", self.clicks),
            ("examples", self.examples),
            ("examples labelled as clicked", self.clicked),
        ]
    }
}

/// A count that is not as in the data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Difference {
    pub(super) test: String,
    pub(super) arm: usize,
    pub(super) what: &'static str,
    pub(super) expected: u64,
    pub(super) found: u64,
}

/// All rows of the store that are of the tests, by test and arm.
pub(super) struct Tallies<'a> {
    place: HashMap<&'a str, usize>,
    arms: Vec<Vec<Tally>>,
}

/// Counts every row of `store`. Rows of others are passed over: a directory may hold more than this run.
pub(super) async fn count<'a>(store: &dyn EventStore, set: &'a Upworthy) -> anyhow::Result<Tallies<'a>> {
    let mut tallies = Tallies::new(set);
    let mut after = None;
    loop {
        let rows = store.scan_exposures(after, SCAN_ROWS).await?;
        let Some((last, _)) = rows.last() else { break };
        after = Some(*last);
        for (_, exposure) in &rows {
            if let Some(tally) = tallies.assigned(&exposure.assignments) {
                tally.exposures += 1;
            }
        }
    }
    let mut after = None;
    loop {
        let rows = store.scan_signals(after, SCAN_ROWS).await?;
        let Some((last, _)) = rows.last() else { break };
        after = Some(*last);
        for (_, signal) in &rows {
            let is_click = signal.kind == SignalKind::Click && signal.actor == Actor::User;
            let arm = origin(&signal.exposure_id).filter(|_| is_click);
            if let Some(tally) = arm.and_then(|(test, arm)| tallies.get(test, arm)) {
                tally.clicks += 1;
            }
        }
    }
    let mut after = None;
    loop {
        let rows = store.scan_examples(after, SCAN_ROWS).await?;
        let Some((last, _)) = rows.last() else { break };
        after = Some(*last);
        for (_, example) in &rows {
            if let Some(tally) = tallies.assigned(&example.assignments) {
                tally.examples += 1;
                tally.clicked += u64::from(example.label(CLICK).is_some_and(|label| label.value == 1.0));
            }
        }
    }
    Ok(tallies)
}

impl<'a> Tallies<'a> {
    fn new(set: &'a Upworthy) -> Self {
        let mut place = HashMap::new();
        let mut arms = Vec::new();
        for (index, test) in set.tests().iter().enumerate() {
            place.insert(test.id.as_str(), index);
            arms.push(vec![Tally::default(); test.arms.len()]);
        }
        Self { place, arms }
    }

    /// Rows counted.
    pub(super) fn rows(&self) -> u64 {
        self.arms.iter().flatten().map(|tally| tally.exposures + tally.clicks + tally.examples).sum()
    }

    /// Every count that is not as in `set`.
    pub(super) fn differences(&self, set: &Upworthy) -> Vec<Difference> {
        let mut differences = Vec::new();
        for (test, tallies) in set.tests().iter().zip(&self.arms) {
            for (arm, (counts, tally)) in test.arms.iter().zip(tallies).enumerate() {
                let expected = Tally::expected(counts).named();
                for ((what, expected), (_, found)) in expected.into_iter().zip(tally.named()) {
                    if found != expected {
                        let test = test.id.to_string();
                        differences.push(Difference { test, arm, what, expected, found });
                    }
                }
            }
        }
        differences
    }

    fn get(&mut self, test: &str, arm: usize) -> Option<&mut Tally> {
        let place = *self.place.get(test)?;
        self.arms[place].get_mut(arm)
    }

    /// The arm that the experiments see.
    fn assigned(&mut self, assignments: &[Assignment]) -> Option<&mut Tally> {
        let assignment = assignments.iter().find(|assignment| assignment.layer.as_str() == LAYER)?;
        let arm = assignment.variant.as_str().parse().ok()?;
        self.get(assignment.experiment.as_str(), arm)
    }
}
