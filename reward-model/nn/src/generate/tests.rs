use candle_core::{Device, Tensor};
use plaudit_event::Seed;
use rand::Rng;

use super::*;
use crate::decoder::Config;

/// head_dim 24 is no multiple of the vector length.
fn decoder(tied: bool) -> Arc<Decoder> {
    let config = Config {
        hidden: 96,
        layers: 3,
        heads: 4,
        kv_heads: 2,
        ffn: 50,
        rope_theta: 10_000.0,
        max_positions: 300,
        norm_eps: 1e-5,
        tied,
        ..Config::tiny(61)
    };
    let decoder = Decoder::init(&config, &mut Seed::new(8).stream("init")).unwrap();
    for (_, var) in decoder.params().iter() {
        if var.rank() == 2 {
            var.set(&(var.as_tensor() * 4.0).unwrap()).unwrap();
        }
    }
    Arc::new(decoder)
}

fn recompute(decoder: &Arc<Decoder>, slots: usize) -> Generator {
    let backend = Backend::Recompute(Recompute::new(Arc::clone(decoder)));
    Generator::with_backend(decoder, backend, slots).unwrap()
}

fn request(index: u64, prompt_len: usize, max_new_tokens: usize) -> Request {
    let seed = Seed::new(99).derive("request", index);
    let mut stream = seed.stream("prompt");
    Request {
        prompt: (0..prompt_len).map(|_| stream.random_range(1..61)).collect(),
        max_new_tokens,
        temperature: 1.0,
        stop: 0,
        seed,
    }
}

fn ragged(count: u64) -> Vec<Request> {
    (0..count).map(|i| request(i, 1 + (i as usize * 5) % 19, 4 + (i as usize * 3) % 11)).collect()
}

#[track_caller]
fn assert_same(a: &Output, b: &Output) {
    assert_eq!(a.tokens, b.tokens);
    assert_eq!(a.finish, b.finish);
    for (a, b) in a.logprobs.iter().zip(&b.logprobs) {
        assert!((a - b).abs() < 1e-4, "logprobs {a} and {b}");
    }
}

#[test]
fn cached_logits_equal_those_of_the_decoder() {
    for tied in [true, false] {
        let decoder = decoder(tied);
        let mut packed = PackedDecoder::new(&decoder, 3).unwrap();
        // The second prompt is longer than one pass; slots are used out of order and again.
        let mut sequences: Vec<Vec<u32>> = [3, 280, 17].map(|len| request(len as u64, len, 1).prompt).to_vec();
        for round in 0..2 {
            for slot in [2, 0, 1] {
                packed.open(slot, 290);
            }
            let mut seen = [0; 3];
            for step in 0..4 {
                let views: Vec<Sequence<'_>> =
                    (0..3).map(|slot| Sequence { slot, tokens: &sequences[slot], seen: seen[slot] }).collect();
                let got = packed.next_logits(&views);
                for (tokens, got) in sequences.iter().zip(got.chunks_exact(61)) {
                    let input = Tensor::new(&**tokens, &Device::Cpu).unwrap();
                    let all = decoder.forward(&input.unsqueeze(0).unwrap()).unwrap();
                    let expected = all.get(0).unwrap().get(tokens.len() - 1).unwrap();
                    for (a, b) in got.iter().zip(expected.to_vec1::<f32>().unwrap()) {
                        assert!((a - b).abs() < 1e-4, "round {round} step {step}: {a} and {b}");
                    }
                }
                for (tokens, seen) in sequences.iter_mut().zip(&mut seen) {
                    *seen = tokens.len();
                    tokens.push((step * 7 + tokens.len() as u32) % 61);
                }
            }
        }
    }
}

#[test]
fn outputs_do_not_depend_on_the_other_requests() {
    let decoder = decoder(true);
    let requests = ragged(23);
    let together = Generator::new(Arc::clone(&decoder), 32).unwrap().run(requests.clone()).unwrap();
    let few_slots = Generator::new(Arc::clone(&decoder), 3).unwrap().run(requests.clone()).unwrap();
    let reference = recompute(&decoder, 5).run(requests.clone()).unwrap();
    let mut alone = Generator::new(Arc::clone(&decoder), 1).unwrap();
    let mut stopped = 0;
    for (index, request) in requests.into_iter().enumerate() {
        let output = &alone.run(vec![request.clone()]).unwrap()[0];
        assert_same(&together[index], output);
        assert_same(&few_slots[index], output);
        assert_same(&reference[index], output);
        match output.finish {
            Finish::Stop => {
                stopped += 1;
                assert_eq!(output.tokens.last(), Some(&0));
            }
            Finish::Length => assert_eq!(output.tokens.len(), request.max_new_tokens),
        }
    }
    assert!((1..23).contains(&stopped), "{stopped} of 23 stopped");
}

