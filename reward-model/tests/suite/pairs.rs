//! Pairs teach an order that holds for pairs not seen, and what was learned survives a checkpoint.

use plaudit_event::{Context, Objective, Seed};
use plaudit_nn::checkpoint;
use plaudit_reward_model::{Bootstrap, Config, HashModel, Pair, PairReport, Row, Trainer, evaluate_pairs};

use crate::world;

const NOUNS: [&str; 8] = ["cat", "river", "clock", "window", "garden", "mirror", "bottle", "ladder"];

/// For every noun and every verb: whoever answers with thanks is preferred.
fn texts(verbs: &[&str]) -> Vec<(Context, String, String)> {
    let both = NOUNS.iter().flat_map(|noun| verbs.iter().map(move |verb| (noun, verb)));
    let text = |(noun, verb): (&&str, &&str)| {
        let context = Context::of_user(format!("how do i {verb} a {noun}"));
        (context, format!("thanks, first look at the {noun}"), format!("whatever, first {verb} the {noun}"))
    };
    both.map(text).collect()
}

fn pairs(texts: &[(Context, String, String)]) -> Vec<Pair<'_>> {
    texts.iter().map(|(context, chosen, rejected)| Pair { context, chosen, rejected, weight: 1.0 }).collect()
}

fn trainer() -> Trainer {
    Trainer::new(Config::default(), Seed::new(1)).unwrap()
}

fn margins(model: &HashModel, texts: &[(Context, String, String)]) -> Vec<f64> {
    let score = |context, response| model.score_row(&Row { context, response }).logit(Objective::LOVE).unwrap();
    texts.iter().map(|(context, chosen, rejected)| score(context, chosen) - score(context, rejected)).collect()
}

#[test]
fn an_order_is_learned_and_measured_before_each_pair_is_learned() {
    let (train, test) = (texts(&["paint", "move", "repair", "sell"]), texts(&["lift"]));
    let mut trainer = trainer();
    assert!(trainer.snapshot().score_row(&Row { context: &train[0].0, response: "" }).logit("love").is_none());
    let none = trainer.learn_pairs(Objective::LOVE, &[]).unwrap();
    assert_eq!(none, PairReport::default());
    let one = trainer.learn_pairs(Objective::LOVE, &pairs(&train)[..1]).unwrap();
    assert_eq!(one.pairs, 1);
    let first = trainer.learn_pairs(Objective::LOVE, &pairs(&train)[1..]).unwrap();
    let second = trainer.learn_pairs(Objective::LOVE, &pairs(&train)).unwrap();
    assert!(first.accuracy > 0.9 && second.accuracy == 1.0, "{first:?} {second:?}");
    assert!(second.log_loss < first.log_loss && first.log_loss < 2.0_f64.ln(), "{first:?} {second:?}");
    assert!(margins(&trainer.snapshot(), &test).iter().all(|margin| *margin > 0.0));
    let other = trainer.snapshot().score_row(&Row { context: &train[0].0, response: "" });
    assert!(other.logit(Objective::SAFETY).is_none(), "pairs teach the objective they are of, no other");
}

#[test]
fn pairs_of_weight_0_teach_nothing_and_faults_are_refused_as_a_whole() {
    let texts = texts(&["paint"]);
    let mut trainer = trainer();
    let mut lessons = pairs(&texts);
    let said = trainer.learn_pairs("nobody", &lessons).unwrap_err().to_string();
    assert_eq!(said, "`objective` must be one of the configuration, got nobody");
    lessons[1].weight = f32::NAN;
    let said = trainer.learn_pairs(Objective::LOVE, &lessons).unwrap_err().to_string();
    assert_eq!(said, "`weight` must be 0 to 1e6, got NaN");
    lessons.iter_mut().for_each(|pair| pair.weight = 0.0);
    trainer.learn_pairs(Objective::LOVE, &lessons).unwrap();
    assert!(margins(&trainer.snapshot(), &texts).iter().all(|margin| margin.abs() < 0.02), "as at the start");
}

