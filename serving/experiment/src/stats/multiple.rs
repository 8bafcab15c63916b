//! Many metrics at once.
//!
//! P-values that hold at one time: Bonferroni, Holm (1979), Hommel (1988), Hochberg (1988), Benjamini &
//! Hochberg (1995), Benjamini & Yekutieli (2001). Evidence that is watched, under any dependence:
//! [`e_bh`] (Wang & Ramdas 2022).

/// How p-values are corrected for their number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Correction {
    /// m·p: any dependence, family-wise.
    Bonferroni,
    /// 1 − (1 − p)^m: independence, family-wise.
    Sidak,
    /// Step-down Bonferroni: any dependence, family-wise.
    Holm,
    /// Step-down Sidak.
    HolmSidak,
    /// Step-up: independence or positive dependence, family-wise.
    Hochberg,
    /// Closed Simes tests: as Hochberg and never weaker.
    Hommel,
    /// False discovery rate under independence or positive dependence.
    BenjaminiHochberg,
    /// False discovery rate under any dependence.
    BenjaminiYekutieli,
    /// Two stages: the share of true nulls is estimated first, at the level given (Benjamini, Krieger &
    /// Yekutieli 2006 with the plain first stage).
    TwoStage {
        /// Level of the first stage, in (0, 1).
        alpha: f64,
    },
}

/// Adjusted p-values in the order given: reject where they are at most alpha. NaN counts as 1.
#[must_use]
pub fn adjust(p: &[f64], correction: Correction) -> Vec<f64> {
    let clean: Vec<f64> = p.iter().map(|p| if p.is_nan() { 1.0 } else { p.clamp(0.0, 1.0) }).collect();
    let mut order: Vec<usize> = (0..clean.len()).collect();
    order.sort_by(|a, b| clean[*a].total_cmp(&clean[*b]));
    let sorted: Vec<f64> = order.iter().map(|index| clean[*index]).collect();
    let adjusted = sorted_adjustment(&sorted, correction);
    let mut back = vec![1.0; clean.len()];
    for (place, index) in order.into_iter().enumerate() {
        back[index] = adjusted[place].min(1.0);
    }
    back
}

fn sorted_adjustment(p: &[f64], correction: Correction) -> Vec<f64> {
    let m = p.len() as f64;
    let left = |place: usize| m - place as f64;
    let each = |f: &dyn Fn(usize, f64) -> f64| -> Vec<f64> { p.iter().enumerate().map(|(i, p)| f(i, *p)).collect() };
    let sidak = |p: f64, count: f64| -f64::exp_m1(count * f64::ln_1p(-p));
    match correction {
        Correction::Bonferroni => each(&|_, p| m * p),
        Correction::Sidak => each(&|_, p| sidak(p, m)),
        Correction::Holm => running_max(each(&|i, p| left(i) * p)),
        Correction::HolmSidak => running_max(each(&|i, p| sidak(p, left(i)))),
        Correction::Hochberg => running_min(each(&|i, p| left(i) * p)),
        Correction::Hommel => hommel(p),
        Correction::BenjaminiHochberg => running_min(each(&|i, p| m * p / (i + 1) as f64)),
        Correction::BenjaminiYekutieli => {
            let harmonic: f64 = (1..=p.len()).map(|i| 1.0 / i as f64).sum();
            running_min(each(&|i, p| harmonic * m * p / (i + 1) as f64))
        }
        Correction::TwoStage { alpha } => {
            let first = sorted_adjustment(p, Correction::BenjaminiHochberg);
            let rejected = first.iter().filter(|adjusted| **adjusted <= alpha).count();
            if rejected == 0 || rejected == p.len() {
                return first;
            }
            let share = (m - rejected as f64) / m;
            first.into_iter().map(|adjusted| adjusted * share).collect()
        }
    }
}

fn running_max(mut values: Vec<f64>) -> Vec<f64> {
    for place in 1..values.len() {
        values[place] = values[place].max(values[place - 1]);
    }
    values
}

fn running_min(mut values: Vec<f64>) -> Vec<f64> {
    for place in (1..values.len()).rev() {
        values[place - 1] = values[place - 1].min(values[place]);
    }
    values
}

/// Hommel's adjustment by the algorithm of Wright (1992).
fn hommel(p: &[f64]) -> Vec<f64> {
    let n = p.len();
    let mut adjusted = p.to_vec();
    for size in (2..=n).rev() {
        let m = size as f64;
        let first = n - size + 1;
        let least = (1..size).map(|i| m * p[first + i - 1] / (i + 1) as f64).fold(f64::INFINITY, f64::min);
        let least = least.min(m * p[first - 1]);
        for (place, value) in adjusted.iter_mut().enumerate() {
            let bound = if place >= first - 1 { least } else { least.min(m * p[place]) };
            *value = value.max(bound);
        }
    }
    adjusted
}

/// Which e-values are discoveries at false discovery rate `alpha`, under any dependence and at any
/// stopping time: the k largest, for the greatest k whose k-th largest is at least m/(k·alpha).
#[must_use]
pub fn e_bh(e: &[f64], alpha: f64) -> Vec<bool> {
    let mut sorted = e.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let m = e.len() as f64;
    let passes = |place: usize, value: f64| value >= m / ((place + 1) as f64 * alpha);
    let threshold =
        sorted.iter().enumerate().filter(|(place, value)| passes(*place, **value)).map(|(_, v)| *v).next_back();
    e.iter().map(|value| threshold.is_some_and(|least| *value >= least)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_nothing_out_and_nan_is_no_evidence() {
        assert!(adjust(&[], Correction::Hommel).is_empty());
        assert!(e_bh(&[], 0.05).is_empty());
        assert_eq!(adjust(&[f64::NAN, 0.01], Correction::Holm), vec![1.0, 0.02]);
        assert_eq!(e_bh(&[0.0, 1e6, 50.0], 0.05), vec![false, true, true]);
        assert_eq!(e_bh(&[25.0, 25.0], 0.05), vec![true, true]);
    }
}
