//! Deciding the parts of a condition for which the attributes are known already.

use std::cell::Cell;

use serde_json::{Map, Value};

use super::eval::{Broken, MAX_GROUP_LOOKUPS, Open, REMOTE_GROUPS, Scope};
use super::group::Kind;
use super::{Condition, Groups};

/// What is left of a condition.
#[derive(Debug, Clone, PartialEq)]
pub enum Pruned {
    /// It holds, whatever the other attributes are.
    Always,
    /// It does not hold, whatever the other attributes are.
    Never,
    /// The part that the other attributes decide.
    Left(Value),
}

/// Decides what `known` attributes decide of `condition`, and leaves the rest for whoever knows the others.
///
/// An attribute is known when it is a key of `known`; a dotted path is not. Groups that cannot be decided stay
/// references. A condition that is broken somewhere stays as it is.
#[must_use]
pub fn prune(condition: &Value, known: &Value, groups: &Groups) -> Pruned {
    let budget = Cell::new(MAX_GROUP_LOOKUPS);
    let scope = Scope { attributes: known, groups, open: None, budget: &budget };
    whole(condition, scope).unwrap_or_else(|_broken| Pruned::Left(condition.clone()))
}

type Result = std::result::Result<Pruned, Broken>;

fn whole(condition: &Value, scope: Scope<'_>) -> Result {
    let Some(fields) = condition.as_object() else {
        return if condition.is_null() { Err(Broken) } else { Ok(Pruned::Never) };
    };
    let mut left = Map::new();
    for (key, value) in fields {
        match clause(key, value, scope)? {
            Pruned::Always => {}
            Pruned::Never => return Ok(Pruned::Never),
            Pruned::Left(value) => {
                left.insert(key.clone(), value);
            }
        }
    }
    Ok(if left.is_empty() { Pruned::Always } else { Pruned::Left(Value::Object(left)) })
}

/// What is left of the value of one key.
fn clause(key: &str, value: &Value, scope: Scope<'_>) -> Result {
    match (key, value) {
        ("$and" | "$or" | "$nor" | "$not", Value::Null) => Err(Broken),
        ("$and", Value::Array(items)) => list(items, Pruned::Never, Pruned::Always, scope),
        ("$or", Value::Array(items)) if items.is_empty() => Ok(Pruned::Always),
        ("$or", Value::Array(items)) => list(items, Pruned::Always, Pruned::Never, scope),
        ("$nor", Value::Array(items)) if items.is_empty() => Ok(Pruned::Never),
        ("$nor", Value::Array(items)) => Ok(match list(items, Pruned::Always, Pruned::Never, scope)? {
            Pruned::Always => Pruned::Never,
            Pruned::Never => Pruned::Always,
            left => left,
        }),
        ("$not", Value::Object(_)) => Ok(match whole(value, scope)? {
            Pruned::Always => Pruned::Never,
            Pruned::Never => Pruned::Always,
            left => left,
        }),
        ("$and" | "$or" | "$nor" | "$not", _) => Ok(Pruned::Never),
        ("$savedGroup", _) => group(value, scope),
        _ if scope.attributes.get(key).is_some() => leaf(key, value, scope),
        _ => Ok(Pruned::Left(value.clone())),
    }
}

/// A list in which one `decisive` item decides, and that amounts to `otherwise` when no item is left.
fn list(items: &[Value], decisive: Pruned, otherwise: Pruned, scope: Scope<'_>) -> Result {
    let mut left = Vec::new();
    for item in items {
        match whole(item, scope)? {
            Pruned::Left(value) => left.push(value),
            decided if decided == decisive => return Ok(decided),
            _ => {}
        }
    }
    Ok(if left.is_empty() { otherwise } else { Pruned::Left(Value::Array(left)) })
}

/// A clause whose attribute is known.
fn leaf(key: &str, value: &Value, scope: Scope<'_>) -> Result {
    let mut fields = Map::new();
    fields.insert(key.to_owned(), value.clone());
    Ok(match Condition::read(&Value::Object(fields)).verdict(scope)? {
        Some(true) => Pruned::Always,
        Some(false) => Pruned::Never,
        None => Pruned::Left(value.clone()),
    })
}

fn group(reference: &Value, scope: Scope<'_>) -> Result {
    let is_known = |attribute: Option<&str>| attribute.is_none_or(|key| scope.attributes.get(key).is_some());
    let Some(id) = reference.get("id").and_then(Value::as_str) else { return Ok(Pruned::Never) };
    let given = reference.get("attributeKey").and_then(Value::as_str);
    let can_decide = match scope.groups.get(id) {
        Some(Kind::List { attribute, .. }) => {
            given.is_some_and(|key| is_known(Some(key)))
                || given.is_none() && attribute.as_ref().is_none_or(|path| is_known(Some(path.0.join(".").as_str())))
        }
        Some(Kind::Condition(..)) => return referred(reference, id, scope),
        Some(Kind::Remote { .. }) => is_known(Some(REMOTE_GROUPS)),
        Some(Kind::Unknown | Kind::Bare(_) | Kind::Malformed) | None => true,
    };
    if can_decide { leaf("$savedGroup", reference, scope) } else { Ok(Pruned::Left(reference.clone())) }
}

/// A group that is a condition: decided by what is known, or left as a reference.
fn referred(reference: &Value, id: &str, scope: Scope<'_>) -> Result {
    let mut outer = scope.open;
    while let Some(open) = outer {
        if open.id == id {
            return Ok(Pruned::Never);
        }
        outer = open.outer;
    }
    scope.spend()?;
    let Some(condition) = scope.groups.source(id) else { return Ok(Pruned::Never) };
    let depth = scope.open.map_or(0, |open| open.depth) + 1;
    let open = Open { id, depth, outer: scope.open };
    Ok(match whole(condition, Scope { open: Some(&open), ..scope })? {
        Pruned::Left(_) => Pruned::Left(reference.clone()),
        decided => decided,
    })
}
