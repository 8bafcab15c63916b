use std::path::PathBuf;

use plaudit_event::{Context, Message, Role};
use plaudit_nn::Activations;
use plaudit_nn::decoder::{Config, Decoder, Family};
use plaudit_nn::pieces::Pieces;
use plaudit_nn::tokenizer::Tokenizer;

use super::*;
use crate::config::EncoderKind;

/// The tiny BERT of the toolkit's own tests.
fn bert() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("nn/tests/fixtures/bert_reference")
}

fn decoder(dir: &Path) -> Tokenizer {
    let tokenizer = Tokenizer::train(["how do i boil an egg? seven minutes, thanks"], 280).unwrap();
    tokenizer.save(&dir.join(TOKENIZER_FILE)).unwrap();
    let vocab = tokenizer.vocab_size();
    let config =
        Config { hidden: 16, layers: 2, heads: 2, kv_heads: 1, ffn: 24, family: Family::Qwen3, ..Config::tiny(vocab) };
    Decoder::init(&config, &mut Seed::new(2).stream("init")).unwrap().save(dir, DType::F32).unwrap();
    tokenizer
}

fn network(kind: EncoderKind, path: PathBuf, train: TrainedPart) -> Network {
    within(kind, path, train, 0).unwrap()
}

fn within(kind: EncoderKind, path: PathBuf, train: TrainedPart, memory_bytes: u64) -> Result<Network, Error> {
    let mut config = EncoderConfig { kind, ..EncoderConfig::default() };
    let own = NetworkConfig { path, train, max_tokens: 24, scale: 3.0, lora_rank: 2, ..NetworkConfig::default() };
    config.network = NetworkConfig { device: plaudit_nn::device::Compute::Cpu, memory_bytes, ..own };
    Network::load(&config, Seed::new(1))
}

fn chat() -> Context {
    let message = |role, content: &str| Message { role, content: content.to_owned() };
    let messages = [
        message(Role::User, "how do i boil an egg?"),
        message(Role::Assistant, "seven minutes"),
        message(Role::User, "thanks"),
    ];
    Context { messages: messages.into(), ..Context::default() }
}

#[test]
fn a_decoder_reads_the_conversation_as_policies_do() {
    let dir = tempfile::tempdir().unwrap();
    let tokenizer = decoder(dir.path());
    let context = chat();
    let row = Row { context: &context, response: "seven minutes" };
    let mut expected = tokenizer.encode_chat(&context.messages);
    expected.extend(tokenizer.encode("seven minutes"));
    expected.push(tokenizer.end_id());
    let layout = |max| Layout::load(dir.path(), EncoderKind::Decoder, max).unwrap();
    assert_eq!(layout(500).tokens(&row).unwrap(), expected);
    let short = layout(expected.len() - 9).tokens(&row).unwrap();
    assert_eq!(short, expected[9..], "the oldest is cut first");
}

#[test]
fn a_bert_reads_messages_between_separators_and_always_some_of_both() {
    let pieces = Pieces::load(&bert()).unwrap();
    let around = pieces.around().unwrap();
    let context = Context::of_user("the cat");
    let layout = |max| Layout::load(&bert(), EncoderKind::Bert, max).unwrap();
    let row = |response| Row { context: &context, response };
    let tokens = layout(64).tokens(&row("a dog")).unwrap();
    let [asked, told] = ["the cat", "a dog"].map(|text| pieces.encode(text).unwrap());
    assert_eq!(tokens, [vec![around[0]], asked, vec![around[1]], told, vec![around[1]]].concat());
    let long = "a dog ".repeat(50);
    let tokens = layout(16).tokens(&row(&long)).unwrap();
    assert!(tokens.len() == 16 && tokens[0] == around[0] && tokens[15] == around[1]);
    assert_eq!(tokens.iter().filter(|token| **token == around[1]).count(), 2, "the request is not crowded out");
    assert!(!layout(16).tokens(&row("")).unwrap().is_empty());
}

#[test]
fn gradients_are_the_slopes_of_the_vectors() {
    const STEP: f32 = 5e-3;
    let dir = tempfile::tempdir().unwrap();
    decoder(dir.path());
    for (kind, path, train) in [
        (EncoderKind::Bert, bert(), TrainedPart::Last),
        (EncoderKind::Decoder, dir.path().to_owned(), TrainedPart::All),
        (EncoderKind::Decoder, dir.path().to_owned(), TrainedPart::Lora),
    ] {
        let network = network(kind, path, train);
        let sequences: [&[u32]; 2] = [&[3, 5, 7, 9, 4], &[6, 8]];
        let width = network.shape().width;
        let weights: Vec<f32> = (0..2 * width).map(|at| ((at * 7 % 11) as f32 - 5.0) / 5.0).collect();
        let loss = || {
            let vectors = network.vectors(&sequences).unwrap();
            vectors.iter().flatten().zip(&weights).map(|(x, w)| f64::from(x * w)).sum::<f64>()
        };
        let padded = Padded::new(&sequences, &network.device).unwrap();
        let slopes = |vectors: &Tensor| Ok(Tensor::from_slice(&weights, vectors.dims2()?, vectors.device())?);
        let gradients = network.body.backward(&padded, 3.0, Activations::Keep, slopes).unwrap();
        let mut checked = 0;
        for (name, var) in network.trained().iter() {
            let Some(gradient) = gradients.get(var) else { continue };
            let gradient = gradient.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let (at, steepest) = gradient.iter().enumerate().max_by(|a, b| a.1.abs().total_cmp(&b.1.abs())).unwrap();
            let values = var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let moved = |by: f32| {
                let mut values = values.clone();
                values[at] += by;
                var.set(&Tensor::from_vec(values, var.shape(), &Device::Cpu).unwrap()).unwrap();
                loss()
            };
            let numeric = (moved(STEP) - moved(-STEP)) / f64::from(2.0 * STEP);
            moved(0.0);
            let analytic = f64::from(*steepest);
            assert!((numeric - analytic).abs() < 0.05 * analytic.abs() + 0.02, "{kind:?} {name}: {numeric} {analytic}");
            checked += 1;
        }
        assert!(checked >= 4, "{kind:?}: {checked}");
    }
}

