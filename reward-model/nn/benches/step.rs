//! Time of a training step: `cargo bench -p plaudit-nn --bench step -- THREADS` (1 when not given), or with the
//! feature `cuda` `-- cuda` for the first CUDA device, where `-- cuda profile` makes three steps of MiniLM in bf16 for
//! a profiler of kernels.
//!
//! Forward, backward and AdamW of a decoder (6 layers × 256, next-token cross-entropy) and of MiniLM's shape
//! (6 layers × 384, a binary head on the mean), batches of 16 × 128 tokens. `step_torch.py` beside it does
//! the same in `PyTorch`, for the ratio. Prints µs of processor time of the whole process and of wall time
//! per token; processor time is known on Linux only. On a device it prints examples/s, the share of the arithmetic
//! that a large product of matrices reaches there in the same run, and does larger batches too.

use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use plaudit_event::Seed;
use plaudit_nn::bert::{Bert, Trained, pool};
use plaudit_nn::decoder::{Config, Decoder};
use plaudit_nn::device::Compute;
use plaudit_nn::loss::bce_with_logits;
use plaudit_nn::ops::masked_cross_entropy;
use plaudit_nn::optim::{AdamW, AdamWConfig};
use plaudit_nn::runtime::pinned_pool;
use plaudit_nn::{Activations, Error, Params, Precision, bert, describe, zeros};
use rand::Rng;

const BATCH: usize = 16;
const LEN: usize = 128;
const VOCAB: usize = 1024;
const STEPS: usize = 4;
/// Batches on a device.
const DEVICE_BATCHES: [usize; 3] = [16, 64, 256];
const DEVICE_STEPS: usize = 20;

#[expect(unsafe_code, reason = "the environment is written before any other thread exists")]
fn main() {
    // As the product does: no spinning workers, see `plaudit_nn::runtime`.
    // SAFETY: no other thread reads the environment yet.
    unsafe { std::env::set_var("CANDLE_NUM_THREADS", "1") };
    let threads = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(1);
    let on_device = std::env::args().any(|argument| argument == "cuda");
    let work = move || if on_device { on_cuda() } else { on_cpu(threads) };
    let result = pinned_pool("bench", threads, work).and_then(|handle| handle.join().expect("no panic"));
    if let Err(error) = result {
        panic!("{}", describe(&error));
    }
}

