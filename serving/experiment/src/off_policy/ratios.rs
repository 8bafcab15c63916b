//! Every estimator here is a sum of ratios of sums over units; intervals are computed for that form once.

use plaudit_event::Seed;
use rand::Rng;

/// `Σ_k Σ_u a_uk / Σ_u b_uk`, kept by unit.
///
/// A mean is one ratio whose denominator counts rows; a self-normalised estimator has weights there.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ratios {
    terms: usize,
    /// `terms` pairs of numerator and denominator for each unit.
    sums: Vec<[f64; 2]>,
}

impl Ratios {
    pub(super) fn new(terms: usize, num_units: usize) -> Self {
        Self { terms, sums: vec![[0.0; 2]; terms * num_units] }
    }

    pub(super) fn add(&mut self, unit: usize, term: usize, [numerator, denominator]: [f64; 2]) {
        let sum = &mut self.sums[unit * self.terms + term];
        sum[0] += numerator;
        sum[1] += denominator;
    }

    pub(super) fn num_units(&self) -> usize {
        self.sums.len() / self.terms
    }

    fn totals<'a>(&self, units: impl Iterator<Item = &'a [[f64; 2]]>) -> Vec<[f64; 2]> {
        let mut totals = vec![[0.0; 2]; self.terms];
        for unit in units {
            for (total, [numerator, denominator]) in totals.iter_mut().zip(unit) {
                total[0] += numerator;
                total[1] += denominator;
            }
        }
        totals
    }

    /// The estimate; nothing when a denominator is zero.
    pub(super) fn value(&self) -> Option<f64> {
        value_of(&self.totals(self.sums.chunks(self.terms)))
    }

    /// Standard error by the delta method with units as clusters: the root of the sum of squared linearised
    /// contributions `Σ_k (a_uk − R_k·b_uk) / Σ_u b_uk`.
    pub(super) fn standard_error(&self) -> Option<f64> {
        let totals = self.totals(self.sums.chunks(self.terms));
        value_of(&totals)?;
        let squares = self.sums.chunks(self.terms).map(|unit| contribution(unit, &totals).powi(2));
        Some(squares.sum::<f64>().sqrt())
    }

    /// Studentised draws `(value* − value) / error*` of a bootstrap over units; draws without an error, where
    /// every unit drawn is alike, are left out.
    pub(super) fn studentised_draws(&self, seed: Seed, draws: u32) -> Option<Vec<f64>> {
        let value = self.value()?;
        let mut rng = seed.stream("off-policy/bootstrap");
        let units = self.num_units();
        let mut chosen = vec![0_usize; units];
        let mut studentised = Vec::with_capacity(draws as usize);
        for _ in 0..draws {
            chosen.iter_mut().for_each(|unit| *unit = rng.random_range(0..units));
            let of = |unit: &usize| &self.sums[unit * self.terms..(unit + 1) * self.terms];
            let totals = self.totals(chosen.iter().map(of));
            let Some(drawn) = value_of(&totals) else { continue };
            let squares: f64 = chosen.iter().map(|unit| contribution(of(unit), &totals).powi(2)).sum();
            if squares > 0.0 {
                studentised.push((drawn - value) / squares.sqrt());
            }
        }
        studentised.sort_by(f64::total_cmp);
        Some(studentised)
    }
}

fn value_of(totals: &[[f64; 2]]) -> Option<f64> {
    let ratios = totals.iter().map(|[numerator, denominator]| numerator / denominator);
    Some(ratios.sum::<f64>()).filter(|value| value.is_finite())
}

fn contribution(unit: &[[f64; 2]], totals: &[[f64; 2]]) -> f64 {
    let terms = unit.iter().zip(totals);
    terms.map(|([a, b], [total_a, total_b])| (a - total_a / total_b * b) / total_b).sum()
}
