//! What a row says as a short text: few different ones, so that a column of them is small and is read once for all
//! rows that are alike.

use plaudit_event::{Assignment, Draw, ExperimentId, Labels, LayerId, Surface, VariantId};

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

/// The reverse of [`pack_labels`].
pub(in crate::store) fn labels(text: &str) -> Vec<(String, f32)> {
    let one = |part: &str| {
        let (objective, value) = part.rsplit_once('=')?;
        Some((objective.to_owned(), value.parse().ok()?))
    };
    text.split('\t').filter_map(one).collect()
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

    use plaudit_event::{Label, Objective};

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
        let packed = pack_labels(&BTreeMap::from([(Objective::new("a=b"), label), (Objective::new("love"), label)]));
        assert_eq!(labels(&packed), [("a=b".to_owned(), 0.1), ("love".to_owned(), 0.1)]);
        assert_eq!(labels(""), []);
    }
}
