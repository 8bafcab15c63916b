use super::*;
use crate::toy;

#[test]
fn the_loss_falls_and_what_is_learned_can_be_said() {
    let mut measured = Vec::new();
    let mut config = toy::config();
    config.measure_every = 40;
    let policy = run(&toy::pairs(2_000), &config, Seed::new(3), |progress| {
        measured.extend(progress.held_out_loss);
        ControlFlow::Continue(())
    })
    .unwrap();
    let (first, last) = (measured[0], measured[measured.len() - 1]);
    // A colour, a sweetness and a goodbye that cannot be known are about 2.4 nats over some six tokens.
    assert!(last < 0.55 && last < 0.6 * first, "{measured:?}");
    let answers = policy.samples(&toy::prompts(), 20, Seed::new(1)).unwrap();
    let fluent = answers[0].iter().filter(|a| a.text.starts_with("yes it is ")).count();
    assert!(fluent >= 18, "{answers:?}");
    assert!(answers[0].iter().filter(|a| a.finished).count() >= 18);
}

#[test]
fn equal_arguments_give_an_equal_policy() {
    let mut config = toy::config();
    config.num_tokens = 3_000;
    config.threads = 2;
    let make = |seed| run(&toy::pairs(200), &config, Seed::new(seed), |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(make(1).id(), make(1).id());
    assert_ne!(make(1).id(), make(2).id());
}

#[test]
fn threads_sum_to_the_gradient_of_the_whole_batch() {
    let config = toy::config();
    let pairs = toy::pairs(100);
    let tokenizer = toy::policy().tokenizer();
    let corpus = Corpus::new(tokenizer, &pairs, &config, Seed::new(1)).unwrap();
    let decoder = toy::policy().decoder();
    let batch: Vec<usize> = (0..25).collect();
    let of = |threads| Workers::new(threads).unwrap().gradients(decoder, &corpus, &batch, 0.1).unwrap();
    let ((one_loss, one), (three_loss, three)) = (of(1), of(3));
    assert!((one_loss - three_loss).abs() < 1e-5);
    for (name, var) in decoder.params().iter() {
        let (a, b) = (one.get(var).unwrap(), three.get(var).unwrap());
        let worst = (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
        assert!(worst.to_scalar::<f32>().unwrap() < 1e-5, "{name}");
    }
}

#[test]
fn the_caller_can_end_it() {
    let mut steps = 0;
    let policy = run(&toy::pairs(200), &toy::config(), Seed::new(1), |_| {
        steps += 1;
        if steps == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(policy.is_ok());
    assert_eq!(steps, 3);
}

#[test]
fn every_pair_comes_once_per_pass() {
    let mut config = toy::config();
    config.held_out = 10;
    let pairs = toy::pairs(110);
    let corpus = Corpus::new(toy::policy().tokenizer(), &pairs, &config, Seed::new(1)).unwrap();
    let mut batches = Batches::new(&corpus, 128, Seed::new(1));
    let mut seen = Vec::new();
    while seen.len() < 100 {
        seen.extend(batches.next(&corpus));
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..100).collect::<Vec<usize>>());
}

#[test]
fn settings_and_pairs_that_cannot_work_are_refused() {
    let config = Config { heads: 3, threads: 0, lr: f64::NAN, ..Config::default() };
    let text = run(&[], &config, Seed::new(1), |_| ControlFlow::Continue(())).unwrap_err().to_string();
    for key in ["pretrain.threads", "pretrain.lr", "pretrain.model"] {
        assert!(text.contains(key), "{text}");
    }
    let few = run(&toy::pairs(5), &toy::config(), Seed::new(1), |_| ControlFlow::Continue(()));
    assert!(few.unwrap_err().to_string().contains("pairs must be more than 32"));
}
