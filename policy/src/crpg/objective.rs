//! Log-probabilities of whole responses, and the gradient of equation (12).

use candle_core::backprop::GradStore;
use candle_core::{D, Tensor};
use plaudit_nn::decoder::Decoder;

use crate::Error;
use crate::batch::{self, Sequence};

/// `log π(a_i|s_i)` of every sequence, without a graph.
pub(super) fn logprobs(decoder: &Decoder, sequences: &[Sequence], temperature: f64) -> Result<Vec<f64>, Error> {
    let mut all = vec![0.0; sequences.len()];
    for group in groups(decoder, sequences) {
        let rows: Vec<&Sequence> = group.iter().map(|index| &sequences[*index]).collect();
        let tokens = batch::tokens(&rows, &decoder.device())?;
        let logprobs = decoder.token_logprobs_detached(&tokens, temperature)?;
        let weights = batch::weights(&rows, |_| (0.0, 1.0), logprobs.device())?;
        let sums = row_sums(&logprobs, &weights).map_err(plaudit_nn::Error::from)?;
        for (index, sum) in group.into_iter().zip(sums) {
            all[index] = f64::from(sum);
        }
    }
    Ok(all)
}

/// The gradient of `−1/n Σ A_i · log π(a_i|s_i)`, the advantages A being constants: the negative of
/// equation (12), for an optimiser that descends. Returns the value too.
pub(super) fn gradients(
    decoder: &Decoder,
    sequences: &[Sequence],
    advantages: &[f64],
    temperature: f64,
) -> Result<(f64, GradStore), Error> {
    let scale = -1.0 / sequences.len().max(1) as f64;
    let mut sum = None;
    let mut value = 0.0;
    for group in groups(decoder, sequences) {
        let rows: Vec<&Sequence> = group.iter().map(|index| &sequences[*index]).collect();
        let tokens = batch::tokens(&rows, &decoder.device())?;
        let logprobs = decoder.token_logprobs(&tokens, temperature)?;
        let weight = |row: usize| (0.0, (scale * advantages[group[row]]) as f32);
        let weights = batch::weights(&rows, weight, logprobs.device())?;
        let (part, grads) = backward(&logprobs, &weights).map_err(plaudit_nn::Error::from)?;
        value += f64::from(part);
        batch::accumulate(decoder.params(), &mut sum, grads)?;
    }
    let sum = sum.ok_or_else(|| Error::invalid("sequences", "at least one", 0))?;
    Ok((value, sum))
}

fn groups(decoder: &Decoder, sequences: &[Sequence]) -> Vec<Vec<usize>> {
    let lengths: Vec<usize> = sequences.iter().map(|s| s.tokens.len()).collect();
    batch::buckets(&lengths, batch::max_positions(decoder))
}

fn row_sums(logprobs: &Tensor, weights: &Tensor) -> candle_core::Result<Vec<f32>> {
    (logprobs * weights)?.sum(D::Minus1)?.to_vec1()
}

fn backward(logprobs: &Tensor, weights: &Tensor) -> candle_core::Result<(f32, GradStore)> {
    let loss = (logprobs * weights)?.sum_all()?;
    Ok((loss.to_scalar()?, loss.backward()?))
}
