//! Bucket ranges: which part of the positions belongs to which variation.

use super::hash::hash;

/// A range of positions, from the first number up to but without the second.
pub type Range = (f64, f64);

/// How far a sum of weights may be from 1 before [`bucket_ranges`] takes equal ones instead.
pub const WEIGHTS_SLACK: f64 = 0.01;

/// Whether `position` lies in `range`.
#[must_use]
pub fn in_range(position: f64, range: Range) -> bool {
    position >= range.0 && position < range.1
}

/// `count` equal weights; none for a `count` below 1.
#[must_use]
pub fn equal_weights(count: i64) -> Vec<f64> {
    match usize::try_from(count) {
        Ok(count) if count > 0 => vec![1.0 / count as f64; count],
        _ => Vec::new(),
    }
}

/// One range per variation: `[start, start + coverage · weight)`, where `start` is the sum of the weights before.
///
/// `coverage` is clamped to 0..=1 (and NaN counts as 1). Weights that are not as many as `count`, not finite, or add
/// up to less than 0.99 or more than 1.01 are replaced by equal ones: that is what the published specification says.
/// The product's own definitions refuse them instead, see [`Definition::validate`](super::Definition::validate).
#[must_use]
pub fn bucket_ranges(count: usize, coverage: f64, weights: Option<&[f64]>) -> Vec<Range> {
    let coverage = if coverage.is_nan() { 1.0 } else { coverage.clamp(0.0, 1.0) };
    let given = weights.filter(|weights| weights.len() == count && is_whole(weights));
    let equal = equal_weights(i64::try_from(count).unwrap_or(0));
    let mut start = 0.0;
    let mut ranges = Vec::with_capacity(count);
    for weight in given.unwrap_or(&equal) {
        ranges.push((start, start + coverage * weight));
        start += weight;
    }
    ranges
}

/// Whether `weights` add up to 1, give or take [`WEIGHTS_SLACK`]. False for NaN.
pub(super) fn is_whole(weights: &[f64]) -> bool {
    let sum: f64 = weights.iter().sum();
    (1.0 - WEIGHTS_SLACK..=1.0 + WEIGHTS_SLACK).contains(&sum)
}

/// The first range that has `position`.
#[must_use]
pub fn choose_variation(position: f64, ranges: &[Range]) -> Option<usize> {
    ranges.iter().position(|range| in_range(position, *range))
}

/// Whether `value` lies in `range` of the namespace `id`: version 1 of the hash, seeded with `__id`.
#[must_use]
pub fn in_namespace(value: &str, id: &str, range: Range) -> bool {
    hash(&format!("__{id}"), value, 1).is_some_and(|position| in_range(position, range))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_start_where_the_weights_say_whatever_the_coverage() {
        let starts = |coverage| bucket_ranges(3, coverage, Some(&[0.2, 0.3, 0.5])).into_iter().map(|range| range.0);
        assert!(starts(0.1).eq(starts(1.0)));
    }

    #[test]
    fn weights_that_cannot_be_used_become_equal() {
        for weights in [vec![], vec![1.0], vec![0.5, f64::NAN], vec![0.5, f64::INFINITY], vec![0.2, 0.2]] {
            assert_eq!(bucket_ranges(2, 1.0, Some(&weights)), [(0.0, 0.5), (0.5, 1.0)], "{weights:?}");
        }
        assert_eq!(bucket_ranges(2, f64::NAN, None), [(0.0, 0.5), (0.5, 1.0)]);
        assert_eq!(bucket_ranges(0, 1.0, None), []);
    }

    #[test]
    fn an_empty_range_has_nobody_and_the_end_is_outside() {
        assert_eq!(choose_variation(0.5, &[(0.5, 0.5)]), None);
        assert_eq!(choose_variation(0.5, &[(0.0, 0.5), (0.5, 1.0)]), Some(1));
        assert_eq!(choose_variation(f64::NAN, &[(0.0, 1.0)]), None);
    }

    #[test]
    fn namespaces_cut_the_same_positions_for_everybody() {
        for unit in 0..1_000 {
            let unit = unit.to_string();
            assert_ne!(in_namespace(&unit, "n", (0.0, 0.4)), in_namespace(&unit, "n", (0.4, 1.0)));
        }
    }
}
