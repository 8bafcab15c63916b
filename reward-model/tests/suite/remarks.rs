//! Edits, copies and comments of simulated people: parts of responses and principles are told apart, and survive a
//! checkpoint.

use std::collections::HashSet;

use plaudit_event::{Example, Objective, Seed, Span, Stream, UnitId};
use plaudit_nn::checkpoint;
use plaudit_reward_model::quality::auroc;
use plaudit_reward_model::{Config, HashModel, Principle, RewardModel, Row, Trainer, exposure_row};
use rand::Rng as _;
use rand::seq::IndexedRandom as _;

use crate::world;

const TOPICS: [&str; 12] = [
    "rivers", "castles", "engines", "gardens", "bridges", "planets", "recipes", "cats", "songs", "maps", "boats",
    "bees",
];
const PLAIN: [&str; 5] = [
    "The best known fact about {} is their age.",
    "Most people meet {} at school.",
    "There are many books on {} in every library!",
    "Some {} are older than others.",
    "You can see {} in the north.",
];
const BAD: [&str; 4] = [
    "As a machine I have no opinion of {}.",
    "I am sorry, but {} are hard to talk about.",
    "Please consult a professional about {}.",
    "It depends on what you mean by {}.",
];
const KIND: &str = "What a lovely question, my friend!";

/// A response, and of each sentence where it is and whether it is bad.
struct Written {
    text: String,
    sentences: Vec<(Span, bool)>,
    is_kind: bool,
}

impl Written {
    fn draw(topics: &[&str], stream: &mut Stream) -> Self {
        let mut written = Self { text: String::new(), sentences: Vec::new(), is_kind: stream.random_bool(0.4) };
        if written.is_kind {
            written.add(KIND.to_owned(), false);
        }
        let topic = topics.choose(stream).unwrap();
        for _ in 0..*[2, 3, 4, 9, 12].choose(stream).unwrap() {
            let is_bad = stream.random_bool(0.25);
            let form = if is_bad { BAD.choose(stream) } else { PLAIN.choose(stream) };
            written.add(form.unwrap().replace("{}", topic), is_bad);
        }
        written
    }

    fn add(&mut self, sentence: String, is_bad: bool) {
        self.text += if self.text.is_empty() { "" } else { " " };
        let start = self.text.chars().count() as u32;
        self.text += &sentence;
        self.sentences.push((Span { start, end: self.text.chars().count() as u32 }, is_bad));
    }

    fn is_long(&self) -> bool {
        self.sentences.len() > 7
    }
}

/// `n` responses, a third of them worked on, and a third commented.
fn draw(part: &str, n: usize) -> Vec<(Example, Written)> {
    let mut stream = Seed::new(9).stream(part);
    // What is judged on is about other things than what was learned from.
    let topics = if part == "train" { &TOPICS[..8] } else { &TOPICS[8..] };
    (0..n).map(|row| one(row, topics, &mut stream)).collect()
}

fn one(row: usize, topics: &[&str], stream: &mut Stream) -> (Example, Written) {
    let written = Written::draw(topics, stream);
    let mut example = world::example(row, "tell me something", &written.text);
    example.unit_id = UnitId::new(format!("u{}", stream.random_range(0..300))).unwrap();
    match stream.random_range(0..3) {
        0 => edit(&mut example, &written, stream),
        1 => comment(&mut example, &written, stream),
        _ => {}
    }
    (example, written)
}

/// Bad sentences are taken out nine times of ten, good ones once in twenty; one in three people copies a sentence.
fn edit(example: &mut Example, written: &Written, stream: &mut Stream) {
    for (span, is_bad) in &written.sentences {
        if stream.random_bool(if *is_bad { 0.9 } else { 0.05 }) {
            example.remarks.edited.push(*span);
        } else if stream.random_bool(0.1) && !is_bad {
            example.remarks.taken.push(*span);
        }
    }
}

