//! Conditions that nobody can meet: a modest static check.

use std::collections::BTreeMap;

use serde_json::Value;

use super::value::identical;
use super::{Clause, Condition, Element, Operator, Test};

impl Condition {
    /// Why nobody can meet the condition, if that is plain to see: an empty `$in`, two different values demanded of one
    /// attribute, bounds that exclude each other, a part that holds for nobody. `None` proves nothing.
    #[must_use]
    pub fn contradiction(&self) -> Option<String> {
        let mut demands = Demands::default();
        demands.condition(self);
        demands.found
    }
}

/// What the clauses that must all hold demand of each attribute.
#[derive(Default)]
struct Demands<'a> {
    equal: BTreeMap<String, &'a Value>,
    lower: BTreeMap<String, (f64, bool)>,
    upper: BTreeMap<String, (f64, bool)>,
    found: Option<String>,
}

impl<'a> Demands<'a> {
    fn refuse(&mut self, why: impl FnOnce() -> String) {
        self.found.get_or_insert_with(why);
    }

    fn condition(&mut self, condition: &'a Condition) {
        if condition.is_broken {
            self.refuse(|| "it is null".to_owned());
        }
        for clause in &condition.clauses {
            self.clause(clause);
        }
    }

    fn clause(&mut self, clause: &'a Clause) {
        match clause {
            Clause::All(conditions) => {
                for condition in conditions {
                    self.condition(condition);
                }
            }
            Clause::Any(conditions) if !conditions.is_empty() => {
                let reasons: Option<Vec<String>> = conditions.iter().map(Condition::contradiction).collect();
                if let Some(reasons) = reasons {
                    self.refuse(|| format!("no branch of `$or` can hold: {}", reasons.join("; ")));
                }
            }
            Clause::None(conditions) if conditions.iter().any(Condition::is_empty) || conditions.is_empty() => {
                self.refuse(|| "`$nor` is empty or has an empty condition".to_owned());
            }
            Clause::Not(condition) if condition.is_empty() => {
                self.refuse(|| "it negates an empty condition, which everybody meets".to_owned());
            }
            Clause::Field { path, test } => self.test(&path.0.join("."), test),
            Clause::Never | Clause::Broken => self.refuse(|| "a part of it holds for nobody".to_owned()),
            Clause::Any(_) | Clause::None(_) | Clause::Not(_) | Clause::Group { .. } => {}
        }
    }

    fn test(&mut self, attribute: &str, test: &'a Test) {
        match test {
            Test::Is(value) => self.equal(attribute, value),
            Test::Operators(operators) => {
                for operator in operators {
                    self.operator(attribute, operator);
                }
            }
        }
    }

    fn operator(&mut self, attribute: &str, operator: &'a Operator) {
        match operator {
            Operator::Equal(value) => self.equal(attribute, value),
            Operator::Member { of, negate: false, .. } if of.is_empty() => {
                self.refuse(|| format!("`{attribute}` must be one of an empty list"));
            }
            Operator::Order { accepts, than } => self.order(attribute, *accepts, than),
            Operator::Never => self.refuse(|| format!("a test of `{attribute}` holds for nobody")),
            _ => {}
        }
    }

    fn equal(&mut self, attribute: &str, value: &'a Value) {
        // Lists and objects are compared elsewhere; that they differ is not plain to see.
        if value.is_array() || value.is_object() {
            return;
        }
        let earlier = *self.equal.entry(attribute.to_owned()).or_insert(value);
        if !identical(earlier, value) {
            self.refuse(|| format!("`{attribute}` must be {earlier} and {value}"));
        }
        self.bounds(attribute);
    }

    fn order(&mut self, attribute: &str, accepts: super::Accepts, than: &Value) {
        use super::Accepts::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual};
        let Some(bound) = than.as_f64() else { return };
        let (map, is_open) = match accepts {
            Less => (&mut self.upper, true),
            LessOrEqual => (&mut self.upper, false),
            Greater => (&mut self.lower, true),
            GreaterOrEqual => (&mut self.lower, false),
            Equal => return,
        };
        let entry = map.entry(attribute.to_owned()).or_insert((bound, is_open));
        let is_upper = matches!(accepts, Less | LessOrEqual);
        let is_tighter = if is_upper { bound < entry.0 } else { bound > entry.0 };
        if is_tighter || bound == entry.0 && is_open {
            *entry = (bound, is_open);
        }
        self.bounds(attribute);
    }

    fn bounds(&mut self, attribute: &str) {
        let point = self.equal.get(attribute).and_then(|value| value.as_f64()).map(|value| (value, false));
        let lower = self.lower.get(attribute).copied().or(point);
        let upper = self.upper.get(attribute).copied().or(point);
        let within =
            |lower: (f64, bool), upper: (f64, bool)| lower.0 < upper.0 || lower.0 == upper.0 && !lower.1 && !upper.1;
        let is_empty = [(lower, upper), (lower, point), (point, upper)]
            .into_iter()
            .any(|(lower, upper)| lower.zip(upper).is_some_and(|(lower, upper)| !within(lower, upper)));
        if is_empty {
            self.refuse(|| format!("the bounds of `{attribute}` exclude each other"));
        }
    }
}

impl Condition {
    /// Whether it asks nothing, so that everybody meets it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clauses.is_empty() && !self.is_broken
    }
}

impl Condition {
    /// The ids of the groups that the condition refers to, each once.
    #[must_use]
    pub fn group_ids(&self) -> Vec<String> {
        let mut ids = Vec::new();
        self.collect_groups(&mut ids);
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    fn collect_groups(&self, ids: &mut Vec<String>) {
        for clause in &self.clauses {
            match clause {
                Clause::All(conditions) | Clause::Any(conditions) | Clause::None(conditions) => {
                    for condition in conditions {
                        condition.collect_groups(ids);
                    }
                }
                Clause::Not(condition) => condition.collect_groups(ids),
                Clause::Group { id, .. } => ids.push(id.clone()),
                Clause::Field { test, .. } => test.collect_groups(ids),
                Clause::Never | Clause::Broken => {}
            }
        }
    }
}

impl Test {
    fn collect_groups(&self, ids: &mut Vec<String>) {
        let Self::Operators(operators) = self else { return };
        for operator in operators {
            match operator {
                Operator::InGroup(id) | Operator::NotInGroup(id) => ids.push(id.clone()),
                Operator::Not(test) | Operator::Size(test) | Operator::AnyElement(Element::Value(test)) => {
                    test.collect_groups(ids);
                }
                Operator::AnyElement(Element::Fields(condition)) => condition.collect_groups(ids),
                Operator::Contains { all, .. } => {
                    for test in all {
                        test.collect_groups(ids);
                    }
                }
                _ => {}
            }
        }
    }
}
