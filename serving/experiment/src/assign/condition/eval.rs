//! Whether a unit meets a condition.

use std::cell::Cell;
use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::group::Kind;
use super::value::{identical, identical_folded, same, type_name};
use super::{Accepts, Clause, Condition, Element, Groups, Operator, Path, Test};

/// Longest chain of groups that refer to groups.
const MAX_GROUP_DEPTH: usize = 64;
/// Fields that are compared one by one.
const FEW_FIELDS: usize = 12;
/// Most groups looked into for one condition: groups that refer to others twice would double the work at each step.
pub(super) const MAX_GROUP_LOOKUPS: u32 = 4_096;
/// Where a unit lists the groups that somebody else found it in.
pub(in crate::assign) const REMOTE_GROUPS: &str = "__gb_remoteGroupIds";

/// Null stood where a condition must be, or the work has no end: nobody passes the whole.
pub(super) struct Broken;

/// True, false, or not to be decided here.
pub(super) type Verdict = Result<Option<bool>, Broken>;

/// What conditions are evaluated in.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) attributes: &'a Value,
    pub(super) groups: &'a Groups,
    /// The groups being resolved, innermost first.
    pub(super) open: Option<&'a Open<'a>>,
    /// How many more groups may be looked into.
    pub(super) budget: &'a Cell<u32>,
}

impl Scope<'_> {
    /// Takes one look into a group from the budget.
    pub(super) fn spend(&self) -> Result<(), Broken> {
        let left = self.budget.get().checked_sub(1).ok_or(Broken)?;
        self.budget.set(left);
        Ok(())
    }
}

pub(super) struct Open<'a> {
    pub(super) id: &'a str,
    pub(super) depth: usize,
    pub(super) outer: Option<&'a Open<'a>>,
}

/// What stands at a path.
enum Found<'a> {
    Value(&'a Value),
    /// The property `length` of a list.
    Length(usize),
}

impl Condition {
    /// Whether `attributes`, a JSON object, meet the condition.
    #[must_use]
    pub fn holds(&self, attributes: &Value, groups: &Groups) -> bool {
        let budget = Cell::new(MAX_GROUP_LOOKUPS);
        let scope = Scope { attributes, groups, open: None, budget: &budget };
        matches!(self.verdict(scope), Ok(Some(true)))
    }

    pub(super) fn verdict(&self, scope: Scope<'_>) -> Verdict {
        if self.is_broken {
            return Err(Broken);
        }
        all(self.clauses.iter().map(|clause| clause.verdict(scope)))
    }
}

/// One false decides, and what comes after it is not looked at.
fn all(verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    let mut result = Some(true);
    for verdict in verdicts {
        match verdict? {
            Some(true) => {}
            Some(false) => return Ok(Some(false)),
            None => result = None,
        }
    }
    Ok(result)
}

/// One true decides.
fn any(verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    let negated = all(verdicts.map(negate));
    negate(negated)
}

fn negate(verdict: Verdict) -> Verdict {
    Ok(verdict?.map(|holds| !holds))
}

impl Clause {
    fn verdict(&self, scope: Scope<'_>) -> Verdict {
        let each = |conditions: &'_ [Condition]| any(conditions.iter().map(|condition| condition.verdict(scope)));
        match self {
            Self::All(conditions) => all(conditions.iter().map(|condition| condition.verdict(scope))),
            Self::Any(conditions) if conditions.is_empty() => Ok(Some(true)),
            Self::Any(conditions) => each(conditions),
            Self::None(conditions) if conditions.is_empty() => Ok(Some(false)),
            Self::None(conditions) => negate(each(conditions)),
            Self::Not(condition) => negate(condition.verdict(scope)),
            Self::Group { id, attribute } => group(id, attribute.as_ref(), scope),
            Self::Field { path, test } => path.with(scope.attributes, |value| test.verdict(value, scope)),
            Self::Never => Ok(Some(false)),
            Self::Broken => Err(Broken),
        }
    }
}

/// What `key` names. Hashing a key takes as long as comparing it with many.
fn get<'a>(fields: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    if fields.len() > FEW_FIELDS {
        return fields.get(key);
    }
    fields.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
}

impl Path {
    fn find<'a>(&self, root: &'a Value) -> Option<Found<'a>> {
        let mut current = root;
        for (index, part) in self.0.iter().enumerate() {
            current = match current {
                Value::Object(fields) => get(fields, part)?,
                Value::Array(items) if part == "length" => {
                    return (index + 1 == self.0.len()).then_some(Found::Length(items.len()));
                }
                // An index is written as JavaScript would: no sign, no leading zero.
                Value::Array(items) if part == "0" || !part.starts_with(['0', '+']) => {
                    items.get(part.parse::<usize>().ok()?)?
                }
                _ => return None,
            };
        }
        Some(Found::Value(current))
    }

    /// Calls `use_value` with what stands at the path; null when nothing does.
    pub(super) fn with<T>(&self, root: &Value, use_value: impl FnOnce(&Value) -> T) -> T {
        match self.find(root) {
            Some(Found::Value(value)) => use_value(value),
            Some(Found::Length(length)) => use_value(&Value::from(length)),
            None => use_value(&Value::Null),
        }
    }

    pub(super) fn is(&self, attribute: &str) -> bool {
        self.0.len() == 1 && self.0[0] == attribute
    }
}

