//! Simulated reactions that depend on who is asked, or do not.

use plaudit_event::{Seed, Stream};
use plaudit_experiment::adaptive::{Features, key};
use rand::Rng;

/// Candidates.
pub(crate) const ARMS: usize = 5;
const COUNTRIES: usize = 4;
const DEVICES: usize = 3;

/// How rates come about.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// Log-odds of a reaction on average.
    base: f64,
    /// Spread of what an arm adds whoever is asked, and of what it adds by context, in log-odds.
    arms: f64,
    contexts: f64,
    /// Times that all is drawn anew, at even distances.
    changes: usize,
}

pub(crate) const WORLDS: [Kind; 4] = [
    Kind { name: "by context, ~.2", base: -1.5, arms: 0.3, contexts: 0.8, changes: 0 },
    Kind { name: "by context, ~.03", base: -3.6, arms: 0.3, contexts: 0.8, changes: 0 },
    Kind { name: "by context, changes 3 times", base: -1.5, arms: 0.3, contexts: 0.8, changes: 3 },
    Kind { name: "not by context", base: -1.5, arms: 0.5, contexts: 0.0, changes: 0 },
];

/// Who is asked.
pub(crate) struct Context {
    country: usize,
    device: usize,
    age: f64,
}

/// Per arm: what it adds, by country, by device, by age.
type Arm = (f64, [f64; COUNTRIES], [f64; DEVICES], f64);

pub(crate) struct World {
    base: f64,
    eras: Vec<Vec<Arm>>,
}

/// Sum of twelve uniform numbers less six: normal enough.
fn normal(rng: &mut Stream) -> f64 {
    (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0
}

impl World {
    pub(crate) fn new(kind: &Kind, seed: Seed) -> Self {
        let mut rng = seed.stream("world");
        let mut arm = || {
            let own = kind.arms * normal(&mut rng);
            let mut by = || kind.contexts * normal(&mut rng);
            (own, std::array::from_fn(|_| by()), std::array::from_fn(|_| by()), by())
        };
        let eras = (0..=kind.changes).map(|_| (0..ARMS).map(|_| arm()).collect()).collect();
        Self { base: kind.base, eras }
    }

    pub(crate) fn context(&self, rng: &mut Stream) -> Context {
        Context {
            country: rng.random_range(0..COUNTRIES),
            device: rng.random_range(0..DEVICES),
            age: rng.random_range(-1.0..1.0),
        }
    }

    /// The rate of each arm at `time` in \[0, 1).
    pub(crate) fn rates(&self, context: &Context, time: f64) -> Vec<f64> {
        let era = &self.eras[((time * self.eras.len() as f64) as usize).min(self.eras.len() - 1)];
        era.iter()
            .map(|(own, countries, devices, age)| {
                let by = countries[context.country] + devices[context.device] + age * context.age;
                1.0 / (1.0 + (-(self.base + own + by)).exp())
            })
            .collect()
    }
}

/// What a policy is told, per arm.
pub(crate) fn features(context: &Context) -> Vec<Features> {
    let about = [
        (key("country", Some(&context.country.to_string())), 1.0),
        (key("device", Some(&context.device.to_string())), 1.0),
        (key("age", None), context.age),
    ];
    (0..ARMS).map(|arm| Features::crossed(&about, &[(key("item", Some(&arm.to_string())), 1.0)])).collect()
}
