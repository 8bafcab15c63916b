//! The model of who reacts, as columns.

use plaudit_event::Objective;

use super::tensors::{Reader, Writer};
use crate::Error;
use crate::linear::{Linear, Rates};
use crate::propensity::{Propensity, Shown};

pub(super) fn write(to: &mut Writer, objective: &Objective, propensity: &Propensity) -> Result<(), Error> {
    write_linear(to, &format!("{objective}.text"), &propensity.text)?;
    write_linear(to, &format!("{objective}.own"), &propensity.unit)?;
    to.u64s(&format!("{objective}.unit"), propensity.units.keys().copied())?;
    to.u32s(&format!("{objective}.exposures"), propensity.units.values().map(|shown| shown.exposures))?;
    to.u32s(&format!("{objective}.labelled"), propensity.units.values().map(|shown| shown.labelled))?;
    to.f64s(&format!("{objective}.totals"), propensity.totals.into_iter())
}

/// Fills a new `propensity` with what [`write`] has written.
pub(super) fn read(
    from: &Reader,
    objective: &Objective,
    propensity: &mut Propensity,
    rates: Rates,
) -> Result<(), Error> {
    read_linear(from, &format!("{objective}.text"), &mut propensity.text, rates)?;
    read_linear(from, &format!("{objective}.own"), &mut propensity.unit, rates)?;
    let exposures = from.u32s(&format!("{objective}.exposures"))?;
    let counts = exposures.into_iter().zip(from.u32s(&format!("{objective}.labelled"))?);
    let shown = counts.map(|(exposures, labelled)| Shown { exposures, labelled });
    propensity.units = from.u64s(&format!("{objective}.unit"))?.into_iter().zip(shown).collect();
    propensity.totals = from.exact(from.f64s(&format!("{objective}.totals"))?)?;
    Ok(())
}

fn write_linear(to: &mut Writer, name: &str, linear: &Linear) -> Result<(), Error> {
    let touched = (0..linear.squares.len()).filter(|at| linear.squares[*at] != 0.0 || linear.pulls[*at] != 0.0);
    let touched: Vec<usize> = touched.collect();
    to.f32s(&format!("{name}.pull"), touched.iter().map(|at| linear.pulls[*at]))?;
    to.f32s(&format!("{name}.square"), touched.iter().map(|at| linear.squares[*at]))?;
    to.u32s(&format!("{name}.index"), touched.iter().map(|at| *at as u32))
}

fn read_linear(from: &Reader, name: &str, linear: &mut Linear, rates: Rates) -> Result<(), Error> {
    let pulls = from.f32s(&format!("{name}.pull"))?;
    let squares = from.f32s(&format!("{name}.square"))?;
    for ((index, z), n) in from.u32s(&format!("{name}.index"))?.into_iter().zip(pulls).zip(squares) {
        *from.slot(&mut linear.pulls, index)? = z;
        *from.slot(&mut linear.squares, index)? = n;
        *from.slot(&mut linear.weights, index)? = rates.weight(index as usize, z, n);
    }
    Ok(())
}
