//! Networks as encoders: exact resume in the middle of a block, frozen scorers, learning, erasure, faults of the
//! settings.

use std::collections::HashSet;
use std::path::Path;

use candle_core::Device;
use plaudit_event::{Context, Example, Objective, Seed};
use plaudit_nn::Params;
use plaudit_nn::checkpoint::{self, Checkpoint, Draft};
use plaudit_nn::decoder::Family;
use plaudit_reward_model::{Config, EncoderKind, HashModel, Pair, Row, TrainedPart, Trainer, exposure_row};
use rand::Rng as _;

use crate::network_files::{self, SMALL};
use crate::world;

const SEED: Seed = Seed::new(5);
/// Examples of a block, and places to interrupt that are in the middle of one.
const STEP_EVERY: u64 = 16;
const CUTS: [usize; 2] = [75, 130];

fn examples(n: usize) -> Vec<Example> {
    let first: Vec<Example> = world::draw(n, 11, usize::MAX, 0.0).into_iter().map(|d| d.example).collect();
    let mut stream = Vec::with_capacity(2 * n);
    for (i, example) in first.iter().enumerate() {
        stream.push(example.clone());
        if i % 5 == 0 && i >= 4 {
            let (earlier, opposite) = (&first[i - 4], 1.0 - first[i - 4].labels[Objective::LOVE].value);
            stream.push(world::correction(earlier, Objective::LOVE, (i % 15 != 0).then_some(opposite)));
        }
    }
    stream.truncate(n);
    stream
}

fn texts(examples: &[Example]) -> Vec<&str> {
    examples.iter().flat_map(|example| [example.context.last_request(), &example.response]).collect()
}

fn config(dir: &Path, kind: EncoderKind, train: TrainedPart) -> Config {
    let mut config = Config { metrics_window: 60, ..Config::default() };
    config.encoder.kind = kind;
    config.encoder.buckets = 1 << 12;
    config.replay.capacity = 40;
    config.learner.ensemble = 2;
    let network = &mut config.encoder.network;
    (network.path, network.train, network.last_layers, network.lora_rank) = (dir.to_owned(), train, 1, 2);
    (network.batch_rows, network.step_every, network.max_tokens) = (12, STEP_EVERY, 40);
    (network.learning_rate, network.warmup_steps) = (1e-3, 2);
    config
}

fn draft(trainer: &Trainer) -> Draft {
    trainer.checkpoint(7, None).unwrap()
}

fn saved(trainer: &Trainer) -> Checkpoint {
    let root = tempfile::tempdir().unwrap();
    let written = checkpoint::write(root.path(), "reward-", &draft(trainer)).unwrap();
    checkpoint::load(&root.path().join(&written.id)).unwrap()
}

fn resumed(trainer: &Trainer, config: &Config) -> Trainer {
    Trainer::resume(&saved(trainer), config.clone(), SEED).unwrap()
}

fn assert_same(a: &Trainer, b: &Trainer) {
    let (a, b) = (draft(a), draft(b));
    assert_eq!(a.files.len(), b.files.len());
    for (name, bytes) in &a.files {
        assert!(bytes == &b.files[name], "{name} differs");
    }
}

fn columns(draft: &Draft, file: &str) -> Params {
    Params::from_bytes(&draft.files[file], &Device::Cpu).unwrap()
}

/// Straight, in small parts, and interrupted: the same bytes. A scorer stays what it was, and a checkpoint gives it again.
fn check_resume(config: &Config, is_trained: bool) {
    let examples = examples(150);
    let mut straight = Trainer::new(config.clone(), SEED).unwrap();
    straight.step(&examples);
    let before = draft(&straight);
    assert_eq!(before.files.contains_key("network.safetensors"), is_trained);
    if is_trained {
        let pending = columns(&before, "pending.safetensors");
        assert!(pending.get("row.exposure").unwrap().elem_count() > 6, "interrupted in the middle of a block");
    }
    let mut parts = Trainer::new(config.clone(), SEED).unwrap();
    examples.chunks(7).for_each(|part| {
        parts.step(part);
    });
    assert_same(&straight, &parts);

    let mut cut = Trainer::new(config.clone(), SEED).unwrap();
    cut.step(&examples[..CUTS[0]]);
    let mut cut = resumed(&cut, config);
    let frozen = cut.snapshot();
    let row = Row { context: &examples[3].context, response: &examples[3].response };
    let early = frozen.score_row(&row).logit(Objective::LOVE).unwrap();
    cut.step(&examples[CUTS[0]..CUTS[1]]);
    let mut cut = resumed(&cut, config);
    cut.step(&examples[CUTS[1]..]);
    assert_same(&straight, &cut);

    assert_eq!(frozen.score_row(&row).logit(Objective::LOVE), Some(early), "a scorer never changes");
    let (live, read) = (straight.snapshot(), HashModel::from_checkpoint(&saved(&straight)).unwrap());
    for example in &examples[..20] {
        let row = Row { context: &example.context, response: &example.response };
        let (live, read) = (live.score_row(&row), read.score_row(&row));
        assert_eq!(live.logit(Objective::LOVE), read.logit(Objective::LOVE));
        assert_eq!(live.spread(Objective::LOVE), read.spread(Objective::LOVE));
    }
    assert_ne!(live.score_row(&row).logit(Objective::LOVE), Some(early), "something was learned");
}

