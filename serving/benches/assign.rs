//! Assignment: nanoseconds and allocations per call, for three layers with four experiments each.
#![expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]

use std::hint::black_box;
use std::time::Instant;

use plaudit_event::{ExperimentId, LayerId, UnitId, VariantId};
use plaudit_serving::experiment::{ExperimentConfig, LayerConfig, Plan, PolicyRef, VariantConfig};
use xxhash_rust::xxh3::xxh3_64_with_seed;

const UNITS: usize = 100_000;
const ROUNDS: usize = 20;

fn id<T: TryFrom<String>>(name: String) -> T {
    match T::try_from(name) {
        Ok(id) => id,
        Err(_) => panic!("a valid id"),
    }
}

fn layer(index: usize) -> LayerConfig {
    let variant =
        |name: &str| VariantConfig { id: id::<VariantId>(name.to_owned()), weight: 1.0, policy: PolicyRef::Champion };
    let experiment = |number: usize| ExperimentConfig {
        id: id::<ExperimentId>(format!("experiment-{index}-{number}")),
        capacity: 0.25,
        share: 0.25,
        control: None,
        variants: vec![variant("control"), variant("one"), variant("two")],
    };
    LayerConfig {
        id: id::<LayerId>(format!("layer-{index}")),
        salt: None,
        experiments: (0..4).map(experiment).collect(),
    }
}

/// Best of some rounds, in nanoseconds per call.
fn best(mut round: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        round();
        best = best.min(start.elapsed().as_nanos() as f64 / UNITS as f64);
    }
    best
}

fn main() {
    let layers: Vec<LayerConfig> = (0..3).map(layer).collect();
    let plan = Plan::compile(&layers, None);
    let target: LayerId = id("layer-2".to_owned());
    // UUIDs are what real unit ids look like: 36 bytes.
    let units: Vec<UnitId> = (0..UNITS).map(|i| id(format!("018f6f3e-7c3a-7b1e-9a55-{i:012x}"))).collect();
    let hash = best(|| {
        for unit in &units {
            black_box(xxh3_64_with_seed(black_box(unit.as_str().as_bytes()), 7));
        }
    });
    let one = best(|| {
        for unit in &units {
            black_box(plan.assign(black_box(unit), black_box(&target)));
        }
    });
    let all = best(|| {
        for unit in &units {
            black_box(plan.arms(black_box(unit)).count());
        }
    });
    let allocations = allocation_counter::measure(|| {
        for unit in &units {
            black_box(plan.assign(black_box(unit), black_box(&target)));
        }
    });
    println!("raw hash                {hash:7.1} ns");
    println!("assign, one layer       {one:7.1} ns");
    println!("assign, three layers    {all:7.1} ns");
    println!("allocations per assign  {:7.3}", allocations.count_total as f64 / UNITS as f64);
}