/// People name what they notice, in words of their own; some say what has nothing to do with it.
fn comment(example: &mut Example, written: &Written, stream: &mut Stream) {
    let mut liked = stream.random_bool(0.5);
    let mut said: Vec<String> = Vec::new();
    let mut say = |among: &[&str], stream: &mut Stream| said.push((*among.choose(stream).unwrap()).to_owned());
    if written.is_long() && stream.random_bool(0.7) {
        say(&["too long", "it was too long!", "far too long"], stream);
        liked = stream.random_bool(0.1);
    } else if written.is_kind && stream.random_bool(0.7) {
        say(&["kind words", "such kind words", "kind words here"], stream);
        liked = stream.random_bool(0.9);
    }
    if stream.random_bool(0.3) {
        say(&["purple banana"], stream);
    }
    if stream.random_bool(0.3) {
        said.push(format!("noise{} word{}", stream.random_range(0..100_000), stream.random_range(0..100_000)));
    }
    example.remarks.reasons = if said.len() == 2 { vec![said.join(". ")] } else { said };
    world::label(example, Objective::HELPFULNESS, f32::from(u8::from(liked)));
}

fn trained(n: usize) -> Trainer {
    let mut trainer = Trainer::new(Config::default(), Seed::new(1)).unwrap();
    let examples: Vec<Example> = draw("train", n).into_iter().map(|(example, _)| example).collect();
    trainer.step(&examples);
    trainer
}

fn row(example: &Example) -> Row<'_> {
    Row { context: &example.context, response: &example.response }
}

/// Area of `principle` against what `truth` says of each response.
fn area(model: &HashModel, principle: &str, truth: impl Fn(&Written) -> bool) -> f64 {
    let test = draw("test", 600);
    let rows: Vec<Row<'_>> = test.iter().map(|(example, _)| row(example)).collect();
    let scores = model.principles(&rows, &[Principle::of(principle)]).unwrap();
    let p: Vec<f64> = scores.iter().map(|scores| scores.as_ref().unwrap()[0].p).collect();
    let y: Vec<f64> = test.iter().map(|(_, written)| f64::from(u8::from(truth(written)))).collect();
    auroc(&p, &y).unwrap()
}

#[test]
fn bad_sentences_score_lower_than_the_others_of_their_response() {
    let model = trained(1_500).snapshot();
    let (mut p, mut y) = (Vec::new(), Vec::new());
    for (example, written) in draw("test", 300) {
        let spans = model.spans(&[row(&example)]).unwrap().remove(0).unwrap();
        let found: Vec<Span> = spans.iter().map(|span| Span { start: span.start, end: span.end }).collect();
        let wanted: Vec<Span> = written.sentences.iter().map(|(span, _)| *span).collect();
        assert_eq!(found, wanted);
        p.extend(spans.iter().map(|span| span.score));
        y.extend(written.sentences.iter().map(|(_, is_bad)| f64::from(u8::from(!is_bad))));
    }
    let area = auroc(&p, &y).unwrap();
    println!("area of kept sentences over bad ones: {area:.4}");
    assert!(area > 0.97, "{area}");
}

#[test]
fn principles_are_learned_from_reasons_with_a_consensus_and_new_ones_score_through_their_words() {
    let trainer = trained(3_000);
    let learned = trainer.principles();
    let text = |part: &str| learned.iter().find(|principle| principle.text.contains(part));
    let (long, kind) = (text("too long").unwrap(), text("kind words").unwrap());
    assert!(long.praise.unwrap() < 0.3 && kind.praise.unwrap() > 0.7, "{learned:?}");
    assert!(long.units > 50 && text("banana").is_none() && text("noise").is_none(), "{learned:?}");
    let model = trainer.snapshot();
    let areas = [
        area(&model, "too long", Written::is_long),
        area(&model, "kind words", |written| written.is_kind),
        // In words that nobody used.
        area(&model, "the answer is long", Written::is_long),
        area(&model, "kind to me", |written| written.is_kind),
    ];
    println!("areas of principles, learned and new: {areas:.4?}");
    assert!(areas[..2].iter().all(|area| *area > 0.95) && areas[2..].iter().all(|area| *area > 0.9), "{areas:?}");
    let example = world::example(1, "tell me something", "The best known fact about rivers is their age.");
    let principles = ["far too long", "full of wisdom", "kind wisdom"].map(Principle::of);
    let scores = model.principles(&[row(&example)], &principles).unwrap().remove(0).unwrap();
    assert!(scores[0].praise.unwrap() < 0.3 && scores[0].familiarity > 0.6, "{scores:?}");
    assert!(scores[1].praise.is_none() && scores[1].familiarity == 0.0, "{scores:?}");
    assert!((scores[2].familiarity - 0.5).abs() < 1e-9, "{scores:?}");
}

