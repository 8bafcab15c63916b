//! Rotary position embedding (Su et al. 2021, eq. 34) in the half-split layout of Llama checkpoints:
//! element `i` of a head turns with element `i + head_dim/2` by `position · θ^(−2i/head_dim)`.

use candle_core::{Device, Result, Tensor};
use serde::{Deserialize, Serialize};

use crate::Error;

/// How frequencies are changed for longer sequences than a model was first trained on. Field names in
/// JSON are those of Hugging Face's `rope_scaling`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rope_type", rename_all = "lowercase")]
pub enum RopeScaling {
    /// All divided by `factor` (Chen et al. 2023, arXiv 2306.15595).
    Linear {
        /// At least 1.
        factor: f64,
    },
    /// By wavelength: short ones stay, long ones are divided by `factor`, between the two bounds the
    /// change is interpolated (Llama 3.1).
    Llama3 {
        /// At least 1.
        factor: f64,
        /// Original length by the wavelength above which all is divided; above 0.
        low_freq_factor: f64,
        /// Original length by the wavelength below which nothing is; above `low_freq_factor`.
        high_freq_factor: f64,
        /// Length the model was first trained on.
        original_max_position_embeddings: f64,
    },
}

impl RopeScaling {
    pub(crate) fn validate(&self) -> std::result::Result<(), Error> {
        let (Self::Linear { factor } | Self::Llama3 { factor, .. }) = *self;
        if !(factor.is_finite() && factor >= 1.0) {
            return Err(Error::invalid("factor", format!("must be at least 1, got {factor}")));
        }
        let Self::Llama3 { low_freq_factor: low, high_freq_factor: high, .. } = *self else {
            return Ok(());
        };
        if !(low > 0.0 && high > low && high.is_finite()) {
            let reason = format!("must be above low_freq_factor, which must be above 0, got {high} and {low}");
            return Err(Error::invalid("high_freq_factor", reason));
        }
        Ok(())
    }

    fn apply(self, frequency: f64) -> f64 {
        match self {
            Self::Linear { factor } => frequency / factor,
            Self::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings } => {
                let waves = original_max_position_embeddings * frequency / std::f64::consts::TAU;
                let kept = (waves - low_freq_factor) / (high_freq_factor - low_freq_factor);
                let kept = kept.clamp(0.0, 1.0);
                kept * frequency + (1.0 - kept) * frequency / factor
            }
        }
    }
}

/// Cosines and sines for every position up to a maximum.
#[derive(Debug)]
pub(crate) struct Rotary {
    cos: Vec<f32>, // (positions, head_dim / 2)
    sin: Vec<f32>,
    half: usize,
}

impl Rotary {
    /// Tables for `positions` positions of heads of `head_dim` (even) elements.
    pub(crate) fn new(theta: f64, head_dim: usize, positions: usize, scaling: Option<RopeScaling>) -> Self {
        let half = head_dim / 2;
        let mut cos = Vec::with_capacity(positions * half);
        let mut sin = Vec::with_capacity(positions * half);
        for position in 0..positions {
            for i in 0..half {
                let frequency = theta.powf(-2.0 * i as f64 / head_dim as f64);
                let frequency = scaling.map_or(frequency, |scaling| scaling.apply(frequency));
                let angle = position as f64 * frequency;
                cos.push(angle.cos() as f32);
                sin.push(angle.sin() as f32);
            }
        }
        Self { cos, sin, half }
    }

    /// How many positions the tables hold.
    pub(crate) fn positions(&self) -> usize {
        self.cos.len() / self.half
    }

    /// Cosines and sines of one position.
    #[inline(always)]
    pub(crate) fn at(&self, position: usize) -> (&[f32], &[f32]) {
        let range = position * self.half..(position + 1) * self.half;
        (&self.cos[range.clone()], &self.sin[range])
    }

    /// Turns one head by its position and multiplies it with `scale`: `out = scale · R x`.
    #[inline(always)]
    pub(crate) fn rotate(&self, position: usize, scale: f32, x: &[f32], out: &mut [f32]) {
        let (cos, sin) = self.at(position);
        let (x1, x2) = x.split_at(self.half);
        let (out1, out2) = out.split_at_mut(self.half);
        let outputs = out1.iter_mut().zip(out2);
        let inputs = x1.iter().zip(x2);
        for (((out1, out2), (x1, x2)), (cos, sin)) in outputs.zip(inputs).zip(cos.iter().zip(sin)) {
            *out1 = (x1 * cos - x2 * sin) * scale;
            *out2 = (x2 * cos + x1 * sin) * scale;
        }
    }

    /// The transposed turn, which carries a gradient back: `out = scale · Rᵀ g`.
    #[inline(always)]
    pub(crate) fn rotate_back(&self, position: usize, scale: f32, g: &[f32], out: &mut [f32]) {
        let (cos, sin) = self.at(position);
        let (g1, g2) = g.split_at(self.half);
        let (out1, out2) = out.split_at_mut(self.half);
        let outputs = out1.iter_mut().zip(out2);
        let inputs = g1.iter().zip(g2);
        for (((out1, out2), (g1, g2)), (cos, sin)) in outputs.zip(inputs).zip(cos.iter().zip(sin)) {
            *out1 = (g1 * cos + g2 * sin) * scale;
            *out2 = (g2 * cos - g1 * sin) * scale;
        }
    }

    /// Cosines and sines of the first `positions` positions as tensors (positions, head_dim / 2).
    pub(crate) fn tensors(&self, positions: usize, device: &Device) -> Result<(Tensor, Tensor)> {
        let len = positions * self.half;
        let shape = (positions, self.half);
        let cos = Tensor::from_slice(&self.cos[..len], shape, device)?;
        let sin = Tensor::from_slice(&self.sin[..len], shape, device)?;
        Ok((cos, sin))
    }
}
