//! Upworthy's headline tests as events: on tests written here, and on the real files where they are present.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use plaudit_datasets::Error;
use plaudit_datasets::Split;
use plaudit_datasets::upworthy::{CLICK_DELAY_MS, Counts, LAYER, TEST_MS, Upworthy, origin, path, synthetic};
use plaudit_event::{Envelope, Event, Exposure, ExposureId, Seed, SignalKind, Surface, Timestamp};

const LATER: &str = r#"{"test": "b2", "week": 201412, "randomisation_suspect": false, "arms": [{"headline": "Two", "lede": null, "excerpt": "\"image\": NaN", "image": NaN, "impressions": 3, "clicks": 1, "winner": true}, {"headline": "Three", "image": "x", "impressions": 2, "clicks": 0}]}"#;
const EARLIER: &str = r#"{"test": "a-1", "week": 201400, "randomisation_suspect": true, "arms": [{"headline": "One", "impressions": 4, "clicks": 4}]}"#;

fn write(lines: &[&str]) -> tempfile::TempDir {
    let data = tempfile::tempdir().expect("a directory");
    let path = path(data.path(), Split::Train);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    let mut gzip = GzEncoder::new(std::fs::File::create(path).expect("made"), Compression::fast());
    for line in lines {
        writeln!(gzip, "{line}").expect("written");
    }
    gzip.finish().expect("written");
    data
}

fn made_up(tests: u32) -> Upworthy {
    let data = tempfile::tempdir().expect("a directory");
    synthetic::write(data.path(), Split::Test, Seed::new(1), tests).expect("written");
    Upworthy::open(data.path(), Split::Test).expect("well-formed")
}

fn time(event: &Event) -> Timestamp {
    match event {
        Event::Exposure(exposure) => exposure.ts,
        Event::Signal(signal) => signal.ts,
        Event::Example(example) => example.ts,
    }
}

/// Impressions and clicks by test and arm, of events that each come once, signals after their exposures.
fn count(events: impl Iterator<Item = Event>) -> HashMap<(String, usize), (u64, u64)> {
    let mut counts: HashMap<(String, usize), (u64, u64)> = HashMap::new();
    let mut shown: HashMap<ExposureId, Timestamp> = HashMap::new();
    let mut now = Timestamp::from_millis(i64::MIN);
    for event in events {
        assert!(time(&event) >= now, "events come in the order of their times");
        now = time(&event);
        match event {
            Event::Exposure(exposure) => {
                let (test, arm) = origin(&exposure.exposure_id).expect("an id of this set");
                let assignment = &exposure.assignments[0];
                assert_eq!((assignment.experiment.as_str(), assignment.variant.as_str()), (test, &*arm.to_string()));
                counts.entry((test.to_owned(), arm)).or_default().0 += 1;
                assert!(shown.insert(exposure.exposure_id, exposure.ts).is_none(), "an id names one exposure");
            }
            Event::Signal(signal) => {
                let (test, arm) = origin(&signal.exposure_id).expect("an id of this set");
                counts.entry((test.to_owned(), arm)).or_default().1 += 1;
                let shown_at = shown.get(&signal.exposure_id).expect("clicked after it was shown");
                assert_eq!(signal.ts.millis_since(*shown_at), CLICK_DELAY_MS);
                assert_eq!(signal.signal_id.as_str(), format!("{}.click", signal.exposure_id));
            }
            Event::Example(_) => panic!("examples are made by attribution"),
        }
    }
    counts
}

fn expected(set: &Upworthy) -> HashMap<(String, usize), (u64, u64)> {
    let mut counts = HashMap::new();
    for test in set.tests() {
        for (index, arm) in test.arms.iter().enumerate() {
            counts.insert((test.id.to_string(), index), (arm.impressions, arm.clicks));
        }
    }
    counts
}

#[test]
fn impressions_become_exposures_and_clicks_become_signals() {
    let data = write(&[LATER, "", EARLIER]);
    let set = Upworthy::open(data.path(), Split::Train).expect("well-formed");
    assert_eq!(set.counts(), Counts { tests: 2, arms: 3, impressions: 9, clicks: 5 });
    let events: Vec<Event> = set.events(Seed::new(1)).collect();
    assert_eq!(count(events.iter().cloned()), expected(&set));
    let shown: Vec<&Exposure> = events
        .iter()
        .filter_map(|event| match event {
            Event::Exposure(exposure) => Some(exposure),
            _ => None,
        })
        .collect();
    assert_eq!(shown[0].exposure_id.as_str(), "upworthy-a-1-0-0");
    assert_eq!((shown[0].response(), shown[0].surface), ("One", Surface::Decide));
    assert_eq!(shown[0].propensity, None, "where the randomisation is at fault nobody knows it");
    assert_eq!(shown[0].assignments[0].layer.as_str(), LAYER);
    assert_eq!(shown[4].propensity.map(|p| p.value()), Some(0.5));
    assert!(matches!(&events[1], Event::Signal(signal) if signal.kind == SignalKind::Click));
    for event in events {
        let envelope = Envelope::new(event);
        assert_eq!(Envelope::decode(&envelope.encode()).as_ref(), Ok(&envelope));
    }
}

