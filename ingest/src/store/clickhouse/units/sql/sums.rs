//! From rows of events to one row a unit, and from units to the sums of an arm.

use super::super::FIRST_ARM;
use super::{Plan, Terms};
use crate::store::units::DAY_MS;
use crate::store::{Before, Measure, Shape, What};

impl Plan<'_> {
    /// One row a unit.
    fn units(&self) -> String {
        let variants = self.question.variants.len();
        let inside = format!("arm >= {FIRST_ARM}");
        let order = "at * 65536 + arm";
        let mut columns = vec![
            "unit".to_owned(),
            format!("minIf({order}, {inside}) AS packed"),
            format!("minIf((arm - {FIRST_ARM}) % {variants}, {inside}) AS low"),
            format!("maxIf((arm - {FIRST_ARM}) % {variants}, {inside}) AS high"),
        ];
        if self.codes.has_outside {
            columns.push("minIf(undrawn, undrawn > 0) AS undrawn_low, max(undrawn) AS undrawn_high".to_owned());
            columns.push(format!("max(elsewhere = 1 AND arm < {FIRST_ARM} AND is_after = 0) AS carried"));
        }
        if self.has_signals() {
            columns.push("sum(backwards) AS went_back".to_owned());
        }
        for (name, _) in self.extra() {
            columns.push(format!("argMinIf({name}, {order}, {inside}) AS first_{name}"));
        }
        for (index, measure) in self.question.measures.iter().enumerate() {
            columns.extend(self.of_unit(index, measure));
        }
        format!("SELECT {} FROM ({}) GROUP BY unit", columns.join(", "), self.all())
    }

    /// What a unit adds up to: x, y after, v, w before, and n, how many values there are after.
    fn of_unit(&self, index: usize, measure: &Measure) -> Vec<String> {
        let [of, over] = self.columns[index];
        let mut after = if self.has_before() { "is_after = 1".to_owned() } else { String::new() };
        if let (Some(days), false) = (measure.final_after_days, matches!(measure.shape, Shape::Return(..))) {
            after += &format!(" AND done - first < {}", i64::from(days) * DAY_MS);
        }
        let before = |days: u32, column: usize| {
            // A label must have been told by then.
            let is_label = matches!(self.channels[column].what, What::Label(_));
            let told = if is_label { " AND told_at < first" } else { "" };
            let span = i64::from(days) * DAY_MS;
            format!("is_after = 0 AND done < first AND first - at <= {span}{told}")
        };
        let total = |column: usize, condition: &str| match condition {
            "" => format!("ifNull(sum(c{column}), 0)"),
            _ => format!("ifNull(sumIf(c{column}, {condition}), 0)"),
        };
        let number = |wanted: String, condition: &str| match condition {
            "" => format!("countIf({wanted})"),
            _ => format!("countIf({wanted} AND {condition})"),
        };
        let any = |column: usize, condition: &str| {
            format!("toFloat64({} > 0)", number(format!("c{column} > 0"), condition))
        };
        let count = |column: usize, condition: &str| number(format!("isNotNull(c{column})"), condition);
        let one = |condition: &str| match measure.shape {
            Shape::Any => any(of, condition),
            Shape::Average => {
                let (sum, count) = (total(of, condition), count(of, condition));
                format!("if({count} > 0, {sum} / {count}, 0)")
            }
            Shape::Return(first, last) => {
                let (from, to) = (i64::from(first) * DAY_MS, i64::from(last + 1) * DAY_MS);
                any(of, &format!("done - first >= {from} AND done - first < {to}"))
            }
            Shape::Values => "toFloat64(0)".to_owned(),
            Shape::Total | Shape::Ratio => total(of, condition),
        };
        let mut columns = vec![format!("{} AS x{index}", one(&after))];
        if measure.shape == Shape::Ratio {
            columns.push(format!("{} AS y{index}", total(over, &after)));
        }
        if let Before::Days(days) = measure.before {
            columns.push(format!("{} AS v{index}", one(&before(days, of))));
            if measure.shape == Shape::Ratio {
                columns.push(format!("{} AS w{index}", total(over, &before(days, over))));
            }
        }
        if matches!(measure.shape, Shape::Average | Shape::Values) {
            columns.push(format!("{} AS n{index}", count(of, &after)));
        }
        columns
    }

    /// The units of each arm that are alike, added up.
    pub(super) fn groups(&self, terms: &[Terms]) -> String {
        let (is_multiple, carried) = match self.codes.has_outside {
            true => (
                "(low != high OR (undrawn_high > 0 AND (undrawn_low != low + 1 OR undrawn_high != low + 1)))",
                "carried",
            ),
            false => ("low != high", "0"),
        };
        let backwards = if self.has_signals() { "sum(went_back)" } else { "toUInt64(0)" };
        let splits = self.question.splits.len();
        let split: Vec<String> = (0..splits).map(|index| format!("if({is_multiple}, 0, first_s{index})")).collect();
        let splits =
            if split.is_empty() { "CAST([], 'Array(UInt16)')".to_owned() } else { format!("[{}]", split.join(", ")) };
        let mut values = Vec::new();
        for (index, (measure, terms)) in self.question.measures.iter().zip(terms).enumerate() {
            values.extend(self.of_group(index, measure, *terms));
        }
        let values = if values.is_empty() {
            "CAST([], 'Array(Float64)')".to_owned()
        } else {
            format!("[{}]", values.join(", "))
        };
        format!(
            "SELECT toUInt16(if({is_multiple}, 0, bitAnd(packed, 65535))) AS arm,
                 toUInt8(if({is_multiple}, 0, {carried})) AS is_carried,
                 CAST({splits}, 'Array(UInt16)') AS splits, count() AS units, {backwards} AS backwards,
                 min(bitShiftRight(packed, 16)) AS first, {values} AS values
             FROM ({})
             GROUP BY arm, is_carried, splits",
            self.units()
        )
    }

    fn of_group(&self, index: usize, measure: &Measure, terms: Terms) -> Vec<String> {
        let least = |column: String| match measure.most {
            Some(most) => format!("least({column}, {most:?})"),
            None => column,
        };
        let covariate = match measure.before {
            Before::Attribute(_) => format!("first_z{index}"),
            _ => least(format!("v{index}")),
        };
        let numbers = [least(format!("x{index}")), format!("y{index}"), covariate, format!("w{index}")];
        let mut conditions = vec!["1".to_owned()];
        if let Some(days) = measure.final_after_days {
            let (now, span) = (self.question.now.as_millis(), i64::from(days) * DAY_MS);
            conditions.push(format!("{now} - bitShiftRight(packed, 16) >= {span}"));
        }
        if matches!(measure.shape, Shape::Average | Shape::Values) {
            conditions.push(format!("n{index} > 0"));
        }
        let has = conditions.join(" AND ");
        let sum = |number: String| format!("toFloat64(sumIf({number}, {has}))");
        let mut values = vec![format!("toFloat64(countIf({has}))")];
        values.extend(terms.sums().into_iter().map(|row| sum(numbers[row].clone())));
        let product = |(row, column): (usize, usize)| sum(format!("{} * {}", numbers[row], numbers[column]));
        values.extend(terms.products().into_iter().map(product));
        values
    }
}
