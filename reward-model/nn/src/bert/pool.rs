//! One vector per sequence from hidden states (B, T, D).

use candle_core::Tensor;

use crate::Error;

/// Mean over the first `lengths[b]` rows of each sequence: (B, T, D) gives (B, D)
/// (Reimers & Gurevych 2019, section 3). Differentiable.
///
/// # Errors
/// Fails when there is not one length in 1..=T per sequence.
pub fn mean(hidden: &Tensor, lengths: &[usize]) -> Result<Tensor, Error> {
    let (batch, len, _) = hidden.dims3()?;
    check_lengths(lengths, batch, len)?;
    let weight = |n: usize, row: usize| if row < n { 1.0 / n as f32 } else { 0.0 };
    let weights: Vec<f32> = lengths.iter().flat_map(|&n| (0..len).map(move |row| weight(n, row))).collect();
    let weights = Tensor::from_vec(weights, (batch, 1, len), hidden.device())?;
    Ok(weights.matmul(hidden)?.squeeze(1)?)
}

/// The first row of each sequence, which is that of `[CLS]`: (B, T, D) gives (B, D). Differentiable.
///
/// # Errors
/// Fails when T is 0.
pub fn cls(hidden: &Tensor) -> Result<Tensor, Error> {
    Ok(hidden.narrow(1, 0, 1)?.squeeze(1)?)
}

/// The last real row of each sequence: (B, T, D) gives (B, D). Differentiable.
///
/// # Errors
/// Fails when there is not one length in 1..=T per sequence.
pub fn last(hidden: &Tensor, lengths: &[usize]) -> Result<Tensor, Error> {
    let (batch, len, width) = hidden.dims3()?;
    check_lengths(lengths, batch, len)?;
    let rows: Vec<u32> = lengths.iter().enumerate().map(|(index, n)| (index * len + n - 1) as u32).collect();
    let rows = Tensor::from_vec(rows, batch, hidden.device())?;
    Ok(hidden.reshape((batch * len, width))?.index_select(&rows, 0)?)
}

/// Fails unless there is one length in 1..=`len` for each of `batch` sequences.
pub(crate) fn check_lengths(lengths: &[usize], batch: usize, len: usize) -> Result<(), Error> {
    if lengths.len() != batch {
        let reason = format!("must hold one number for each of {batch} sequences, got {}", lengths.len());
        return Err(Error::invalid("lengths", reason));
    }
    if let Some(outside) = lengths.iter().find(|n| !(1..=len).contains(*n)) {
        return Err(Error::invalid("lengths", format!("must be 1 to {len}, got {outside}")));
    }
    Ok(())
}
