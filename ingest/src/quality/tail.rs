//! Exact tails of two discrete distributions.

/// P(X ≥ `count`) for X binomial with `trials` trials of probability `p`.
pub(super) fn binomial(count: u32, trials: u32, p: f64) -> f64 {
    if count == 0 || p >= 1.0 {
        return 1.0;
    }
    if count > trials || p <= 0.0 {
        return 0.0;
    }
    let (odds, trials_f) = (p / (1.0 - p), f64::from(trials));
    let log_first =
        log_choose(trials, count) + f64::from(count) * p.ln() + (trials_f - f64::from(count)) * (-p).ln_1p();
    // Each term from the one before, relative to the first.
    let (mut term, mut sum) = (1.0_f64, 1.0_f64);
    for x in count..trials {
        let x = f64::from(x);
        term *= (trials_f - x) / (x + 1.0) * odds;
        sum += term;
    }
    (log_first + sum.ln()).exp().min(1.0)
}

/// P(X ≥ `count`) for X Fisher's noncentral hypergeometric: of `marked` marked ones among `total`, those
/// among the `drawn`, when to be drawn makes the odds of a mark `odds` times as large.
pub(super) fn hypergeometric(count: u32, total: u32, marked: u32, drawn: u32, odds: f64) -> f64 {
    let least = (marked + drawn).saturating_sub(total);
    let most = marked.min(drawn);
    if count <= least {
        return 1.0;
    }
    if count > most {
        return 0.0;
    }
    let weight = |x: u32| log_choose(drawn, x) + log_choose(total - drawn, marked - x) + f64::from(x) * odds.ln();
    // Relative to the weight at `count`, each from its neighbour.
    let (mut term, mut tail, mut rest) = (1.0_f64, 1.0_f64, 0.0_f64);
    let ratio = |x: u32| (weight(x + 1) - weight(x)).exp();
    for x in count..most {
        term *= ratio(x);
        tail += term;
    }
    term = 1.0;
    for x in (least..count).rev() {
        term /= ratio(x);
        rest += term;
    }
    tail / (tail + rest)
}

/// ln of the number of ways to choose `k` of `n`.
fn log_choose(n: u32, k: u32) -> f64 {
    let k = k.min(n - k);
    (0..k).map(|i| (f64::from(n - i) / f64::from(i + 1)).ln()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!((found / expected - 1.0).abs() < 1e-9, "{found} is not {expected}");
    }

    /// Numbers by Python, exactly in fractions:
    /// `sum(comb(n, x) * p**x * (1 - p)**(n - x) for x in range(k, n + 1))` with `p = Fraction(...)`.
    #[test]
    fn the_binomial_tail_is_exact() {
        close(binomial(1, 20, 0.1), 0.8784233454094307);
        close(binomial(12, 20, 0.1), 5.814917984782e-08);
        close(binomial(20, 20, 0.5), 9.5367431640625e-07);
        close(binomial(300, 1000, 0.25), 0.00019359032194907896);
        close(binomial(40, 1000, 0.01), 4.688553566249803e-13);
        assert_eq!((binomial(0, 20, 0.1), binomial(21, 20, 0.1), binomial(3, 20, 1.0)), (1.0, 0.0, 1.0));
        assert_eq!(binomial(3, 20, 0.0), 0.0);
    }

    /// Numbers by Python, exactly in fractions: with
    /// `w = lambda x: comb(drawn, x) * comb(total - drawn, marked - x) * Fraction(odds)**x` over all possible x,
    /// `sum(w(x) for x >= count) / sum(w(x))`.
    #[test]
    fn the_noncentral_hypergeometric_tail_is_exact() {
        close(hypergeometric(8, 40, 10, 20, 1.0), 0.032416580803677576);
        close(hypergeometric(10, 40, 10, 20, 10.0), 0.21241897657497485);
        close(hypergeometric(30, 200, 40, 60, 3.0), 0.00021221662859142976);
        close(hypergeometric(5, 10, 7, 5, 3.0), 0.3068181818181818);
        assert_eq!(hypergeometric(2, 10, 7, 5, 3.0), 1.0, "at least two of five are marked");
        assert_eq!(hypergeometric(6, 10, 7, 5, 3.0), 0.0);
    }
}