fn group(id: &str, attribute: Option<&Path>, scope: Scope<'_>) -> Verdict {
    let mut outer = scope.open;
    while let Some(open) = outer {
        if open.id == id {
            return Ok(Some(false));
        }
        outer = open.outer;
    }
    scope.spend()?;
    let depth = scope.open.map_or(0, |open| open.depth) + 1;
    if depth > MAX_GROUP_DEPTH {
        return Ok(Some(false));
    }
    match scope.groups.get(id) {
        Some(Kind::List { attribute: own, values }) => {
            let path = attribute.or(own.as_ref());
            Ok(Some(path.is_some_and(|path| path.with(scope.attributes, |value| values.has(value, false)))))
        }
        Some(Kind::Condition(condition, _)) => {
            let open = Open { id, depth, outer: scope.open };
            condition.verdict(Scope { open: Some(&open), ..scope })
        }
        Some(Kind::Remote { attribute: own }) => {
            let is_own = attribute.is_none_or(|path| own.as_deref().is_some_and(|own| path.is(own)));
            Ok(Some(is_own && lists_remote(scope.attributes, id)))
        }
        Some(Kind::Unknown) => Ok(None),
        Some(Kind::Bare(_) | Kind::Malformed) | None => Ok(Some(false)),
    }
}

fn lists_remote(attributes: &Value, id: &str) -> bool {
    let ids = attributes.get(REMOTE_GROUPS).and_then(Value::as_array);
    ids.is_some_and(|ids| ids.iter().any(|listed| listed.as_str() == Some(id)))
}

impl Test {
    fn verdict(&self, value: &Value, scope: Scope<'_>) -> Verdict {
        match self {
            Self::Is(expected) => Ok(Some(same(value, expected))),
            Self::Operators(operators) => all(operators.iter().map(|operator| operator.verdict(value, scope))),
        }
    }
}

impl Operator {
    fn verdict(&self, value: &Value, scope: Scope<'_>) -> Verdict {
        let nested = |test: &Test, value: &Value| test.verdict(value, scope);
        Ok(Some(match self {
            Self::Equal(expected) => identical(value, expected),
            Self::NotEqual(expected) => !identical(value, expected),
            Self::Order { accepts, than } => order(value, than).is_some_and(|order| accepts.accept(order)),
            Self::Version { accepts, than } => than.order(value).is_some_and(|order| accepts.accept(order)),
            Self::NotVersion(than) => than.order(value) != Some(Ordering::Equal),
            Self::Member { of, fold, negate } => of.has(value, *fold) != *negate,
            Self::Contains { all: expected, fold } => return contains(value, expected, *fold, scope),
            Self::Exists(expected) => value.is_null() != *expected,
            Self::Type(name) => type_name(value) == name,
            Self::Matches { pattern, negate } => value.as_str().is_some_and(|text| pattern.is_match(text)) != *negate,
            Self::Size(test) => match value {
                Value::Array(items) => return nested(test, &Value::from(items.len())),
                _ => false,
            },
            Self::AnyElement(element) => return element.verdict(value, scope),
            Self::Not(test) => return negate(nested(test, value)),
            Self::InGroup(id) => return in_group(id, value, scope, true),
            // A group without values keeps nobody in, and must not let everybody in.
            Self::NotInGroup(id) => return in_group(id, value, scope, false),
            Self::Never => false,
            Self::Always => true,
            Self::Unknown => return Ok(None),
        }))
    }
}

/// Whether the values of a list have `value`, as `expected`; a group of another kind does as nobody expects. A group that
/// nobody defined is an empty list.
fn in_group(id: &str, value: &Value, scope: Scope<'_>, expected: bool) -> Verdict {
    let has = match scope.groups.get(id) {
        None => Some(false),
        Some(Kind::Bare(values) | Kind::List { values, .. }) => Some(values.has(value, false)),
        Some(Kind::Unknown) => return Ok(None),
        Some(Kind::Condition(..) | Kind::Remote { .. } | Kind::Malformed) => None,
    };
    Ok(Some(has == Some(expected)))
}

fn contains(value: &Value, expected: &[Test], fold: bool, scope: Scope<'_>) -> Verdict {
    let Some(items) = value.as_array() else { return Ok(Some(false)) };
    let meets = |test: &Test, item: &Value| match test {
        Test::Is(expected) if fold && expected.is_string() => Ok(Some(identical_folded(item, expected))),
        _ => test.verdict(item, scope),
    };
    all(expected.iter().map(|test| any(items.iter().map(|item| meets(test, item)))))
}

impl Element {
    fn verdict(&self, value: &Value, scope: Scope<'_>) -> Verdict {
        let Some(items) = value.as_array() else { return Ok(Some(false)) };
        let present = items.iter().filter(|item| !item.is_null());
        any(present.map(|item| match self {
            Self::Value(test) => test.verdict(item, scope),
            Self::Fields(condition) => condition.verdict(Scope { attributes: item, ..scope }),
        }))
    }
}

impl Accepts {
    fn accept(self, order: Ordering) -> bool {
        match self {
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Equal => order.is_eq(),
            Self::GreaterOrEqual => order.is_ge(),
            Self::Greater => order.is_gt(),
        }
    }
}

/// Two texts or two numbers; anything else has no order.
fn order(value: &Value, than: &Value) -> Option<Ordering> {
    match (value, than) {
        (Value::String(value), Value::String(than)) if value.is_ascii() && than.is_ascii() => Some(value.cmp(than)),
        (Value::String(value), Value::String(than)) => Some(value.encode_utf16().cmp(than.encode_utf16())),
        (Value::Number(value), Value::Number(than)) => value.as_f64()?.partial_cmp(&than.as_f64()?),
        _ => None,
    }
}
