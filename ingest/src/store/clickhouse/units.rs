//! Sums over the units of an experiment, added up by the server, and the events of some of them.
//!
//! All values of a column of few different texts are looked at once: the assignments that occur are read first, this
//! process says what each of them means, and the query gets a table of that.

mod events;
mod json;
mod sql;

use std::collections::BTreeMap;

use clickhouse::Row;
use plaudit_event::Timestamp;
use serde::Deserialize;

use super::client::Client;
use crate::Error;
use crate::store::units::unpack_assignments;
use crate::store::{CellSums, Drawn, Moments, Question, Standing, UnitSums};

pub(super) use events::events;

const ACTION: &str = "read units";
/// Rows of exposures that one query adds up at most: units of a share of all hashes at once, so that the memory of the
/// server does not grow with the table.
const PASS_ROWS: u64 = 32_000_000;
/// Most arms, phases of a ramp told apart.
const MOST_ARMS: usize = 60_000;

#[derive(Debug, Row, Deserialize)]
struct Assigned {
    assigned: String,
    number: u64,
}

#[derive(Debug, Row, Deserialize)]
struct Number {
    number: u64,
}

/// The units of an arm that are alike.
#[derive(Debug, Row, Deserialize)]
struct Group {
    arm: u16,
    is_carried: u8,
    splits: Vec<u16>,
    units: u64,
    backwards: u64,
    first: i64,
    /// For each measure, the units with a value and what [`sql::Terms`] says.
    values: Vec<f64>,
}

/// What the assignments that occur mean, as numbers.
struct Codes {
    /// Text, arm (0 for none), variant without a draw (0 for none), whether another experiment had the unit.
    texts: Vec<(String, u16, u16, bool)>,
    arms: Vec<Drawn>,
    has_outside: bool,
    unknown: Vec<String>,
    rows: u64,
    /// Whether there are reactions that were written before their exposures.
    has_unplaced: bool,
}

/// The code of the first arm; those below mean none.
const FIRST_ARM: u16 = 2;
/// The code of a variant that the experiment does not have.
const OTHER_VARIANT: u16 = u16::MAX;

impl Codes {
    fn new(found: Vec<Assigned>, has_unplaced: bool, question: &Question) -> Result<Self, Error> {
        let rows = found.iter().map(|row| row.number).sum();
        let standing = |row: Assigned| {
            let standing = (question.standings)(&unpack_assignments(&row.assigned));
            (row.assigned, standing)
        };
        let found: Vec<(String, Standing)> = found.into_iter().map(standing).collect();
        // By phase, so that of two draws at one moment the earlier phase has the lower code.
        let mut strata: BTreeMap<(u32, Vec<u64>), Vec<f64>> = BTreeMap::new();
        for drawn in found.iter().filter_map(|(_, standing)| standing.drawn.as_ref()) {
            strata.insert(key(drawn), drawn.weights.clone());
        }
        let variants = question.variants.len();
        if strata.len() * variants > MOST_ARMS {
            let value = format!("{} phases of {variants} variants", strata.len());
            return Err(Error::Limit { what: "arms of an experiment", allowed: format!("up to {MOST_ARMS}"), value });
        }
        let mut arms = Vec::new();
        for ((phase, _), weights) in &strata {
            arms.extend((0..variants).map(|variant| Drawn { variant, phase: *phase, weights: weights.clone() }));
        }
        let code_of = |drawn: &Drawn| arms.iter().position(|arm| arm == drawn).map_or(0, |place| code(place + 2));
        let undrawn_of = |name: &String| {
            question.variants.iter().position(|known| known == name).map_or(OTHER_VARIANT, |place| code(place + 1))
        };
        let mut codes =
            Self { texts: Vec::new(), arms: Vec::new(), has_outside: false, unknown: Vec::new(), rows, has_unplaced };
        for (text, standing) in found {
            let arm = standing.drawn.as_ref().map_or(0, code_of);
            let undrawn = standing.undrawn.as_ref().map_or(0, undrawn_of);
            codes.has_outside |= arm == 0;
            if standing.is_unknown {
                codes.unknown.push(text.clone());
            }
            codes.texts.push((text, arm, undrawn, standing.is_elsewhere));
        }
        codes.arms = arms;
        Ok(codes)
    }
}

