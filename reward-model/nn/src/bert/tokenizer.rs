//! Text to tokens, by the `tokenizer.json` beside the weights.

use std::path::Path;

use candle_core::{Device, Tensor};
use tokenizers::TruncationParams;

use crate::Error;

/// Name of the file that describes the tokenizer.
pub const TOKENIZER_FILE: &str = "tokenizer.json";

/// Tokens of several texts.
#[derive(Debug, Clone)]
pub struct Batch {
    /// (B, T) u32, padded on the right to the longest text.
    pub tokens: Tensor,
    /// How many tokens of each row are real.
    pub lengths: Vec<usize>,
}

/// Turns texts into tokens with the special tokens of the model around them.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
}

impl Tokenizer {
    /// Reads [`TOKENIZER_FILE`] of a directory. Texts are cut after `max_tokens` tokens, special ones
    /// included; what the file says of cutting and padding is ignored.
    ///
    /// # Errors
    /// Fails when the file is missing or corrupt, or `max_tokens` is below 3.
    pub fn load(dir: &Path, max_tokens: usize) -> Result<Self, Error> {
        if max_tokens < 3 {
            return Err(Error::invalid("max_tokens", format!("must be at least 3, got {max_tokens}")));
        }
        let path = dir.join(TOKENIZER_FILE);
        let bytes = std::fs::read(&path).map_err(Error::io(&path))?;
        let corrupt = |error: tokenizers::Error| Error::corrupt(&path, error.to_string());
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(corrupt)?;
        let truncation = TruncationParams { max_length: max_tokens, ..TruncationParams::default() };
        inner.with_truncation(Some(truncation)).map_err(corrupt)?;
        inner.with_padding(None);
        Ok(Self { inner })
    }

    /// The tokens of one text.
    ///
    /// # Errors
    /// Fails when the tokenizer has no token for a part of the text and none for the unknown.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        let encoding = self.inner.encode(text, true);
        let encoding = encoding.map_err(|error| Error::invalid("text", format!("cannot be encoded: {error}")))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The tokens of at least one text, padded to the longest.
    ///
    /// # Errors
    /// Fails when there is no text or one cannot be encoded.
    pub fn batch(&self, texts: &[&str], device: &Device) -> Result<Batch, Error> {
        let rows = texts.iter().map(|text| self.encode(text)).collect::<Result<Vec<_>, _>>()?;
        let Some(longest) = rows.iter().map(Vec::len).max() else {
            return Err(Error::invalid("texts", "must hold at least 1 text, got 0"));
        };
        let lengths = rows.iter().map(Vec::len).collect();
        let padded = rows.into_iter().flat_map(|mut row| {
            row.resize(longest, 0);
            row
        });
        let tokens = Tensor::from_vec(padded.collect::<Vec<u32>>(), (texts.len(), longest), device)?;
        Ok(Batch { tokens, lengths })
    }
}
