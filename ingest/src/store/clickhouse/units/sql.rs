//! The query for sums.
//!
//! ```text
//! base       one row an exposure: unit, time, arm, values
//! events     those of units in the experiment, with the unit's first time where that is needed
//! reactions  one row a reaction, with the same of its exposure
//! units      one row a unit: its arm and what its events and its reactions add up to
//! ```
//!
//! What comes at or after an exposure with an arm is after the first of them, so that the first time of a unit is looked
//! up only for exposures without an arm, unless a window or a time before depends on it. The server leaves out columns
//! that nothing asks for, so that only what a question needs is asked of them.

mod reactions;
mod sums;

use std::ops::RangeInclusive;

use crate::store::{Before, Measure, Of, Question, Shape, What};

use super::{Codes, FIRST_ARM, json};

pub(super) use reactions::{any_unplaced, reactions};

/// A text as SQL.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// The units with `hashes`.
pub(super) fn within(hashes: &RangeInclusive<u64>) -> String {
    format!("unit BETWEEN {} AND {}", hashes.start(), hashes.end())
}

/// The exposures of a question, by the column of their time.
pub(super) fn in_range(column: &str, question: &Question) -> String {
    let (start, end) = (question.shown.start.as_millis(), question.shown.end.as_millis());
    // What is beyond what a column can hold is beyond every row.
    let [start, end] = [start, end].map(|millis| millis.clamp(-2_000_000_000_000, 9_000_000_000_000));
    format!("{column} >= fromUnixTimestamp64Milli({start}) AND {column} < fromUnixTimestamp64Milli({end})")
}

/// Which of the sums of a measure are asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    is_ratio: bool,
    has_before: bool,
    is_ratio_before: bool,
}

impl Terms {
    const fn new(measure: &Measure) -> Self {
        let is_ratio = matches!(measure.shape, Shape::Ratio);
        let has_before = !matches!(measure.before, Before::Nothing);
        Self { is_ratio, has_before, is_ratio_before: is_ratio && matches!(measure.before, Before::Days(_)) }
    }

    /// The numbers that are 1 for every unit.
    pub(super) const fn constant(self) -> [bool; 4] {
        let is_one_before = !self.is_ratio || (self.has_before && !self.is_ratio_before);
        [false, !self.is_ratio, false, is_one_before]
    }

    /// The numbers whose sums are asked for.
    pub(super) fn sums(self) -> Vec<usize> {
        let asked = [true, self.is_ratio, self.has_before, self.is_ratio_before];
        (0..4).filter(|row| asked[*row]).collect()
    }

    /// The products whose sums are asked for.
    pub(super) fn products(self) -> Vec<(usize, usize)> {
        let rows = self.sums();
        let pairs = rows.iter().enumerate().flat_map(|(place, row)| rows[place..].iter().map(|column| (*row, *column)));
        pairs.collect()
    }
}

/// A source with its filters: a column of events or of reactions.
#[derive(PartialEq)]
struct Channel {
    what: What,
    filter: String,
}

struct Plan<'q> {
    question: &'q Question,
    codes: &'q Codes,
    channels: Vec<Channel>,
    /// For each measure, the columns of numerator and denominator.
    columns: Vec<[usize; 2]>,
    /// The hashes of the units that are added up.
    hashes: RangeInclusive<u64>,
}

/// The query for the units with hashes in a range, and the sums of each measure.
pub(super) fn sums(question: &Question, codes: &Codes, hashes: RangeInclusive<u64>) -> (String, Vec<Terms>) {
    let mut plan = Plan { question, codes, channels: Vec::new(), columns: Vec::new(), hashes };
    for measure in &question.measures {
        let of = plan.column(&measure.of, measure);
        let over = measure.over.as_ref().map_or(of, |over| plan.column(over, measure));
        plan.columns.push([of, over]);
    }
    let terms: Vec<Terms> = question.measures.iter().map(Terms::new).collect();
    (plan.groups(&terms), terms)
}

