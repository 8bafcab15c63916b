//! A/A tests of a reaction: split × base rate × kind of traffic.

use plaudit_event::Seed;
use plaudit_experiment::stats::Votes;
use rand::Rng;

use super::methods::{Arm, Exact, sequential_threshold, z_squared};
use super::sampler::Binomial;
use super::{in_parallel, percent};

/// Exposures of a unit in clustered traffic.
const EXPOSURES: u64 = 5;
/// Steps of the ramp, as shares of the final split.
const RAMP: [f64; 4] = [0.02, 0.1, 0.4, 1.0];
/// Steps of the drifting base rate, from half to one and a half times.
const DRIFT: usize = 20;
/// Peers look only once both arms have this many reactions: earlier looks would double their false alarms.
const FEWEST: f64 = 5.0;
/// What gbstats is tuned to.
const HORIZON: f64 = 5000.0;

#[derive(Clone, Copy, PartialEq)]
enum Traffic {
    Independent,
    Clustered,
    Drifting,
    Ramped,
}

/// Rejections: default, gbstats sequential, default without strata, t test.
type Rejections = [bool; 4];

struct Cell {
    traffic: Traffic,
    block: u64,
    peeks: u64,
    /// Probability that a unit reacts at all, by step of the drift.
    reacts: Vec<Binomial>,
    /// Probability of treatment, by step of the ramp.
    assigned: Vec<(f64, Binomial)>,
    /// Whether a unit that reacts at least k times stays at k, for k = 1, 2, ...
    repeats: Vec<Binomial>,
    default: Exact,
    thresholds: Vec<f64>,
}

/// Units whose rate is a quarter, or two and a half times the mean: (share, factor).
const KINDS: [(f64, f64); 2] = [(2.0 / 3.0, 0.25), (1.0 / 3.0, 2.5)];

fn repeats(rate: f64) -> Vec<f64> {
    let mass = |k: u64| -> f64 {
        let choose: f64 = (0..k).map(|i| (EXPOSURES - i) as f64 / (i + 1) as f64).product();
        let of = |p: f64| choose * p.powf(k as f64) * (1.0 - p).powf((EXPOSURES - k) as f64);
        KINDS.iter().map(|(share, factor)| share * of(rate * factor)).sum()
    };
    (0..=EXPOSURES).map(mass).collect()
}

impl Cell {
    fn new(traffic: Traffic, share: f64, rate: f64, peeks: u64) -> Self {
        let units: u64 = if rate < 0.01 { 40_000 } else { 20_000 };
        let block = (units / peeks).max(1);
        let size = usize::try_from(block).expect("a small block");
        let masses = repeats(rate);
        let any = 1.0 - masses[0];
        let steps = if matches!(traffic, Traffic::Drifting | Traffic::Ramped) { DRIFT } else { 1 };
        let factor = |step: usize| if steps == 1 { 1.0 } else { 0.5 + step as f64 / (steps - 1) as f64 };
        let base = if traffic == Traffic::Clustered { any } else { rate };
        let shares: Vec<f64> =
            if traffic == Traffic::Ramped { RAMP.map(|step| step * share).to_vec() } else { vec![share] };
        Self {
            traffic,
            block,
            peeks,
            reacts: (0..steps).map(|step| Binomial::new(size, base * factor(step))).collect(),
            assigned: shares.into_iter().map(|share| (share, Binomial::new(size, share))).collect(),
            repeats: (1..masses.len() - 1)
                .map(|k| Binomial::new(size, masses[k] / masses[k..].iter().sum::<f64>()))
                .collect(),
            default: Exact::new(usize::try_from(units).expect("a count"), share),
            thresholds: (1..=peeks).map(|peek| sequential_threshold((peek * block) as f64, HORIZON)).collect(),
        }
    }

    /// Adds `votes` units that react among `units`; per unit, and per exposure for the t test.
    fn add(&self, (arm, naive): (&mut Arm, &mut Arm), (units, votes): (u64, u64), rng: &mut impl Rng) {
        arm.n += units as f64;
        if self.traffic != Traffic::Clustered {
            arm.sum += votes as f64;
            arm.squares += votes as f64;
            *naive = *arm;
            return;
        }
        naive.n += (units * EXPOSURES) as f64;
        let mut left = votes;
        for times in 1..=EXPOSURES {
            // What is left after the last but one reacts every time.
            let stays = self.repeats.get(times as usize - 1);
            let count = stays.map_or(left, |stays| stays.draw(left, rng));
            left -= count;
            let (times, count) = (times as f64, count as f64);
            arm.sum += times * count;
            arm.squares += times * times * count;
            naive.sum += times * count;
            naive.squares += times * times * count;
        }
    }

