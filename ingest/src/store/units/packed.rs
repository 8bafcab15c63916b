//! What a row says as a short text: few different ones, so that a column of them is small and is read once for all
//! rows that are alike.

use std::collections::HashMap;
use std::sync::Arc;

use plaudit_event::{Assignment, Draw, ExperimentId, Label, Labels, LayerId, Objective, Surface, VariantId};

/// Most texts whose meaning is kept.
const MOST_KNOWN: usize = 100_000;

/// A line for each assignment: layer, experiment, variant, phase and weights, with tabs between. No id has a tab.
pub(in crate::store) fn pack_assignments(assignments: &[Assignment]) -> String {
    let mut text = String::new();
    for Assignment { layer, experiment, variant, draw } in assignments {
        if !text.is_empty() {
            text.push('\n');
        }
        text += &format!("{}\t{}\t{}\t", layer.as_str(), experiment.as_str(), variant.as_str());
        match draw {
            Some(draw) => {
                let weights = serde_json::to_string(&draw.weights).expect("numbers");
                text += &format!("{}\t{weights}", draw.phase);
            }
            None => text.push('\t'),
        }
    }
    text
}

/// The reverse of [`pack_assignments`]; of a draw only phase and weights are known. A line that is none is left out.
pub(in crate::store) fn unpack_assignments(text: &str) -> Vec<Assignment> {
    text.lines().filter_map(unpack).collect()
}

fn unpack(line: &str) -> Option<Assignment> {
    let mut fields = line.split('\t');
    let mut next = || fields.next();
    let (layer, experiment, variant) = (next()?, next()?, next()?);
    let (phase, weights) = (next()?, next()?);
    let draw = match phase {
        "" => None,
        phase => Some(Box::new(Draw {
            definition: String::new(),
            seed: String::new(),
            bucket: 0,
            phase: phase.parse().ok()?,
            weights: serde_json::from_str(weights).ok()?,
            propensity: 0.0,
        })),
    };
    Some(Assignment {
        layer: LayerId::new(layer).ok()?,
        experiment: ExperimentId::new(experiment).ok()?,
        variant: VariantId::new(variant).ok()?,
        draw,
    })
}

/// `objective=value` for each label, with tabs between.
pub(in crate::store) fn pack_labels(labels: &Labels) -> String {
    let one = |(objective, label): (&plaudit_event::Objective, &plaudit_event::Label)| {
        format!("{}={}", objective.0, label.value)
    };
    labels.iter().map(one).collect::<Vec<_>>().join("\t")
}

/// The reverse of [`pack_labels`], with weights of 1: they are not packed.
pub(in crate::store) fn labels(text: &str) -> Labels {
    let one = |part: &str| {
        let (objective, value) = part.rsplit_once('=')?;
        Some((Objective::new(objective), Label { value: value.parse().ok()?, weight: 1.0 }))
    };
    text.split('\t').filter_map(one).collect()
}

/// What texts mean, each worked out once: few of them are different.
pub(in crate::store) struct Known<T> {
    unpack: fn(&str) -> T,
    known: HashMap<String, Arc<T>>,
}

impl<T> Known<T> {
    /// Nothing known yet.
    pub(in crate::store) fn new(unpack: fn(&str) -> T) -> Self {
        Self { unpack, known: HashMap::new() }
    }

    /// What `text` means.
    pub(in crate::store) fn of(&mut self, text: &str) -> Arc<T> {
        if let Some(known) = self.known.get(text) {
            return Arc::clone(known);
        }
        let unpacked = Arc::new((self.unpack)(text));
        // Of labels that are any number there may be many.
        if self.known.len() < MOST_KNOWN {
            self.known.insert(text.to_owned(), Arc::clone(&unpacked));
        }
        unpacked
    }
}

/// Words of a response.
pub(in crate::store) fn words(response: &str) -> u32 {
    u32::try_from(response.split_whitespace().count()).unwrap_or(u32::MAX)
}

/// The surface called `name`.
pub(in crate::store) fn surface(name: &str) -> Surface {
    match name {
        "search" => Surface::Search,
        "decide" => Surface::Decide,
        _ => Surface::Chat,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_is_packed_is_unpacked() {
        let of = |draw: Option<(u32, Vec<f64>)>| Assignment {
            layer: LayerId::new("l").unwrap(),
            experiment: ExperimentId::new("x\\1?").unwrap(),
            variant: VariantId::new("new").unwrap(),
            draw: draw.map(|(phase, weights)| {
                Box::new(Draw {
                    definition: String::new(),
                    seed: String::new(),
                    bucket: 0,
                    phase,
                    weights,
                    propensity: 0.0,
                })
            }),
        };
        let all = vec![of(None), of(Some((2, vec![1.0 / 3.0, 2.0 / 3.0])))];
        assert_eq!(unpack_assignments(&pack_assignments(&all)), all);
        assert_eq!(unpack_assignments(&pack_assignments(&[])), []);
        let label = Label { value: 0.1, weight: 1.0 };
        let all = BTreeMap::from([(Objective::new("a=b"), label), (Objective::new("love"), label)]);
        assert_eq!(labels(&pack_labels(&all)), all);
        assert_eq!(labels(""), BTreeMap::new());
    }
}