#[test]
fn made_up_tests_give_exactly_their_counts_within_their_day() {
    let set = made_up(40);
    assert_eq!(set.counts().tests, 40);
    assert_eq!(count(set.events(Seed::new(1))), expected(&set));
    let starts: HashMap<&str, Timestamp> = set.tests().iter().map(|test| (test.id.as_str(), test.start)).collect();
    for event in set.events(Seed::new(1)) {
        let id = match &event {
            Event::Exposure(exposure) => &exposure.exposure_id,
            Event::Signal(signal) => &signal.exposure_id,
            Event::Example(_) => panic!("examples are made by attribution"),
        };
        let since = time(&event).millis_since(starts[origin(id).expect("of this set").0]);
        assert!((0..TEST_MS).contains(&since), "{since}");
    }
}

#[test]
fn the_seed_decides_the_order_of_the_arms_and_the_same_seed_repeats_it() {
    let set = made_up(8);
    let ids = |seed| -> Vec<ExposureId> {
        let exposures = set.events(Seed::new(seed)).filter_map(|event| match event {
            Event::Exposure(exposure) => Some(exposure.exposure_id),
            _ => None,
        });
        exposures.collect()
    };
    assert_eq!(ids(1), ids(1));
    assert_ne!(ids(1), ids(2));
    let in_order = |seed| ids(seed).into_iter().collect::<HashSet<_>>();
    assert_eq!(in_order(1), in_order(2), "the ids are those of the counts, whatever the seed");
    // Interleaved: among the first ten impressions of a test there is more than one arm.
    let test = &set.tests()[0];
    let first = ids(1).into_iter().filter(|id| origin(id).is_some_and(|(name, _)| name == test.id.as_str()));
    let arms: HashSet<usize> = first.take(10).filter_map(|id| origin(&id).map(|(_, arm)| arm)).collect();
    assert!(arms.len() > 1, "{arms:?}");
}

#[test]
fn the_first_tests_are_the_earliest() {
    let set = made_up(12);
    let few = set.clone().first(5);
    assert_eq!(few.tests(), &set.tests()[..5]);
    assert!(set.tests().is_sorted_by_key(|test| test.week));
}

#[test]
fn faults_name_the_file_and_the_line() {
    let absent = Upworthy::open(Path::new("/no/such/place"), Split::Test).unwrap_err().to_string();
    assert!(absent.contains("/no/such/place/upworthy/tests.test.jsonl.gz"), "{absent}");
    let malformed = Upworthy::open(write(&[EARLIER, "{}"]).path(), Split::Train).unwrap_err();
    assert!(matches!(malformed, Error::Line { line: 2, .. }), "{malformed}");
    for (from, to, said) in [
        ("\"clicks\": 1", "\"clicks\": 4", "`clicks` must be at most the impressions"),
        ("201412", "201460", "`week` must be a year and a week"),
        ("\"b2\"", "\"b 2\"", "`test` must be 1 to 64 characters"),
        ("\"impressions\": 3", "\"impressions\": 30000000", "`impressions` must be at most 10000000"),
    ] {
        let text = Upworthy::open(write(&[&LATER.replace(from, to)]).path(), Split::Train).unwrap_err().to_string();
        assert!(text.contains("line 1 of") && text.contains(said), "{text}");
    }
    let text = Upworthy::open(write(&[LATER, LATER]).path(), Split::Train).unwrap_err().to_string();
    assert!(text.contains("line 2 of") && text.contains("`test` must name one test only"), "{text}");
    let arm = r#"{"headline": "One", "impressions": 4, "clicks": 4}"#;
    let many = EARLIER.replace(arm, &vec![arm; 256].join(","));
    let text = Upworthy::open(write(&[&many]).path(), Split::Train).unwrap_err().to_string();
    assert!(text.contains("`arms` must be 1 to 255, got `256`"), "{text}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "only the environment says where the real files are")]
fn the_real_tests_give_exactly_their_counts() {
    let Ok(data) = std::env::var("PLAUDIT_DATA").map(PathBuf::from) else {
        let why = "set PLAUDIT_DATA to the directory of the data sets";
        // Not with a macro: their output is hidden when a test passes.
        writeln!(std::io::stderr(), "SKIPPED the_real_tests_give_exactly_their_counts: {why}").expect("standard error");
        return;
    };
    let train = Upworthy::open(&data, Split::Train).expect("the real file");
    let test = Upworthy::open(&data, Split::Test).expect("the real file");
    let counts = Counts { tests: 2_885, arms: 13_399, impressions: 47_896_797, clicks: 727_812 };
    assert_eq!(train.counts(), counts);
    let counts = Counts { tests: 1_007, arms: 4_689, impressions: 16_997_016, clicks: 248_928 };
    assert_eq!(test.counts(), counts);
    let ids: HashSet<&str> = train.tests().iter().map(|test| test.id.as_str()).collect();
    assert!(test.tests().iter().all(|test| !ids.contains(test.id.as_str())), "no test is in both");
    let suspect = |set: &Upworthy| set.tests().iter().filter(|test| test.randomisation_suspect).count();
    assert_eq!((suspect(&train), suspect(&test)), (645, 221));
    let few = test.first(20);
    assert_eq!(count(few.events(Seed::new(1))), expected(&few));
}
