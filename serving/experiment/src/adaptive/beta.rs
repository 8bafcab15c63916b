//! The probability that each of several Beta-distributed rates is the largest, by quadrature.
//!
//! With posterior densities `f_i` and distribution functions `F_i` of the rates,
//!
//! `P_i = ∫ f_i(x) ∏_{j≠i} F_j(x) dx`.
//!
//! The integral is taken over `t = ln(x / (1 − x))`. There every Beta density becomes
//! `exp(a·t − (a + b)·ln(1 + e^t))` up to a constant: analytic on the whole line, log-concave, without
//! the poles that `a < 1` or `b < 1` put at the ends of \[0, 1\]. Composite Gauss–Legendre panels of at
//! most two local standard deviations then converge to rounding error. The same nodes give the
//! distribution functions, by integrating the interpolating polynomial of each panel, so no incomplete
//! beta function is needed, and normalising by the computed total makes the logarithm of the beta
//! function, with its cancellation for large counts, unnecessary too.

/// Nodes per panel.
const N: usize = 16;

/// Densities are followed down to e⁻⁴⁵ ≈ 3·10⁻²⁰ of their peak.
const LOG_CUT: f64 = -45.0;

/// Widest panel: the poles of `1 / (1 + e^t)` at ±iπ limit what a polynomial can follow.
const MAX_WIDTH: f64 = 2.0;

/// The parameters of one Beta distribution, both above 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Beta {
    /// Pseudo-count of successes.
    pub a: f64,
    /// Pseudo-count of failures.
    pub b: f64,
}

impl Beta {
    /// The expected rate.
    #[must_use]
    pub fn mean(self) -> f64 {
        self.a / (self.a + self.b)
    }
}

/// The probability of each of `arms` to have the largest rate; sums to 1.
///
/// The cost is linear in the number of arms; absolute errors are around 10⁻¹³.
#[must_use]
pub fn beta_best(arms: &[Beta]) -> Vec<f64> {
    if arms.len() < 2 {
        return vec![1.0; arms.len()];
    }
    let best = wins(arms);
    let sum: f64 = best.iter().sum();
    best.iter().map(|p| (p / sum).clamp(0.0, 1.0)).collect()
}

/// The integrals as they come out; their sum differs from 1 by the error of the quadrature.
fn wins(arms: &[Beta]) -> Vec<f64> {
    let rule = Rule::new();
    let densities: Vec<Density> = arms.iter().map(|arm| Density::new(*arm)).collect();
    // Below the highest lower end some rate is certainly larger, so nothing is won there.
    let start = densities.iter().map(|d| d.low).fold(f64::MIN, f64::max);
    let end = densities.iter().map(|d| d.high).fold(f64::MIN, f64::max);
    let totals: Vec<f64> = densities.iter().map(|d| rule.integrate(d, d.low, d.high)).collect();
    let mut below: Vec<f64> =
        densities.iter().zip(&totals).map(|(d, total)| rule.integrate(d, d.low, start.min(d.high)) / total).collect();
    let mut best = vec![0.0; arms.len()];
    let mut left = start;
    while left < end {
        let width = panel_width(&densities, left).min(end - left);
        let panel = Panel::new(&rule, &densities, &totals, (left, width), &mut below);
        panel.add_wins(&rule, &mut best);
        left += width;
    }
    best
}

/// The density of one rate over `t`, scaled to 1 at its peak.
struct Density {
    arm: Beta,
    peak: f64,
    low: f64,
    high: f64,
}

impl Density {
    fn new(arm: Beta) -> Self {
        let mut density = Self { arm, peak: (arm.a / arm.b).ln(), low: 0.0, high: 0.0 };
        density.low = density.cut(-1.0);
        density.high = density.cut(1.0);
        density
    }

    /// Logarithm of the density; written in differences to the peak, so that large counts do not cancel.
    fn log(&self, t: f64) -> f64 {
        let d = t - self.peak;
        let Beta { a, b } = self.arm;
        a * d - (a + b) * ln_mix(a / (a + b), d)
    }

