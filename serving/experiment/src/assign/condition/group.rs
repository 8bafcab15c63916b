//! Saved groups: lists and conditions with a name.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Condition, Members, Path};

/// Groups by id.
#[derive(Debug, Clone, Default)]
pub struct Groups(BTreeMap<String, Group>);

/// What a saved group is.
#[derive(Debug, Clone)]
pub struct Group(pub(super) Kind);

#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// A bare list of values: for `$inGroup` alone, since it names no attribute.
    Bare(Members),
    /// Values of one attribute.
    List { attribute: Option<Path>, values: Members },
    /// Whoever meets a condition; with the JSON that it was read from, for pruning.
    Condition(Condition, Value),
    /// Whoever lists the group's id in the attribute `__gb_remoteGroupIds`.
    Remote { attribute: Option<String> },
    /// A kind that is not known here: it decides nothing.
    Unknown,
    /// Matches nobody.
    Malformed,
}

impl Groups {
    /// Reads a map of id → group; anything but an object has none.
    #[must_use]
    pub fn read(value: &Value) -> Self {
        let entries = value.as_object().into_iter().flatten();
        Self(entries.map(|(id, group)| (id.clone(), Group::read(group))).collect())
    }

    pub(super) fn get(&self, id: &str) -> Option<&Kind> {
        self.0.get(id).map(|group| &group.0)
    }

    /// The JSON of a group that is a condition.
    pub(super) fn source(&self, id: &str) -> Option<&Value> {
        match self.get(id) {
            Some(Kind::Condition(_, source)) => Some(source),
            _ => None,
        }
    }

    /// Whether the group `id` refers to itself, directly or by way of others.
    #[must_use]
    pub fn is_circular(&self, id: &str) -> bool {
        let mut open = vec![id];
        let mut seen = std::collections::BTreeSet::new();
        while let Some(next) = open.pop() {
            for referred in self.referred(next) {
                if referred == id {
                    return true;
                }
                if let Some((known, _)) = self.0.get_key_value(&referred)
                    && seen.insert(known.as_str())
                {
                    open.push(known);
                }
            }
        }
        false
    }

    fn referred(&self, id: &str) -> Vec<String> {
        match self.get(id) {
            Some(Kind::Condition(condition, _)) => condition.group_ids(),
            _ => Vec::new(),
        }
    }

    /// The ids.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl Group {
    /// Whether it is of a kind that is known, and complete.
    #[must_use]
    pub fn is_understood(&self) -> bool {
        !matches!(self.0, Kind::Unknown | Kind::Malformed)
    }

    /// Reads a bare list, or `{"type": "list" | "condition" | "remote", ...}`.
    #[must_use]
    pub fn read(value: &Value) -> Self {
        let Some(fields) = value.as_object() else {
            return Self(value.as_array().map_or(Kind::Malformed, |values| Kind::Bare(Members::new(values.clone()))));
        };
        let attribute = fields.get("attributeKey").and_then(Value::as_str);
        Self(match fields.get("type").and_then(Value::as_str) {
            Some("list") => match fields.get("values") {
                Some(Value::Array(values)) => {
                    Kind::List { attribute: attribute.map(Path::new), values: Members::new(values.clone()) }
                }
                _ => Kind::Malformed,
            },
            Some("condition") => match fields.get("condition") {
                Some(condition @ Value::Object(_)) => Kind::Condition(Condition::read(condition), condition.clone()),
                _ => Kind::Malformed,
            },
            Some("remote") => Kind::Remote { attribute: attribute.map(str::to_owned) },
            Some(_) => Kind::Unknown,
            None => Kind::Malformed,
        })
    }
}