#[test]
fn what_pairs_taught_is_in_the_checkpoint() {
    let texts = texts(&["paint", "move"]);
    let mut whole = trainer();
    whole.learn_pairs(Objective::LOVE, &pairs(&texts)).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let written = checkpoint::write(directory.path(), "reward-", &whole.checkpoint(0, None).unwrap()).unwrap();
    let loaded = checkpoint::load(&directory.path().join(&written.id)).unwrap();
    let scorer = HashModel::from_checkpoint(&loaded).unwrap();
    assert_eq!(margins(&scorer, &texts), margins(&whole.snapshot(), &texts));
    let mut resumed = Trainer::resume(&loaded, Config::default(), Seed::new(1)).unwrap();
    for trainer in [&mut whole, &mut resumed] {
        trainer.learn_pairs(Objective::LOVE, &pairs(&texts)).unwrap();
    }
    let id = |trainer: &Trainer| trainer.checkpoint(0, None).unwrap().manifest("reward-").id;
    assert_eq!(id(&whole), id(&resumed));
}

/// Share of pairs not seen that are told right, once `repeats` remembered ones were learned after each of 2,000 examples
/// about other things whose words push the other way.
fn kept_after_a_stream(repeats: usize) -> f64 {
    let (train, test) = (texts(&["paint", "move", "repair", "sell"]), texts(&["lift"]));
    let mut config = Config::default();
    config.pairs.per_example = repeats;
    let mut trainer = Trainer::new(config, Seed::new(1)).unwrap();
    trainer.learn_pairs(Objective::LOVE, &pairs(&train)).unwrap();
    for at in 0..2_000 {
        let is_loved = at % 2 == 0;
        let said = if is_loved { "whatever, first ask" } else { "thanks, first look" };
        let mut example = world::example(at, "who is there", said);
        let label = plaudit_event::Label { value: f32::from(u8::from(is_loved)), weight: 1.0 };
        example.labels.insert(Objective::new(Objective::LOVE), label);
        trainer.step(&[example]);
    }
    let bootstrap = Bootstrap { resamples: 200, seed: Seed::new(1) };
    let quality = evaluate_pairs(&*trainer.snapshot(), Objective::LOVE, &pairs(&test), bootstrap).unwrap().unwrap();
    assert_eq!((quality.pairs, quality.contexts), (8, 8));
    assert!(quality.accuracy.low <= quality.accuracy.value && quality.accuracy.value <= quality.accuracy.high);
    quality.accuracy.value
}

#[test]
fn what_is_learned_again_outlives_the_stream() {
    let (without, with) = (kept_after_a_stream(0), kept_after_a_stream(2));
    assert!(without < 0.5 && with > 0.9, "{without} {with}");
}

#[test]
fn pairs_and_examples_go_on_after_a_checkpoint_byte_for_byte() {
    let texts = texts(&["paint", "move", "repair", "sell"]);
    let mut config = Config::default();
    // Smaller than what is learned, so that memories give way.
    config.pairs.capacity = 10;
    let mut whole = Trainer::new(config.clone(), Seed::new(3)).unwrap();
    whole.learn_pairs(Objective::LOVE, &pairs(&texts)[..20]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let written = checkpoint::write(directory.path(), "reward-", &whole.checkpoint(20, None).unwrap()).unwrap();
    let loaded = checkpoint::load(&directory.path().join(&written.id)).unwrap();
    let mut resumed = Trainer::resume(&loaded, config, Seed::new(3)).unwrap();
    assert_eq!(resumed.pairs(), 20);
    for trainer in [&mut whole, &mut resumed] {
        trainer.step(&world::draw(60, 4, 30, 0.0).into_iter().map(|drawn| drawn.example).collect::<Vec<_>>());
        trainer.learn_pairs(Objective::LOVE, &pairs(&texts)[20..]).unwrap();
    }
    let draft = |trainer: &Trainer| trainer.checkpoint(32, None).unwrap();
    let (a, b) = (draft(&whole), draft(&resumed));
    for (name, bytes) in &a.files {
        assert_eq!(bytes, &b.files[name], "{name} differs");
    }
}