    fn at(&self, t: f64) -> f64 {
        self.log(t).exp()
    }

    /// Where the density falls to the cut, on the side of `sign`.
    fn cut(&self, sign: f64) -> f64 {
        let mut outer = self.scale(self.peak, self.peak);
        while self.log(self.peak + sign * outer) > LOG_CUT {
            outer *= 2.0;
        }
        let mut inner = 0.0;
        for _ in 0..20 {
            let middle = 0.5 * (inner + outer);
            if self.log(self.peak + sign * middle) > LOG_CUT {
                inner = middle;
            } else {
                outer = middle;
            }
        }
        self.peak + sign * outer
    }

    /// The smallest local standard deviation over \[`from`, `to`\]: `1 / √((a + b)·x·(1 − x))` where the
    /// curvature is greatest, which is as near to `t = 0` as the interval comes.
    fn scale(&self, from: f64, to: f64) -> f64 {
        let nearest = 0.0_f64.clamp(from, to);
        let x = 1.0 / (1.0 + (-nearest).exp());
        let curvature = (self.arm.a + self.arm.b) * x * (1.0 - x);
        1.0 / curvature.max(f64::MIN_POSITIVE).sqrt()
    }
}

/// `ln(1 + x·(e^d − 1))`, without overflow.
fn ln_mix(x: f64, d: f64) -> f64 {
    if d > 30.0 { d + (x + (1.0 - x) * (-d).exp()).ln() } else { (x * d.exp_m1()).ln_1p() }
}

/// Two local standard deviations of the narrowest density that is still alive at `left`.
fn panel_width(densities: &[Density], left: f64) -> f64 {
    let mut width = MAX_WIDTH;
    for density in densities {
        if density.high > left {
            let right = density.high.min(left + MAX_WIDTH);
            width = width.min(2.0 * density.scale(left, right));
        }
    }
    width
}

/// Gauss–Legendre nodes on \[−1, 1\] with their weights and the weights of the running integral.
struct Rule {
    nodes: [f64; N],
    weights: [f64; N],
    /// `running[i][j]`: weight of node `j` in the integral from −1 to node `i`.
    running: [[f64; N]; N],
}

impl Rule {
    fn new() -> Self {
        let mut rule = Self { nodes: [0.0; N], weights: [0.0; N], running: [[0.0; N]; N] };
        for i in 0..N {
            let mut x = -((i as f64 + 0.75) / (N as f64 + 0.5) * std::f64::consts::PI).cos();
            for _ in 0..100 {
                let p = legendre(x);
                let slope = N as f64 * (x * p[N] - p[N - 1]) / (x * x - 1.0);
                let step = p[N] / slope;
                x -= step;
                rule.weights[i] = 2.0 / ((1.0 - x * x) * slope * slope);
                if step.abs() < 1e-15 {
                    break;
                }
            }
            rule.nodes[i] = x;
        }
        // The interpolating polynomial is Σ_k (2k+1)/2·P_k(x)·Σ_j w_j·P_k(x_j)·f_j, and
        // ∫_{−1}^{x} P_k = (P_{k+1}(x) − P_{k−1}(x)) / (2k + 1).
        let at_nodes: Vec<[f64; N + 1]> = rule.nodes.iter().map(|x| legendre(*x)).collect();
        for i in 0..N {
            for j in 0..N {
                let mut sum = 0.5 * (rule.nodes[i] + 1.0);
                for k in 1..N {
                    let integral = at_nodes[i][k + 1] - at_nodes[i][k - 1];
                    sum += 0.5 * integral * at_nodes[j][k];
                }
                rule.running[i][j] = rule.weights[j] * sum;
            }
        }
        rule
    }

