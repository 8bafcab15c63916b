//! The counts of the guard, as columns.

use std::collections::BTreeMap;

use super::tensors::{Reader, Writer};
use crate::Error;
use crate::guard::{Counter, Guard, Population, Summary};

pub(super) fn write(guard: &Guard) -> Result<Vec<u8>, Error> {
    let mut to = Writer::default();
    let (population, units) = (&guard.population, &guard.units);
    to.u64s("totals", [guard.clock, population.examples, population.positives].into_iter())?;
    to.u32s("population.feature", population.with.keys().copied())?;
    to.u32s("population.examples", population.with.values().map(|with| with.0))?;
    to.u32s("population.positives", population.with.values().map(|with| with.1))?;
    to.u64s("unit.hash", units.keys().copied())?;
    to.u64s("unit.touched", units.values().map(|unit| unit.touched))?;
    to.u32s("unit.positives", units.values().map(|unit| unit.positives))?;
    to.u32s("unit.counters", units.values().map(|unit| unit.counters.len() as u32))?;
    to.u32s("unit.charges", units.values().map(|unit| unit.charges.len() as u32))?;
    to.u32s("charge.feature", units.values().flat_map(|unit| unit.charges.iter().copied()))?;
    let counters = units.values().flat_map(|unit| &unit.counters);
    let fields = |c: &Counter| [c.feature, c.hits, c.positives, c.with, c.examples];
    to.u32s("counter", counters.flat_map(fields))?;
    to.finish()
}

/// `None` when the columns do not fit together.
pub(super) fn read(from: &Reader) -> Result<Option<Guard>, Error> {
    let features = from.u32s("population.feature")?;
    let counts = from.u32s("population.examples")?.into_iter().zip(from.u32s("population.positives")?);
    let with: BTreeMap<u32, (u32, u32)> = features.into_iter().zip(counts).collect();
    let Ok([clock, examples, positives]) = <[u64; 3]>::try_from(from.u64s("totals")?) else { return Ok(None) };
    let touched = from.u64s("unit.touched")?.into_iter().zip(from.u32s("unit.positives")?);
    let lengths = from.u32s("unit.counters")?.into_iter().zip(from.u32s("unit.charges")?);
    let charges = from.u32s("charge.feature")?;
    let columns = from.u32s("counter")?;
    let (mut charges, mut columns) = (charges.as_slice(), columns.as_slice());
    let mut units = BTreeMap::new();
    for (unit, ((touched, positives), (counters, charged))) in
        from.u64s("unit.hash")?.into_iter().zip(touched.zip(lengths))
    {
        let Some((own, left)) = columns.split_at_checked(5 * counters as usize) else { return Ok(None) };
        let Some((accused, others)) = charges.split_at_checked(charged as usize) else { return Ok(None) };
        (columns, charges) = (left, others);
        let counter = |c: &[u32]| Counter { feature: c[0], hits: c[1], positives: c[2], with: c[3], examples: c[4] };
        let counters = own.chunks_exact(5).map(counter).collect();
        units.insert(unit, Summary { positives, touched, counters, charges: accused.to_vec() });
    }
    Ok(Some(Guard::restore(Population { examples, positives, with }, units, clock)))
}
