//! Tokenizer, decoder, optimiser and generator together: what is trained is what is generated.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use plaudit_event::{Message, Role, Seed};
use plaudit_nn::decoder::{Config, Decoder};
use plaudit_nn::generate::{Finish, Generator, Request};
use plaudit_nn::ops::masked_cross_entropy;
use plaudit_nn::optim::{AdamW, AdamWConfig, clip_grad_norm};
use plaudit_nn::tokenizer::Tokenizer;

const PAIRS: [(&str, &str); 5] = [
    ("How do I boil an egg?", "Boil it for seven minutes."),
    ("How do I boil pasta?", "Boil it in salted water."),
    ("What is the capital of France?", "The capital is Paris."),
    ("What is the capital of Chile?", "The capital is Santiago."),
    ("Thanks!", "You are welcome 😀"),
];

fn config(vocab_size: usize) -> Config {
    Config { hidden: 64, layers: 2, ffn: 128, max_positions: 96, ..Config::tiny(vocab_size) }
}

/// All pairs padded on the right, and a mask over the tokens of the responses.
fn batch(tokenizer: &Tokenizer) -> (Tensor, Tensor) {
    let pairs = PAIRS.map(|(user, response)| tokenizer.encode_pair(user, response));
    let longest = pairs.iter().map(|(tokens, _)| tokens.len()).max().expect("there are pairs");
    let (mut tokens, mut mask) = (Vec::new(), Vec::new());
    for (pair, prompt_len) in pairs {
        let counts = |position: usize| position >= prompt_len && position < pair.len();
        mask.extend((1..longest).map(|position| f32::from(u8::from(counts(position)))));
        tokens.extend((0..longest).map(|position| pair.get(position).copied().unwrap_or(0)));
    }
    (
        Tensor::from_vec(tokens, (PAIRS.len(), longest), &Device::Cpu).expect("one number per position"),
        Tensor::from_vec(mask, (PAIRS.len(), longest - 1), &Device::Cpu).expect("one number per position"),
    )
}

#[test]
fn a_decoder_learns_its_texts_by_heart() {
    let texts = PAIRS.iter().flat_map(|(user, response)| [user, response]);
    let tokenizer = Tokenizer::train(texts, 300).unwrap();
    let config = config(tokenizer.vocab_size());
    let decoder = Decoder::init(&config, &mut Seed::new(1).stream("init")).unwrap();
    let (tokens, mask) = batch(&tokenizer);
    let adam = AdamWConfig { lr: 5e-3, ..AdamWConfig::default() };
    let mut optimiser = AdamW::new(decoder.params(), adam, &[]).unwrap();
    let (mut first, mut last) = (None, f32::NAN);
    for _ in 0..80 {
        let logprobs = decoder.token_logprobs(&tokens, 1.0).unwrap();
        let loss = masked_cross_entropy(&logprobs, &mask).unwrap();
        let mut grads = loss.backward().unwrap();
        clip_grad_norm(&mut grads, decoder.params(), 1.0).unwrap();
        optimiser.step(&grads, 1.0).unwrap();
        last = loss.to_scalar::<f32>().unwrap();
        first.get_or_insert(last);
    }
    // A fresh decoder knows nothing: its loss is that of a uniform guess.
    let uniform = (tokenizer.vocab_size() as f32).ln();
    assert!((first.unwrap() - uniform).abs() < 0.3, "{first:?}, uniform {uniform}");
    assert!(last < 0.05, "loss after training: {last}");

    let mut generator = Generator::new(Arc::new(decoder), 3).unwrap();
    let request = |(user, _): (&str, &str)| Request {
        prompt: tokenizer.encode_chat(&[Message { role: Role::User, content: user.to_owned() }]),
        max_new_tokens: 60,
        temperature: 0.0,
        stop: tokenizer.end_id(),
        seed: Seed::new(2),
    };
    let outputs = generator.run(PAIRS.map(request).to_vec()).unwrap();
    for ((_, response), output) in PAIRS.iter().zip(&outputs) {
        assert_eq!(tokenizer.decode(&output.tokens), *response);
        assert_eq!(output.finish, Finish::Stop);
    }
}
