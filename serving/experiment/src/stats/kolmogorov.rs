//! The distribution of Kolmogorov's statistic of one sample.

/// Terms of the exponential series beyond which nothing is left in double precision.
const BAND: usize = 26;

/// Probability that Kolmogorov's two-sided statistic of `n` ≥ 1 independent values of a known continuous
/// distribution is at least `d` in \[0, 1\].
///
/// Where n·d² ≥ 4, twice the one-sided probability (Smirnov 1944), short of it by less than 1e-10 of itself. Below,
/// one less the probability of Marsaglia, Tsang & Wang (2003), `n!/nⁿ · (Hⁿ)ₖₖ`, row by row rather than by powers
/// of the matrix: O(n·k) for k ≈ n·d.
pub(super) fn kolmogorov_sf(d: f64, n: u64) -> f64 {
    let count = n as f64;
    if d <= 0.0 {
        return 1.0;
    }
    if d >= 1.0 {
        return 0.0;
    }
    if count * d * d >= 4.0 {
        return (2.0 * smirnov_sf(d, n)).min(1.0);
    }
    let k = (count * d).floor() as usize + 1;
    let size = 2 * k - 1;
    let matrix = Matrix::new(k as f64 - count * d, size);
    let mut row = vec![0.0; size];
    row[k - 1] = 1.0;
    // The factors 1/n … n/n of n!/nⁿ, small ones while the row is large: in their order they would underflow.
    let (mut small, mut large) = (1, n);
    while small <= large {
        let factor = if row.iter().sum::<f64>() > 1.0 { small } else { large };
        if factor == small {
            small += 1;
        } else {
            large -= 1;
        }
        row = matrix.after(&row, factor as f64 / count);
    }
    (1.0 - row[k - 1]).clamp(0.0, 1.0)
}

/// `d · Σ_j C(n, j) · (1 − d − j/n)^(n−j) · (d + j/n)^(j−1)` over all j ≤ n·(1 − d).
fn smirnov_sf(d: f64, n: u64) -> f64 {
    let count = n as f64;
    let mut log_choose = 0.0;
    let mut sum = 0.0;
    for j in 0..=(count * (1.0 - d)).floor() as u64 {
        let at = j as f64;
        let rest = 1.0 - d - at / count;
        if rest > 0.0 {
            sum += (log_choose + (count - at) * rest.ln() + (at - 1.0) * (d + at / count).ln()).exp();
        }
        log_choose += (count - at).ln() - (at + 1.0).ln();
    }
    d * sum
}

/// Marsaglia, Tsang & Wang's H: `1/(i−j+1)!` below the first superdiagonal, but for its first column and last row.
struct Matrix {
    /// `1/t!`.
    band: Vec<f64>,
    /// `(1 − h^t) / t!` at t: entry t − 1 of the first column, and the last row from its end.
    edge: Vec<f64>,
    corner: f64,
}

impl Matrix {
    fn new(h: f64, size: usize) -> Self {
        let mut band = vec![1.0];
        for t in 1..=size {
            band.push(band[t - 1] / t as f64);
        }
        let edge = band.iter().enumerate().map(|(t, term)| (1.0 - h.powi(t as i32)) * term).collect();
        let power = |base: f64| base.powi(size as i32);
        let corner = (1.0 - 2.0 * power(h) + power((2.0 * h - 1.0).max(0.0))) * band[size];
        Self { band, edge, corner }
    }

    /// `scale · row · H`.
    fn after(&self, row: &[f64], scale: f64) -> Vec<f64> {
        let last = row.len() - 1;
        let mut next: Vec<f64> = Vec::with_capacity(row.len());
        for column in 0..row.len() {
            let from = column.saturating_sub(1);
            let mut sum = 0.0;
            for (i, value) in row.iter().enumerate().take(last).skip(from).take(BAND) {
                let t = i + 1 - column;
                sum += value * if column == 0 { self.edge[t] } else { self.band[t] };
            }
            let of_last = if column == 0 { self.corner } else { self.edge[last + 1 - column] };
            next.push(scale * (sum + row[last] * of_last));
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_forms_and_both_methods_agree() {
        // One value: P(D ≥ d) = 2·(1 − d) from one half on.
        assert!((kolmogorov_sf(0.7, 1) - 0.6).abs() < 1e-15);
        assert_eq!((kolmogorov_sf(0.0, 5), kolmogorov_sf(1.0, 5), kolmogorov_sf(0.4, 1)), (1.0, 0.0, 1.0));
        // Marsaglia, Tsang & Wang (2003): P(D₁₀ < 0.274) = 0.6284796154565…
        assert!((1.0 - kolmogorov_sf(0.274, 10) - 0.628_479_615_456_504_3).abs() < 1e-13);
        for n in [20_u64, 500, 5_000] {
            let d = (4.0 / n as f64).sqrt();
            let (exact, tail) = (kolmogorov_sf(d * (1.0 - 1e-12), n), kolmogorov_sf(d * (1.0 + 1e-12), n));
            assert!((exact / tail - 1.0).abs() < 1e-9, "{n}: {exact} {tail}");
        }
    }
}
