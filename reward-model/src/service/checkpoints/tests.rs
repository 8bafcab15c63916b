use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::*;

const SEED: Seed = Seed::new(3);

/// The lines that were logged on this thread.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<String>>);

impl Visit for Lines {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0.lock().unwrap(), " {field}={value:?}").unwrap();
    }
}

impl Subscriber for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn a_refused_checkpoint_is_reported_with_the_file_and_what_is_wrong_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let trainer = Trainer::new(Config::default(), SEED).unwrap();
    let written = write(dir.path(), &trainer, 1, None, (1, None)).unwrap();
    let path = dir.path().join(&written.id);
    std::fs::write(path.join("state.json"), "{}").unwrap();
    let lines = Lines::default();
    let opened =
        tracing::subscriber::with_default(lines.clone(), || open(&path, &written, &Config::default(), SEED).is_some());
    assert!(!opened);
    let text = lines.0.lock().unwrap().clone();
    let sums = [checkpoint::sha256(b"{}"), written.files["state.json"].clone()];
    for part in ["reward checkpoint refused", written.id.as_str(), "state.json", &sums[0], &sums[1]] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

fn positions(dir: &Path) -> Vec<u64> {
    let found = checkpoint::list(dir, CHECKPOINT_KIND).unwrap();
    found.iter().map(|(_, manifest)| manifest.log_position).collect()
}

#[test]
fn checkpoints_of_another_log_do_not_push_out_those_of_this_one() {
    let dir = tempfile::tempdir().unwrap();
    let trainer = Trainer::new(Config::default(), SEED).unwrap();
    let mut parent = None;
    for position in [100, 250, 300] {
        parent = Some(write(dir.path(), &trainer, position, parent, (2, None)).unwrap().id);
    }
    assert_eq!(positions(dir.path()), [300, 250]);
    // The log was replaced: training begins anew.
    let mut parent = None;
    for position in [40, 80, 120] {
        parent = Some(write(dir.path(), &trainer, position, parent, (2, None)).unwrap().id);
    }
    assert_eq!(positions(dir.path()), [300, 250, 120, 80]);
    let after = write(dir.path(), &trainer, 270, parent, (2, None)).unwrap();
    assert_eq!(positions(dir.path()), [300, 270, 120], "one that training has come past is gone");
    write(dir.path(), &trainer, 310, Some(after.id), (2, None)).unwrap();
    assert_eq!(positions(dir.path()), [310, 270]);
}

#[test]
fn what_a_crash_left_is_swept() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join(".tmp-reward-0123")).unwrap();
    std::fs::create_dir(dir.path().join(".tmp-other-0123")).unwrap();
    sweep(dir.path());
    let left = |name: &str| dir.path().join(name).exists();
    assert!(!left(".tmp-reward-0123") && left(".tmp-other-0123"));
}

#[test]
fn the_champion_outlives_newer_checkpoints() {
    let dir = tempfile::tempdir().unwrap();
    let trainer = Trainer::new(Config::default(), SEED).unwrap();
    let mut parent = None;
    let mut champion: Option<String> = None;
    for position in [100, 200, 300, 400] {
        let written = write(dir.path(), &trainer, position, parent, (1, champion.as_deref())).unwrap();
        champion.get_or_insert_with(|| written.id.clone());
        parent = Some(written.id);
    }
    assert_eq!(positions(dir.path()), [400, 100]);
    write(dir.path(), &trainer, 401, parent, (0, champion.as_deref())).unwrap();
    assert_eq!(positions(dir.path()), [401], "an erasure takes all that is older");
}