fn code(number: usize) -> u16 {
    u16::try_from(number).unwrap_or(OTHER_VARIANT)
}

fn key(drawn: &Drawn) -> (u32, Vec<u64>) {
    (drawn.phase, drawn.weights.iter().map(|weight| weight.to_bits()).collect())
}

async fn codes(client: &Client, question: &Question) -> Result<Codes, Error> {
    let range = sql::in_range("ts", question);
    let sql = format!("SELECT assigned, count() AS number FROM unit_exposures WHERE {range} GROUP BY assigned");
    let (found, unplaced) = tokio::try_join!(
        client.fetch_long::<Assigned>(ACTION, query(client, &sql)),
        client.fetch::<Number>(ACTION, query(client, &sql::any_unplaced()))
    )?;
    Codes::new(found, unplaced.iter().any(|row| row.number > 0), question)
}

/// A query without values to bind. All rows of one exposure have its time, and are in one partition.
fn query(client: &Client, sql: &str) -> clickhouse::query::Query {
    client.query(&sql.replace('?', "??")).with_setting("do_not_merge_across_partitions_select_final", "1")
}

/// See [`EventStore::unit_sums`](crate::store::EventStore::unit_sums).
pub(super) async fn sums(client: &Client, question: &Question) -> Result<UnitSums, Error> {
    let codes = codes(client, question).await?;
    let mut sums = UnitSums { unknown_variants: unknown(client, question, &codes).await?, ..UnitSums::default() };
    if codes.arms.is_empty() {
        return Ok(sums);
    }
    let passes = codes.rows.div_ceil(PASS_ROWS).max(1);
    let share = u64::MAX / passes;
    for pass in 0..passes {
        let last = if pass + 1 == passes { u64::MAX } else { (pass + 1) * share - 1 };
        let (sql, terms) = sql::sums(question, &codes, pass * share..=last);
        for group in client.fetch_long::<Group>(ACTION, query(client, &sql)).await? {
            sums.backwards += group.backwards;
            match group.arm.checked_sub(FIRST_ARM).map(usize::from).and_then(|place| codes.arms.get(place)) {
                Some(arm) => {
                    let first = Timestamp::from_millis(group.first);
                    sums.first = Some(sums.first.map_or(first, |known| known.min(first)));
                    sums.cells.push(cell(&group, arm, &terms));
                }
                None => sums.multiple += group.units,
            }
        }
    }
    Ok(sums)
}

/// Exposures with a draw that cannot be used.
async fn unknown(client: &Client, question: &Question, codes: &Codes) -> Result<u64, Error> {
    if codes.unknown.is_empty() {
        return Ok(0);
    }
    let texts: Vec<String> = codes.unknown.iter().map(|text| sql::quoted(text)).collect();
    let (range, texts) = (sql::in_range("ts", question), texts.join(", "));
    let sql = format!("SELECT count() AS number FROM unit_exposures FINAL WHERE {range} AND assigned IN ({texts})");
    let rows = client.fetch_long::<Number>(ACTION, query(client, &sql)).await?;
    Ok(rows.first().map_or(0, |row| row.number))
}

fn cell(group: &Group, arm: &Drawn, terms: &[sql::Terms]) -> CellSums {
    let mut values = group.values.iter().copied();
    let mut measures = Vec::with_capacity(terms.len());
    for terms in terms {
        let mut next = || values.next().unwrap_or(0.0);
        let mut moments = Moments::default();
        let units = next();
        moments.units = units as u64;
        // A number that is 1 for every unit is not asked for.
        let constant = terms.constant();
        for (row, is_one) in constant.iter().enumerate() {
            if *is_one {
                moments.sums[row] = units;
            }
        }
        for row in terms.sums() {
            moments.sums[row] = next();
        }
        for (row, column) in terms.products() {
            moments.products[row][column] = next();
            moments.products[column][row] = moments.products[row][column];
        }
        for row in 0..4 {
            for column in (0..4).filter(|column| constant[*column]) {
                moments.products[row][column] = moments.sums[row];
                moments.products[column][row] = moments.sums[row];
            }
        }
        measures.push(moments);
    }
    CellSums {
        arm: arm.clone(),
        is_carried: group.is_carried == 1,
        splits: group.splits.iter().map(|place| usize::from(*place)).collect(),
        units: group.units,
        measures,
    }
}
