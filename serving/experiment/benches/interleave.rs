//! How many units it takes to tell which of two rankings is better: interleaving against an A/B test on the same
//! simulated users.
//!
//! `cargo bench -p plaudit-experiment --bench interleave -- --runs 200`
#![expect(clippy::print_stdout, reason = "a table for the reader of the run")]

#[path = "support/simulation.rs"]
mod simulation;

use plaudit_event::{Seed, Stream};
use plaudit_experiment::adaptive::{Goal, WinnerTest};
use plaudit_experiment::interleave::{Credit, Optimised, Preference, credit, team_draft};
use rand::Rng;
use simulation::{median, runs, share};

const ITEMS: usize = 20;
const LENGTH: usize = 10;
const ALPHA: f64 = 0.05;
const MOST_UNITS: u32 = 60_000;

/// A query: how attractive each item is, and both rankings. The second ranking sees less clearly.
struct Query {
    attraction: Vec<f64>,
    rankings: [Vec<usize>; 2],
}

fn query(noise: [f64; 2], rng: &mut Stream) -> Query {
    let attraction: Vec<f64> = (0..ITEMS).map(|_| 0.4 * rng.random::<f64>().powi(3) + 0.01).collect();
    let rankings = noise.map(|noise| {
        let scores: Vec<f64> = attraction.iter().map(|a| a + noise * (rng.random::<f64>() - 0.5)).collect();
        let mut items: Vec<usize> = (0..ITEMS).collect();
        items.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        items.truncate(LENGTH);
        items
    });
    Query { attraction, rankings }
}

/// Places clicked by a user who looks at place k with probability `(k + 1)^−0.7`.
fn clicks(query: &Query, list: &[usize], rng: &mut Stream) -> Vec<usize> {
    let mut is_clicked = |(place, item): (usize, &usize)| {
        let looks = ((place + 1) as f64).powf(-0.7);
        rng.random_bool(looks * query.attraction[*item]).then_some(place)
    };
    list.iter().enumerate().filter_map(&mut is_clicked).collect()
}

#[derive(Clone, Copy)]
enum Method {
    TeamDraft,
    Optimised(Credit),
    /// An A/B test whose reward is any click, or the reciprocal of the first click's place.
    AnyClick,
    FirstClick,
}

const METHODS: [(&str, Method); 5] = [
    ("team draft", Method::TeamDraft),
    ("optimised, linear credit", Method::Optimised(Credit::Linear)),
    ("optimised, reciprocal credit", Method::Optimised(Credit::Reciprocal)),
    ("A/B, any click", Method::AnyClick),
    ("A/B, reciprocal place of first click", Method::FirstClick),
];

/// What one unit says, from −1 to 1 for the first ranking; in an A/B test the arm and the reward.
fn unit(method: Method, noise: [f64; 2], rng: &mut Stream) -> (usize, f64) {
    let query = query(noise, rng);
    match method {
        Method::TeamDraft => {
            let list = team_draft(&query.rankings, LENGTH, rng).expect("rankings in range");
            let wins = credit(&list.teams, 2, &clicks(&query, &list.items, rng));
            (0, (f64::from(wins[0]) - f64::from(wins[1])).clamp(-1.0, 1.0))
        }
        Method::Optimised(credit) => {
            let [first, second] = &query.rankings;
            // Six places: a list is prepared anew for every query here.
            // Where no mixture is unbiased the unit says nothing.
            let Ok(lists) = Optimised::new(first, second, 6, credit) else { return (0, 0.0) };
            let index = lists.draw(rng);
            (0, lists.credit(index, &clicks(&query, lists.list(index), rng)))
        }
        Method::AnyClick | Method::FirstClick => {
            let arm = usize::from(rng.random_bool(0.5));
            let clicked = clicks(&query, &query.rankings[arm], rng);
            let place = clicked.first().map_or(0.0, |place| 1.0 / (place + 1) as f64);
            (arm, if matches!(method, Method::AnyClick) { f64::from(u8::from(place > 0.0)) } else { place })
        }
    }
}

