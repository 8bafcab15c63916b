//! False alarms of watched A/A tests, and the time real differences take, of the defaults and of their peers.
//!
//! `cargo bench -p plaudit-experiment --bench aa -- --tests 10000 --peeks 1000`
//!
//! All methods see the same simulated data. Alpha is 5 %.
#![expect(clippy::print_stdout, reason = "a benchmark reports to the terminal")]

#[path = "aa/methods.rs"]
mod methods;
#[path = "aa/null.rs"]
mod null;
#[path = "aa/power.rs"]
mod power;
#[path = "aa/sampler.rs"]
mod sampler;
#[path = "aa/skewed.rs"]
mod skewed;

use std::time::Instant;

/// Level of all tests.
const ALPHA: f64 = 0.05;

fn argument(name: &str, default: u64) -> u64 {
    let mut arguments = std::env::args().skip_while(|argument| argument != name).skip(1);
    arguments.next().map_or(default, |value| value.parse().expect("a number follows the flag"))
}

/// Runs `tests` simulations on all cores; the result does not depend on their number.
fn in_parallel<T: Send>(tests: u64, one: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let one = &one;
    let mut parts: Vec<Vec<(u64, T)>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores)
            .map(|core| {
                scope.spawn(move || (0..tests).filter(|t| t % cores == core).map(|t| (t, one(t))).collect::<Vec<_>>())
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("a worker does not panic")).collect()
    });
    let mut all: Vec<(u64, T)> = parts.drain(..).flatten().collect();
    all.sort_by_key(|(test, _)| *test);
    all.into_iter().map(|(_, result)| result).collect()
}

/// A share in percent with its 95 % Wilson interval.
fn percent(hits: u64, of: u64) -> String {
    let (n, p, z) = (of as f64, hits as f64 / of as f64, 1.96_f64);
    let centre = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let margin = z / (1.0 + z * z / n) * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    format!("{:.1} ({:.1}–{:.1})", 100.0 * p, 100.0 * (centre - margin).max(0.0), 100.0 * (centre + margin))
}

/// Seconds since a start, by the clock and of all threads' work: on a loaded machine they differ.
struct Spent(Instant, Option<f64>);

impl Spent {
    fn start() -> Self {
        Self(Instant::now(), processor_seconds())
    }

    fn print(&self) -> String {
        let worked = processor_seconds().zip(self.1).map(|(now, then)| format!(", {:.1} s of processor", now - then));
        format!("{:.1} s{}", self.0.elapsed().as_secs_f64(), worked.unwrap_or_default())
    }
}

/// What Linux counts for the process, in hundredths; nothing elsewhere.
fn processor_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(ticks as f64 / 100.0)
}

fn main() {
    let (tests, peeks) = (argument("--tests", 10_000), argument("--peeks", 1000));
    let spent = Spent::start();
    let worst = null::table(tests, peeks);
    println!("\nworst cell of the default: {worst:.1} %, {}\n", spent.print());
    let spent = Spent::start();
    skewed::table((tests / 10).max(1), (peeks / 10).max(1));
    println!("\n{}\n", spent.print());
    let spent = Spent::start();
    power::table(tests);
    println!("\n{}", spent.print());
    assert!(worst <= 100.0 * ALPHA, "the default must keep its level in each cell");
}
