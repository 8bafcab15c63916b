//! The encoder against `transformers`, from directories as Hugging Face lays them out.
//! `fixtures/bert_reference.py` made the tiny one and its expected numbers and says how.
//!
//! The test on the real all-MiniLM-L6-v2 runs when `PLAUDIT_MINILM` names a directory of the model with the
//! `expected.json` that the script writes.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use plaudit_nn::bert::{Bert, Tokenizer, pool};
use serde::Deserialize;

#[derive(Deserialize)]
struct Expected {
    texts: Vec<String>,
    tokens: Vec<Vec<u32>>,
    hidden: Vec<Vec<Vec<f32>>>,
    mean: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
struct Vectors {
    texts: Vec<String>,
    vectors: Vec<Vec<f32>>,
}

fn read<T: for<'a> Deserialize<'a>>(dir: &Path) -> T {
    let text = std::fs::read_to_string(dir.join("expected.json")).expect("the script wrote it");
    serde_json::from_str(&text).expect("the script wrote it")
}

fn largest_difference(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    assert_eq!(a.len(), b.len());
    let pairs = a.iter().flatten().zip(b.iter().flatten());
    pairs.fold(0.0, |most, (a, b)| (a - b).abs().max(most))
}

#[test]
fn hidden_states_and_their_mean_equal_those_of_transformers() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bert_reference");
    let expected: Expected = read(&dir);
    let bert = Bert::load(&dir, &Device::Cpu).unwrap();
    let tokenizer = Tokenizer::load(&dir, 32).unwrap();
    let texts: Vec<&str> = expected.texts.iter().map(String::as_str).collect();
    let batch = tokenizer.batch(&texts, &Device::Cpu).unwrap();
    for (text, tokens) in texts.iter().zip(&expected.tokens) {
        assert_eq!(&tokenizer.encode(text).unwrap(), tokens);
    }
    let hidden = bert.hidden(&batch.tokens, &batch.lengths).unwrap();
    let mean = pool::mean(&hidden, &batch.lengths).unwrap().to_vec2::<f32>().unwrap();
    assert!(largest_difference(&mean, &expected.mean) < 1e-5);
    let rows = hidden.to_vec3::<f32>().unwrap();
    for (rows, expected) in rows.iter().zip(&expected.hidden) {
        let difference = largest_difference(&rows[..expected.len()], expected);
        assert!(difference < 1e-5, "{difference:e}");
    }
    let first = pool::cls(&hidden).unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(first[1], rows[1][0]);
}

#[test]
fn long_texts_are_cut_and_impossible_limits_refused() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bert_reference");
    let tokenizer = Tokenizer::load(&dir, 5).unwrap();
    assert_eq!(tokenizer.encode("the the the the the the").unwrap().len(), 5);
    assert!(tokenizer.batch(&[], &Device::Cpu).is_err());
    let error = Tokenizer::load(&dir, 2).unwrap_err().to_string();
    assert_eq!(error, "`max_tokens` must be at least 3, got 2");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test that says when it skips")]
fn the_real_minilm_equals_sentence_transformers() {
    let Ok(dir) = std::env::var("PLAUDIT_MINILM").map(PathBuf::from) else {
        eprintln!("skipped: PLAUDIT_MINILM is not set");
        return;
    };
    let expected: Vectors = read(&dir);
    let bert = Bert::load(&dir, &Device::Cpu).unwrap();
    let tokenizer = Tokenizer::load(&dir, 256).unwrap();
    let texts: Vec<&str> = expected.texts.iter().map(String::as_str).collect();
    let batch = tokenizer.batch(&texts, &Device::Cpu).unwrap();
    let hidden = bert.hidden_detached(&batch.tokens, &batch.lengths).unwrap();
    let mean = pool::mean(&hidden, &batch.lengths).unwrap();
    let norm = mean.sqr().unwrap().sum_keepdim(1).unwrap().sqrt().unwrap();
    let vectors: Tensor = mean.broadcast_div(&norm).unwrap();
    let difference = largest_difference(&vectors.to_vec2::<f32>().unwrap(), &expected.vectors);
    eprintln!("largest difference to sentence-transformers: {difference:e}");
    assert!(difference < 1e-4, "{difference:e}");
}