#[test]
fn berts_go_on_where_they_were_interrupted() {
    let dir = tempfile::tempdir().unwrap();
    network_files::bert(dir.path(), &texts(&examples(150)), SMALL);
    for train in [TrainedPart::All, TrainedPart::Last, TrainedPart::Lora, TrainedPart::None] {
        check_resume(&config(dir.path(), EncoderKind::Bert, train), train != TrainedPart::None);
    }
    let mut alone = config(dir.path(), EncoderKind::Bert, TrainedPart::Last);
    alone.encoder.network.with_hash = false;
    check_resume(&alone, true);
}

#[test]
fn decoders_go_on_where_they_were_interrupted() {
    for (family, train) in [
        (Family::Llama, TrainedPart::Lora),
        (Family::Qwen2, TrainedPart::Lora),
        (Family::Qwen3, TrainedPart::All),
        (Family::Llama, TrainedPart::None),
    ] {
        let dir = tempfile::tempdir().unwrap();
        network_files::decoder(dir.path(), &texts(&examples(150)), family, SMALL);
        check_resume(&config(dir.path(), EncoderKind::Decoder, train), train != TrainedPart::None);
    }
}

#[test]
fn only_what_is_trained_is_written_and_other_files_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let examples = examples(40);
    network_files::bert(dir.path(), &texts(&examples), SMALL);
    let names = |train| {
        let mut trainer = Trainer::new(config(dir.path(), EncoderKind::Bert, train), SEED).unwrap();
        trainer.step(&examples);
        let weights = columns(&draft(&trainer), "network.safetensors");
        weights.iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
    };
    assert!(names(TrainedPart::Last).iter().all(|name| name.starts_with("encoder.layer.1.")));
    assert!(names(TrainedPart::Lora).iter().all(|name| name.contains(".lora_")));
    assert_eq!(names(TrainedPart::All).len(), 5 + 2 * 16);

    let config = config(dir.path(), EncoderKind::Bert, TrainedPart::Last);
    let trainer = Trainer::new(config.clone(), SEED).unwrap();
    let checkpoint = saved(&trainer);
    network_files::bert(dir.path(), &texts(&examples)[..20], SMALL);
    let said = Trainer::resume(&checkpoint, config, SEED).err().unwrap().to_string();
    assert!(said.contains("the files of the encoder's network are others"), "{said}");
    assert!(HashModel::from_checkpoint(&checkpoint).is_err());
}

/// Responses of two kinds, one of them loved. All else is noise.
fn kinds(n: usize) -> Vec<Example> {
    let words = [["red", "rose", "ruby"], ["blue", "sky", "sea"]];
    let noise = ["one", "two", "three", "four", "five", "six", "seven"];
    let mut stream = SEED.stream("kinds");
    let mut draw = |n: usize| stream.random_range(0..n);
    let one = |i: usize| {
        let kind = draw(2);
        let mut word = || noise[draw(noise.len())];
        let (request, before, after) = (format!("{} {}", word(), word()), word(), word());
        let mut example = world::example(i, &request, &format!("{before} {} {after}", words[kind][i % 3]));
        world::label(&mut example, Objective::LOVE, f32::from(u8::from(kind == 1)));
        example
    };
    (0..n).map(one).collect()
}

/// Log-loss of the newest half of the predictions of a network alone, whose head may learn little by itself.
fn log_loss(train: TrainedPart, kind: EncoderKind) -> f64 {
    let (examples, dir) = (kinds(1_200), tempfile::tempdir().unwrap());
    let known = texts(&examples[..200]);
    match kind {
        EncoderKind::Decoder => network_files::decoder(dir.path(), &known, Family::Qwen2, SMALL),
        _ => network_files::bert(dir.path(), &known, SMALL),
    }
    let mut config = config(dir.path(), kind, train);
    config.objectives = vec![Objective::new(Objective::LOVE)];
    config.metrics_window = 600;
    (config.replay.per_example, config.learner.ensemble, config.learner.l2) = (0, 0, 20.0);
    (config.encoder.network.with_hash, config.encoder.network.scale) = (false, 2.0);
    config.encoder.network.learning_rate = 5e-3;
    let mut trainer = Trainer::new(config, SEED).unwrap();
    trainer.step(&examples);
    trainer.quality(Objective::LOVE).unwrap().log_loss
}

