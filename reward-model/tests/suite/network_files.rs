//! Directories of tiny networks with random weights, in the layout of Hugging Face.

use std::collections::BTreeSet;
use std::path::Path;

use candle_core::DType;
use plaudit_event::Seed;
use plaudit_nn::bert::{self, Bert};
use plaudit_nn::decoder::{self, Decoder, Family};
use plaudit_nn::tokenizer::Tokenizer;
use serde_json::json;

const SPECIAL: [&str; 4] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"];

/// A BERT of two layers that knows the words of `texts`.
pub(crate) fn bert(dir: &Path, texts: &[&str]) {
    let words: BTreeSet<String> =
        texts.iter().flat_map(|text| text.split_whitespace()).map(str::to_lowercase).collect();
    let tokens = SPECIAL.iter().map(|token| (*token).to_owned()).chain(words);
    let vocabulary: serde_json::Map<_, _> = tokens.enumerate().map(|(id, token)| (token, id.into())).collect();
    let config = bert::Config {
        vocab_size: vocabulary.len(),
        hidden: 24,
        layers: 2,
        heads: 2,
        ffn: 48,
        max_positions: 64,
        types: 2,
        norm_eps: 1e-6,
    };
    let model = Bert::init(&config, &mut Seed::new(7).stream("network")).unwrap();
    write(dir, model.files(DType::F32).unwrap());
    let added = |(id, token): (usize, &&str)| {
        json!({"id": id, "content": token, "special": true, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false})
    };
    let special = |token: &str| json!({"id": token, "ids": [vocabulary[token]], "tokens": [token]});
    let around = json!([{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "[SEP]", "type_id": 0}}]);
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": SPECIAL.iter().enumerate().map(added).collect::<Vec<_>>(),
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {"type": "TemplateProcessing", "single": around, "pair": around,
            "special_tokens": {"[CLS]": special("[CLS]"), "[SEP]": special("[SEP]")}},
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
    });
    std::fs::write(dir.join("tokenizer.json"), tokenizer.to_string()).unwrap();
}

/// A decoder of two layers whose tokenizer was trained on `texts`.
pub(crate) fn decoder(dir: &Path, texts: &[&str], family: Family) {
    let tokenizer = Tokenizer::train(texts, 320).unwrap();
    tokenizer.save(&dir.join("tokenizer.json")).unwrap();
    let config = decoder::Config {
        vocab_size: tokenizer.vocab_size(),
        hidden: 24,
        layers: 2,
        heads: 2,
        kv_heads: 1,
        ffn: 48,
        max_positions: 96,
        family,
        ..decoder::Config::tiny(tokenizer.vocab_size())
    };
    let model = Decoder::init(&config, &mut Seed::new(7).stream("network")).unwrap();
    write(dir, model.files(DType::F32).unwrap());
}

fn write(dir: &Path, files: std::collections::BTreeMap<String, Vec<u8>>) {
    for (name, bytes) in files {
        std::fs::write(dir.join(name), bytes).unwrap();
    }
}
