//! What the simulations share.

/// The number after `--runs`, or `default`.
pub(crate) fn runs(default: u64) -> u64 {
    let arguments: Vec<String> = std::env::args().collect();
    let given = arguments.windows(2).find(|pair| pair[0] == "--runs");
    given.map_or(default, |pair| pair[1].parse().expect("--runs takes a number"))
}

/// A share in per cent with its 95 % interval (Wilson 1927).
pub(crate) fn share(found: u64, of: u64) -> String {
    let (n, z2) = (of as f64, 1.959_964_f64.powi(2));
    let p = found as f64 / n;
    let middle = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let margin = (z2 * (p * (1.0 - p) / n + z2 / (4.0 * n * n))).sqrt() / (1.0 + z2 / n);
    let (low, high) = ((middle - margin).max(0.0) * 100.0, (middle + margin) * 100.0);
    format!("{:.1} % [{low:.1}, {high:.1}]", p * 100.0)
}

/// The middle of the values; infinite ones count as the largest. Nothing without values.
pub(crate) fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
