//! Where the time of the learner goes: `cargo bench -p plaudit-policy --bench learner`.
//!
//! One thread, a decoder of the demo's shape with random weights (its speed does not depend on them), 16
//! prompts × 4 responses of 20 tokens per step. Also the cost of exact propensities for selection.

use std::sync::Arc;
use std::time::Instant;

use candle_core::DType;
use plaudit_event::{Context, Objective, Seed};
use plaudit_experiment::adaptive::{Beta, beta_best};
use plaudit_nn::decoder::{Config, Decoder};
use plaudit_nn::runtime::pinned_pool;
use plaudit_nn::tokenizer::Tokenizer;
use plaudit_policy::crpg::{self, Learner, StepReport};
use plaudit_policy::generate::{GeneratePolicy, Lineage, Sampling};
use plaudit_policy::judge::{self, Judges};
use plaudit_reward_model::{RewardModel, Row, Scores};

const STEPS: usize = 12;
const WORDS: [&str; 12] =
    ["how", "long", "should", "the", "bread", "rise", "before", "it", "goes", "into", "hot", "oven"];

#[expect(unsafe_code, reason = "the environment is written before any other thread exists")]
fn main() {
    // As the product does: no spinning workers, see `plaudit_nn::runtime`.
    // SAFETY: no other thread reads the environment yet.
    unsafe { std::env::set_var("CANDLE_NUM_THREADS", "1") };
    let reports =
        pinned_pool("bench", 1, learn).and_then(|handle| handle.join().expect("the benchmark does not panic"));
    match reports {
        Ok(reports) => print(&reports, &propensities()),
        Err(error) => panic!("{error}"),
    }
}

/// Rewards long words; as cheap as can be, so that the learner itself is measured.
struct LongWords(Arc<[Objective]>);

impl RewardModel for LongWords {
    fn objectives(&self) -> &[Objective] {
        &self.0
    }

    fn score(&self, rows: &[Row<'_>]) -> Result<Vec<Scores>, plaudit_reward_model::Error> {
        let score = |row: &Row<'_>| {
            let letters = row.response.chars().filter(|c| c.is_alphabetic()).count();
            Scores::new(Arc::clone(&self.0), vec![Some(letters as f64 / 50.0 - 2.0)])
        };
        Ok(rows.iter().map(score).collect())
    }
}

fn learn() -> Result<Vec<(StepReport, f64)>, plaudit_nn::Error> {
    let seed = Seed::new(1);
    let texts: Vec<String> = (0..2_000).map(sentence).collect();
    let tokenizer = Tokenizer::train(&texts, 1024)?;
    let decoder = Decoder::init(&Config::tiny(1024), &mut seed.stream("init"))?;
    let sampling = Sampling { temperature: 1.0, max_new_tokens: 20 };
    let lineage = Lineage::default();
    let policy = GeneratePolicy::from_parts(decoder, Arc::new(tokenizer), sampling, &lineage, DType::F32)
        .expect("the parts fit");
    let reward = Arc::new(LongWords([Objective::new(Objective::LOVE)].into()));
    let judges = Judges::new(&judge::Config::default());
    let mut learner = Learner::new(crpg::Config::default(), &policy, reward, judges, seed).expect("valid settings");
    let prompts: Vec<Context> = texts.into_iter().map(Context::of_user).collect();
    let mut timed = Vec::new();
    for batch in prompts.chunks(16).take(STEPS) {
        let before = thread_cpu_seconds();
        let report = learner.step(batch).expect("a step");
        timed.push((report, thread_cpu_seconds() - before));
    }
    Ok(timed)
}

/// Processor time of this thread so far, which other work on the machine does not stretch; NaN where the system
/// does not tell.
fn thread_cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = stat.split_whitespace().next().and_then(|text| text.parse::<u64>().ok());
    nanos.map_or(f64::NAN, |nanos| nanos as f64 * 1e-9)
}

fn sentence(index: usize) -> String {
    let words: Vec<&str> = (0..9).map(|at| WORDS[(index * 7 + at * (1 + index % 5)) % WORDS.len()]).collect();
    words.join(" ")
}

/// Microseconds to compute exact propensities, by number of candidates.
fn propensities() -> Vec<(u32, f64)> {
    let mut rows = Vec::new();
    for count in [2, 5, 20, 100] {
        let arm = |i: u32| Beta { a: 3.0 + f64::from(i * 5 % 17), b: 60.0 + f64::from(i * 31 % 400) };
        let arms: Vec<Beta> = (0..count).map(arm).collect();
        let repeats = 2_000 / count;
        let start = Instant::now();
        for _ in 0..repeats {
            std::hint::black_box(beta_best(std::hint::black_box(&arms)));
        }
        rows.push((count, start.elapsed().as_secs_f64() * 1e6 / f64::from(repeats)));
    }
    rows
}

#[expect(clippy::print_stdout, reason = "a benchmark reports to the terminal")]
fn print(steps: &[(StepReport, f64)], propensities: &[(u32, f64)]) {
    let median = |of: fn(&(StepReport, f64)) -> f64| {
        // The first steps pay for cold caches.
        let mut values: Vec<f64> = steps.iter().skip(2).map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    println!("\n{:<44} {:>10}", "learner step, 16 × 4 responses, 1 thread", "seconds");
    println!("{:<44} {:>10.3}", "generate (responses and baseline answers)", median(|(r, _)| r.seconds.generate));
    println!("{:<44} {:>10.3}", "reward and judges", median(|(r, _)| r.seconds.reward));
    println!("{:<44} {:>10.3}", "update (reference, forward, backward, step)", median(|(r, _)| r.seconds.update));
    println!("{:<44} {:>10.3}", "processor time of the whole step", median(|(_, cpu)| *cpu));
    println!("\n{:<44} {:>10}", "exact propensities", "µs");
    for (count, micros) in propensities {
        println!("{:<44} {micros:>10.1}", format!("{count} candidates"));
    }
}
