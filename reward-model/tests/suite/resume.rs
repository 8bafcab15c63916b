//! The same examples in the same order give the same bytes, however training was cut or interrupted.

use plaudit_event::{Example, Objective, Seed};
use plaudit_nn::checkpoint;
use plaudit_reward_model::{Config, HashModel, ReplayStrategy, RewardModel, Row, Trainer};

use crate::world;

/// Examples of which every fifth is corrected once a few more have come.
fn examples(n: usize) -> Vec<Example> {
    let first: Vec<Example> = world::draw(n, 11, usize::MAX, 0.0).into_iter().map(|d| d.example).collect();
    let mut stream = Vec::with_capacity(n);
    for (i, example) in first.iter().enumerate() {
        stream.push(example.clone());
        if i % 5 == 0 && i >= 20 {
            let (earlier, opposite) = (&first[i - 20], 1.0 - first[i - 20].labels[Objective::LOVE].value);
            let love = (i % 15 != 0).then_some(opposite);
            stream.push(world::correction(earlier, Objective::LOVE, love));
        }
    }
    stream.truncate(n);
    stream
}

/// Small memories and windows, so that all of them overflow.
fn config() -> Config {
    let mut config = Config { metrics_window: 300, max_examples_per_unit_day: 3, ..Config::default() };
    config.replay.capacity = 100;
    config.delay.weighted = true;
    config
}

fn trainer() -> Trainer {
    Trainer::new(config(), Seed::new(5)).unwrap()
}

fn id(trainer: &Trainer) -> String {
    trainer.checkpoint(7, None).unwrap().manifest("reward-").id
}

#[test]
fn batches_of_any_size_give_the_same_bytes() {
    let examples = examples(1_200);
    let mut whole = trainer();
    whole.step(&examples);
    let mut cut = trainer();
    for (i, part) in examples.chunks(7).enumerate() {
        // Looking does not change anything.
        if i % 50 == 0 {
            assert!(cut.snapshot().examples() <= 1_200 && cut.quality("nobody").is_none());
        }
        cut.step(part);
    }
    assert_eq!(id(&whole), id(&cut));
    let mut other = Trainer::new(config(), Seed::new(6)).unwrap();
    other.step(&examples);
    assert_ne!(id(&whole), id(&other), "another seed replays other memories");
}

#[test]
fn a_resumed_trainer_reaches_the_same_checkpoint() {
    let root = tempfile::tempdir().unwrap();
    let examples = examples(2_400);
    let mut straight = trainer();
    straight.step(&examples);

    let mut first = trainer();
    first.step(&examples[..1_200]);
    let half = first.checkpoint(1_200, None).unwrap();
    let written = checkpoint::write(root.path(), "reward-", &half).unwrap();
    drop(first);
    let loaded = checkpoint::load(&root.path().join(&written.id)).unwrap();
    let mut second = Trainer::resume(&loaded, config(), Seed::new(5)).unwrap();
    assert_eq!(second.examples(), 1_200);
    assert_eq!(second.checkpoint(1_200, None).unwrap().manifest("reward-"), written);
    second.step(&examples[1_200..]);

    let draft = |t: &Trainer| t.checkpoint(2_400, Some(written.id.clone())).unwrap();
    let (a, b) = (draft(&straight), draft(&second));
    for (name, bytes) in &a.files {
        assert_eq!(bytes, &b.files[name], "{name} differs");
    }
    assert_eq!(a.manifest("reward-"), b.manifest("reward-"));
    assert_eq!(straight.quality(Objective::LOVE), second.quality(Objective::LOVE));
    assert_eq!(straight.predictions(Objective::LOVE), second.predictions(Objective::LOVE));
}

#[test]
fn a_checkpoint_scores_like_the_trainer_that_wrote_it() {
    let examples = examples(800);
    let mut trainer = trainer();
    trainer.step(&examples);
    let root = tempfile::tempdir().unwrap();
    let draft = trainer.checkpoint(800, None).unwrap();
    let written = checkpoint::write(root.path(), "reward-", &draft).unwrap();
    let loaded = checkpoint::load(&root.path().join(&written.id)).unwrap();
    let model = HashModel::from_checkpoint(&loaded).unwrap();
    let live = trainer.snapshot();
    assert_eq!(model.objectives(), live.objectives());
    for example in &examples[..50] {
        let row = Row { context: &example.context, response: &example.response };
        for objective in [Objective::LOVE, Objective::HELPFULNESS, Objective::SAFETY] {
            assert_eq!(model.score_row(&row).logit(objective), live.score_row(&row).logit(objective));
        }
    }
}

