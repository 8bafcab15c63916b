//! Loops compiled for the instruction set the machine has.
//!
//! The workspace is built for the baseline of its target (SSE2 on x86-64). [`vectorize`] compiles
//! a kernel a second time with AVX2 and picks at run time; the kernels stay plain safe loops.
//! No kernel uses `mul_add`: without hardware support it becomes a library call, and with it the
//! two compilations would round differently.

use pulp::{Arch, Simd, WithSimd};

/// How many independent sums a reduction keeps, so that it vectorises without reassociation.
const LANES: usize = 16;

/// A loop over slices. Implementations mark `run` `#[inline(always)]`: only code inlined into the
/// dispatcher is compiled for the wider instruction set.
pub(crate) trait Kernel {
    /// What the loop yields.
    type Output;

    /// Runs the loop.
    fn run(self) -> Self::Output;
}

struct Vectorized<K>(K);

impl<K: Kernel> WithSimd for Vectorized<K> {
    type Output = K::Output;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> K::Output {
        self.0.run()
    }
}

/// Runs `kernel` compiled for the best instruction set of this machine.
pub(crate) fn vectorize<K: Kernel>(kernel: K) -> K::Output {
    Arch::new().dispatch(Vectorized(kernel))
}

/// `e^x` to about two units in the last place, without a branch (Cephes `expf` polynomial).
/// The argument is clamped to \[−87, 88\]: the result is never zero, infinite or denormal.
#[inline(always)]
#[expect(clippy::excessive_precision, reason = "the published coefficients, kept as published")]
pub(crate) fn exp(x: f32) -> f32 {
    // 1.5 · 2^23: adding it rounds to an integer and leaves that integer in the low bits.
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_375;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    let mut p = 1.987_569_150_0e-4;
    p = p * r + 1.398_199_950_7e-3;
    p = p * r + 8.333_451_907_3e-3;
    p = p * r + 4.166_579_589_4e-2;
    p = p * r + 1.666_666_545_9e-1;
    p = p * r + 5.000_000_120_1e-1;
    let mantissa = p * r * r + r + 1.0;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    mantissa * power
}

/// `σ(x) = 1 / (1 + e^−x)`.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `Σ a_i · b_i` over the shorter length.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    for (x, y) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..LANES {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    let mut rest = 0.0;
    for (x, y) in a_rest.iter().zip(b_rest) {
        rest += x * y;
    }
    sum_lanes(lanes) + rest
}

/// `Σ a_i`.
#[inline(always)]
pub(crate) fn sum(a: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (chunks, rest) = a.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] += chunk[lane];
        }
    }
    sum_lanes(lanes) + rest.iter().sum::<f32>()
}

/// The largest element; −∞ of an empty slice.
#[inline(always)]
pub(crate) fn max(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] = if chunk[lane] > lanes[lane] { chunk[lane] } else { lanes[lane] };
        }
    }
    let mut best = f32::NEG_INFINITY;
    for &value in lanes.iter().chain(rest) {
        best = best.max(value);
    }
    best
}

/// `Σ e^{(z_i − max) · scale}`.
#[inline(always)]
pub(crate) fn sum_exp(z: &[f32], max: f32, scale: f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (chunks, rest) = z.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] += exp((chunk[lane] - max) * scale);
        }
    }
    let mut tail = 0.0;
    for &value in rest {
        tail += exp((value - max) * scale);
    }
    sum_lanes(lanes) + tail
}

/// Turns scores into probabilities in place: `e^{z − max} / Σ`.
#[inline(always)]
pub(crate) fn softmax(z: &mut [f32]) {
    let top = max(z);
    for value in z.iter_mut() {
        *value = exp(*value - top);
    }
    let norm = 1.0 / sum(z);
    for value in z {
        *value *= norm;
    }
}

#[inline(always)]
fn sum_lanes(lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    let mut sums = lanes;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_accurate_over_its_range() {
        for step in 0..=17_500 {
            let x = -87.0 + step as f32 * 0.01;
            let expected = f64::from(x).exp();
            let error = (f64::from(exp(x)) / expected - 1.0).abs();
            assert!(error < 3e-7, "exp({x}) is off by {error:e}");
        }
    }

    #[test]
    fn exp_stays_finite_outside_its_range_and_keeps_nan() {
        assert!(exp(f32::NEG_INFINITY) > 0.0 && exp(f32::NEG_INFINITY) < 1e-37);
        assert!(exp(1e9).is_finite());
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn reductions_agree_with_plain_sums_at_every_length() {
        for len in 1..70 {
            let a: Vec<f32> = (0..len).map(|i| ((i * 37) % 11) as f32 * 0.1 - 0.5).collect();
            let expected: f64 = a.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
            assert!((f64::from(dot(&a, &a)) - expected).abs() < 1e-5);
            let top = a.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            assert_eq!(max(&a), top);
            let mut p = a.clone();
            softmax(&mut p);
            let total: f64 = a.iter().map(|&x| f64::from(x).exp()).sum();
            for (probability, &x) in p.iter().zip(&a) {
                assert!((f64::from(*probability) - f64::from(x).exp() / total).abs() < 1e-6);
            }
        }
    }
}
