//! How well scores tell labels apart.

/// Area under the ROC curve of `(score, label)` rows: the probability that a positive scores above
/// a negative, ties counting half (Mann–Whitney). Nothing without both kinds of label.
#[must_use]
pub fn auroc(rows: impl IntoIterator<Item = (f64, bool)>) -> Option<f64> {
    let mut rows: Vec<(f64, bool)> = rows.into_iter().collect();
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let positives = rows.iter().filter(|row| row.1).count();
    let negatives = rows.len() - positives;
    if positives == 0 || negatives == 0 {
        return None;
    }
    let mut wins = 0.0;
    let mut below = 0_usize;
    for ties in rows.chunk_by(|a, b| a.0 == b.0) {
        let up = ties.iter().filter(|row| row.1).count();
        let down = ties.len() - up;
        wins += up as f64 * (below as f64 + 0.5 * down as f64);
        below += down;
    }
    Some(wins / (positives as f64 * negatives as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auroc_counts_pairs_and_halves_ties() {
        let rows = [(0.1, false), (0.4, true), (0.35, false), (0.8, true)];
        assert_eq!(auroc(rows), Some(1.0));
        let mixed = [(0.1, false), (0.4, false), (0.35, true), (0.8, true)];
        assert_eq!(auroc(mixed), Some(0.75));
        assert_eq!(auroc([(0.5, true), (0.5, false)]), Some(0.5));
        assert_eq!(auroc([(0.5, true)]), None);
    }
}
