use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor};
use plaudit_event::Objective;
use rand::Rng;

use super::*;
use crate::judge;
use crate::toy::{self, WordReward};

fn settings() -> Config {
    Config {
        prompts_per_step: 8,
        lr: 2e-3,
        warmup: 2,
        kl_max_per_token: 2.0,
        kl_stop_per_token: 1.0,
        ..Config::default()
    }
}

fn learner(judges: bool, seed: u64) -> Learner {
    let judges = judge::Config { enabled: judges, ..judge::Config::default() };
    let (judges, seed) = (Judges::new(&judges), Seed::new(seed));
    Learner::new(settings(), toy::policy(), WordReward::loving_goodbyes(), judges, seed).unwrap()
}

fn batch() -> Vec<Context> {
    let prompts = toy::prompts();
    prompts.iter().chain(&prompts).cloned().collect()
}

/// Means of the first five and of the last five steps.
fn ends(reports: &[StepReport], value: impl Fn(&StepReport) -> f64) -> (f64, f64) {
    let mean = |part: &[StepReport]| part.iter().map(&value).sum::<f64>() / part.len() as f64;
    (mean(&reports[..5]), mean(&reports[reports.len() - 5..]))
}

fn train(learner: &mut Learner, steps: usize) -> Vec<StepReport> {
    (0..steps).map(|_| learner.step(&batch()).unwrap()).collect()
}

#[test]
fn without_judges_the_flaw_of_the_reward_is_exploited() {
    let reports = train(&mut learner(false, 1), 40);
    let (before, after) = ends(&reports, |r| r.reward);
    assert!(after > before + 0.08, "reward {before} {after}");
    let (before, after) = ends(&reports, |r| r.closing_rate);
    assert!(after > before + 0.15, "closings {before} {after}");
    let kl = reports.iter().map(|r| r.kl_running).fold(0.0, f64::max);
    assert!(kl < settings().kl_max_per_token, "{kl}");
}

#[test]
fn with_judges_the_reward_rises_without_the_flaw() {
    let mut learner = learner(true, 1);
    let reports = train(&mut learner, 40);
    let (before, after) = ends(&reports, |r| r.reward);
    assert!(after > before + 0.08, "reward {before} {after}");
    let (before, after) = ends(&reports, |r| r.closing_rate);
    assert!(after < 0.6 * before, "closings {before} {after}");
    let (before, after) = ends(&reports, |r| r.objectives["love"]);
    assert!(after > 1.2 * before, "love {before} {after}");
    let kl = reports.iter().map(|r| r.kl_running).fold(0.0, f64::max);
    assert!(kl < settings().kl_max_per_token, "{kl}");
    let policy = learner.candidate(&Lineage::default()).unwrap();
    assert_ne!(policy.id(), toy::policy().id());
}

#[test]
fn the_first_step_starts_at_the_reference() {
    let report = learner(true, 2).step(&batch()).unwrap();
    assert_eq!(report.step, 1);
    assert_eq!(report.num_samples, 32);
    // Same weights: generator and decoder differ by rounding only.
    assert!(report.kl_token.abs() < 1e-4 && report.kl_sequence.abs() < 1e-3);
    assert!(report.judges["closing"] < 1.0 && report.judge_pass_rate < 1.0);
    assert!(report.reward < report.calibrated, "rejected responses earn nothing");
    assert!(report.grad_norm > 0.0 && report.tokens > 3.0);
}

#[test]
fn equal_seeds_give_equal_candidates() {
    let train = |seed| {
        let mut learner = learner(true, seed);
        train(&mut learner, 3);
        learner.candidate(&Lineage::default()).unwrap().id().clone()
    };
    assert_eq!(train(5), train(5));
    assert_ne!(train(5), train(6));
}

#[test]
fn a_reward_model_without_a_weighted_objective_is_refused() {
    let mut config = settings();
    config.weights = [(Objective::new("charm"), 1.0)].into();
    let reward = WordReward::loving_goodbyes();
    let judges = Judges::new(&judge::Config::default());
    let refused = Learner::new(config, toy::policy(), reward, judges, Seed::new(1));
    let text = refused.err().unwrap().to_string();
    assert!(text.contains("weights") && text.contains("love"), "{text}");
}

