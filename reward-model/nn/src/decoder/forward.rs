//! What a decoder computes.

use candle_core::backprop::GradStore;
use candle_core::{D, DType, Tensor};

use super::Decoder;
use super::config::{
    DOWN_PROJ, EMBEDDING, FFN_NORM, FINAL_NORM, Family, GATE_PROJ, HEAD, INPUT_NORM, K_NORM, K_PROJ, O_PROJ, Q_NORM,
    Q_PROJ, UP_PROJ, V_PROJ, layer_name, module,
};
use crate::activations::Layered;
use crate::bert::pool;
use crate::weights::Weights;
use crate::{Activations, Error};

impl Decoder {
    /// Logits of the next token at every position: (B, T) u32, padded on the right with any token,
    /// gives (B, T, V). Differentiable.
    ///
    /// # Errors
    /// Fails when T is 0 or above `max_positions`, or a token is outside the vocabulary.
    pub fn forward(&self, tokens: &Tensor) -> Result<Tensor, Error> {
        self.logits(tokens, self.weights(true))
    }

    /// [`Decoder::forward`] without a graph for the backward pass, which saves its memory.
    ///
    /// # Errors
    /// As [`Decoder::forward`].
    pub fn forward_detached(&self, tokens: &Tensor) -> Result<Tensor, Error> {
        self.logits(tokens, self.weights(false))
    }

    /// The final hidden state, after the last norm, of the last real token of each sequence: (B, T) u32
    /// with the first `lengths[b]` tokens of each row real gives (B, D). What a reward head sits on.
    /// Differentiable.
    ///
    /// # Errors
    /// As [`Decoder::forward`], and when there is not one length in 1..=T per sequence.
    pub fn hidden(&self, tokens: &Tensor, lengths: &[usize]) -> Result<Tensor, Error> {
        self.last_state(tokens, lengths, self.weights(true))
    }

    /// [`Decoder::hidden`] without a graph for the backward pass.
    ///
    /// # Errors
    /// As [`Decoder::hidden`].
    pub fn hidden_detached(&self, tokens: &Tensor, lengths: &[usize]) -> Result<Tensor, Error> {
        self.last_state(tokens, lengths, self.weights(false))
    }

    /// `log π(tokens[t+1] | tokens[..=t])` under `softmax(logits / temperature)`: (B, T) gives
    /// (B, T−1). Positions in the padding hold numbers without meaning: mask them. Differentiable.
    ///
    /// # Errors
    /// As [`Decoder::forward`], and when T is 1 or `temperature` is not above 0.
    pub fn token_logprobs(&self, tokens: &Tensor, temperature: f64) -> Result<Tensor, Error> {
        self.logprobs(tokens, temperature, self.weights(true))
    }

    /// [`Decoder::token_logprobs`] without a graph for the backward pass.
    ///
    /// # Errors
    /// As [`Decoder::token_logprobs`].
    pub fn token_logprobs_detached(&self, tokens: &Tensor, temperature: f64) -> Result<Tensor, Error> {
        self.logprobs(tokens, temperature, self.weights(false))
    }

    /// Value and gradients of `loss`, a scalar computed from the final hidden states (B, T, D) of (B, T)
    /// tokens, with the activations kept or recomputed. Gradients of other variables that `loss` uses
    /// are among them; [`Decoder::logprobs_of`] and [`pool::last`] take such states.
    ///
    /// # Errors
    /// As [`Decoder::forward`], and when `loss` fails.
    pub fn backward(
        &self,
        tokens: &Tensor,
        activations: Activations,
        loss: impl FnOnce(&Tensor) -> Result<Tensor, Error>,
    ) -> Result<(Tensor, GradStore), Error> {
        self.check(tokens)?;
        let weights = self.weights(true);
        let layered = Layered {
            layers: self.config.layers,
            embed: || self.embed(tokens, weights),
            layer: |index, x: &Tensor| self.layer(index, x, weights),
        };
        layered.backward(activations, |x| loss(&self.final_norm(x, weights)?.to_dtype(DType::F32)?))
    }

    /// [`Decoder::token_logprobs`] from the final hidden states (B, T, D) of `tokens`.
    ///
    /// # Errors
    /// As [`Decoder::token_logprobs`], and when the shapes do not fit.
    pub fn logprobs_of(&self, hidden: &Tensor, tokens: &Tensor, temperature: f64) -> Result<Tensor, Error> {
        self.logprobs_from(hidden, tokens, temperature, self.weights(true))
    }