    fn run(&self, test: u64) -> Rejections {
        let mut rng = Seed::new(test).stream("a/a");
        let mut strata: Vec<Votes> =
            self.assigned.iter().map(|(share, _)| Votes { share: *share, treatment: 0, control: 0 }).collect();
        let (mut arms, mut naive) = ([Arm::default(); 2], [Arm::default(); 2]);
        let mut rejected = [false; 4];
        let (mut past, mut bound, mut last) = (0.0, 0.0, 0);
        for peek in 0..self.peeks {
            let progress = |steps: usize| usize::try_from(peek * steps as u64 / self.peeks).expect("a step");
            let phase = progress(self.assigned.len());
            let reacts = &self.reacts[progress(self.reacts.len())];
            let in_treatment = self.assigned[phase].1.draw(self.block, &mut rng);
            let units = [self.block - in_treatment, in_treatment];
            if phase != last {
                (past, bound, last) = (past + bound, 0.0, phase);
            }
            let mut changed = 0;
            for arm in [0, 1] {
                let votes = reacts.draw(units[arm], &mut rng);
                self.add((&mut arms[arm], &mut naive[arm]), (units[arm], votes), &mut rng);
                let side = if arm == 1 { &mut strata[phase].treatment } else { &mut strata[phase].control };
                *side += votes;
                changed += votes;
            }
            // Without a reaction the default stands where it stood.
            if changed > 0 && !rejected[0] {
                bound = self.default.bound(&strata[phase]);
                rejected[0] = self.default.rejects(&strata, past + bound);
            }
            if arms.iter().any(|arm| arm.sum < FEWEST) {
                continue;
            }
            let place = usize::try_from(peek).expect("a peek");
            if rejected[1] && rejected[3] {
                continue;
            }
            let z = z_squared(&arms[1], &arms[0]);
            rejected[1] = rejected[1] || z > self.thresholds[place];
            if strata.len() > 1 && !rejected[2] && arms[1].n > 0.0 {
                let sum = |side: fn(&Votes) -> u64| strata.iter().map(side).sum();
                let share = arms[1].n / (arms[0].n + arms[1].n);
                let pooled = Votes { share, treatment: sum(|v| v.treatment), control: sum(|v| v.control) };
                rejected[2] = self.default.rejects(&[pooled], self.default.bound(&pooled));
            }
            let naive_z = if self.traffic == Traffic::Clustered { z_squared(&naive[1], &naive[0]) } else { z };
            rejected[3] = rejected[3] || naive_z > 1.96 * 1.96;
        }
        rejected
    }
}

/// Prints the table and returns the worst cell of the default in percent.
pub(crate) fn table(tests: u64, peeks: u64) -> f64 {
    println!("{tests} A/A tests with {peeks} looks, rejected in percent (95 % interval)\n");
    println!(
        "| traffic | split | base rate | default | gbstats sequential | default without strata | t test at each look |"
    );
    println!("|---|---|---|---|---|---|---|");
    let kinds = [
        ("independent", Traffic::Independent),
        ("clustered", Traffic::Clustered),
        ("drifting rate", Traffic::Drifting),
        ("ramp 2→10→40→100 % of the split, rising rate", Traffic::Ramped),
    ];
    let mut worst: f64 = 0.0;
    for (name, traffic) in kinds {
        for (split, share) in [("50/50", 0.5), ("5/95", 0.05), ("1/99", 0.01)] {
            for rate in [0.005, 0.02, 0.2] {
                let cell = Cell::new(traffic, share, rate, peeks);
                let results = in_parallel(tests, |test| cell.run(test));
                let hits = |method: usize| results.iter().filter(|rejected| rejected[method]).count() as u64;
                worst = worst.max(100.0 * hits(0) as f64 / tests as f64);
                let pooled = if traffic == Traffic::Ramped { percent(hits(2), tests) } else { "–".into() };
                let cells = [percent(hits(0), tests), percent(hits(1), tests), pooled, percent(hits(3), tests)];
                println!("| {name} | {split} | {rate} | {} |", cells.join(" | "));
            }
        }
    }
    worst
}
