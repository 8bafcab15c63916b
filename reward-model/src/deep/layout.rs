//! How a row becomes one sequence of tokens.
//!
//! - `bert`: `[CLS] message [SEP] … request [SEP] response [SEP]`, all of segment 0.
//! - `decoder`: the turns of a conversation between the markers that the tokenizer has: those of this project's own
//!   policies, those of ChatML, or empty lines; the last token is the one whose state is read.
//!
//! Of a row that is too long the start of the response is kept, and beside it the newest of the context, which gets at
//! least a quarter of the room.

use std::path::Path;

use plaudit_event::{Context, Role};
use plaudit_nn::Error as NnError;
use plaudit_nn::pieces::Pieces;
use plaudit_nn::tokenizer::{ASSISTANT, END, USER};

use crate::config::EncoderKind;
use crate::{Error, Row};

/// Bytes looked at per token that there is room for: more than any vocabulary packs into one on average.
const BYTES_PER_TOKEN: usize = 16;

/// Turns rows into tokens.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pieces: Pieces,
    max_tokens: usize,
    /// Before everything.
    start: Vec<u32>,
    /// Around what a person or the system says.
    user: [Vec<u32>; 2],
    /// Around what the product says.
    assistant: [Vec<u32>; 2],
    /// After the response.
    end: Vec<u32>,
}

impl Layout {
    pub(super) fn load(dir: &Path, kind: EncoderKind, max_tokens: usize) -> Result<Self, Error> {
        let pieces = Pieces::load(dir)?;
        let mut layout = Self {
            max_tokens,
            start: Vec::new(),
            user: [Vec::new(), Vec::new()],
            assistant: [Vec::new(), Vec::new()],
            end: Vec::new(),
            pieces,
        };
        if kind == EncoderKind::Bert {
            layout.separate(dir)?;
        } else {
            layout.mark()?;
        }
        Ok(layout)
    }

    /// The tokens beyond those of the network's embedding, if any.
    pub(super) fn vocab_size(&self) -> usize {
        self.pieces.vocab_size()
    }

    fn separate(&mut self, dir: &Path) -> Result<(), Error> {
        let around = self.pieces.around()?;
        let &[start, separator] = around.as_slice() else {
            let reason = format!("must put a token before a text and one behind it, puts {}", around.len());
            return Err(NnError::corrupt(dir, reason).into());
        };
        self.start = vec![start];
        self.user[1] = vec![separator];
        self.assistant[1] = vec![separator];
        self.end = vec![separator];
        Ok(())
    }

    fn mark(&mut self) -> Result<(), Error> {
        if let [Some(user), Some(assistant), Some(end)] = [USER, ASSISTANT, END].map(|token| self.pieces.id(token)) {
            self.user[0] = vec![user];
            self.assistant = [vec![assistant], vec![end]];
            self.end = vec![end];
        } else if let [Some(from), Some(to)] = ["<|im_start|>", "<|im_end|>"].map(|token| self.pieces.id(token)) {
            let opened = |role: &str| Ok::<_, Error>([vec![from], self.pieces.encode(role)?].concat());
            let closed = [vec![to], self.pieces.encode("\n")?].concat();
            (self.user, self.assistant) = ([opened("user\n")?, closed.clone()], [opened("assistant\n")?, closed]);
            self.end = vec![to];
        } else {
            let line = self.pieces.encode("\n\n")?;
            self.start = self.pieces.around()?.into_iter().take(1).collect();
            self.user[1].clone_from(&line);
            self.assistant[1] = line;
        }
        Ok(())
    }

    /// The tokens of `row`, at least one and at most `max_tokens`.
    pub(super) fn tokens(&self, row: &Row<'_>) -> Result<Vec<u32>, Error> {
        let fixed = self.start.len() + self.assistant[0].len() + self.end.len();
        let room = self.max_tokens.saturating_sub(fixed);
        let context = self.context(row.context, room)?;
        let mut response = self.pieces.encode(head(row.response, room))?;
        response.truncate((room - context.len().min(room / 4)).max(1));
        let before = context.len().min(room.saturating_sub(response.len()));
        let mut tokens = self.start.clone();
        tokens.extend(&context[context.len() - before..]);
        tokens.extend(&self.assistant[0]);
        tokens.extend(response);
        tokens.extend(&self.end);
        if tokens.is_empty() {
            tokens.push(0);
        }
        Ok(tokens)
    }

    /// The newest messages, about `room` tokens of them.
    fn context(&self, context: &Context, room: usize) -> Result<Vec<u32>, Error> {
        let query = context.query.iter().map(|query| (Role::User, query));
        let messages = context.messages.iter().rev().map(|message| (message.role, &message.content));
        let mut turns = Vec::new();
        let mut count = 0;
        for (role, text) in query.chain(messages) {
            if count >= room {
                break;
            }
            let [before, after] = if role == Role::Assistant { &self.assistant } else { &self.user };
            let said = self.pieces.encode(tail(text, room))?;
            let turn = [before.as_slice(), &said, after].concat();
            count += turn.len();
            turns.push(turn);
        }
        turns.reverse();
        Ok(turns.concat())
    }
}

fn head(text: &str, tokens: usize) -> &str {
    let end = text.floor_char_boundary(tokens * BYTES_PER_TOKEN);
    &text[..end]
}

fn tail(text: &str, tokens: usize) -> &str {
    let from = text.ceil_char_boundary(text.len().saturating_sub(tokens * BYTES_PER_TOKEN));
    &text[from..]
}
