//! Logged decisions, checked once.

use crate::Error;

/// What a reward model says about a decision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Model {
    /// Predicted reward of the logged action.
    pub logged: f64,
    /// Mean prediction under the evaluated policy: `Σ_a π_e(a)·q(a)`.
    pub expected: f64,
}

/// One logged decision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// Who was shown it; rows of one unit are not independent. Any number that identifies the unit.
    pub unit: u64,
    /// What it earned; finite.
    pub reward: f64,
    /// Probability with which the serving policy took the action, as logged; in (0, 1].
    pub propensity: f64,
    /// Probability that the evaluated policy gives to the action; in \[0, 1\].
    pub evaluation: f64,
    /// The reward model's values, for the estimators that use them.
    pub model: Option<Model>,
    /// Probability that the evaluated policy gives to actions which the serving policy never takes here; in
    /// \[0, 1\]. Nothing where only the logged action is known.
    pub unsupported: Option<f64>,
}

/// All candidates of a decision, with the probabilities of both policies.
#[derive(Debug, Clone, Copy)]
pub struct Candidates<'a> {
    /// The serving policy's probabilities.
    pub behavior: &'a [f64],
    /// The evaluated policy's probabilities, as many.
    pub evaluation: &'a [f64],
    /// The reward model's predictions, as many, where there is a model.
    pub values: Option<&'a [f64]>,
    /// Index of the action taken.
    pub action: usize,
}

impl Row {
    /// A row from all its candidates; `index` is only for errors.
    ///
    /// # Errors
    /// When the lists differ in length, the action is none of them, or probabilities do not sum to one within
    /// 10⁻⁶.
    pub fn from_candidates(index: usize, unit: u64, reward: f64, of: &Candidates) -> Result<Self, Error> {
        let expected = of.behavior.len();
        let lengths = [("evaluation", of.evaluation.len()), ("values", of.values.map_or(expected, <[f64]>::len))];
        if let Some((field, found)) = lengths.into_iter().find(|(_, found)| *found != expected) {
            return Err(Error::RowLength { row: index, field, found, expected });
        }
        if of.action >= expected {
            return Err(Error::RowLength { row: index, field: "behavior", found: expected, expected: of.action + 1 });
        }
        for (field, probabilities) in [("behavior", of.behavior), ("evaluation", of.evaluation)] {
            let sum: f64 = probabilities.iter().sum();
            if (sum - 1.0).abs() > 1e-6 || sum.is_nan() {
                return Err(Error::RowValue { row: index, field, value: sum, range: "1 in sum" });
            }
        }
        let pairs = of.behavior.iter().zip(of.evaluation);
        let unsupported = pairs.filter(|(behavior, _)| **behavior <= 0.0).map(|(_, evaluation)| evaluation).sum();
        let model = of.values.map(|values| Model {
            logged: values[of.action],
            expected: values.iter().zip(of.evaluation).map(|(value, probability)| value * probability).sum(),
        });
        let (propensity, evaluation) = (of.behavior[of.action], of.evaluation[of.action]);
        Ok(Self { unit, reward, propensity, evaluation, model, unsupported: Some(unsupported) })
    }

    /// The importance weight: by how much more often the evaluated policy takes the action.
    #[must_use]
    pub fn weight(&self) -> f64 {
        self.evaluation / self.propensity
    }

    fn check(&self, row: usize) -> Result<(), Error> {
        let model = self.model.unwrap_or(Model { logged: 0.0, expected: 0.0 });
        let probability = |p: f64| (0.0..=1.0).contains(&p);
        let unsupported = self.unsupported.unwrap_or(0.0);
        let checks = [
            ("reward", self.reward, "finite", self.reward.is_finite()),
            ("propensity", self.propensity, "in (0, 1]", self.propensity > 0.0 && self.propensity <= 1.0),
            ("evaluation", self.evaluation, "in [0, 1]", probability(self.evaluation)),
            ("evaluation / propensity", self.weight(), "finite", self.weight().is_finite()),
            ("model.logged", model.logged, "finite", model.logged.is_finite()),
            ("model.expected", model.expected, "finite", model.expected.is_finite()),
            ("unsupported", unsupported, "in [0, 1]", probability(unsupported)),
        ];
        match checks.into_iter().find(|(.., ok)| !ok) {
            Some((field, value, range, _)) => Err(Error::RowValue { row, field, value, range }),
            None => Ok(()),
        }
    }
}

/// Rows that were checked: at least one, every number in its range.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub(super) rows: Vec<Row>,
    /// For each row the index of its unit, counted in the order of first appearance.
    pub(super) unit_of: Vec<usize>,
    pub(super) num_units: usize,
}

impl Sample {
    /// Checks the rows; give them in the order of time.
    ///
    /// # Errors
    /// When there is none, or a number of one is out of range: a propensity of zero or NaN is an error that
    /// names the row, never a row that is left out.
    pub fn new(rows: Vec<Row>) -> Result<Self, Error> {
        if rows.is_empty() {
            return Err(Error::Empty);
        }
        for (index, row) in rows.iter().enumerate() {
            row.check(index)?;
        }
        let (unit_of, num_units) = number(rows.iter().map(|row| row.unit));
        Ok(Self { rows, unit_of, num_units })
    }

    /// The rows.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Number of different units.
    #[must_use]
    pub const fn num_units(&self) -> usize {
        self.num_units
    }

    /// The mean over its rows of `scores`, for each unit in the order of first appearance.
    pub(super) fn unit_means(&self, scores: &[f64]) -> Vec<f64> {
        let mut sums = vec![(0.0, 0.0); self.num_units];
        for (unit, score) in self.unit_of.iter().zip(scores) {
            sums[*unit].0 += score;
            sums[*unit].1 += 1.0;
        }
        sums.into_iter().map(|(sum, count)| sum / count).collect()
    }
}

/// Numbers units from zero in the order of first appearance.
pub(super) fn number(units: impl Iterator<Item = u64>) -> (Vec<usize>, usize) {
    let mut index = std::collections::HashMap::new();
    let numbers = units
        .map(|unit| {
            let next = index.len();
            *index.entry(unit).or_insert(next)
        })
        .collect();
    (numbers, index.len())
}