/// Sequences of uneven length with random advantages.
fn cases() -> (Vec<Sequence>, Vec<f64>) {
    let mut rng = Seed::new(3).stream("cases");
    let vocab = toy::policy().decoder().config().vocab_size as u32;
    let sequences: Vec<Sequence> = (0..7_usize)
        .map(|index| Sequence {
            tokens: (0..6 + 3 * index).map(|_| rng.random_range(0..vocab)).collect(),
            prompt_len: 2 + index % 3,
        })
        .collect();
    let advantages = sequences.iter().map(|_| rng.random_range(-0.5..0.5)).collect();
    (sequences, advantages)
}

fn gradients(decoder: &Decoder, temperature: f64) -> (f64, GradStore) {
    let (sequences, advantages) = cases();
    objective::gradients(decoder, &sequences, &advantages, temperature).unwrap()
}

/// `−1/n Σ A_i Σ_t log softmax(logits/τ)[a_t]`, one sequence at a time, from plain logits in f64.
fn plain_loss(decoder: &Decoder, temperature: f64) -> f64 {
    let (sequences, advantages) = cases();
    let mut sum = 0.0;
    for (sequence, advantage) in sequences.iter().zip(&advantages) {
        let tokens = Tensor::new(&sequence.tokens[..], &Device::Cpu).unwrap();
        let logits = decoder.forward_detached(&tokens.unsqueeze(0).unwrap()).unwrap();
        let logits = logits.squeeze(0).unwrap().to_vec2::<f32>().unwrap();
        for t in sequence.prompt_len..sequence.tokens.len() {
            let row: Vec<f64> = logits[t - 1].iter().map(|l| f64::from(*l) / temperature).collect();
            let top = row.iter().copied().fold(f64::MIN, f64::max);
            let log_sum = top + row.iter().map(|l| (l - top).exp()).sum::<f64>().ln();
            sum += advantage * (row[sequence.tokens[t] as usize] - log_sum);
        }
    }
    -sum / sequences.len() as f64
}

#[test]
fn the_loss_is_equation_12_written_out() {
    let decoder = toy::policy().decoder();
    for temperature in [1.0, 0.7] {
        let (got, _) = gradients(decoder, temperature);
        let expected = plain_loss(decoder, temperature);
        assert!((got - expected).abs() < 1e-3 * expected.abs().max(1.0), "{got} {expected}");
    }
}

#[test]
fn the_gradient_agrees_with_finite_differences() {
    let decoder = toy::policy().decoder().try_clone().unwrap();
    let temperature = 0.8;
    let (_, grads) = gradients(&decoder, temperature);
    let mut rng = Seed::new(4).stream("coordinates");
    for (name, var) in decoder.params().iter() {
        let gradient = grads.get(var).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let original = var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let largest = gradient.iter().map(|g| g.abs()).fold(0.0, f32::max);
        for _ in 0..4 {
            let at = rng.random_range(0..original.len());
            let at_offset = |offset: f32| {
                let mut moved = original.clone();
                moved[at] += offset;
                let moved = Tensor::from_vec(moved, var.dims(), &Device::Cpu).unwrap();
                var.set(&moved).unwrap();
                plain_loss(&decoder, temperature)
            };
            let epsilon = 5e-3;
            let slope = (at_offset(epsilon) - at_offset(-epsilon)) / (2.0 * f64::from(epsilon));
            at_offset(0.0);
            let error = (slope - f64::from(gradient[at])).abs();
            let scale = f64::from(gradient[at].abs()).max(0.05 * f64::from(largest));
            assert!(error < 0.03 * scale + 2e-3, "{name}[{at}]: {slope} {}", gradient[at]);
        }
    }
}

#[test]
fn the_gradient_does_not_depend_on_how_sequences_are_grouped() {
    let decoder = toy::policy().decoder();
    let (few, few_advantages) = cases();
    let repeats = 30;
    let many: Vec<Sequence> = few.iter().cycle().take(repeats * few.len()).cloned().collect();
    let advantages: Vec<f64> = few_advantages.iter().cycle().take(repeats * few.len()).copied().collect();
    let positions: usize = many.iter().map(|s| s.tokens.len()).sum();
    assert!(positions > crate::batch::max_positions(decoder), "needs more than one group");
    let (one, one_grads) = gradients(decoder, 1.0);
    let (all, all_grads) = objective::gradients(decoder, &many, &advantages, 1.0).unwrap();
    assert!((one - all).abs() < 1e-4, "{one} {all}");
    for (name, var) in decoder.params().iter() {
        let (a, b) = (one_grads.get(var).unwrap(), all_grads.get(var).unwrap());
        let worst = (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
        assert!(worst.to_scalar::<f32>().unwrap() < 1e-4, "{name}");
    }
}
