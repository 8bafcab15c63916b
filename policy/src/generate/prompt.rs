//! A context as tokens.

use std::slice;

use plaudit_event::{Context, Message, Role};
use plaudit_nn::tokenizer::Tokenizer;

/// What a prompt may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Most tokens of the prompt.
    pub(super) tokens: usize,
    /// Most bytes of text that one token stands for.
    pub(super) bytes_per_token: usize,
}

/// The prompt of `context`, where `encode` is that of a conversation. The oldest messages go first; of one
/// that is too long by itself, its start.
///
/// From the newest message backwards, each is encoded once, and no text that cannot fit: the work is bounded
/// by `room`, however long the conversation is.
pub(super) fn encode(context: &Context, room: Room, mut encode: impl FnMut(&[Message]) -> Vec<u32>) -> Vec<u32> {
    let asked;
    let messages = match &context.query {
        Some(query) if context.messages.is_empty() => {
            asked = [Message { role: Role::User, content: query.clone() }];
            &asked[..]
        }
        _ => &context.messages[..],
    };
    let Some((newest, older)) = messages.split_last() else { return encode(&[]) };
    let last = newest_turn(newest, room, &mut encode);
    let mut left = room.tokens.saturating_sub(last.len());
    let mut turns = vec![last];
    for message in older.iter().rev() {
        if message.content.len() > left.saturating_mul(room.bytes_per_token) {
            break;
        }
        let mut turn = encode(slice::from_ref(message));
        // The marker of the response stands once, at the end of the prompt.
        turn.pop();
        if turn.len() > left {
            break;
        }
        left -= turn.len();
        turns.push(turn);
    }
    turns.into_iter().rev().flatten().collect()
}

/// The newest message, cut to the room that there is.
fn newest_turn(message: &Message, room: Room, encode: &mut impl FnMut(&[Message]) -> Vec<u32>) -> Vec<u32> {
    let most = room.tokens.saturating_mul(room.bytes_per_token);
    let surplus = message.content.len().saturating_sub(most);
    let mut turn = if surplus == 0 {
        encode(slice::from_ref(message))
    } else {
        let end = &message.content[message.content.ceil_char_boundary(surplus)..];
        encode(&[Message { role: message.role, content: end.to_owned() }])
    };
    if turn.len() > room.tokens {
        // Keep the marker of who speaks, and the end of what is said.
        let cut = turn.len() - room.tokens;
        turn.drain(1..=cut);
    }
    turn
}

/// Most bytes of text that a token of `tokenizer` stands for; never too few.
pub(super) fn longest_token(tokenizer: &Tokenizer) -> usize {
    let ids = 0..u32::try_from(tokenizer.vocab_size()).unwrap_or(u32::MAX);
    // A piece of a character is decoded into a replacement, which is no shorter.
    ids.map(|id| tokenizer.decode(&[id]).len()).max().unwrap_or(1).max(1)
}

#[cfg(test)]
mod tests;