    /// The integral of `density` over \[`from`, `to`\].
    fn integrate(&self, density: &Density, from: f64, to: f64) -> f64 {
        let mut sum = 0.0;
        let mut left = from;
        while left < to {
            let right = to.min(left + MAX_WIDTH);
            let width = (2.0 * density.scale(left, right)).min(right - left);
            let half = 0.5 * width;
            for (node, weight) in self.nodes.iter().zip(&self.weights) {
                sum += half * weight * density.at(left + half * (1.0 + node));
            }
            left += width;
        }
        sum
    }
}

/// `P_0(x) … P_N(x)`.
fn legendre(x: f64) -> [f64; N + 1] {
    let mut p = [1.0; N + 1];
    p[1] = x;
    for k in 1..N {
        let order = k as f64;
        p[k + 1] = ((2.0 * order + 1.0) * x * p[k] - order * p[k - 1]) / (order + 1.0);
    }
    p
}

/// All densities and distribution functions at the nodes of one panel.
struct Panel {
    half: f64,
    /// Per arm: normalised densities at the nodes.
    density: Vec<[f64; N]>,
    /// Per arm: distribution function at the nodes.
    cumulative: Vec<[f64; N]>,
}

impl Panel {
    /// Evaluates the panel `(left, width)` and moves `below`, each arm's mass left of the panel, past it.
    fn new(rule: &Rule, densities: &[Density], totals: &[f64], (left, width): (f64, f64), below: &mut [f64]) -> Self {
        let half = 0.5 * width;
        let mut panel =
            Self { half, density: vec![[0.0; N]; densities.len()], cumulative: vec![[1.0; N]; densities.len()] };
        for (arm, density) in densities.iter().enumerate() {
            if density.high <= left {
                continue;
            }
            let values = &mut panel.density[arm];
            let mut mass = 0.0;
            for (i, value) in values.iter_mut().enumerate() {
                *value = density.at(left + half * (1.0 + rule.nodes[i])) / totals[arm];
                mass += half * rule.weights[i] * *value;
            }
            for i in 0..N {
                let dot: f64 = rule.running[i].iter().zip(&*values).map(|(w, v)| w * v).sum();
                panel.cumulative[arm][i] = (below[arm] + half * dot).clamp(0.0, 1.0);
            }
            below[arm] += mass;
        }
        panel
    }

