//! Learning at the close of a window that is shorter than reactions take.

use std::collections::VecDeque;

use plaudit_event::{Context, Example, Objective, Seed};
use plaudit_reward_model::{Config, Row, Trainer};
use rand::Rng;

use crate::world;

const LOVE: &str = Objective::LOVE;
/// Requests, and the share of answers that are loved in the end.
const REQUESTS: [(&str, f64); 3] = [("a story", 0.1), ("a recipe", 0.4), ("a joke", 0.75)];
/// Of the loves, so many come after the window, this many examples later.
const LATE: (f64, usize) = (0.7, 300);

/// Every example once when its window closes, and again when its love came late; with `waits` every window is long
/// enough for all loves.
fn stream(n: usize, waits: bool) -> Vec<Example> {
    let mut rng = Seed::new(8).stream("delay");
    let (mut out, mut late) = (Vec::new(), VecDeque::new());
    for i in 0..n {
        let (request, p) = REQUESTS[rng.random_range(0..REQUESTS.len())];
        let mut example = world::example(i, request, "here it is, as you asked.");
        let (is_loved, is_late) = (rng.random::<f64>() < p, rng.random::<f64>() < LATE.0);
        world::label(&mut example, LOVE, f32::from(u8::from(is_loved && (waits || !is_late))));
        if is_loved && is_late && !waits {
            late.push_back((i + LATE.1, world::correction(&example, LOVE, Some(1.0))));
        }
        out.push(example);
        while late.front().is_some_and(|(due, _)| *due <= i) {
            out.extend(late.pop_front().map(|(_, correction)| correction));
        }
    }
    out
}

/// The largest distance between P[love] and the truth, averaged over the later half of the stream.
fn bias(weighted: bool, waits: bool) -> f64 {
    let mut config = Config::default();
    config.delay.weighted = weighted;
    // What is left to correct would hide what was learned.
    config.replay.per_example = 0;
    config.calibration.offset_prior = 1e-6;
    config.calibration.offset_drift = 0.0;
    config.calibration.slope_prior = 0.0;
    config.calibration.slope_drift = 0.0;
    config.calibration.bend_prior = 0.0;
    config.calibration.bend_drift = 0.0;
    let mut trainer = Trainer::new(config, Seed::new(3)).unwrap();
    let examples = stream(12_000, waits);
    let (mut sums, mut count) = ([0.0; 3], 0.0);
    for (number, part) in examples.chunks(500).enumerate() {
        trainer.step(part);
        if number * 1_000 < examples.len() {
            continue;
        }
        let model = trainer.snapshot();
        for (sum, (request, truth)) in sums.iter_mut().zip(REQUESTS) {
            let context = Context::of_user(request);
            let score = model.score_row(&Row { context: &context, response: "here it is, as you asked." });
            *sum += score.prob(LOVE).unwrap() - truth;
        }
        count += 1.0;
    }
    sums.iter().map(|sum| (sum / count).abs()).fold(0.0, f64::max)
}

#[test]
fn weights_make_up_for_loves_that_come_after_the_window() {
    let [waited, plain, weighted] = [bias(false, true), bias(false, false), bias(true, false)];
    assert!(waited < 0.03, "{waited} with the whole wait");
    assert!(plain > 0.1, "{plain}: loves that come late count against themselves first");
    assert!(weighted < 0.5 * plain && weighted < 0.06, "{weighted} with weights, {plain} without");
}

#[test]
fn weights_change_nothing_where_nothing_comes_late() {
    let weights = |weighted: bool| {
        let mut config = Config::default();
        config.delay.weighted = weighted;
        let mut trainer = Trainer::new(config, Seed::new(3)).unwrap();
        trainer.step(&stream(600, true));
        trainer.checkpoint(0, None).unwrap().files["model.safetensors"].clone()
    };
    assert!(weights(true) == weights(false));
}