/// Units for 80 % power of a two-sided test at 5 % looked at once, from means and variances of `sample` units;
/// nothing where the difference is within three standard errors of none.
fn fixed_units(method: Method, noise: [f64; 2], sample: u32) -> Option<f64> {
    let mut rng = Seed::new(77).stream("variance");
    let mut sums = [[0.0_f64; 3]; 2];
    for _ in 0..sample {
        let (arm, x) = unit(method, noise, &mut rng);
        for (sum, add) in sums[arm].iter_mut().zip([1.0, x, x * x]) {
            *sum += add;
        }
    }
    let moments = |[n, sum, squares]: [f64; 3]| (sum / n, squares / n - (sum / n).powi(2));
    let (difference, per_unit) = if sums[1][0] > 0.0 {
        let ((a, va), (b, vb)) = (moments(sums[0]), moments(sums[1]));
        (a - b, 2.0 * (va + vb))
    } else {
        moments(sums[0])
    };
    let is_clear = difference.abs() > 3.0 * (per_unit / f64::from(sample)).sqrt();
    is_clear.then(|| (1.959_964_f64 + 0.841_621).powi(2) * per_unit / difference.powi(2))
}

/// The unit at which the watched test decided, and for whom.
fn decide(method: Method, noise: [f64; 2], seed: Seed, most: u32) -> Option<(u32, usize)> {
    let mut rng = seed.stream("units");
    let scale = if matches!(method, Method::Optimised(_)) { 0.25 } else { 1.0 };
    let mut preference = Preference::new(scale).expect("scale in range");
    let mut test = WinnerTest::new(2, Goal::Maximise, ALPHA).expect("settings in range");
    let is_ab = matches!(method, Method::AnyClick | Method::FirstClick);
    for index in 1..=most {
        let (arm, x) = unit(method, noise, &mut rng);
        if is_ab {
            test.observe(arm, x, &[0.5, 0.5]).expect("a unit in range");
        } else {
            preference.observe(x).expect("a unit in range");
        }
        if index % 50 == 0 {
            let winner = if is_ab {
                test.winner()
            } else {
                (preference.p() <= ALPHA).then(|| usize::from(preference.mean().is_some_and(|mean| mean < 0.0)))
            };
            if let Some(winner) = winner {
                return Some((index, winner));
            }
        }
    }
    None
}

fn main() {
    let runs = runs(40);
    println!("{runs} runs; one impression per unit, ten results, at most {MOST_UNITS} units\n");
    println!(
        "| rankings | method | units for 80 % power, one look | median stop when watched | decided right | wrong |"
    );
    println!("|---|---|---|---|---|---|");
    for (name, noise) in [("clearly better", [0.1, 0.5]), ("a little better", [0.1, 0.25])] {
        for (method_name, method) in METHODS {
            let fixed = fixed_units(method, noise, 100_000).map_or("–".into(), |units| format!("{units:.0}"));
            let decisions: Vec<_> = (0..runs).map(|run| decide(method, noise, Seed::new(run), MOST_UNITS)).collect();
            let mut stops: Vec<f64> = decisions
                .iter()
                .map(|decision| decision.map_or(f64::INFINITY, |(units, _)| f64::from(units)))
                .collect();
            let count = |winner| decisions.iter().flatten().filter(|(_, found)| *found == winner).count() as u64;
            let stop =
                median(&mut stops).filter(|stop| stop.is_finite()).map_or("–".into(), |stop| format!("{stop}"));
            println!(
                "| {name} | {method_name} | {fixed} | {stop} | {} | {} |",
                share(count(0), runs),
                share(count(1), runs)
            );
        }
    }
    println!("\n| equal rankings, 5,000 units, watched | false decisions |");
    println!("|---|---|");
    for (name, method) in METHODS {
        let decided = (0..5 * runs).filter(|run| decide(method, [0.25; 2], Seed::new(*run), 5_000).is_some());
        println!("| {name} | {} |", share(decided.count() as u64, 5 * runs));
    }
}