#[expect(clippy::print_stdout, reason = "a benchmark reports to the terminal")]
fn on_cpu(threads: usize) -> Result<(), Error> {
    println!("\n{:<40} {:>14} {:>14}", format!("threads: {threads}"), "CPU µs/token", "wall µs/token");
    let scale = 1e6 / (BATCH * LEN) as f64;
    for case in CASES {
        let cost = case.measure(&Device::Cpu, Precision::F32, BATCH, STEPS)?;
        println!("{:<40} {:>14.1} {:>14.1}", case.name, cost.cpu_seconds * scale, cost.seconds * scale);
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a benchmark reports to the terminal")]
fn on_cuda() -> Result<(), Error> {
    let device = Compute::Cuda(0).open()?;
    println!("\n{}", plaudit_nn::device::name(&device)?);
    if std::env::args().any(|argument| argument == "profile") {
        let cost = CASES[2].measure(&device, Precision::Bf16, 256, 1)?;
        println!("{}: {:.2} ms", CASES[2].name, cost.seconds * 1e3);
        return Ok(());
    }
    let products = [Precision::F32, Precision::Bf16].map(|precision| product_flops(&device, precision));
    let [f32_peak, bf16_peak] = products;
    let (f32_peak, bf16_peak) = (f32_peak?, bf16_peak?);
    println!("product of 8192 × 8192: f32 {:.0}, bf16 {:.0} TFLOP/s", f32_peak * 1e-12, bf16_peak * 1e-12);
    println!(
        "{:<40} {:>5} {:>6} {:>12} {:>9} {:>9} {:>11}",
        "", "", "batch", "examples/s", "ms/step", "TFLOP/s", "of product"
    );
    for case in CASES {
        for (precision, peak) in [(Precision::F32, f32_peak), (Precision::Bf16, bf16_peak)] {
            for batch in DEVICE_BATCHES {
                let cost = case.measure(&device, precision, batch, DEVICE_STEPS)?;
                let flops = case.flops_per_token() * (batch * LEN) as f64 / cost.seconds;
                println!(
                    "{:<40} {:>5} {batch:>6} {:>12.0} {:>9.2} {:>9.1} {:>10.1} %",
                    case.name,
                    if precision == Precision::Bf16 { "bf16" } else { "f32" },
                    batch as f64 / cost.seconds,
                    cost.seconds * 1e3,
                    flops * 1e-12,
                    100.0 * flops / peak
                );
            }
        }
    }
    Ok(())
}

/// What is measured.
struct Case {
    name: &'static str,
    model: Model,
}

#[derive(Clone, Copy)]
enum Model {
    Decoder(Activations),
    Encoder(Trained),
}

const CASES: [Case; 4] = [
    Case { name: "decoder 6 × 256", model: Model::Decoder(Activations::Keep) },
    Case { name: "decoder 6 × 256, recomputed", model: Model::Decoder(Activations::Recompute) },
    Case { name: "MiniLM 6 × 384", model: Model::Encoder(Trained::All) },
    Case { name: "MiniLM 6 × 384, last 2 layers", model: Model::Encoder(Trained::Last(2)) },
];

/// Seconds per step.
struct Cost {
    cpu_seconds: f64,
    seconds: f64,
}

fn decoder_config() -> Config {
    Config { hidden: 256, layers: 6, heads: 8, kv_heads: 8, ffn: 768, ..Config::tiny(VOCAB) }
}

impl Case {
    fn measure(&self, device: &Device, precision: Precision, batch: usize, steps: usize) -> Result<Cost, Error> {
        match self.model {
            Model::Decoder(activations) => decoder(activations, device, precision, batch, steps),
            Model::Encoder(trained) => encoder(trained, device, precision, batch, steps),
        }
    }

    /// Multiplications and additions in products of matrices: 2 per weight forward, 4 backward where the weight is
    /// trained; the scores and their use in attention likewise. What is recomputed does not count.
    fn flops_per_token(&self) -> f64 {
        let (width, layer, layers, trained, head) = match self.model {
            Model::Decoder(_) => {
                let config = decoder_config();
                let layer = 4 * config.hidden * config.hidden + 3 * config.hidden * config.ffn;
                (config.hidden, layer, config.layers, config.layers, config.hidden * VOCAB)
            }
            Model::Encoder(trained) => {
                let config = bert::Config::minilm();
                let layer = 4 * config.hidden * config.hidden + 2 * config.hidden * config.ffn;
                let count = if let Trained::Last(count) = trained { count } else { config.layers };
                (config.hidden, layer, config.layers, count, 0)
            }
        };
        let attention = 2 * width * LEN;
        let forward = 2 * (layers * (layer + attention) + head);
        let backward = 4 * (trained * (layer + attention) + head);
        (forward + backward) as f64
    }
}

fn decoder(
    activations: Activations,
    device: &Device,
    precision: Precision,
    batch: usize,
    steps: usize,
) -> Result<Cost, Error> {
    let decoder = Decoder::init(&decoder_config(), &mut Seed::new(1).stream("init"))?;
    let decoder = decoder.to_device(device)?.with_precision(precision)?;
    let mut optimiser = AdamW::new(decoder.params(), AdamWConfig::default(), &[])?;
    let tokens = random_tokens(VOCAB, batch, device)?;
    let mask = Tensor::ones((batch, LEN - 1), DType::F32, device)?;
    measure(device, steps, || {
        let loss = |hidden: &Tensor| Ok(masked_cross_entropy(&decoder.logprobs_of(hidden, &tokens, 1.0)?, &mask)?);
        let (_, grads) = decoder.backward(&tokens, activations, loss)?;
        optimiser.step(&grads, 1.0)
    })
}

fn encoder(trained: Trained, device: &Device, precision: Precision, batch: usize, steps: usize) -> Result<Cost, Error> {
    let config = bert::Config::minilm();
    let encoder = Bert::init(&config, &mut Seed::new(1).stream("init"))?.to_device(device)?;
    let encoder = encoder.with_trained(trained)?.with_precision(precision)?;
    let prefixes = encoder.trained_prefixes();
    let mut head = Params::new();
    head.insert("head.weight", &zeros((config.hidden, 1), device)?)?;
    let mut params = head.clone();
    let weights = encoder.params().iter().filter(|(name, _)| prefixes.iter().any(|prefix| name.starts_with(prefix)));
    for (name, var) in weights {
        params.share(name, var);
    }
    let mut optimiser = AdamW::new(&params, AdamWConfig::default(), &[])?;
    let tokens = random_tokens(config.vocab_size, batch, device)?;
    let labels: Vec<f32> = (0..batch).map(|index| (index % 2) as f32).collect();
    let labels = Tensor::from_vec(labels, (batch, 1), device)?;
    let lengths = vec![LEN; batch];
    measure(device, steps, || {
        let loss = |hidden: &Tensor| {
            let logits = pool::mean(hidden, &lengths)?.matmul(head.get("head.weight")?)?;
            bce_with_logits(&logits, &labels, &labels.ones_like()?)
        };
        let (_, grads) = encoder.backward(&tokens, &lengths, Activations::Keep, loss)?;
        optimiser.step(&grads, 1.0)
    })
}

/// Processor and wall time of a step, after two to warm up.
fn measure(device: &Device, steps: usize, mut step: impl FnMut() -> Result<(), Error>) -> Result<Cost, Error> {
    step()?;
    step()?;
    device.synchronize()?;
    let (start, cpu_start) = (Instant::now(), cpu_seconds());
    for _ in 0..steps {
        step()?;
    }
    device.synchronize()?;
    let per_step = 1.0 / steps as f64;
    Ok(Cost { cpu_seconds: (cpu_seconds() - cpu_start) * per_step, seconds: start.elapsed().as_secs_f64() * per_step })
}

/// What a product of large matrices reaches, in operations per second.
fn product_flops(device: &Device, precision: Precision) -> Result<f64, Error> {
    const SIDE: usize = 8192;
    let dtype = if precision == Precision::Bf16 { DType::BF16 } else { DType::F32 };
    let mut stream = Seed::new(4).stream("product");
    let row = plaudit_nn::normal((1, SIDE), 1.0, &mut stream, device)?;
    let square = row.broadcast_as((SIDE, SIDE))?.to_dtype(dtype)?.contiguous()?;
    let cost = measure(device, 10, || {
        square.matmul(&square)?;
        Ok(())
    })?;
    Ok(2.0 * (SIDE as f64).powi(3) / cost.seconds)
}

/// Processor time of all threads of this process; not a number where the system does not tell.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: Vec<f64> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    // User and system time in hundredths of a second.
    if ticks.len() == 2 { (ticks[0] + ticks[1]) * 0.01 } else { f64::NAN }
}

fn random_tokens(vocab_size: usize, batch: usize, device: &Device) -> Result<Tensor, Error> {
    let mut stream = Seed::new(3).stream("tokens");
    let tokens: Vec<u32> = (0..batch * LEN).map(|_| stream.random_range(0..vocab_size as u32)).collect();
    Ok(Tensor::from_vec(tokens, (batch, LEN), device)?)
}