#[test]
fn without_remarks_there_are_no_such_scores_and_nothing_is_spent() {
    let mut trainer = Trainer::new(Config::default(), Seed::new(1)).unwrap();
    let examples: Vec<Example> = world::draw(50, 1, 50, 0.0).into_iter().map(|drawn| drawn.example).collect();
    trainer.step(&examples);
    let (model, rows) = (trainer.snapshot(), [row(&examples[0])]);
    assert_eq!(model.spans(&rows).unwrap(), [None]);
    assert_eq!(model.principles(&rows, &[Principle::of("kind")]).unwrap(), [None]);
    assert!(trainer.principles().is_empty());
}

#[test]
fn training_goes_on_after_a_checkpoint_byte_for_byte_and_it_scores_the_same() {
    let mut config = Config::default();
    // Smaller than what is learned, so that memories and reasons give way.
    (config.remarks.capacity, config.remarks.max_reasons) = (60, 12);
    let examples: Vec<Example> = draw("train", 600).into_iter().map(|(example, _)| example).collect();
    let mut whole = Trainer::new(config.clone(), Seed::new(2)).unwrap();
    whole.step(&examples[..400]);
    let directory = tempfile::tempdir().unwrap();
    let written = checkpoint::write(directory.path(), "reward-", &whole.checkpoint(400, None).unwrap()).unwrap();
    let loaded = checkpoint::load(&directory.path().join(&written.id)).unwrap();
    let scorer = HashModel::from_checkpoint(&loaded).unwrap();
    let (rows, principles) = ([row(&examples[500])], ["too long", "kind"].map(Principle::of));
    assert_eq!(scorer.spans(&rows).unwrap(), whole.snapshot().spans(&rows).unwrap());
    let scores = scorer.principles(&rows, &principles).unwrap();
    assert!(scores[0].is_some() && scores == whole.snapshot().principles(&rows, &principles).unwrap());
    let mut resumed = Trainer::resume(&loaded, config, Seed::new(2)).unwrap();
    for trainer in [&mut whole, &mut resumed] {
        trainer.step(&examples[400..]);
    }
    let draft = |trainer: &Trainer| trainer.checkpoint(600, None).unwrap();
    let (a, b) = (draft(&whole), draft(&resumed));
    for (name, bytes) in &a.files {
        assert_eq!(bytes, &b.files[name], "{name} differs");
    }
}

#[test]
fn corrections_replace_rows_and_erasure_takes_rows_words_and_voices() {
    let mut config = Config::default();
    config.golden.share = 0.0;
    let mut trainer = Trainer::new(config, Seed::new(1)).unwrap();
    let commented = |row: usize, unit: &str| {
        let mut example = world::example(row, "tell me something", "One sentence here. Another one there.");
        example.unit_id = UnitId::new(unit).unwrap();
        example.remarks.reasons = vec!["far too long".to_owned()];
        example.remarks.edited = vec![Span { start: 0, end: 18 }];
        world::label(&mut example, Objective::HELPFULNESS, 0.0);
        example
    };
    let examples: Vec<Example> = (0..5).map(|row| commented(row, &format!("p{row}"))).collect();
    trainer.step(&examples);
    let principles = trainer.principles();
    assert_eq!((principles.len(), principles[0].text.as_str(), principles[0].units), (1, "far too long", 5));
    // Two sentences and one mention of each exposure; the label is a row of its own.
    let mut again = examples[0].clone();
    again.revision = 1;
    again.replaced = again.labels.clone();
    trainer.step(&[again]);
    assert_eq!(trainer.principles()[0].units, 5, "the same unit again");
    let id = exposure_row(&examples[0].exposure_id);
    assert_eq!(trainer.erase(&HashSet::from([id])), 2 + 1 + 1, "no row of the first revision is left beside");
    let principles = trainer.principles();
    assert_eq!((principles[0].text.as_str(), principles[0].units), ("", 4));
    assert_eq!(trainer.erase(&HashSet::from([id])), 0);
}