impl Plan<'_> {
    fn column(&mut self, what: &What, measure: &Measure) -> usize {
        let mut conditions: Vec<String> = Vec::new();
        if let Some(surface) = measure.surface {
            conditions.push(format!("surface = {}", quoted(&crate::store::name(&surface))));
        }
        conditions.extend(measure.attributes.iter().map(|(name, value)| json::equals(name, value)));
        let filter = if conditions.is_empty() { "1".to_owned() } else { conditions.join(" AND ") };
        let channel = Channel { what: what.clone(), filter };
        let known = self.channels.iter().position(|known| *known == channel);
        known.unwrap_or_else(|| {
            self.channels.push(channel);
            self.channels.len() - 1
        })
    }

    /// Whether every unit's first time must be known beside each of its rows.
    fn needs_first(&self) -> bool {
        let needs = |measure: &Measure| {
            let is_return = matches!(measure.shape, Shape::Return(..));
            measure.final_after_days.is_some() || is_return || matches!(measure.before, Before::Days(_))
        };
        self.question.measures.iter().any(needs)
    }

    /// Whether any row may be before the first time of its unit.
    fn has_before(&self) -> bool {
        self.needs_first() || self.codes.has_outside
    }

    fn signals(&self) -> impl Iterator<Item = (usize, &str, Of)> {
        self.channels.iter().enumerate().filter_map(|(index, channel)| match &channel.what {
            What::Signal(kind, of) => Some((index, kind.as_str(), *of)),
            _ => None,
        })
    }

    fn has_signals(&self) -> bool {
        self.signals().next().is_some()
    }

    /// The code of each assignment that occurs.
    fn transform(&self, code: impl Fn(&(String, u16, u16, bool)) -> u16) -> String {
        let coded: Vec<(String, u16)> =
            self.codes.texts.iter().map(|row| (quoted(&row.0), code(row))).filter(|row| row.1 > 0).collect();
        if coded.is_empty() {
            return "toUInt16(0)".to_owned();
        }
        let texts: Vec<&str> = coded.iter().map(|row| row.0.as_str()).collect();
        let numbers: Vec<String> = coded.iter().map(|row| row.1.to_string()).collect();
        format!("toUInt16(transform(assigned, [{}], [{}], 0))", texts.join(", "), numbers.join(", "))
    }

    fn base(&self) -> String {
        let mut columns = vec![
            "unit, toUnixTimestamp64Milli(ts) AS at, at AS done".to_owned(),
            "if(is_example = 1, toUnixTimestamp64Milli(told), 0) AS told_at".to_owned(),
            format!("{} AS arm", self.transform(|row| row.1)),
            format!("{} AS undrawn", self.transform(|row| row.2)),
            format!("{} AS elsewhere", self.transform(|row| u16::from(row.3))),
        ];
        columns.extend(self.channels.iter().enumerate().filter_map(|(index, channel)| own_value(index, channel)));
        for (index, split) in self.question.splits.iter().enumerate() {
            columns.push(format!("{} AS s{index}", json::place(&split.attribute, &split.values)));
        }
        for (index, measure) in self.question.measures.iter().enumerate() {
            if let Before::Attribute(name) = &measure.before {
                columns.push(format!("ifNull({}, 0) AS z{index}", json::number(name)));
            }
        }
        let (columns, range) = (columns.join(", "), in_range("ts", self.question));
        format!("SELECT {columns} FROM unit_exposures FINAL WHERE {} AND {range}", within(&self.hashes))
    }

    /// Those of `rows` that are of units in the experiment, with the unit's first time where that is needed.
    fn inside(&self, rows: &str) -> String {
        let firsts = format!(
            "SELECT unit AS of_unit, min(at) AS first FROM ({}) WHERE arm >= {FIRST_ARM} GROUP BY unit",
            self.base()
        );
        let looked_up = |condition: &str| {
            format!(
                "SELECT b.*, f.first AS first, toUInt8(b.at >= f.first) AS is_after
                 FROM ({rows}) AS b INNER JOIN ({firsts}) AS f ON b.unit = f.of_unit{condition}"
            )
        };
        if self.needs_first() {
            return looked_up("");
        }
        let inside =
            format!("SELECT *, toInt64(0) AS first, toUInt8(1) AS is_after FROM ({rows}) WHERE arm >= {FIRST_ARM}");
        match self.codes.has_outside {
            true => format!("{inside} UNION ALL {}", looked_up(&format!(" WHERE b.arm < {FIRST_ARM}"))),
            false => inside,
        }
    }

    fn events(&self) -> String {
        self.inside(&self.base())
    }

    fn reactions(&self) -> String {
        let arm = self.transform(|row| row.1);
        let counts: String = self
            .signals()
            .map(|(index, ..)| format!(", toUInt8({}) AS p{index}", self.channels[index].filter))
            .collect();
        let rows = format!(
            "SELECT unit, exposure, signal, kind, value, toUnixTimestamp64Milli(shown) AS at,
                 toUnixTimestamp64Milli(ts) AS done, {arm} AS arm{counts},
                 toUInt8(retracts = 0 AND (exposure, signal) NOT IN ({})) AS is_kept
             FROM ({})",
            reactions::retractions(&self.hashes),
            reactions(self.question, self.codes, &self.hashes)
        );
        let values: String = self.signals().map(|(index, kind, of)| reaction_value(index, kind, of)).collect();
        let rows = self.inside(&rows);
        format!("SELECT unit, at, first, is_after, done, toUInt8(done < at) AS backwards{values} FROM ({rows})")
    }
}

/// What an exposure itself gives to column `index`: a number, 0 without, and whether there is one.
fn own_value(index: usize, Channel { what, filter }: &Channel) -> Option<String> {
    let filtered = |value: String| match filter.as_str() {
        "1" => value,
        filter => format!("if({filter}, {value}, NULL)"),
    };
    let value = match what {
        What::Signal(..) => return None,
        What::Exposures => return Some(format!("toUInt8({filter}) AS h{index}")),
        What::ResponseWords if filter == "1" => return Some(format!("words AS c{index}, toUInt8(1) AS h{index}")),
        What::ResponseWords => filtered("words".to_owned()),
        What::Attribute(name) => filtered(json::number(name)),
        What::Label(objective) => {
            let pattern = quoted(&format!("(?:^|\t){}=([^\t]*)", regex::escape(objective)));
            filtered(format!("toFloat64(toFloat32OrNull(extract(labels, {pattern})))"))
        }
    };
    Some(format!("ifNull({value}, 0) AS c{index}, isNotNull({value}) AS h{index}"))
}

/// What a reaction gives to column `index`, in the same way.
fn reaction_value(index: usize, kind: &str, of: Of) -> String {
    let counts = format!("(is_kept = 1 AND kind = {} AND p{index} = 1 AND done >= at)", quoted(kind));
    match of {
        Of::Each => format!(", {counts} AS h{index}"),
        Of::Value => format!(", ifNull(value, 0) AS c{index}, ({counts} AND isNotNull(value)) AS h{index}"),
        // The earliest of each exposure.
        Of::Exposure => format!(
            ", ({counts} AND row_number() OVER (PARTITION BY exposure, {counts} ORDER BY done, signal) = 1) AS h{index}"
        ),
    }
}
