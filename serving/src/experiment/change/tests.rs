use plaudit_event::{LayerId, VariantId};

use super::*;
use crate::experiment::{PolicyRef, VariantConfig};

fn experiment(name: &str, capacity: f64) -> ExperimentConfig {
    let variant =
        |id: &str| VariantConfig { id: VariantId::new(id).unwrap(), weight: 1.0, policy: PolicyRef::Champion };
    let variants = vec![variant("control"), variant("other")];
    ExperimentConfig { id: ExperimentId::new(name).unwrap(), capacity, share: 0.2, control: None, variants }
}

fn layer() -> LayerConfig {
    let experiments = vec![experiment("front", 0.25), experiment("mine", 0.5), experiment("back", 0.25)];
    LayerConfig { id: LayerId::new("l").unwrap(), salt: None, experiments }
}

type Edit = fn(&mut LayerConfig);

/// What is wrong with `edit` while `mine` runs.
fn refused(edit: impl FnOnce(&mut LayerConfig)) -> Vec<String> {
    let mut new = layer();
    edit(&mut new);
    let mine = ExperimentId::new("mine").unwrap();
    let problems = check_change("layers", &layer(), &mine, &[new]);
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn edits_that_move_or_remake_the_experiment_are_refused() {
    let cases: [(Edit, &str); 8] = [
        (|l| l.id = LayerId::new("other").unwrap(), "layers: must have the layer `l`"),
        (|l| l.salt = Some("s".to_owned()), "layers[0].salt: must stay `l`, got `s`"),
        (|l| drop(l.experiments.remove(1)), "layers[0].experiments: must have the experiment `mine`"),
        (
            |l| l.experiments[1].id = ExperimentId::new("renamed").unwrap(),
            "layers[0].experiments: must have the experiment `mine`",
        ),
        (
            |l| l.experiments[0].capacity = 0.3,
            "layers[0].experiments: must reserve 0.25 of the layer before `mine`, got 0.3",
        ),
        (|l| l.experiments[1].share = 0.1, "layers[0].experiments[1].share: must not shrink below 0.2, got 0.1"),
        (
            |l| l.experiments[1].control = Some(VariantId::new("other").unwrap()),
            "layers[0].experiments[1].control: must stay `control`, got `other`",
        ),
        (
            |l| l.experiments[1].variants[0].weight = 3.0,
            "layers[0].experiments[1].variants: must stay `control` (1, champion), `other` (1, champion), got \
             `control` (3, champion), `other` (1, champion)",
        ),
    ];
    for (edit, expected) in cases {
        assert_eq!(refused(edit), [expected]);
    }
    assert_eq!(refused(|l| l.experiments.swap(0, 1)).len(), 1, "its place moves with the order");
    assert_eq!(refused(|l| l.experiments[1].variants[1].policy = PolicyRef::Previous).len(), 1);
}

#[test]
fn edits_that_leave_it_alone_are_not() {
    assert!(refused(|_| ()).is_empty());
    assert!(refused(|l| l.salt = Some("l".to_owned())).is_empty());
    assert!(refused(|l| l.experiments[1].share = 0.5).is_empty());
    assert!(refused(|l| drop(l.experiments.remove(2))).is_empty());
    assert!(refused(|l| l.experiments[0].variants[0].weight = 9.0).is_empty());
    assert!(refused(|l| l.experiments[1].control = Some(VariantId::new("control").unwrap())).is_empty());
}
