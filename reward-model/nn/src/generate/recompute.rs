//! Next-token logits by a whole forward pass, for devices other than the CPU.
//!
//! A deliberate simplification: without a cache of keys and values each step repeats the work of all
//! earlier positions. It is correct on every device candle supports and serves as the reference of
//! the packed decoder.

use std::sync::Arc;

use candle_core::{DType, Tensor};

use super::Sequence;
use crate::Error;
use crate::decoder::Decoder;

#[derive(Debug)]
pub(super) struct Recompute {
    decoder: Arc<Decoder>,
}

impl Recompute {
    pub(super) fn new(decoder: Arc<Decoder>) -> Self {
        Self { decoder }
    }

    /// Logits after the last token of each sequence, (N, V).
    pub(super) fn next_logits(&self, sequences: &[Sequence<'_>]) -> Result<Vec<f32>, Error> {
        let longest = sequences.iter().map(|sequence| sequence.tokens.len());
        let longest = longest.max().unwrap_or(0);
        let mut padded = Vec::with_capacity(sequences.len() * longest);
        for sequence in sequences {
            padded.extend_from_slice(sequence.tokens);
            padded.resize(padded.len() + longest - sequence.tokens.len(), 0_u32);
        }
        let shape = (sequences.len(), longest);
        let tokens = Tensor::from_vec(padded, shape, &self.decoder.device())?;
        let logits = self.decoder.forward_detached(&tokens)?;
        let mut rows = Vec::with_capacity(sequences.len() * self.decoder.config().vocab_size);
        for (index, sequence) in sequences.iter().enumerate() {
            let row = logits.get(index)?.get(sequence.tokens.len() - 1)?;
            rows.extend(row.to_dtype(DType::F32)?.to_vec1::<f32>()?);
        }
        Ok(rows)
    }
}
