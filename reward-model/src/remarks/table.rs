//! A logistic head over sparse rows with labels between 0 and 1, and the memory that it learns from again.

use plaudit_event::Stream;
use plaudit_nn::loss::sigmoid;
use rand::Rng as _;

use super::config::RemarkConfig;
use crate::config::LearnerConfig;
use crate::linear::{Linear, Rates, product};

/// Numbers and values of features, each number once.
pub(crate) type Sparse = Vec<(usize, f32)>;

/// One row with what is to be learned of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) exposure: u64,
    pub(crate) unit: u64,
    pub(crate) features: Sparse,
    pub(crate) label: f32,
    pub(crate) weight: f32,
}

/// A uniform sample of the rows that were learned (algorithm R, Vitter 1985).
#[derive(Debug, Clone, Default)]
pub(crate) struct Pool {
    pub(crate) rows: Vec<Row>,
    /// Rows learned and not taken back.
    pub(crate) seen: u64,
}

/// The head.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) linear: Linear,
    pub(crate) pool: Pool,
    /// Weight of the labels seen for and against.
    pub(crate) sums: [f64; 2],
}

impl Pool {
    fn offer(&mut self, row: Row, capacity: usize, stream: &mut Stream) {
        self.seen += 1;
        if self.rows.len() < capacity {
            self.rows.push(row);
            return;
        }
        let place = usize::try_from(stream.random_range(0..self.seen)).ok();
        if let Some(slot) = place.and_then(|place| self.rows.get_mut(place)) {
            *slot = row;
        }
    }

    /// Removes the rows for which `is_gone` holds; how many there were.
    pub(crate) fn erase(&mut self, is_gone: impl Fn(&Row) -> bool) -> u64 {
        let before = self.rows.len();
        self.rows.retain(|row| !is_gone(row));
        let removed = (before - self.rows.len()) as u64;
        self.seen = self.seen.saturating_sub(removed).max(self.rows.len() as u64);
        removed
    }
}

impl Table {
    pub(crate) fn new(buckets: usize) -> Self {
        Self { linear: Linear::new(buckets), pool: Pool::default(), sums: [0.0; 2] }
    }

    /// One step on `row`, remembers it, and steps on some that are remembered.
    pub(crate) fn learn(&mut self, row: Row, config: &RemarkConfig, stream: &mut Stream) {
        let rates = rates(config);
        self.step(&row, rates);
        self.sums[0] += f64::from(row.weight * row.label);
        self.sums[1] += f64::from(row.weight * (1.0 - row.label));
        self.pool.offer(row, config.capacity, stream);
        for _ in 0..config.per_row {
            let at = stream.random_range(0..self.pool.rows.len());
            let row = std::mem::take(&mut self.pool.rows[at].features);
            let again = Row { features: row, ..self.pool.rows[at] };
            self.step(&again, rates);
            self.pool.rows[at].features = again.features;
        }
    }

    /// The gradient of the cross-entropy with a label between 0 and 1: `σ(z) − y`.
    fn step(&mut self, row: &Row, rates: Rates) {
        let slope = (sigmoid(product(&self.linear.weights, &row.features)) as f32 - row.label) * row.weight;
        self.linear.step(row.features.iter().copied(), slope, rates);
    }

    /// The weights, once there was evidence for and against.
    pub(crate) fn frozen(&self) -> Option<Vec<f32>> {
        self.sums.iter().all(|sum| *sum > 0.0).then(|| self.linear.weights.clone())
    }
}

/// The rates of both heads.
pub(crate) fn rates(config: &RemarkConfig) -> Rates {
    let learner = LearnerConfig { alpha: config.alpha, beta: 1.0, l1: 0.0, l2: config.l2, ..LearnerConfig::default() };
    Rates::new(&learner)
}

#[cfg(test)]
mod tests {
    use plaudit_event::Seed;

    use super::*;

    fn row(at: u64, label: f32) -> Row {
        Row { exposure: at, unit: at % 3, features: vec![(0, 1.0), (1 + (at % 2) as usize, 1.0)], label, weight: 1.0 }
    }

    #[test]
    fn a_share_is_learned_as_a_share_and_memory_is_bounded() {
        let config = RemarkConfig { capacity: 50, l2: 0.0, ..RemarkConfig::default() };
        let (mut table, mut stream) = (Table::new(8), Seed::new(1).stream("t"));
        assert!(table.frozen().is_none());
        for at in 0..4_000 {
            table.learn(row(at, if at % 2 == 0 { 0.9 } else { 0.2 }), &config, &mut stream);
        }
        assert_eq!((table.pool.rows.len(), table.pool.seen), (50, 4_000));
        let weights = table.frozen().unwrap();
        let p = |at| sigmoid(product(&weights, &row(at, 0.0).features));
        assert!((p(0) - 0.9).abs() < 0.05 && (p(1) - 0.2).abs() < 0.05, "{} {}", p(0), p(1));
        let of_unit = table.pool.rows.iter().filter(|row| row.unit == 1).count() as u64;
        assert_eq!(table.pool.erase(|row| row.unit == 1), of_unit);
        assert!(of_unit > 0 && table.pool.rows.iter().all(|row| row.unit != 1));
    }
}