#[test]
fn parts_have_room_for_their_longest_row() {
    let one = |length: &usize| (1, *length);
    let within = |most: usize| move |rows: usize, tokens: usize| rows * tokens <= most;
    assert_eq!(split(&[1, 2, 2, 3], one, within(6)), [&[1, 2, 2][..], &[3]]);
    assert_eq!(split(&[9, 9], one, within(0)), [[9], [9]], "at least one row each");
    assert!(split(&[] as &[usize], one, within(5)).is_empty());
    let pair = |length: &usize| (2, *length);
    assert_eq!(split(&[1, 1, 3], pair, within(4)), [&[1, 1][..], &[3]], "both rows of a pair count");
}

#[test]
fn known_vectors_are_those_of_the_network() {
    let frozen = network(EncoderKind::Bert, bert(), TrainedPart::None);
    let sequence: &[u32] = &[3, 5, 7, 4];
    let first = frozen.vectors(&[sequence]).unwrap();
    assert_eq!(frozen.recall(sequence).as_ref(), first.first());
    assert_eq!(frozen.vectors(&[sequence, sequence]).unwrap(), [first[0].clone(), first[0].clone()]);
    let length: f32 = first[0].iter().map(|x| x * x).sum::<f32>().sqrt();
    assert!((length - 3.0).abs() < 1e-4, "{length}");
    let trained = network(EncoderKind::Bert, bert(), TrainedPart::All);
    trained.vectors(&[sequence]).unwrap();
    assert!(trained.recall(sequence).is_none(), "vectors of a network that is trained are not kept");
}

#[test]
fn a_budget_says_what_is_needed_and_bounds_the_parts() {
    let load = |train, bytes| within(EncoderKind::Bert, bert(), train, bytes);
    let needed = |train| {
        let told = plaudit_nn::describe(&load(train, 1).unwrap_err());
        assert!(told.contains("memory_bytes` must be at least") && told.contains("rows of 24 tokens"), "{told}");
        assert!(told.contains("got 1;"), "{told}");
        told.split("at least ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().parse::<u64>().unwrap()
    };
    let (training, scoring) = (needed(TrainedPart::All), needed(TrainedPart::None));
    assert!(scoring < training, "{scoring} {training}");
    assert!(load(TrainedPart::All, training - 1).is_err());
    let tight = load(TrainedPart::All, training).unwrap();
    assert!(tight.budget.trains(2, 24) && !tight.budget.trains(3, 24) && tight.budget.trains(4, 8));
    assert!(tight.budget.scores(2, 24), "less is kept");
    assert!(tight.frozen().unwrap().budget.turn().is_some(), "scorers take turns with the training");
    let free = load(TrainedPart::All, 0).unwrap();
    assert!(free.budget.trains(1 << 20, 24) && free.budget.turn().is_none());
    let longer = free.memory().training(1, 48);
    assert_eq!(longer, 2 * free.memory().training(1, 24), "on a CPU linear in the length");
}

#[test]
fn shards_are_part_of_the_fingerprint() {
    let dir = tempfile::tempdir().unwrap();
    decoder(dir.path());
    let whole = fingerprint(dir.path()).unwrap();
    let params = Params::load(&dir.path().join(plaudit_nn::WEIGHTS_FILE), &Device::Cpu).unwrap();
    std::fs::remove_file(dir.path().join(plaudit_nn::WEIGHTS_FILE)).unwrap();
    let mut map = serde_json::Map::new();
    let mut shards = [Params::new(), Params::new()];
    for (at, (name, var)) in params.iter().enumerate() {
        shards[at % 2].share(name, var);
        map.insert(name.to_owned(), format!("{}.safetensors", at % 2).into());
    }
    let save = |at: usize, shards: &[Params; 2]| {
        shards[at].save(&dir.path().join(format!("{at}.safetensors"))).unwrap();
        fingerprint(dir.path())
    };
    let index = serde_json::json!({"weight_map": map}).to_string();
    std::fs::write(dir.path().join(plaudit_nn::INDEX_FILE), index).unwrap();
    assert!(save(0, &shards).is_err(), "the second is missing");
    let split = save(1, &shards).unwrap();
    assert_ne!(split, whole);
    let (name, var) = shards[1].iter().next().map(|(name, var)| (name.to_owned(), var.clone())).unwrap();
    shards[1].insert(name, &(var.as_tensor() + 1.0).unwrap()).unwrap();
    assert_ne!(save(1, &shards).unwrap(), split);
}