#[test]
fn a_checkpoint_of_another_configuration_or_seed_is_refused() {
    let mut trainer = trainer();
    trainer.step(&examples(50));
    let root = tempfile::tempdir().unwrap();
    let draft = trainer.checkpoint(50, None).unwrap();
    let written = checkpoint::write(root.path(), "reward-", &draft).unwrap();
    let loaded = checkpoint::load(&root.path().join(&written.id)).unwrap();
    let refused = |config: Config, seed: u64| {
        let error = Trainer::resume(&loaded, config, Seed::new(seed)).err().unwrap();
        assert!(error.to_string().contains(&written.id), "{error}");
    };
    refused(Config::default(), 5);
    refused(config(), 6);
    let mut service = config();
    service.service.poll_ms = 1;
    assert!(Trainer::resume(&loaded, service, Seed::new(5)).is_ok(), "the loop is no part of what is learned");
}

#[test]
fn unlabelled_examples_change_nothing_but_the_count() {
    let mut trainer = trainer();
    trainer.step(&examples(100));
    let model = |t: &Trainer| t.checkpoint(0, None).unwrap().files["model.safetensors"].clone();
    let before = model(&trainer);
    let report = trainer.step(&[world::example(900, "hello", "hi")]);
    assert_eq!((report.unlabelled, report.trained), (1, 0));
    assert_eq!(model(&trainer), before);
    assert_eq!(trainer.examples(), 101);
}

/// Examples of three segments, in one of which everybody finds helpful what nobody does elsewhere.
fn contradicting(n: usize) -> Vec<Example> {
    let mut examples: Vec<Example> = world::draw(n, 12, usize::MAX, 0.0).into_iter().map(|d| d.example).collect();
    for (i, example) in examples.iter_mut().enumerate() {
        example.attributes.insert("kind".to_owned(), ["a", "b", "c"][i % 3].into());
        if let Some(helpful) = example.label(Objective::HELPFULNESS).filter(|_| i % 3 == 1) {
            world::label(example, Objective::HELPFULNESS, 1.0 - helpful.value);
        }
    }
    examples
}

#[test]
fn golden_slices_and_the_memory_of_confusable_segments_go_on_exactly() {
    let mut config = Config { metrics_window: 300, ..Config::default() };
    config.segments.by = "kind".to_owned();
    config.golden.objective = Objective::new(Objective::HELPFULNESS);
    (config.golden.share, config.golden.every) = (0.2, 700);
    (config.golden.rows, config.golden.least) = (16, 4);
    config.replay.strategy = ReplayStrategy::Stratified;
    (config.replay.capacity, config.replay.confusable) = (100, 4.0);
    let examples = contradicting(6_000);
    let new = |config: &Config| Trainer::new(config.clone(), Seed::new(5)).unwrap();
    let mut straight = new(&config);
    straight.step(&examples);
    assert!(straight.golden().unwrap().slices.len() >= 6, "{:?}", straight.golden());
    let pairs = straight.confusable();
    let found: Vec<_> = pairs.iter().map(|pair| (pair.a.as_str(), pair.b.as_str())).collect();
    assert!(found.contains(&("a", "b")) && found.contains(&("b", "c")) && found.len() == 2, "{pairs:?}");

    let root = tempfile::tempdir().unwrap();
    let mut first = new(&config);
    first.step(&examples[..4_000]);
    let written = checkpoint::write(root.path(), "reward-", &first.checkpoint(4_000, None).unwrap()).unwrap();
    let loaded = checkpoint::load(&root.path().join(&written.id)).unwrap();
    let mut second = Trainer::resume(&loaded, config.clone(), Seed::new(5)).unwrap();
    second.step(&examples[4_000..]);
    let files = |trainer: &Trainer| trainer.checkpoint(6_000, None).unwrap().files;
    let (a, b) = (files(&straight), files(&second));
    for (name, bytes) in &a {
        assert_eq!(bytes, &b[name], "{name} differs");
    }
    assert_eq!(straight.golden().unwrap(), second.golden().unwrap());

    config.replay.confusable = 0.0;
    let mut plain = new(&config);
    plain.step(&examples);
    assert_ne!(files(&plain)["replay.safetensors"], a["replay.safetensors"], "the memory is another one");
}
