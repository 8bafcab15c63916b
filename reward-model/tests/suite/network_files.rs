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

/// How large a network is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) layers: usize,
    pub(crate) hidden: usize,
    pub(crate) heads: usize,
    pub(crate) ffn: usize,
    pub(crate) max_positions: usize,
}

/// Two layers, narrow.
pub(crate) const SMALL: Size = Size { layers: 2, hidden: 24, heads: 2, ffn: 48, max_positions: 96 };

/// A BERT that knows the words of `texts`.
pub(crate) fn bert(dir: &Path, texts: &[&str], size: Size) {
    let words: BTreeSet<String> =
        texts.iter().flat_map(|text| text.split_whitespace()).map(str::to_lowercase).collect();
    let tokens = SPECIAL.iter().map(|token| (*token).to_owned()).chain(words);
    let vocabulary: serde_json::Map<_, _> = tokens.enumerate().map(|(id, token)| (token, id.into())).collect();
    let config = bert::Config {
        vocab_size: vocabulary.len(),
        hidden: size.hidden,
        layers: size.layers,
        heads: size.heads,
        ffn: size.ffn,
        max_positions: size.max_positions,
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

/// A decoder, with two query heads to one of keys, whose tokenizer was trained on `texts`.
pub(crate) fn decoder(dir: &Path, texts: &[&str], family: Family, size: Size) {
    let tokenizer = Tokenizer::train(texts, 320).unwrap();
    tokenizer.save(&dir.join("tokenizer.json")).unwrap();
    let config = decoder::Config {
        vocab_size: tokenizer.vocab_size(),
        hidden: size.hidden,
        layers: size.layers,
        heads: size.heads,
        kv_heads: size.heads / 2,
        ffn: size.ffn,
        max_positions: size.max_positions,
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