#[test]
fn a_trained_network_makes_easy_what_is_hard_on_a_frozen_one() {
    for kind in [EncoderKind::Bert, EncoderKind::Decoder] {
        let frozen = log_loss(TrainedPart::None, kind);
        for train in [TrainedPart::All, TrainedPart::Lora] {
            let trained = log_loss(train, kind);
            assert!(trained < 0.5 * frozen, "{kind:?} {train:?}: {trained} of {frozen}");
        }
    }
}

#[test]
fn pairs_wait_for_a_round_and_survive_an_interruption() {
    let contexts: Vec<Context> = (0..60).map(|i| Context::of_user(format!("question {}", i % 7))).collect();
    let text = |i: usize, kind: &str| format!("{kind} answer {}", i % 5);
    let texts: Vec<(String, String)> = (0..60).map(|i| (text(i, "kind"), text(i, "rude"))).collect();
    let words = texts.iter().flat_map(|(a, b)| [a.as_str(), b]).chain(["question"]).collect::<Vec<_>>();
    let dir = tempfile::tempdir().unwrap();
    network_files::bert(dir.path(), &words, SMALL);
    let mut config = config(dir.path(), EncoderKind::Bert, TrainedPart::All);
    config.encoder.network.with_hash = false;
    let pairs: Vec<Pair<'_>> = contexts
        .iter()
        .zip(&texts)
        .map(|(context, (chosen, rejected))| Pair { context, chosen, rejected, weight: 1.0 })
        .collect();
    let mut straight = Trainer::new(config.clone(), SEED).unwrap();
    let report = straight.learn_pairs(Objective::LOVE, &pairs).unwrap();
    assert!(report.accuracy > 0.5, "{report:?}");
    let mut cut = Trainer::new(config.clone(), SEED).unwrap();
    cut.learn_pairs(Objective::LOVE, &pairs[..21]).unwrap();
    let mut cut = resumed(&cut, &config);
    for pair in &pairs[21..] {
        cut.learn_pairs(Objective::LOVE, std::slice::from_ref(pair)).unwrap();
    }
    assert_same(&straight, &cut);
    straight.settle().unwrap();
    assert!(!columns(&draft(&straight), "pending.safetensors").contains("row.exposure"));
    let model = straight.snapshot();
    let score = |context, response| model.score_row(&Row { context, response }).logit(Objective::LOVE).unwrap();
    assert!(pairs.iter().all(|pair| score(pair.context, pair.chosen) > score(pair.context, pair.rejected)));
}

#[test]
fn erased_rows_do_not_wait_to_be_learned() {
    let dir = tempfile::tempdir().unwrap();
    let examples = examples(10);
    network_files::bert(dir.path(), &texts(&examples), SMALL);
    let mut trainer = Trainer::new(config(dir.path(), EncoderKind::Bert, TrainedPart::Last), SEED).unwrap();
    trainer.step(&examples);
    let gone = exposure_row(&examples[2].exposure_id);
    let waiting = |trainer: &Trainer| {
        let pending = columns(&draft(trainer), "pending.safetensors");
        pending.get("row.exposure").unwrap().to_vec1::<i64>().unwrap()
    };
    assert!(waiting(&trainer).contains(&gone.cast_signed()));
    trainer.erase(&HashSet::from([gone]));
    assert!(!waiting(&trainer).contains(&gone.cast_signed()) && !waiting(&trainer).is_empty());
}

#[test]
fn every_fault_of_the_settings_is_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path(), EncoderKind::Bert, TrainedPart::Last);
    let said = |config: &Config| config.check().unwrap_err().to_string();
    assert!(said(&config).contains("has no config.json, no model.safetensors, no tokenizer.json"), "{}", said(&config));
    network_files::bert(dir.path(), &["a word"], SMALL);
    assert_eq!(config.validate(), []);
    let network = &mut config.encoder.network;
    (network.last_layers, network.max_tokens, network.scale, network.step_every) = (3, 97, 0.0, 0);
    network.learning_rate = f64::NAN;
    let text = said(&config);
    for problem in [
        "encoder.network.last_layers: must be 1 to 2, got 3",
        "encoder.network.max_tokens: must be 16 to 96, got 97",
        "encoder.network.scale: must be 1e-3 to 1e3, got 0.0",
        "encoder.network.step_every: must be at least 1, got 0",
        "encoder.network.learning_rate: must be 0 to 1, got NaN",
    ] {
        assert!(text.contains(problem), "{problem} is not in {text}");
    }
    config.encoder.kind = EncoderKind::Decoder;
    let text = said(&config);
    assert!(
        text.contains("for a decoder, got \"last\"") && text.contains("holds a bert, which is no decoder"),
        "{text}"
    );
    config.encoder.network.path = "".into();
    assert!(said(&config).contains("encoder.network.path: must name a directory"));
    config.encoder.kind = EncoderKind::Hash;
    assert_eq!(config.validate(), [], "without effect on the hash encoder");
}
