//! Time of a training step: `cargo bench -p plaudit-nn --bench step -- THREADS` (1 when not given).
//!
//! Forward, backward and AdamW of a decoder (6 layers × 256, next-token cross-entropy) and of MiniLM's shape
//! (6 layers × 384, a binary head on the mean), batches of 16 × 128 tokens. `step_torch.py` beside it does
//! the same in `PyTorch`, for the ratio. Prints µs of processor time of the whole process and of wall time
//! per token; processor time is known on Linux only.

use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use plaudit_event::Seed;
use plaudit_nn::bert::{Bert, Trained, pool};
use plaudit_nn::decoder::{Config, Decoder};
use plaudit_nn::loss::bce_with_logits;
use plaudit_nn::ops::masked_cross_entropy;
use plaudit_nn::optim::{AdamW, AdamWConfig};
use plaudit_nn::runtime::pinned_pool;
use plaudit_nn::{Activations, Error, Params, bert, zeros};
use rand::Rng;

const BATCH: usize = 16;
const LEN: usize = 128;
const VOCAB: usize = 1024;
const STEPS: usize = 4;

#[expect(unsafe_code, reason = "the environment is written before any other thread exists")]
fn main() {
    // As the product does: no spinning workers, see `plaudit_nn::runtime`.
    // SAFETY: no other thread reads the environment yet.
    unsafe { std::env::set_var("CANDLE_NUM_THREADS", "1") };
    let threads = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(1);
    let rows =
        pinned_pool("bench", threads, run).and_then(|handle| handle.join().expect("the benchmark does not panic"));
    match rows {
        Ok(rows) => print(threads, &rows),
        Err(error) => panic!("{error}"),
    }
}

#[expect(clippy::print_stdout, reason = "a benchmark reports to the terminal")]
fn print(threads: usize, rows: &[(&str, f64, f64)]) {
    println!("\n{:<40} {:>14} {:>14}", format!("threads: {threads}"), "CPU µs/token", "wall µs/token");
    for (name, cpu, wall) in rows {
        println!("{name:<40} {cpu:>14.1} {wall:>14.1}");
    }
}

fn run() -> Result<Vec<(&'static str, f64, f64)>, Error> {
    let mut rows = Vec::new();
    for (name, activations) in
        [("decoder 6 × 256", Activations::Keep), ("decoder 6 × 256, recomputed", Activations::Recompute)]
    {
        let (cpu, wall) = decoder(activations)?;
        rows.push((name, cpu, wall));
    }
    for (name, trained) in [("MiniLM 6 × 384", Trained::All), ("MiniLM 6 × 384, last 2 layers", Trained::Last(2))] {
        let (cpu, wall) = encoder(trained)?;
        rows.push((name, cpu, wall));
    }
    Ok(rows)
}

fn decoder(activations: Activations) -> Result<(f64, f64), Error> {
    let config = Config { hidden: 256, layers: 6, heads: 8, kv_heads: 8, ffn: 768, ..Config::tiny(VOCAB) };
    let decoder = Decoder::init(&config, &mut Seed::new(1).stream("init"))?;
    let mut optimiser = AdamW::new(decoder.params(), AdamWConfig::default(), &[])?;
    let tokens = random_tokens(VOCAB)?;
    let mask = Tensor::ones((BATCH, LEN - 1), DType::F32, &Device::Cpu)?;
    measure(|| {
        let loss = |hidden: &Tensor| Ok(masked_cross_entropy(&decoder.logprobs_of(hidden, &tokens, 1.0)?, &mask)?);
        let (_, grads) = decoder.backward(&tokens, activations, loss)?;
        optimiser.step(&grads, 1.0)
    })
}

fn encoder(trained: Trained) -> Result<(f64, f64), Error> {
    let config = bert::Config::minilm();
    let encoder = Bert::init(&config, &mut Seed::new(1).stream("init"))?.with_trained(trained)?;
    let prefixes = encoder.trained_prefixes();
    let mut head = Params::new();
    head.insert("head.weight", &zeros((config.hidden, 1), &Device::Cpu)?)?;
    let mut params = head.clone();
    let weights = encoder.params().iter().filter(|(name, _)| prefixes.iter().any(|prefix| name.starts_with(prefix)));
    for (name, var) in weights {
        params.share(name, var);
    }
    let mut optimiser = AdamW::new(&params, AdamWConfig::default(), &[])?;
    let tokens = random_tokens(config.vocab_size)?;
    let labels: Vec<f32> = (0..BATCH).map(|index| (index % 2) as f32).collect();
    let labels = Tensor::from_vec(labels, (BATCH, 1), &Device::Cpu)?;
    let lengths = [LEN; BATCH];
    measure(|| {
        let loss = |hidden: &Tensor| {
            let logits = pool::mean(hidden, &lengths)?.matmul(head.get("head.weight")?)?;
            bce_with_logits(&logits, &labels, &labels.ones_like()?)
        };
        let (_, grads) = encoder.backward(&tokens, &lengths, Activations::Keep, loss)?;
        optimiser.step(&grads, 1.0)
    })
}

/// µs of processor and wall time per token, after a step to warm up.
fn measure(mut step: impl FnMut() -> Result<(), Error>) -> Result<(f64, f64), Error> {
    step()?;
    let (start, cpu_start) = (Instant::now(), cpu_seconds());
    for _ in 0..STEPS {
        step()?;
    }
    let per_token = 1e6 / (STEPS * BATCH * LEN) as f64;
    Ok(((cpu_seconds() - cpu_start) * per_token, start.elapsed().as_secs_f64() * per_token))
}

/// Processor time of all threads of this process; not a number where the system does not tell.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: Vec<f64> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    // User and system time in hundredths of a second.
    if ticks.len() == 2 { (ticks[0] + ticks[1]) * 0.01 } else { f64::NAN }
}

fn random_tokens(vocab_size: usize) -> Result<Tensor, Error> {
    let mut stream = Seed::new(3).stream("tokens");
    let tokens: Vec<u32> = (0..BATCH * LEN).map(|_| stream.random_range(0..vocab_size as u32)).collect();
    Ok(Tensor::from_vec(tokens, (BATCH, LEN), &Device::Cpu)?)
}