    fn weights(&self, tracked: bool) -> Weights<'_> {
        Weights {
            params: &self.params,
            lora: self.lora.as_ref(),
            ops: self.implementation,
            precision: self.precision,
            tracked,
        }
    }

    fn last_state(&self, tokens: &Tensor, lengths: &[usize], weights: Weights<'_>) -> Result<Tensor, Error> {
        let last = pool::last(&self.states(tokens, weights)?, lengths)?;
        Ok(self.final_norm(&last, weights)?.to_dtype(DType::F32)?)
    }

    fn logprobs(&self, tokens: &Tensor, temperature: f64, weights: Weights<'_>) -> Result<Tensor, Error> {
        check_prediction(tokens, temperature)?;
        let hidden = self.final_norm(&self.states(tokens, weights)?, weights)?;
        self.logprobs_from(&hidden, tokens, temperature, weights)
    }

    fn logprobs_from(
        &self,
        hidden: &Tensor,
        tokens: &Tensor,
        temperature: f64,
        weights: Weights<'_>,
    ) -> Result<Tensor, Error> {
        check_prediction(tokens, temperature)?;
        let (_, len) = tokens.dims2()?;
        // The last position predicts nothing. It gets an arbitrary target and is cut off after the
        // reduction over the vocabulary, where cutting is cheap.
        let targets = Tensor::cat(&[tokens.narrow(1, 1, len - 1)?, tokens.narrow(1, 0, 1)?], 1)?;
        let logits = self.head(hidden, weights)?;
        let logprobs = weights.ops.token_logprobs(&logits, &targets, temperature)?;
        Ok(logprobs.narrow(D::Minus1, 0, len - 1)?)
    }

    fn logits(&self, tokens: &Tensor, weights: Weights<'_>) -> Result<Tensor, Error> {
        let hidden = self.final_norm(&self.states(tokens, weights)?, weights)?;
        self.head(&hidden, weights)
    }

    fn check(&self, tokens: &Tensor) -> Result<(), Error> {
        let (_, len) = tokens.dims2()?;
        if len == 0 || len > self.config.max_positions {
            let most = self.config.max_positions;
            let reason = format!("must hold 1 to {most} positions, got {len}");
            return Err(Error::invalid("tokens", reason));
        }
        Ok(())
    }

    /// The residual stream after the last layer: (B, T, D).
    fn states(&self, tokens: &Tensor, weights: Weights<'_>) -> Result<Tensor, Error> {
        self.check(tokens)?;
        let mut x = self.embed(tokens, weights)?;
        for index in 0..self.config.layers {
            x = self.layer(index, &x, weights)?;
        }
        Ok(x)
    }

    fn embed(&self, tokens: &Tensor, weights: Weights<'_>) -> Result<Tensor, Error> {
        weights.precision.cast(&weights.ops.embed(&weights.get(EMBEDDING)?, tokens)?)
    }

    fn layer(&self, index: usize, x: &Tensor, weights: Weights<'_>) -> Result<Tensor, Error> {
        let eps = self.config.norm_eps;
        let project = |part, x: &Tensor| weights.project(&module(index, part), x);
        let normed = weights.ops.rms_norm(x, &weights.get(&layer_name(index, INPUT_NORM))?, eps)?;
        let q = self.head_norm(index, Q_NORM, project(Q_PROJ, &normed)?, weights)?;
        let k = self.head_norm(index, K_NORM, project(K_PROJ, &normed)?, weights)?;
        let v = project(V_PROJ, &normed)?;
        let attended = weights.ops.attention([&q, &k, &v], self.config.heads(), &self.rotary)?;
        let x = (x + project(O_PROJ, &attended)?)?;
        let normed = weights.ops.rms_norm(&x, &weights.get(&layer_name(index, FFN_NORM))?, eps)?;
        let gated = weights.ops.swiglu(&project(GATE_PROJ, &normed)?, &project(UP_PROJ, &normed)?)?;
        Ok((x + project(DOWN_PROJ, &gated)?)?)
    }

    /// RMSNorm of each head of (B, T, heads · head_dim), where the family has it.
    fn head_norm(&self, index: usize, part: &str, x: Tensor, weights: Weights<'_>) -> Result<Tensor, Error> {
        if self.config.family != Family::Qwen3 {
            return Ok(x);
        }
        let weight = weights.get(&layer_name(index, part))?;
        let (batch, len, width) = x.dims3()?;
        let head_dim = self.config.heads().head_dim;
        let split = x.reshape((batch, len, width / head_dim, head_dim))?;
        Ok(weights.ops.rms_norm(&split, &weight, self.config.norm_eps)?.reshape((batch, len, width))?)
    }

    fn final_norm(&self, x: &Tensor, weights: Weights<'_>) -> Result<Tensor, Error> {
        Ok(weights.ops.rms_norm(x, &weights.get(FINAL_NORM)?, self.config.norm_eps)?)
    }

    fn head(&self, hidden: &Tensor, weights: Weights<'_>) -> Result<Tensor, Error> {
        let head = weights.precision.cast(&weights.get(if self.config.tied { EMBEDDING } else { HEAD })?)?;
        Ok(weights.ops.linear(&weights.precision.cast(hidden)?, &head)?.to_dtype(DType::F32)?)
    }
}

fn check_prediction(tokens: &Tensor, temperature: f64) -> Result<(), Error> {
    if !(temperature.is_finite() && temperature > 0.0) {
        return Err(Error::invalid("temperature", format!("must be above 0, got {temperature}")));
    }
    if tokens.dims2()?.1 < 2 {
        return Err(Error::invalid("tokens", "must hold at least 2 positions"));
    }
    Ok(())
}
