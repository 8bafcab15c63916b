//! How many examples per second the reward model learns from and scores, on one core.

#[path = "../tests/suite/world.rs"]
#[expect(dead_code, reason = "the benchmark needs the drawing only")]
mod world;

use std::time::Instant;

use plaudit_event::{Example, Seed};
use plaudit_reward_model::{Config, RewardModel, Row, Trainer};

#[expect(clippy::print_stdout, reason = "the figures are what a benchmark is for")]
fn main() {
    let examples: Vec<Example> = world::draw(20_000, 1, usize::MAX, 0.0).into_iter().map(|d| d.example).collect();
    let mut trainer = Trainer::new(Config::default(), Seed::new(1)).expect("the default configuration is fine");
    let started = Instant::now();
    trainer.step(&examples);
    let per_second = examples.len() as f64 / started.elapsed().as_secs_f64();
    println!("train  {per_second:>9.0} examples/s");

    let started = Instant::now();
    let model = trainer.snapshot();
    println!("publish {:>8.2} ms", started.elapsed().as_secs_f64() * 1e3);

    let rows: Vec<Row<'_>> = examples.iter().map(|e| Row { context: &e.context, response: &e.response }).collect();
    let started = Instant::now();
    let scores = model.score(&rows).expect("a hash model always scores");
    let per_second = scores.len() as f64 / started.elapsed().as_secs_f64();
    println!("score  {per_second:>9.0} rows/s");

    let started = Instant::now();
    let draft = trainer.checkpoint(0, None).expect("memory suffices");
    let bytes: usize = draft.files.values().map(Vec::len).sum();
    println!("checkpoint {:>5.1} ms, {:.1} MB", started.elapsed().as_secs_f64() * 1e3, bytes as f64 / 1e6);
}
