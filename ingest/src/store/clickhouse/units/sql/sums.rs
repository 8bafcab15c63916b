//! From rows of events to one row a unit, and from units to the sums of an arm.

use super::super::FIRST_ARM;
use super::{Channel, Plan, Terms};
use crate::store::units::DAY_MS;
use crate::store::{Before, Measure, Of, Shape, What};

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
        for index in 0..self.question.splits.len() {
            columns.push(format!("argMinIf(s{index}, {order}, {inside}) AS first_s{index}"));
        }
        for (index, measure) in self.question.measures.iter().enumerate() {
            if matches!(measure.before, Before::Attribute(_)) {
                columns.push(format!("argMinIf(z{index}, {order}, {inside}) AS first_z{index}"));
            }
        }
        let of_unit =
            self.question.measures.iter().enumerate().flat_map(|(index, measure)| self.of_unit(index, measure));
        let (of_reactions, of_events): (Vec<_>, Vec<_>) = of_unit.partition(|(column, _)| self.is_signal(*column));
        columns.extend(of_events.into_iter().map(|(_, column)| column));
        let events = format!("(SELECT {} FROM ({}) GROUP BY unit)", columns.join(", "), self.events());
        if !self.has_signals() {
            return events;
        }
        let mut columns = vec!["unit, sum(backwards) AS went_back".to_owned()];
        columns.extend(of_reactions.into_iter().map(|(_, column)| column));
        let reactions = format!("(SELECT {} FROM ({}) GROUP BY unit)", columns.join(", "), self.reactions());
        format!("{events} AS e ANY LEFT JOIN {reactions} AS r ON e.unit = r.unit")
    }

    fn is_signal(&self, column: usize) -> bool {
        matches!(self.channels[column].what, What::Signal(..))
    }

    /// How many values of `column` there are.
    fn count(&self, column: usize, condition: &str) -> String {
        let Channel { what, filter } = &self.channels[column];
        let is_always = filter == "1" && matches!(what, What::Exposures | What::ResponseWords);
        match (is_always, condition) {
            (true, "") => "count()".to_owned(),
            (true, condition) => format!("countIf({condition})"),
            (false, "") => format!("countIf(h{column})"),
            (false, condition) => format!("countIf(h{column} AND {condition})"),
        }
    }

    /// The sum of the values of `column`.
    fn total(&self, column: usize, condition: &str) -> String {
        match (&self.channels[column].what, condition) {
            // Each is 1.
            (What::Exposures | What::Signal(_, Of::Each | Of::Exposure), _) => {
                format!("toFloat64({})", self.count(column, condition))
            }
            // Absent ones are 0.
            (What::Label(_) | What::Attribute(_) | What::ResponseWords, "") => format!("toFloat64(sum(c{column}))"),
            (What::Signal(..), "") => format!("sumIf(c{column}, h{column})"),
            (_, condition) => format!("toFloat64(sumIf(c{column}, h{column} AND {condition}))"),
        }
    }

    /// Whether any value of `column` is above 0.
    fn any(&self, column: usize, condition: &str) -> String {
        let is_one = matches!(self.channels[column].what, What::Exposures | What::Signal(_, Of::Each | Of::Exposure));
        let is_above = if is_one { String::new() } else { format!(" AND c{column} > 0") };
        let condition = if condition.is_empty() { String::new() } else { format!(" AND {condition}") };
        format!("toFloat64(max(h{column}{is_above}{condition}))")
    }

    /// What a unit adds up to, with the column that it is of: x, y after, v, w before, and n, how many values there are
    /// after.
    fn of_unit(&self, index: usize, measure: &Measure) -> Vec<(usize, String)> {
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
        let one = |condition: &str| match measure.shape {
            Shape::Any => self.any(of, condition),
            Shape::Average => {
                let (sum, count) = (self.total(of, condition), self.count(of, condition));
                format!("if({count} > 0, {sum} / {count}, 0)")
            }
            Shape::Return(first, last) => {
                let (from, to) = (i64::from(first) * DAY_MS, i64::from(last + 1) * DAY_MS);
                self.any(of, &format!("done - first >= {from} AND done - first < {to}"))
            }
            Shape::Values => "toFloat64(0)".to_owned(),
            Shape::Total | Shape::Ratio => self.total(of, condition),
        };
        let mut columns = vec![(of, format!("{} AS x{index}", one(&after)))];
        if measure.shape == Shape::Ratio {
            columns.push((over, format!("{} AS y{index}", self.total(over, &after))));
        }
        if let Before::Days(days) = measure.before {
            columns.push((of, format!("{} AS v{index}", one(&before(days, of)))));
            if measure.shape == Shape::Ratio {
                columns.push((over, format!("{} AS w{index}", self.total(over, &before(days, over)))));
            }
        }
        if matches!(measure.shape, Shape::Average | Shape::Values) {
            columns.push((of, format!("{} AS n{index}", self.count(of, &after))));
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
             FROM {}
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
        let mut conditions = Vec::new();
        if let Some(days) = measure.final_after_days {
            let (now, span) = (self.question.now.as_millis(), i64::from(days) * DAY_MS);
            conditions.push(format!("{now} - bitShiftRight(packed, 16) >= {span}"));
        }
        if matches!(measure.shape, Shape::Average | Shape::Values) {
            conditions.push(format!("n{index} > 0"));
        }
        let has = conditions.join(" AND ");
        let sum = |number: String| match has.as_str() {
            "" => format!("toFloat64(sum({number}))"),
            has => format!("toFloat64(sumIf({number}, {has}))"),
        };
        let count = if has.is_empty() { "toFloat64(count())".to_owned() } else { format!("toFloat64(countIf({has}))") };
        let mut values = vec![count];
        values.extend(terms.sums().into_iter().map(|row| sum(numbers[row].clone())));
        let product = |(row, column): (usize, usize)| sum(format!("{} * {}", numbers[row], numbers[column]));
        values.extend(terms.products().into_iter().map(product));
        values
    }
}
