//! Token sequences as padded batches.

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor};
use plaudit_nn::Params;
use plaudit_nn::decoder::Decoder;

use crate::Error;

/// From this many elements on, candle hands element-wise operations on the CPU to a pool of spinning workers
/// that all threads of the process share (see [`plaudit_nn::runtime`]).
const SHARED_POOL_ELEMENTS: usize = 64 * 1024;

/// Fewest positions of a pass: below, wide models would work on slivers.
const MIN_POSITIONS: usize = 256;

/// A prompt with its response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sequence {
    /// The tokens of the prompt, then of the response.
    pub(crate) tokens: Vec<u32>,
    /// How many of them are the prompt; at least 1.
    pub(crate) prompt_len: usize,
}

impl Sequence {
    /// Tokens of the response.
    pub(crate) const fn response_len(&self) -> usize {
        self.tokens.len() - self.prompt_len
    }
}

/// The sequences as (B, T), padded on the right with token 0.
pub(crate) fn tokens(rows: &[&Sequence], device: &Device) -> Result<Tensor, Error> {
    let width = width(rows);
    let mut flat = vec![0_u32; rows.len() * width];
    for (row, line) in rows.iter().zip(flat.chunks_exact_mut(width)) {
        line[..row.tokens.len()].copy_from_slice(&row.tokens);
    }
    let shape = (rows.len(), width);
    Ok(Tensor::from_vec(flat, shape, device).map_err(plaudit_nn::Error::from)?)
}

/// Weights of the predicted tokens as (B, T−1): position t predicts token t+1. Tokens of the prompt and of
/// the response of row i get `weight(i)`, padding gets 0.
pub(crate) fn weights(
    rows: &[&Sequence],
    weight: impl Fn(usize) -> (f32, f32),
    device: &Device,
) -> Result<Tensor, Error> {
    let width = width(rows) - 1;
    let mut flat = vec![0.0_f32; rows.len() * width];
    for (index, (row, line)) in rows.iter().zip(flat.chunks_exact_mut(width)).enumerate() {
        let (prompt, response) = weight(index);
        line[..row.prompt_len - 1].fill(prompt);
        line[row.prompt_len - 1..row.tokens.len() - 1].fill(response);
    }
    let shape = (rows.len(), width);
    Ok(Tensor::from_vec(flat, shape, device).map_err(plaudit_nn::Error::from)?)
}

fn width(rows: &[&Sequence]) -> usize {
    let longest = rows.iter().map(|row| row.tokens.len()).max();
    longest.unwrap_or(0).max(2)
}

/// Groups sequences of similar length, so that a group of B rows padded to T has at most `max_tokens`
/// positions (or one row). Returns indices; the order within and among groups follows from the lengths.
pub(crate) fn buckets(lengths: &[usize], max_tokens: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|index| (lengths[*index], *index));
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for index in order {
        // Ascending lengths: the newest member is the longest of its group.
        match groups.last_mut() {
            Some(group) if (group.len() + 1) * lengths[index] <= max_tokens => group.push(index),
            _ => groups.push(vec![index]),
        }
    }
    groups
}

/// Most positions of one pass through `decoder`: activations (B, T, hidden) stay below the size at which a
/// pinned thread would take cores that are not its own, and near the caches.
pub(crate) fn max_positions(decoder: &Decoder) -> usize {
    let most = (SHARED_POOL_ELEMENTS - 1) / decoder.config().hidden;
    most.max(MIN_POSITIONS)
}

/// Adds `grads` to `sum`, parameter by parameter.
pub(crate) fn accumulate(params: &Params, sum: &mut Option<GradStore>, mut grads: GradStore) -> Result<(), Error> {
    if let Some(earlier) = sum {
        for (_, var) in params.iter() {
            let both = match (earlier.remove(var), grads.remove(var)) {
                (Some(a), Some(b)) => (a + b).map_err(plaudit_nn::Error::from)?,
                (Some(one), None) | (None, Some(one)) => one,
                (None, None) => continue,
            };
            earlier.insert(var, both);
        }
    } else {
        *sum = Some(grads);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(tokens: &[u32], prompt_len: usize) -> Sequence {
        Sequence { tokens: tokens.to_vec(), prompt_len }
    }

    #[test]
    fn weights_line_up_with_the_token_that_is_predicted() {
        let (long, short) = (sequence(&[1, 2, 3, 4], 2), sequence(&[5, 6], 1));
        let rows = [&long, &short];
        let padded = tokens(&rows, &Device::Cpu).unwrap();
        assert_eq!(padded.to_vec2::<u32>().unwrap(), [[1, 2, 3, 4], [5, 6, 0, 0]]);
        let weighted = weights(&rows, |row| (0.5, row as f32 + 1.0), &Device::Cpu).unwrap();
        assert_eq!(weighted.to_vec2::<f32>().unwrap(), [[0.5, 1.0, 1.0], [2.0, 0.0, 0.0]]);
    }

    #[test]
    fn buckets_respect_the_limit_and_lose_nothing() {
        let lengths = [9, 2, 3, 3, 10, 2, 40];
        let groups = buckets(&lengths, 20);
        let mut seen: Vec<usize> = groups.concat();
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6]);
        for group in &groups {
            let longest = group.iter().map(|i| lengths[*i]).max().unwrap();
            assert!(group.len() == 1 || group.len() * longest <= 20);
        }
        assert!(groups.len() <= 4);
    }
}
