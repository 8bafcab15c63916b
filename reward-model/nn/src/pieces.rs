//! The bare tokens of a text, by any `tokenizer.json`: for callers that lay out the special tokens themselves.

use std::path::Path;

use crate::Error;
use crate::bert::TOKENIZER_FILE;

/// Turns text into tokens without special tokens around it. What looks like a special token in text is text.
#[derive(Debug, Clone)]
pub struct Pieces {
    inner: tokenizers::Tokenizer,
}

impl Pieces {
    /// Reads [`TOKENIZER_FILE`] of a directory; what the file says of cutting and padding is ignored.
    ///
    /// # Errors
    /// Fails when the file is missing or corrupt.
    pub fn load(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(TOKENIZER_FILE);
        let bytes = std::fs::read(&path).map_err(Error::io(&path))?;
        let corrupt = |error: tokenizers::Error| Error::corrupt(&path, error.to_string());
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(corrupt)?;
        inner.with_truncation(None).map_err(corrupt)?;
        inner.with_padding(None);
        inner.set_encode_special_tokens(true);
        Ok(Self { inner })
    }

    /// The tokens of `text`.
    ///
    /// # Errors
    /// Fails when the tokenizer has no token for a part of the text and none for the unknown.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        self.tokens(text, false)
    }

    /// The special tokens that the model puts around one text.
    ///
    /// # Errors
    /// As [`Pieces::encode`].
    pub fn around(&self) -> Result<Vec<u32>, Error> {
        self.tokens("", true)
    }

    /// The token spelled `token`, special or not.
    #[must_use]
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Tokens of the vocabulary, the special ones among them.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    fn tokens(&self, text: &str, special: bool) -> Result<Vec<u32>, Error> {
        let encoding = self.inner.encode_fast(text, special);
        let encoding = encoding.map_err(|error| Error::invalid("text", format!("cannot be encoded: {error}")))?;
        Ok(encoding.get_ids().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::{END, Tokenizer};

    #[test]
    fn special_tokens_are_found_by_name_and_never_in_text() {
        let dir = tempfile::tempdir().unwrap();
        let tokenizer = Tokenizer::train(["a small text, a small text"], 280).unwrap();
        tokenizer.save(&dir.path().join(TOKENIZER_FILE)).unwrap();
        let pieces = Pieces::load(dir.path()).unwrap();
        assert_eq!(pieces.id(END), Some(tokenizer.end_id()));
        assert!(!pieces.encode("a <|end|>").unwrap().contains(&tokenizer.end_id()));
        assert_eq!(pieces.encode("small text").unwrap(), tokenizer.encode("small text"));
        assert!(pieces.around().unwrap().is_empty() && pieces.id("nonsense").is_none());
        assert_eq!(pieces.vocab_size(), tokenizer.vocab_size());
        std::fs::write(dir.path().join(TOKENIZER_FILE), b"{}").unwrap();
        let error = Pieces::load(dir.path()).unwrap_err().to_string();
        assert!(error.contains("tokenizer.json"), "{error}");
    }
}
