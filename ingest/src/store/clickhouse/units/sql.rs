//! The query for sums.
//!
//! ```text
//! base     one row an exposure: unit, time, arm, values
//! events   those of units in the experiment, with the unit's first time where that is needed
//! joined   one row a reaction, with what is known of its exposure
//! units    one row a unit: its arm and what its events and its reactions add up to
//! ```
//!
//! What comes at or after an exposure with an arm is after the first of them, so that the first time of a unit is looked
//! up only for exposures without an arm, unless a window or a time before depends on it. The server leaves out columns
//! that nothing asks for, so that only what a question needs is asked of them.

mod sums;

use std::ops::RangeInclusive;

use crate::store::{Before, Measure, Of, Question, Shape, What};

use super::{Codes, FIRST_ARM, json};

/// A text as SQL.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// The exposures of a question, by their time.
pub(super) fn in_range(question: &Question) -> String {
    let (start, end) = (question.shown.start.as_millis(), question.shown.end.as_millis());
    // What is beyond what a column can hold is beyond every row.
    let [start, end] = [start, end].map(|millis| millis.clamp(-2_000_000_000_000, 9_000_000_000_000));
    format!("ts >= fromUnixTimestamp64Milli({start}) AND ts < fromUnixTimestamp64Milli({end})")
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
            "unit, exposure, toUnixTimestamp64Milli(ts) AS at, at AS done".to_owned(),
            "if(is_example = 1, toUnixTimestamp64Milli(told), 0) AS told_at".to_owned(),
            format!("{} AS arm", self.transform(|row| row.1)),
            format!("{} AS undrawn", self.transform(|row| row.2)),
            format!("{} AS elsewhere", self.transform(|row| u16::from(row.3))),
        ];
        for (index, channel) in self.channels.iter().enumerate() {
            columns.push(own_value(index, channel));
        }
        for (index, split) in self.question.splits.iter().enumerate() {
            columns.push(format!("{} AS s{index}", json::place(&split.attribute, &split.values)));
        }
        for (index, measure) in self.question.measures.iter().enumerate() {
            if let Before::Attribute(name) = &measure.before {
                columns.push(format!("ifNull({}, 0) AS z{index}", json::number(name)));
            }
        }
        let (low, high, range) = (self.hashes.start(), self.hashes.end(), in_range(self.question));
        let columns = columns.join(", ");
        format!("SELECT {columns} FROM unit_exposures FINAL WHERE unit BETWEEN {low} AND {high} AND {range}")
    }

    fn events(&self) -> String {
        let base = self.base();
        let firsts =
            format!("SELECT unit AS of_unit, min(at) AS first FROM ({base}) WHERE arm >= {FIRST_ARM} GROUP BY unit");
        let looked_up = |condition: &str| {
            format!(
                "SELECT b.*, f.first AS first, toUInt8(b.at >= f.first) AS is_after
                 FROM ({base}) AS b INNER JOIN ({firsts}) AS f ON b.unit = f.of_unit{condition}"
            )
        };
        if self.needs_first() {
            return looked_up("");
        }
        let inside =
            format!("SELECT *, toInt64(0) AS first, toUInt8(1) AS is_after FROM ({base}) WHERE arm >= {FIRST_ARM}");
        match self.codes.has_outside {
            true => format!("{inside} UNION ALL {}", looked_up(&format!(" WHERE b.arm < {FIRST_ARM}"))),
            false => inside,
        }
    }

    /// Reactions with what is known of their exposures.
    fn joined(&self) -> String {
        let kinds: Vec<String> = self.question.kinds().iter().map(|kind| quoted(kind.as_str())).collect();
        let kinds = kinds.join(", ");
        let passing: String = self.signals().map(|(index, ..)| format!(", p{index}")).collect();
        let events = self.events();
        let rows = format!(
            "SELECT e.*, r.signal AS signal, r.kind AS kind, r.value AS value, r.done AS done, r.is_kept AS is_kept
             FROM (SELECT signal, exposure AS about, kind, value, toUnixTimestamp64Milli(ts) AS done,
                     toUInt8(retracts = 0 AND (exposure, signal) NOT IN
                         (SELECT exposure, retracts FROM unit_reactions FINAL WHERE retracts != 0)) AS is_kept
                   FROM unit_reactions FINAL WHERE (kind IN ({kinds}) OR retracts != 0)) AS r
             INNER JOIN (SELECT unit, exposure, at, first, is_after{passing} FROM ({events})) AS e
             ON r.about = e.exposure"
        );
        let values: String = self.signals().map(|(index, kind, of)| reaction_value(index, kind, of)).collect();
        format!("SELECT unit, at, first, is_after, done, toUInt8(done < at) AS backwards{values} FROM ({rows})")
    }
}

/// What an exposure itself gives to column `index`: a number, 0 without, and whether there is one. Of reactions, whether
/// those to it count.
fn own_value(index: usize, Channel { what, filter }: &Channel) -> String {
    let filtered = |value: String| match filter.as_str() {
        "1" => value,
        filter => format!("if({filter}, {value}, NULL)"),
    };
    let value = match what {
        What::Exposures => return format!("toUInt8({filter}) AS h{index}"),
        What::Signal(..) => return format!("toUInt8({filter}) AS p{index}"),
        What::ResponseWords if filter == "1" => return format!("words AS c{index}, toUInt8(1) AS h{index}"),
        What::ResponseWords => filtered("words".to_owned()),
        What::Attribute(name) => filtered(json::number(name)),
        What::Label(objective) => {
            let pattern = quoted(&format!("(?:^|\t){}=([^\t]*)", regex::escape(objective)));
            filtered(format!("toFloat64(toFloat32OrNull(extract(labels, {pattern})))"))
        }
    };
    format!("ifNull({value}, 0) AS c{index}, isNotNull({value}) AS h{index}")
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