#[test]
fn logprobs_are_those_of_the_decoder_at_the_same_temperature() {
    let decoder = decoder(true);
    let mut generator = Generator::new(Arc::clone(&decoder), 4).unwrap();
    let mut requests = ragged(6);
    for request in &mut requests {
        request.temperature = 0.7;
    }
    let outputs = generator.run(requests.clone()).unwrap();
    for (request, output) in requests.iter().zip(&outputs) {
        let tokens = [request.prompt.clone(), output.tokens.clone()].concat();
        let tokens = Tensor::new(&*tokens, &Device::Cpu).unwrap();
        let expected = decoder.token_logprobs(&tokens.unsqueeze(0).unwrap(), 0.7);
        let expected = expected.unwrap().get(0).unwrap().to_vec1::<f32>().unwrap();
        let expected = &expected[request.prompt.len() - 1..];
        assert_eq!(expected.len(), output.logprobs.len());
        for (a, b) in output.logprobs.iter().zip(expected) {
            assert!((a - b).abs() < 1e-4, "logprobs {a} and {b}");
        }
    }
}

#[test]
fn temperature_zero_follows_the_largest_logit() {
    let decoder = decoder(true);
    let mut greedy = request(1, 4, 8);
    greedy.temperature = 0.0;
    let mut generator = Generator::new(Arc::clone(&decoder), 2).unwrap();
    let output = generator.run(vec![greedy.clone()]).unwrap().remove(0);
    assert!(output.logprobs.iter().all(|&logprob| logprob == 0.0));
    let mut tokens = greedy.prompt;
    for &token in &output.tokens {
        let input = Tensor::new(&*tokens, &Device::Cpu).unwrap();
        let logits = decoder.forward(&input.unsqueeze(0).unwrap()).unwrap();
        let logits = logits.get(0).unwrap().get(tokens.len() - 1).unwrap();
        let best = logits.argmax(0).unwrap().to_scalar::<u32>().unwrap();
        assert_eq!(token, best);
        tokens.push(token);
    }
}

#[test]
fn weights_that_are_not_numbers_show_in_the_logprobs() {
    for value in [f32::NAN, f32::INFINITY] {
        let decoder = decoder(true);
        let norm = decoder.params().get("model.norm.weight").unwrap();
        norm.set(&Tensor::full(value, norm.dims(), &Device::Cpu).unwrap()).unwrap();
        for mut generator in [Generator::new(Arc::clone(&decoder), 1).unwrap(), recompute(&decoder, 1)] {
            for temperature in [0.0, 1.0] {
                let request = Request { temperature, ..request(1, 4, 3) };
                let output = generator.run(vec![request]).unwrap().remove(0);
                assert!(output.logprobs.iter().all(|logprob| logprob.is_nan()), "{temperature}: {output:?}");
            }
        }
    }
}

#[test]
fn requests_join_and_leave_between_steps() {
    let decoder = decoder(true);
    let mut generator = Generator::new(Arc::clone(&decoder), 2).unwrap();
    let mut alone = Generator::new(decoder, 1).unwrap();
    let mut long = request(40, 6, 9);
    long.stop = 1_000; // never generated
    let expected = alone.run(vec![long.clone()]).unwrap().remove(0);

    assert!(generator.step().unwrap().is_empty());
    generator.admit(1, request(41, 3, 30)).unwrap();
    generator.step().unwrap();
    generator.admit(2, long).unwrap();
    assert_eq!(generator.active(), 2);
    let refused = generator.admit(3, request(42, 3, 3)).unwrap_err();
    assert!(matches!(refused, AdmitError::Full { slots: 2 }));
    let mut tokens = Vec::new();
    let mut finished = None;
    for step in 0..9 {
        if step == 4 {
            generator.cancel(1);
            generator.admit(3, request(42, 11, 3)).unwrap();
        }
        for step in generator.step().unwrap() {
            if step.id == 2 {
                tokens.push(step.token);
                finished = step.finished;
            }
        }
    }
    assert_eq!(tokens, expected.tokens);
    assert_eq!(finished, Some(Finish::Length));
    assert!(!generator.cancel(2), "a finished request is gone");
    assert_eq!(generator.active(), 0);
}

#[test]
fn positions_of_the_model_end_a_request() {
    let decoder = decoder(true);
    for mut generator in [Generator::new(Arc::clone(&decoder), 1).unwrap(), recompute(&decoder, 1)] {
        let mut request = request(1, 297, 100);
        request.stop = 1_000;
        let output = generator.run(vec![request]).unwrap().remove(0);
        assert_eq!(output.tokens.len(), 3);
        assert_eq!(output.finish, Finish::Length);
    }
}

#[test]
fn requests_outside_the_limits_are_refused() {
    let mut generator = Generator::new(decoder(true), 2).unwrap();
    let valid = request(1, 3, 3);
    type Change = fn(&mut Request);
    let cases: [(&str, Change); 6] = [
        ("prompt", |r| r.prompt.clear()),
        ("prompt", |r| r.prompt = vec![1; 300]),
        ("prompt", |r| r.prompt[1] = 61),
        ("max_new_tokens", |r| r.max_new_tokens = 0),
        ("temperature", |r| r.temperature = -0.1),
        ("temperature", |r| r.temperature = f32::NAN),
    ];
    for (field, change) in cases {
        let mut request = valid.clone();
        change(&mut request);
        let error = generator.admit(1, request).unwrap_err().to_string();
        assert!(error.starts_with(&format!("`{field}`")), "{error}");
    }
    generator.admit(1, valid.clone()).unwrap();
    let twice = generator.admit(1, valid.clone()).unwrap_err();
    assert_eq!(twice.to_string(), "`id` 1 is under way already");
    assert!(generator.run(vec![valid]).is_err(), "not idle");
    assert!(Generator::new(decoder(true), 0).is_err());
}
