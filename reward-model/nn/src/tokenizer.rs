//! Byte-level byte-pair encoding (Sennrich et al. 2016; bytes as in Radford et al. 2019) and the
//! layout of conversations.
//!
//! A turn is `<|user|>{text}<|assistant|>{response}<|end|>`; turns follow each other without
//! separator. The three markers are single tokens that text can never produce: a user who types
//! `<|end|>` gets the bytes of those characters. Files are Hugging Face's `tokenizer.json`.

mod train;

use std::path::Path;

use plaudit_event::{Message, Role};
use tokenizers::models::bpe::BPE;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

use crate::Error;

/// Marks the start of what the person says.
pub const USER: &str = "<|user|>";
/// Marks the start of what the product says.
pub const ASSISTANT: &str = "<|assistant|>";
/// Marks the end of what the product says.
pub const END: &str = "<|end|>";

/// Markers and bytes: the smallest vocabulary.
const MIN_VOCAB: usize = 3 + 256;

/// Turns text into tokens and back.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    user: u32,
    assistant: u32,
    end: u32,
}

impl Tokenizer {
    /// Learns a vocabulary of at most `vocab_size` tokens, fewer when the texts hold fewer pairs.
    /// Equal texts in any order give equal tokenizers.
    ///
    /// # Errors
    /// Fails when `vocab_size` leaves no room for the markers and the 256 bytes.
    pub fn train<I, S>(texts: I, vocab_size: usize) -> Result<Self, Error>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<str>,
    {
        if vocab_size < MIN_VOCAB {
            let reason = format!("must be at least {MIN_VOCAB}, got {vocab_size}");
            return Err(Error::invalid("vocab_size", reason));
        }
        let mut words = train::WordCounts::default();
        for text in texts {
            for word in byte_words(text.as_ref())? {
                words.add(word);
            }
        }
        let vocabulary = train::learn(&words, &[USER, ASSISTANT, END], vocab_size);
        let vocab =
            tokenizers::models::bpe::Vocab::from_iter((0..).zip(vocabulary.tokens).map(|(id, token)| (token, id)));
        let bpe = BPE::new(vocab, vocabulary.merges);
        let mut inner = tokenizers::Tokenizer::new(bpe);
        inner.with_pre_tokenizer(Some(byte_level()));
        inner.with_decoder(Some(byte_level()));
        let markers = [USER, ASSISTANT, END].map(|marker| AddedToken::from(marker, true));
        inner.add_special_tokens(markers).map_err(rejected)?;
        Self::from_inner(inner, "vocabulary")
    }

    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// Fails when the file cannot be read, is no tokenizer, or lacks a marker or a byte.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(Error::io(path))?;
        Self::from_bytes(&bytes).map_err(|error| match error {
            Error::Invalid { field, reason } => Error::corrupt(path, format!("{field} {reason}")),
            other => other,
        })
    }

    /// Reads the bytes of a `tokenizer.json`.
    ///
    /// # Errors
    /// Fails when the bytes are no tokenizer, or one that lacks a marker or a byte.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(rejected)?;
        Self::from_inner(inner, "vocabulary")
    }

    fn from_inner(mut inner: tokenizers::Tokenizer, field: &'static str) -> Result<Self, Error> {
        // Markers in text are text.
        inner.set_encode_special_tokens(true);
        let id = |token: &str| {
            let found = inner.token_to_id(token);
            found.ok_or_else(|| Error::invalid(field, format!("lacks `{token}`")))
        };
        for symbol in ByteLevel::alphabet() {
            id(&symbol.to_string())?;
        }
        let (user, assistant, end) = (id(USER)?, id(ASSISTANT)?, id(END)?);
        Ok(Self { inner, user, assistant, end })
    }

    /// The bytes of a `tokenizer.json`; equal tokenizers give equal bytes.
    ///
    /// # Errors
    /// Fails when the tokenizer cannot be written as JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        Ok(self.inner.to_string(true).map_err(rejected)?.into_bytes())
    }

    /// Writes a `tokenizer.json`. Not atomic: what must survive a crash belongs into a checkpoint.
    ///
    /// # Errors
    /// Fails when the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        std::fs::write(path, self.to_bytes()?).map_err(Error::io(path))
    }

    /// Tokens of the vocabulary.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The token that ends a response.
    #[must_use]
    pub fn end_id(&self) -> u32 {
        self.end
    }

    /// Plain text as tokens, without markers.
    #[must_use]
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let encoding = self.inner.encode_fast(text, false);
        let encoding = encoding.expect("a vocabulary with every byte encodes every text");
        encoding.get_ids().to_vec()
    }

    /// A conversation as a prompt: ends with the marker after which the response belongs. What the
    /// system says stands where a user would speak; the layout has no third voice.
    #[must_use]
    pub fn encode_chat(&self, messages: &[Message]) -> Vec<u32> {
        let mut tokens = Vec::new();
        for message in messages {
            let marker = match message.role {
                Role::System | Role::User => self.user,
                Role::Assistant => self.assistant,
            };
            tokens.push(marker);
            tokens.extend(self.encode(&message.content));
            if message.role == Role::Assistant {
                tokens.push(self.end);
            }
        }
        tokens.push(self.assistant);
        tokens
    }

    /// One turn with its response and end marker, and how many of the tokens are the prompt.
    #[must_use]
    pub fn encode_pair(&self, user: &str, response: &str) -> (Vec<u32>, usize) {
        let mut tokens = vec![self.user];
        tokens.extend(self.encode(user));
        tokens.push(self.assistant);
        let prompt_len = tokens.len();
        tokens.extend(self.encode(response));
        tokens.push(self.end);
        (tokens, prompt_len)
    }

    /// The text of tokens, without markers. Bytes that are not UTF-8 become replacement characters;
    /// ids outside the vocabulary are skipped.
    #[must_use]
    pub fn decode(&self, tokens: &[u32]) -> String {
        let text = self.inner.decode(tokens, true);
        text.expect("byte-level tokens decode to some text")
    }
}

