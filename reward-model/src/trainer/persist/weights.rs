//! The weights of the heads and the sums they follow from, as columns that hold what has been touched.

use plaudit_event::Objective;

use super::tensors::{Reader, Writer};
use crate::calibration::Calibrator;
use crate::factors::Factors;
use crate::hash_model::FrozenHead;
use crate::learner::{Learner, Network};
use crate::length::LengthHead;
use crate::linear::Rates;
use crate::{Config, Error};

/// Name of member `number` of the ensemble of `objective` in files.
pub(super) fn member_name(objective: &Objective, number: usize) -> String {
    format!("{objective}.member.{number}")
}

/// The learners of a head under their names in files.
pub(super) fn named<'a>(
    objective: &'a Objective,
    learner: &'a Learner,
    members: &'a [Learner],
) -> impl Iterator<Item = (String, &'a Learner)> {
    let members = members.iter().enumerate().map(|(number, member)| (member_name(objective, number), member));
    std::iter::once((objective.0.clone(), learner)).chain(members)
}

pub(super) fn write_weights(to: &mut Writer, name: &str, weights: &[f32]) -> Result<(), Error> {
    let kept = |(index, weight): (usize, &f32)| (*weight != 0.0).then_some(index as u32);
    let indices: Vec<u32> = weights.iter().enumerate().filter_map(kept).collect();
    let values = indices.iter().map(|index| weights[*index as usize]);
    to.f32s(&format!("{name}.weight"), values)?;
    to.u32s(&format!("{name}.index"), indices.iter().copied())
}

pub(super) fn read_weights(from: &Reader, name: &str, width: usize) -> Result<Network, Error> {
    let mut weights = vec![0.0; width];
    let values = from.f32s(&format!("{name}.weight"))?;
    let indices = from.u32s(&format!("{name}.index"))?;
    for (index, value) in indices.into_iter().zip(values) {
        *from.slot(&mut weights, index)? = value;
    }
    Ok(Network { weights })
}

pub(super) fn write_calibrator(to: &mut Writer, objective: &Objective, calibrator: &Calibrator) -> Result<(), Error> {
    let (segments, own) = calibrator.segments();
    to.f64s(&format!("{objective}.calibration"), calibrator.to_numbers())?;
    to.u32s(&format!("{objective}.calibration.segment"), segments.map(u32::from))?;
    to.f64s(&format!("{objective}.calibration.own"), own)
}

pub(super) fn read_calibrator(from: &Reader, objective: &Objective) -> Result<Calibrator, Error> {
    let paces = from.f64s(&format!("{objective}.calibration"))?;
    let segments = from.segments(&format!("{objective}.calibration.segment"))?;
    let own = from.f64s(&format!("{objective}.calibration.own"))?;
    Calibrator::of_numbers(&paces, &segments, &own).ok_or_else(|| from.damaged("a calibration is incomplete"))
}

pub(super) fn read_length(from: &Reader, objective: &Objective) -> Result<LengthHead, Error> {
    let numbers = from.f64s(&format!("{objective}.length"))?;
    Ok(LengthHead::from_array(from.exact(numbers)?))
}

pub(super) fn write_factors(to: &mut Writer, objective: &Objective, factors: &Factors) -> Result<(), Error> {
    let touched = (0..factors.squares.len()).filter(|at| factors.squares[*at] != 0.0 || factors.pulls[*at] != 0.0);
    let touched: Vec<u32> = touched.map(|at| at as u32).collect();
    let column = |from: &[f32]| -> Vec<f32> { touched.iter().map(|at| from[*at as usize]).collect() };
    to.f32s(&format!("{objective}.factor.pull"), column(&factors.pulls).into_iter())?;
    to.f32s(&format!("{objective}.factor.square"), column(&factors.squares).into_iter())?;
    to.u32s(&format!("{objective}.factor.index"), touched.iter().copied())
}

pub(super) fn read_factors(from: &Reader, objective: &Objective, config: &Config) -> Result<Factors, Error> {
    let mut factors = Factors::new(config.encoder.buckets as usize, config.factors());
    let rates = Rates::of_factors(&config.learner);
    let pulls = from.f32s(&format!("{objective}.factor.pull"))?;
    let squares = from.f32s(&format!("{objective}.factor.square"))?;
    let indices = from.u32s(&format!("{objective}.factor.index"))?;
    for ((index, z), n) in indices.into_iter().zip(pulls).zip(squares) {
        *from.slot(&mut factors.pulls, index)? = z;
        *from.slot(&mut factors.squares, index)? = n;
        factors.restore(index as usize, rates);
    }
    Ok(factors)
}

pub(super) fn read_model(
    from: &Reader,
    objective: &Objective,
    config: &Config,
    width: usize,
) -> Result<FrozenHead, Error> {
    let members = (0..config.learner.ensemble).map(|number| read_weights(from, &member_name(objective, number), width));
    Ok(FrozenHead {
        network: read_weights(from, &objective.0, width)?,
        factors: read_factors(from, objective, config)?.vectors,
        members: members.collect::<Result<_, _>>()?,
        calibrator: read_calibrator(from, objective)?,
        length: if config.length.debias { Some(read_length(from, objective)?) } else { None },
    })
}

pub(super) fn write_optimizer(to: &mut Writer, name: &str, learner: &Learner) -> Result<(), Error> {
    let linear = &learner.linear;
    // A gradient so small that its square vanishes still moves the pull.
    let kept = |index: &u32| {
        let at = *index as usize;
        linear.squares[at] != 0.0 || linear.pulls[at] != 0.0
    };
    let all = 0..linear.squares.len() as u32;
    let touched: Vec<u32> = all.filter(kept).collect();
    let pulls = touched.iter().map(|index| linear.pulls[*index as usize]);
    let squares = touched.iter().map(|index| linear.squares[*index as usize]);
    to.f32s(&format!("{name}.pull"), pulls)?;
    to.f32s(&format!("{name}.square"), squares)?;
    to.u32s(&format!("{name}.index"), touched.iter().copied())
}

pub(super) fn read_optimizer(from: &Reader, name: &str, learner: &mut Learner, rates: Rates) -> Result<(), Error> {
    let linear = &mut learner.linear;
    let pulls = from.f32s(&format!("{name}.pull"))?;
    let squares = from.f32s(&format!("{name}.square"))?;
    let indices = from.u32s(&format!("{name}.index"))?;
    for ((index, z), n) in indices.into_iter().zip(pulls).zip(squares) {
        *from.slot(&mut linear.pulls, index)? = z;
        *from.slot(&mut linear.squares, index)? = n;
        // The weight follows from the two sums, so that it is not stored.
        *from.slot(&mut linear.weights, index)? = rates.weight(index as usize, z, n);
    }
    Ok(())
}
