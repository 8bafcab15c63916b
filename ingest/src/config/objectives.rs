//! What labels are made for.

use std::collections::BTreeMap;

use plaudit_event::{Objective, Surface};
use serde::{Deserialize, Deserializer, Serialize};

/// What to do about an exposure without any signal for an objective.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Silence {
    /// Silence is an answer: the label is 0.
    Negative,
    /// Silence says nothing: there is no label.
    #[default]
    Missing,
}

/// One objective that labels are made for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ObjectiveSpec {
    /// What silence means.
    pub default: Silence,
    /// Where silence means that; empty is everywhere. Elsewhere silence says nothing.
    pub surfaces: Vec<Surface>,
}

/// The objectives that come with the product.
pub(super) fn defaults() -> BTreeMap<Objective, ObjectiveSpec> {
    let silence = |default, surfaces: &[Surface]| ObjectiveSpec { default, surfaces: surfaces.to_vec() };
    BTreeMap::from([
        (Objective::new(Objective::LOVE), silence(Silence::Negative, &[Surface::Chat, Surface::Decide])),
        (Objective::new("click"), silence(Silence::Negative, &[Surface::Search, Surface::Decide])),
        (Objective::new(Objective::HELPFULNESS), silence(Silence::Missing, &[])),
        (Objective::new(Objective::SAFETY), silence(Silence::Missing, &[])),
    ])
}

/// The keys of one objective as written in a file: what is absent keeps its default.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    default: Option<Silence>,
    surfaces: Option<Vec<Surface>>,
}

pub(super) fn over_defaults<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<Objective, ObjectiveSpec>, D::Error> {
    let given: BTreeMap<Objective, Given> = BTreeMap::deserialize(deserializer)?;
    let mut objectives = defaults();
    for (objective, keys) in given {
        let spec = objectives.entry(objective).or_default();
        spec.default = keys.default.unwrap_or(spec.default);
        if let Some(surfaces) = keys.surfaces {
            spec.surfaces = surfaces;
        }
    }
    Ok(objectives)
}
