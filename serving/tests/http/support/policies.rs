//! Policies with drawn weights.

use std::sync::Arc;

use plaudit_event::{Context, Seed};
use plaudit_nn::decoder::{Config as DecoderConfig, Decoder};
use plaudit_nn::tokenizer::Tokenizer;
use plaudit_policy::generate::{GeneratePolicy, Lineage, Sampling};

use super::World;

impl World {
    /// Writes a policy with weights drawn from `seed`; returns it.
    pub(crate) fn policy(&self, seed: u64) -> GeneratePolicy {
        let policy = make_policy(seed);
        policy.save(self.policies_dir(), candle_core::DType::F32).unwrap();
        policy
    }

    /// Writes a policy whose answers have one token.
    pub(crate) fn terse_policy(&self) -> GeneratePolicy {
        let (tokenizer, config) = small();
        let policy = from_weights(&config, tokenizer, 1, 9);
        policy.save(self.policies_dir(), candle_core::DType::F32).unwrap();
        policy
    }

    /// Writes a policy that answers for seconds: it is large, and most of its tokens are no text and no end.
    pub(crate) fn slow_policy(&self) -> GeneratePolicy {
        let config = DecoderConfig {
            hidden: 256,
            layers: 4,
            heads: 4,
            kv_heads: 4,
            ffn: 1_024,
            max_positions: 2_048,
            ..DecoderConfig::tiny(4_000)
        };
        let policy = from_weights(&config, tokenizer(), 1_800, 1);
        policy.save(self.policies_dir(), candle_core::DType::F32).unwrap();
        policy
    }
}

fn make_policy(seed: u64) -> GeneratePolicy {
    let (tokenizer, config) = small();
    from_weights(&config, tokenizer, 24, seed)
}

fn small() -> (Tokenizer, DecoderConfig) {
    let tokenizer = tokenizer();
    let config = DecoderConfig {
        hidden: 32,
        layers: 2,
        heads: 2,
        kv_heads: 1,
        ffn: 64,
        max_positions: 256,
        ..DecoderConfig::tiny(tokenizer.vocab_size())
    };
    (tokenizer, config)
}

fn tokenizer() -> Tokenizer {
    let texts = ["how do i boil an egg", "boil it for eight minutes and cool it", "thanks a lot, take care"];
    Tokenizer::train(texts, 280).unwrap()
}

/// A policy with weights drawn from `seed`.
fn from_weights(config: &DecoderConfig, tokenizer: Tokenizer, max_new_tokens: usize, seed: u64) -> GeneratePolicy {
    let decoder = Decoder::init(config, &mut Seed::new(seed).stream("init")).unwrap();
    let sampling = Sampling { max_new_tokens, ..Sampling::default() };
    let lineage = Lineage { seed, ..Lineage::default() };
    GeneratePolicy::from_parts(decoder, Arc::new(tokenizer), sampling, &lineage, candle_core::DType::F32).unwrap()
}

/// What `policy` answers to `question(text)` with `seed`.
pub(crate) fn expected(policy: &GeneratePolicy, text: &str, seed: u64) -> String {
    let request = policy.request(&Context::of_user(text), Seed::new(seed));
    let decoder = Arc::clone(policy.decoder());
    let mut generator = plaudit_nn::generate::Generator::new(decoder, 1).unwrap();
    let output = generator.run(vec![request]).unwrap().remove(0);
    policy.response(output).text
}