    /// Adds `∫ f_i ∏_{j≠i} F_j` over the panel to `best[i]`.
    fn add_wins(&self, rule: &Rule, best: &mut [f64]) {
        let num_arms = best.len();
        let mut after = vec![1.0; num_arms + 1];
        for node in 0..N {
            for arm in (0..num_arms).rev() {
                after[arm] = after[arm + 1] * self.cumulative[arm][node];
            }
            let mut before = 1.0;
            for arm in 0..num_arms {
                let others = before * after[arm + 1];
                best[arm] += self.half * rule.weights[node] * self.density[arm][node] * others;
                before *= self.cumulative[arm][node];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beta(a: f64, b: f64) -> Beta {
        Beta { a, b }
    }

    #[test]
    fn oracle_cases_agree() {
        let text = include_str!("../../tests/fixtures/beta_thompson.json");
        let fixture: serde_json::Value = serde_json::from_str(text).unwrap();
        let tolerance = fixture["abs_tol"].as_f64().unwrap();
        let cases = fixture["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 10);
        for case in cases {
            let arms: Vec<Beta> = case["inp"]["beta"]
                .as_array()
                .unwrap()
                .iter()
                .map(|pair| beta(pair[0].as_f64().unwrap(), pair[1].as_f64().unwrap()))
                .collect();
            // The oracle's own adaptive quadrature misses a little mass in one case and says so.
            let defect = (1.0 - case["out"]["sum"].as_f64().unwrap()).abs();
            let expected = case["out"]["p_best"].as_array().unwrap();
            for (got, want) in beta_best(&arms).iter().zip(expected) {
                let difference = (got - want.as_f64().unwrap()).abs();
                assert!(difference <= tolerance.max(defect), "{arms:?}: {difference:e}");
            }
        }
    }

    /// `P(X > Y) = E[(1 − Y)^n] = B(c, d + n) / B(c, d)` for X ~ Beta(1, n), Y ~ Beta(c, d).
    #[test]
    fn closed_forms_agree_to_rounding() {
        let p = beta_best(&[beta(1.0, 50.0), beta(2.0, 50.0)]);
        let exact = (50.0 * 51.0) / (100.0 * 101.0);
        assert!((p[0] - exact).abs() < 1e-12, "{:e}", p[0] - exact);
        let p = beta_best(&[beta(1.0, 3.0), beta(1.0, 5.0)]);
        assert!((p[0] - 5.0 / 8.0).abs() < 1e-12, "{:e}", p[0] - 5.0 / 8.0);
    }

    #[test]
    fn extreme_posteriors_stay_exact() {
        // Equal arms split evenly however sharp, flat or many they are.
        for arm in [beta(0.1, 0.1), beta(1.0, 1.0), beta(5e3, 1e6), beta(1e7, 3e7), beta(0.2, 400.0)] {
            let p = beta_best(&[arm; 100]);
            let worst = p.iter().map(|p| (p - 0.01).abs()).fold(0.0, f64::max);
            assert!(worst < 1e-12, "{arm:?}: {worst:e}");
        }
        // A sharp posterior against a flat one: P(flat > x0) = 1 − x0 in the limit.
        let p = beta_best(&[beta(1.0, 1.0), beta(2e8, 8e8)]);
        assert!((p[0] - 0.8).abs() < 1e-6, "{}", p[0]);
        let p = beta_best(&[beta(1.0, 1e6), beta(1e6, 1.0)]);
        assert!(p[0] < 1e-12 && (p[1] - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_integrals_sum_to_one_without_normalising() {
        // Σ_i P_i = ∫ d(∏F) = 1 only if every density and distribution function is resolved.
        for count in [2, 3, 10, 100] {
            let sum: f64 = wins(&mixed(count)).iter().sum();
            assert!((sum - 1.0).abs() < 1e-12, "{count}: {:e}", sum - 1.0);
        }
    }

    #[test]
    fn a_plain_rule_on_a_fine_grid_agrees() {
        let arms = mixed(12);
        let best = beta_best(&arms);
        for (arm, p) in best.iter().enumerate() {
            let plain = trapezoid_best(&arms, arm);
            assert!((p - plain).abs() < 1e-6, "{arm}: {p} {plain}");
        }
    }

    fn mixed(count: u32) -> Vec<Beta> {
        (0..count).map(|i| beta(1.0 + f64::from(i % 7 * i), 2.0 + f64::from(i * 3 % 50 * (1 + i)))).collect()
    }

    /// `P_i` on a uniform grid of t: slow and plain.
    fn trapezoid_best(arms: &[Beta], index: usize) -> f64 {
        let densities: Vec<Density> = arms.iter().map(|arm| Density::new(*arm)).collect();
        let low = densities.iter().map(|d| d.low).fold(f64::MAX, f64::min);
        let high = densities.iter().map(|d| d.high).fold(f64::MIN, f64::max);
        let steps = 40_000_u32;
        let width = (high - low) / f64::from(steps);
        let totals: Vec<f64> =
            densities.iter().map(|d| (0..=steps).map(|s| d.at(low + f64::from(s) * width)).sum()).collect();
        let mut cumulative = vec![0.0; arms.len()];
        let mut wins = 0.0;
        for step in 0..=steps {
            let t = low + f64::from(step) * width;
            let mut product = 1.0;
            let mut own = 0.0;
            for (arm, density) in densities.iter().enumerate() {
                let mass = density.at(t) / totals[arm];
                cumulative[arm] += mass;
                if arm == index {
                    own = mass;
                } else {
                    product *= cumulative[arm] - 0.5 * mass;
                }
            }
            wins += own * product;
        }
        wins
    }
}
