use plaudit_event::Seed;
use rand::Rng;

use super::*;
use crate::toy;

/// The rule, spelled out: encode everything, and the rest again for every message that goes.
fn by_dropping(tokenizer: &Tokenizer, messages: &[Message], most: usize) -> Vec<u32> {
    let mut tokens = tokenizer.encode_chat(messages);
    for first in 1..messages.len() {
        if tokens.len() <= most {
            return tokens;
        }
        tokens = tokenizer.encode_chat(&messages[first..]);
    }
    if tokens.len() > most {
        let cut = tokens.len() - most;
        tokens.drain(1..=cut);
    }
    tokens
}

fn say(role: Role, content: impl Into<String>) -> Message {
    Message { role, content: content.into() }
}

#[test]
fn a_prompt_is_what_dropping_messages_one_by_one_leaves() {
    let tokenizer = toy::policy().tokenizer();
    let texts = ["", "is it red?", "yes it is blue my dear", "é 😀  ok", "white white white white white white white"];
    let mut rng = Seed::new(3).stream("prompts");
    for _ in 0..500 {
        let roles = [Role::System, Role::User, Role::Assistant];
        let num_messages = rng.random_range(0..8);
        let message = |_| say(roles[rng.random_range(0..3)], texts[rng.random_range(0..texts.len())]);
        let context = Context { messages: (0..num_messages).map(message).collect(), ..Context::default() };
        for tokens in [2, 5, 9, 17, 40, 200] {
            let room = Room { tokens, bytes_per_token: longest_token(tokenizer) };
            let prompt = encode(&context, room, |messages| tokenizer.encode_chat(messages));
            assert_eq!(prompt, by_dropping(tokenizer, &context.messages, tokens), "{context:?} {tokens}");
        }
    }
}

#[test]
fn no_more_is_encoded_than_can_fit() {
    let tokenizer = toy::policy().tokenizer();
    let room = Room { tokens: 48, bytes_per_token: longest_token(tokenizer) };
    let most = room.tokens * room.bytes_per_token;
    let encoded_bytes = |messages: Vec<Message>| {
        let mut bytes = 0;
        let context = Context { messages, ..Context::default() };
        let prompt = encode(&context, room, |messages| {
            bytes += messages.iter().map(|message| message.content.len()).sum::<usize>();
            tokenizer.encode_chat(messages)
        });
        assert!(prompt.len() <= room.tokens && prompt.len() > room.tokens / 2, "{} tokens", prompt.len());
        bytes
    };
    let chat = |count: usize| (0..count).map(|_| say(Role::User, "is it red?")).collect::<Vec<_>>();
    assert_eq!(encoded_bytes(chat(50)), encoded_bytes(chat(1_000)), "old messages cost nothing");
    let huge = "is it red? ".repeat(100_000);
    assert!(encoded_bytes(vec![say(Role::User, huge.clone())]) <= most);
    let mut after_huge = chat(8);
    after_huge.insert(2, say(Role::Assistant, huge));
    let all = after_huge.iter().map(|message| message.content.len()).sum::<usize>();
    assert!(encoded_bytes(after_huge) <= most && all > 100 * most);
}
