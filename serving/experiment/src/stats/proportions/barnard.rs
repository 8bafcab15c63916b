//! The exact unconditional test.

use super::{Proportions, log_choose};

/// Tables beyond which the normal test is as good and this one too slow.
const MOST_TABLES: u64 = 4_000_000;

impl Proportions {
    /// Barnard's (1945) exact two-sided p-value, with the pooled z statistic (Suissa & Shuster 1985): the
    /// probability of all tables whose statistic is at least as large, at the common rate that makes it largest.
    /// More powerful than [`Self::fisher`], which also conditions on the number of hits. Nothing with more than
    /// four million tables of these arms (some 2,000 units each).
    #[must_use]
    pub fn barnard(&self) -> Option<f64> {
        let (n1, n2) = (self.treatment.units, self.control.units);
        let tables = n1.saturating_add(1).saturating_mul(n2.saturating_add(1));
        if tables > MOST_TABLES {
            return None;
        }
        let extreme = self.extreme();
        let logs = [log_binomials(n1), log_binomials(n2)];
        let tail = |angle: f64| tail(&extreme, &logs, angle);
        // Rates as sin² of an angle: binomials are equally wide everywhere, some 1/√n. Swapping hits and misses
        // mirrors the set, so that half the angles suffice.
        let steps = 64 + 8 * ((n1 + n2) as f64).sqrt().ceil() as usize;
        let step = std::f64::consts::FRAC_PI_4 / steps as f64;
        let grid: Vec<f64> = (0..=steps).map(|index| tail(step * index as f64)).collect();
        let best = grid.iter().copied().fold(0.0_f64, f64::max);
        let mut p = best;
        for (index, height) in grid.iter().enumerate() {
            let is_peak =
                index > 0 && *height >= grid[index - 1] && grid.get(index + 1).is_none_or(|next| height >= next);
            if is_peak && *height > 0.9 * best {
                p = p.max(peak(step * (index as f64 - 1.0), step * (index as f64 + 1.0), tail));
            }
        }
        Some(p.min(1.0))
    }

    /// For each number of hits in treatment, the stretches `from..to` of hits in control that are as extreme.
    fn extreme(&self) -> Vec<Vec<(usize, usize)>> {
        let (n1, n2) = (self.treatment.units, self.control.units);
        let squared = |x1: u64, x2: u64| {
            let hits = (x1 + x2) as f64 / (n1 + n2) as f64;
            let difference = x1 as f64 / n1 as f64 - x2 as f64 / n2 as f64;
            let variance = hits * (1.0 - hits) * ((n1 as f64).recip() + (n2 as f64).recip());
            if variance > 0.0 { difference * difference / variance } else { 0.0 }
        };
        // Equal tables in another order of operations may differ in the last digits.
        let least = squared(self.treatment.hits, self.control.hits) * (1.0 - 1e-12);
        let of_row = |x1: u64| {
            let mut stretches: Vec<(usize, usize)> = Vec::new();
            for x2 in (0..=n2).filter(|x2| squared(x1, *x2) >= least) {
                let at = x2 as usize;
                match stretches.last_mut() {
                    Some((_, to)) if *to == at => *to = at + 1,
                    _ => stretches.push((at, at + 1)),
                }
            }
            stretches
        };
        (0..=n1).map(of_row).collect()
    }
}

fn log_binomials(n: u64) -> Vec<f64> {
    (0..=n).map(|k| log_choose(n, k)).collect()
}

/// Probability of the extreme tables when the rate is sin² of `angle`.
fn tail(extreme: &[Vec<(usize, usize)>], logs: &[Vec<f64>; 2], angle: f64) -> f64 {
    let (hit, miss) = (2.0 * angle.sin().ln(), 2.0 * angle.cos().ln());
    let masses = |logs: &[f64]| -> Vec<f64> {
        let n = logs.len() - 1;
        // 0 · ln 0 is 0.
        let power = |count: usize, log: f64| if count == 0 { 0.0 } else { count as f64 * log };
        logs.iter().enumerate().map(|(k, log)| (log + power(k, hit) + power(n - k, miss)).exp()).collect()
    };
    let mut below = vec![0.0];
    for mass in masses(&logs[1]) {
        below.push(below[below.len() - 1] + mass);
    }
    let rows = masses(&logs[0]).into_iter().zip(extreme);
    rows.map(|(mass, stretches)| mass * stretches.iter().map(|(from, to)| below[*to] - below[*from]).sum::<f64>()).sum()
}

/// The largest value between `low` and `high`, by golden section.
fn peak(low: f64, high: f64, f: impl Fn(f64) -> f64) -> f64 {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    let (mut low, mut high) = (low, high);
    let mut best = 0.0_f64;
    for _ in 0..40 {
        let (left, right) = (high - GOLDEN * (high - low), low + GOLDEN * (high - low));
        let (at_left, at_right) = (f(left), f(right));
        best = best.max(at_left).max(at_right);
        if at_left < at_right {
            low = left;
        } else {
            high = right;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::super::{Proportions, Successes};

    fn test(hits: [u64; 2], units: [u64; 2]) -> Proportions {
        let arm = |index: usize| Successes { hits: hits[index], units: units[index] };
        Proportions::new(arm(0), arm(1)).unwrap()
    }

    #[test]
    fn barnard_by_hand_and_at_the_limits() {
        // One against one: hit and miss, in either order, at most 2·½·½.
        assert!((test([1, 0], [1, 1]).barnard().unwrap() - 0.5).abs() < 1e-12);
        assert!((test([0, 0], [30, 50]).barnard().unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(test([5, 9], [2_000, 2_000]).barnard(), None);
        assert_eq!(test([1, 1], [u64::MAX, 2]).barnard(), None);
    }

    /// The level holds at every rate: that is what exact means.
    #[test]
    fn barnard_rejects_no_more_than_its_level_at_any_rate() {
        let (n1, n2) = (12_u64, 9_u64);
        let mut rejected = Vec::new();
        for (x1, x2) in (0..=n1).flat_map(|x1| (0..=n2).map(move |x2| (x1, x2))) {
            if test([x1, x2], [n1, n2]).barnard().unwrap() <= 0.05 {
                rejected.push((x1, x2));
            }
        }
        let choose = |n: u64, k: u64| (1..=k).fold(1.0, |c, i| c * (n - k + i) as f64 / i as f64);
        let mass = |n: u64, k: u64, p: f64| choose(n, k) * p.powi(k as i32) * (1.0 - p).powi((n - k) as i32);
        for rate in (1..100).map(|percent| f64::from(percent) / 100.0) {
            let level: f64 = rejected.iter().map(|(x1, x2)| mass(n1, *x1, rate) * mass(n2, *x2, rate)).sum();
            assert!(level <= 0.05 + 1e-9, "{rate}: {level}");
        }
        assert!(rejected.len() > 20);
    }
}
