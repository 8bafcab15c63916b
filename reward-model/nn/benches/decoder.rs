//! Speed of the built-in decoder on one thread: `cargo bench -p plaudit-nn --bench decoder`.
//!
//! Prints tokens per second for generation (prompts of 16 tokens, 32 new ones each) and for training
//! (forward, backward and AdamW), fused and composed, on the shape of the demo. The rate per second
//! of processor time stays comparable on a busy machine; it is known on Linux only.

use std::sync::Arc;
use std::time::Instant;

use candle_core::{Device, Tensor};
use plaudit_event::Seed;
use plaudit_nn::decoder::{Config, Decoder};
use plaudit_nn::generate::{Generator, Request};
use plaudit_nn::ops::{Implementation, masked_cross_entropy};
use plaudit_nn::optim::{AdamW, AdamWConfig};
use plaudit_nn::runtime::pinned_pool;
use rand::Rng;

const VOCAB: usize = 1024;
const PROMPT: usize = 16;
const NEW_TOKENS: usize = 32;

#[expect(unsafe_code, reason = "the environment is written before any other thread exists")]
fn main() {
    // As the product does: no spinning workers, see `plaudit_nn::runtime`.
    // SAFETY: no other thread reads the environment yet.
    unsafe { std::env::set_var("CANDLE_NUM_THREADS", "1") };
    let rows = pinned_pool("bench", 1, run).and_then(|handle| handle.join().expect("the benchmark does not panic"));
    match rows {
        Ok(rows) => print(&rows),
        Err(error) => panic!("{error}"),
    }
}

#[expect(clippy::print_stdout, reason = "a benchmark reports to the terminal")]
fn print(rows: &[(String, Rate)]) {
    println!("\n{:<40} {:>10} {:>16}", "one thread, 1.1 M parameters", "tokens/s", "tokens/CPU-s");
    for (name, rate) in rows {
        println!("{name:<40} {:>10.0} {:>16.0}", rate.per_second, rate.per_cpu_second);
    }
}

/// Tokens per second of wall time and of this thread's processor time.
struct Rate {
    per_second: f64,
    per_cpu_second: f64,
}

struct Stopwatch {
    start: Instant,
    cpu_start: f64,
}

impl Stopwatch {
    fn start() -> Self {
        let cpu_start = thread_cpu_seconds();
        Self { start: Instant::now(), cpu_start }
    }

    fn rate(&self, tokens: usize) -> Rate {
        Rate {
            per_second: tokens as f64 / self.start.elapsed().as_secs_f64(),
            per_cpu_second: tokens as f64 / (thread_cpu_seconds() - self.cpu_start),
        }
    }
}

/// Processor time of this thread; not a number where the system does not tell.
fn thread_cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split_whitespace().next().and_then(|field| field.parse::<f64>().ok());
    nanoseconds.map_or(f64::NAN, |nanoseconds| nanoseconds * 1e-9)
}

fn run() -> Result<Vec<(String, Rate)>, plaudit_nn::Error> {
    let mut rows = Vec::new();
    let decoder = Arc::new(fresh()?);
    for slots in [1, 8, 32, 64] {
        let rate = generation(&decoder, slots)?;
        rows.push((format!("generate, {slots} slots"), rate));
    }
    for (batch, len) in [(16, 128), (64, 40)] {
        for implementation in [Implementation::Fused, Implementation::Composed] {
            let rate = training(implementation, batch, len)?;
            let name = format!("train, {batch} × {len}, {implementation:?}");
            rows.push((name, rate));
        }
        let rate = scoring(&decoder, batch, len)?;
        let name = format!("log-probabilities only, {batch} × {len}");
        rows.push((name, rate));
    }
    Ok(rows)
}

fn fresh() -> Result<Decoder, plaudit_nn::Error> {
    Decoder::init(&Config::tiny(VOCAB), &mut Seed::new(1).stream("init"))
}

/// Generated tokens per second, prompts included in the time.
fn generation(decoder: &Arc<Decoder>, slots: usize) -> Result<Rate, plaudit_nn::Error> {
    let mut generator = Generator::new(Arc::clone(decoder), slots)?;
    let requests: Vec<Request> = (0..slots as u64 * 6)
        .map(|index| {
            let seed = Seed::new(2).derive("request", index);
            let mut stream = seed.stream("prompt");
            Request {
                prompt: (0..PROMPT).map(|_| stream.random_range(0..VOCAB as u32)).collect(),
                max_new_tokens: NEW_TOKENS,
                temperature: 1.0,
                stop: u32::MAX,
                seed,
            }
        })
        .collect();
    generator.run(requests[..slots].to_vec())?;
    let watch = Stopwatch::start();
    let outputs = generator.run(requests)?;
    let tokens: usize = outputs.iter().map(|output| output.tokens.len()).sum();
    Ok(watch.rate(tokens))
}

/// Tokens per second of forward, backward and AdamW.
fn training(implementation: Implementation, batch: usize, len: usize) -> Result<Rate, plaudit_nn::Error> {
    const STEPS: usize = 6;
    let decoder = fresh()?.with_implementation(implementation);
    let mut optimiser = AdamW::new(decoder.params(), AdamWConfig::default(), &[])?;
    let tokens = random_tokens(batch, len)?;
    let mask = Tensor::ones((batch, len - 1), candle_core::DType::F32, &Device::Cpu)?;
    let mut step = || {
        let logprobs = decoder.token_logprobs(&tokens, 1.0)?;
        let grads = masked_cross_entropy(&logprobs, &mask)?.backward()?;
        optimiser.step(&grads, 1.0)
    };
    step()?;
    let watch = Stopwatch::start();
    for _ in 0..STEPS {
        step()?;
    }
    Ok(watch.rate(STEPS * batch * len))
}

/// Tokens per second of log-probabilities without a gradient.
fn scoring(decoder: &Decoder, batch: usize, len: usize) -> Result<Rate, plaudit_nn::Error> {
    const STEPS: usize = 8;
    let tokens = random_tokens(batch, len)?;
    decoder.token_logprobs_detached(&tokens, 1.0)?;
    let watch = Stopwatch::start();
    for _ in 0..STEPS {
        decoder.token_logprobs_detached(&tokens, 1.0)?;
    }
    Ok(watch.rate(STEPS * batch * len))
}

fn random_tokens(batch: usize, len: usize) -> Result<Tensor, plaudit_nn::Error> {
    let mut stream = Seed::new(3).stream("tokens");
    let tokens: Vec<u32> = (0..batch * len).map(|_| stream.random_range(0..VOCAB as u32)).collect();
    Ok(Tensor::from_vec(tokens, (batch, len), &Device::Cpu)?)
}