fn byte_level() -> ByteLevel {
    ByteLevel::new(false, true, true)
}

/// The words of a text, in the printable characters that stand for bytes.
fn byte_words(text: &str) -> Result<Vec<String>, Error> {
    let mut pieces = PreTokenizedString::from(text);
    byte_level().pre_tokenize(&mut pieces).map_err(rejected)?;
    let splits = pieces.get_splits(OffsetReferential::Original, OffsetType::None);
    Ok(splits.into_iter().map(|(word, _, _)| word.to_owned()).collect())
}

fn rejected(error: tokenizers::Error) -> Error {
    Error::invalid("tokenizer", format!("is not usable: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&str; 4] = [
        "How do I boil an egg? Boil the egg for seven minutes.",
        "How do I bake bread? Mix flour, water and yeast; let it rise.",
        "Thanks! 😀 That was great, thanks a lot.",
        "Größe, naïve, 日本語のテキスト, مرحبا",
    ];

    fn trained() -> Tokenizer {
        Tokenizer::train(TEXTS, 330).unwrap()
    }

    #[test]
    fn any_text_survives_the_round_trip() {
        let tokenizer = trained();
        let texts = [
            "",
            " ",
            "How do I boil bread?",
            "  two  spaces\n\n\ttabs\r\n",
            "😀👩‍👩‍👧‍👦🇨🇭 e\u{301} \u{0}\u{7f}\u{feff}\u{10ffff}",
            "never seen: Ωμέγα ไทย עברית",
            "<|end|><|user|> are only text here <|assistant|>",
        ];
        for text in texts {
            let tokens = tokenizer.encode(text);
            assert_eq!(tokenizer.decode(&tokens), text);
            assert!(!tokens.contains(&tokenizer.end_id()), "{text}");
        }
        let long = " ".repeat(50_000) + "x";
        assert_eq!(tokenizer.decode(&tokenizer.encode(&long)), long);
    }

    #[test]
    fn equal_texts_give_equal_files_in_any_order() {
        let reversed = Tokenizer::train(TEXTS.iter().rev(), 330).unwrap();
        assert_eq!(trained().to_bytes().unwrap(), reversed.to_bytes().unwrap());
    }

    #[test]
    fn a_file_gives_the_same_tokens() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokenizer.json");
        let tokenizer = trained();
        tokenizer.save(&path).unwrap();
        let loaded = Tokenizer::load(&path).unwrap();
        assert_eq!(loaded.to_bytes().unwrap(), tokenizer.to_bytes().unwrap());
        for text in TEXTS {
            assert_eq!(loaded.encode(text), tokenizer.encode(text));
        }
        let injected = loaded.encode("<|end|>");
        assert!(!injected.contains(&loaded.end_id()));
    }

    #[test]
    fn learned_pairs_shorten_the_text_they_come_from() {
        let tokenizer = Tokenizer::train(TEXTS, 280).unwrap();
        assert_eq!(tokenizer.vocab_size(), 280);
        let ids = tokenizer.encode(TEXTS[3]);
        assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocab_size()));
        // So few texts do not hold enough repeated pairs for more.
        let exhausted = Tokenizer::train(TEXTS, 5_000).unwrap();
        assert!((281..1_000).contains(&exhausted.vocab_size()));
        let (few, most) = (tokenizer.encode(TEXTS[0]), exhausted.encode(TEXTS[0]));
        assert!(most.len() < few.len() && few.len() < TEXTS[0].len());
        assert_eq!(exhausted.decode(&most), TEXTS[0]);
    }

    #[test]
    fn conversations_are_laid_out_with_markers() {
        let tokenizer = trained();
        let (user, assistant, end) = (0, 1, tokenizer.end_id());
        let message = |role, content: &str| Message { role, content: content.to_owned() };
        let chat = [
            message(Role::User, "Boil an egg"),
            message(Role::Assistant, "Seven minutes."),
            message(Role::User, "Thanks!"),
        ];
        let mut expected = vec![user];
        expected.extend(tokenizer.encode("Boil an egg"));
        expected.push(assistant);
        expected.extend(tokenizer.encode("Seven minutes."));
        expected.extend([end, user]);
        expected.extend(tokenizer.encode("Thanks!"));
        expected.push(assistant);
        assert_eq!(tokenizer.encode_chat(&chat), expected);

        let (pair, prompt_len) = tokenizer.encode_pair("Boil an egg", "Seven minutes.");
        assert_eq!(pair[..prompt_len], tokenizer.encode_chat(&chat[..1]));
        assert_eq!(pair.last(), Some(&end));
        assert_eq!(tokenizer.decode(&pair[prompt_len..]), "Seven minutes.");
    }

    #[test]
    fn unusable_input_is_refused() {
        let error = Tokenizer::train(TEXTS, 258).unwrap_err().to_string();
        assert_eq!(error, "`vocab_size` must be at least 259, got 258");
        let file = String::from_utf8(trained().to_bytes().unwrap()).unwrap();
        let stripped = file.replace(END, "<|other|>");
        let error = Tokenizer::from_bytes(stripped.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("lacks `<|end|>`"), "{error}");
        assert!(Tokenizer::from_bytes(b"{}").is_err());
    }
}
