//! A context as tokens.

use plaudit_event::{Context, Message, Role};
use plaudit_nn::tokenizer::Tokenizer;

/// The prompt of `context` in at most `most` tokens. The oldest messages go first; of one that is too long by
/// itself, its start.
pub(super) fn encode(tokenizer: &Tokenizer, context: &Context, most: usize) -> Vec<u32> {
    let asked;
    let messages = match &context.query {
        Some(query) if context.messages.is_empty() => {
            asked = [Message { role: Role::User, content: query.clone() }];
            &asked[..]
        }
        _ => &context.messages[..],
    };
    let mut tokens = tokenizer.encode_chat(messages);
    for first in 1..messages.len() {
        if tokens.len() <= most {
            return tokens;
        }
        tokens = tokenizer.encode_chat(&messages[first..]);
    }
    if tokens.len() > most {
        // Keep the marker of who speaks, and the end of what is said.
        let cut = tokens.len() - most;
        tokens.drain(1..=cut);
    }
    tokens
}
