//! The heads of remarks as files and back.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use plaudit_nn::checkpoint::Checkpoint;
use serde::{Deserialize, Serialize};

use super::tensors::{Reader, Writer};
use super::{json, parse};
use crate::remarks::principles::Principle;
use crate::remarks::principles::consensus::Reason;
use crate::remarks::table::{Row, Table, rates};
use crate::remarks::{FrozenRemarks, Remarks};
use crate::{Config, Error};

/// Numbers.
pub(super) const REMARKS: &str = "remarks.safetensors";
/// Reasons and counts.
pub(super) const REASONS: &str = "reasons.json";

/// What is not a column of numbers.
#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    /// Position of the stream, a number beyond 64 bits.
    stream_position: String,
    heard: u64,
    span_rows_seen: u64,
    principle_rows_seen: u64,
    reasons: BTreeMap<u64, ReasonState>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ReasonState {
    words: Vec<u64>,
    is_negated: bool,
    text: String,
    from: u64,
    voices: BTreeMap<u64, Option<bool>>,
    touched: u64,
    waiting: usize,
}

pub(super) fn write(remarks: &Remarks) -> Result<[(&'static str, Vec<u8>); 2], Error> {
    let mut to = Writer::default();
    let principles = &remarks.principles;
    for (name, table) in [("spans", &remarks.spans), ("principles", &principles.table)] {
        write_table(&mut to, name, table)?;
        write_rows(&mut to, &format!("{name}.row"), table.pool.rows.iter())?;
    }
    let reasons = &principles.consensus.reasons;
    write_rows(&mut to, "waiting", reasons.values().flat_map(|reason| &reason.waiting))?;
    let reason = |(id, reason): (&u64, &Reason)| {
        let state = ReasonState {
            words: reason.principle.words.clone(),
            is_negated: reason.principle.is_negated,
            text: reason.text.clone(),
            from: reason.from,
            voices: reason.voices.clone(),
            touched: reason.touched,
            waiting: reason.waiting.len(),
        };
        (*id, state)
    };
    let state = State {
        stream_position: remarks.stream.get_word_pos().to_string(),
        heard: principles.consensus.heard,
        span_rows_seen: remarks.spans.pool.seen,
        principle_rows_seen: principles.table.pool.seen,
        reasons: reasons.iter().map(reason).collect(),
    };
    Ok([(REMARKS, to.finish()?), (REASONS, json(&state))])
}

/// `None` when the columns do not fit together.
pub(super) fn read(checkpoint: &Checkpoint, mut remarks: Remarks, config: &Config) -> Result<Option<Remarks>, Error> {
    let state: State = parse(checkpoint, REASONS)?;
    let from = Reader::open(checkpoint, REMARKS)?;
    let Ok(position) = state.stream_position.parse() else { return Ok(None) };
    remarks.stream.set_word_pos(position);
    let seen = [state.span_rows_seen, state.principle_rows_seen];
    let tables = [("spans", &mut remarks.spans), ("principles", &mut remarks.principles.table)];
    for ((name, table), seen) in tables.into_iter().zip(seen) {
        read_table(&from, name, table, config)?;
        let Some(rows) = read_rows(&from, &format!("{name}.row"))? else { return Ok(None) };
        (table.pool.rows, table.pool.seen) = (rows, seen);
    }
    let Some(waiting) = read_rows(&from, "waiting")? else { return Ok(None) };
    let mut waiting = waiting.into_iter();
    let consensus = &mut remarks.principles.consensus;
    consensus.heard = state.heard;
    for (id, found) in state.reasons {
        let reason = Reason {
            principle: Principle { words: found.words, is_negated: found.is_negated },
            text: found.text,
            from: found.from,
            voices: found.voices,
            touched: found.touched,
            waiting: waiting.by_ref().take(found.waiting).collect(),
        };
        if reason.waiting.len() != found.waiting {
            return Ok(None);
        }
        consensus.reasons.insert(id, reason);
    }
    Ok(Some(remarks))
}

/// The scoring half; of a checkpoint from before there were remarks, heads that have learned nothing.
pub(super) fn read_frozen(checkpoint: &Checkpoint, config: &Config) -> Result<Arc<FrozenRemarks>, Error> {
    if checkpoint.file(REASONS).is_err() {
        return Ok(FrozenRemarks::new(config, (None, None), HashSet::new(), Vec::new()));
    }
    let remarks = Remarks::new(config, plaudit_event::Seed::new(0));
    let read = read(checkpoint, remarks, config)?;
    let damaged = || Error::Mismatch {
        id: checkpoint.manifest.id.clone(),
        reason: "the state of the remarks is damaged".to_owned(),
    };
    Ok(read.ok_or_else(damaged)?.frozen(config))
}

fn write_table(to: &mut Writer, name: &str, table: &Table) -> Result<(), Error> {
    let linear = &table.linear;
    let is_touched = |at: &usize| linear.squares[*at] != 0.0 || linear.pulls[*at] != 0.0;
    let touched: Vec<usize> = (0..linear.squares.len()).filter(is_touched).collect();
    to.u32s(&format!("{name}.index"), touched.iter().map(|at| *at as u32))?;
    to.f32s(&format!("{name}.pull"), touched.iter().map(|at| linear.pulls[*at]))?;
    to.f32s(&format!("{name}.square"), touched.iter().map(|at| linear.squares[*at]))?;
    to.f64s(&format!("{name}.sums"), table.sums.into_iter())
}

fn read_table(from: &Reader, name: &str, table: &mut Table, config: &Config) -> Result<(), Error> {
    let rates = rates(&config.remarks);
    table.sums = from.exact(from.f64s(&format!("{name}.sums"))?)?;
    let values = from.f32s(&format!("{name}.pull"))?.into_iter().zip(from.f32s(&format!("{name}.square"))?);
    for (index, (z, n)) in from.u32s(&format!("{name}.index"))?.into_iter().zip(values) {
        *from.slot(&mut table.linear.pulls, index)? = z;
        *from.slot(&mut table.linear.squares, index)? = n;
        *from.slot(&mut table.linear.weights, index)? = rates.weight(index as usize, z, n);
    }
    Ok(())
}

fn write_rows<'a>(to: &mut Writer, name: &str, rows: impl Iterator<Item = &'a Row> + Clone) -> Result<(), Error> {
    to.u64s(&format!("{name}.exposure"), rows.clone().map(|row| row.exposure))?;
    to.u64s(&format!("{name}.unit"), rows.clone().map(|row| row.unit))?;
    to.f32s(&format!("{name}.label"), rows.clone().map(|row| row.label))?;
    to.f32s(&format!("{name}.weight"), rows.clone().map(|row| row.weight))?;
    to.u32s(&format!("{name}.length"), rows.clone().map(|row| row.features.len() as u32))?;
    to.u32s(&format!("{name}.feature"), rows.clone().flat_map(|row| row.features.iter().map(|(at, _)| *at as u32)))?;
    to.f32s(&format!("{name}.value"), rows.flat_map(|row| row.features.iter().map(|(_, value)| *value)))
}

fn read_rows(from: &Reader, name: &str) -> Result<Option<Vec<Row>>, Error> {
    let units = from.u64s(&format!("{name}.unit"))?;
    let labels = from.f32s(&format!("{name}.label"))?.into_iter().zip(from.f32s(&format!("{name}.weight"))?);
    let lengths = from.u32s(&format!("{name}.length"))?;
    let (places, values) = (from.u32s(&format!("{name}.feature"))?, from.f32s(&format!("{name}.value"))?);
    let exposures = from.u64s(&format!("{name}.exposure"))?;
    if units.len() != exposures.len() || lengths.len() != units.len() || places.len() != values.len() {
        return Ok(None);
    }
    let mut features = places.into_iter().map(|at| at as usize).zip(values);
    let mut rows = Vec::with_capacity(units.len());
    for (((exposure, unit), (label, weight)), length) in exposures.into_iter().zip(units).zip(labels).zip(lengths) {
        let features: Vec<(usize, f32)> = features.by_ref().take(length as usize).collect();
        if features.len() != length as usize {
            return Ok(None);
        }
        rows.push(Row { exposure, unit, features, label, weight });
    }
    Ok(Some(rows))
}
