//! ConvAI dialogs as events: on dialogs written here, and on the real files where they are present.

use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use plaudit_datasets::Error;
use plaudit_datasets::Split;
use plaudit_datasets::convai::{ConvAi, Counts, MAX_CONTEXT_TURNS, MIN_GAP_MS, path};
use plaudit_event::{Envelope, Event, Exposure, Role, Signal, SignalKind};

const LATER: &str = r#"{"id":"b 2","phase":"p","policy":"Bot 002","user":"User 7","start":"2018-10-29 09:08:40","end":"2018-10-29 09:09:20","rating":5,"turns":[{"role":"user","text":"hello","thumb":null},{"role":"assistant","text":"hi! how are you?","thumb":1},{"role":"user","text":"fine","thumb":null},{"role":"assistant","text":"me too","thumb":0}]}"#;
const EARLIER: &str = r#"{"id":"a-1","phase":"p","policy":"Bot 001","user":"User 8","start":"2018-10-29 03:32:08.296000","end":"2018-10-29 03:32:08.296000","rating":null,"turns":[{"role":"assistant","text":"welcome","thumb":null}]}"#;

fn write(lines: &[&str]) -> tempfile::TempDir {
    let data = tempfile::tempdir().expect("a directory");
    let path = path(data.path(), Split::Train);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    let file = std::fs::File::create(path).expect("made");
    let mut gzip = GzEncoder::new(file, Compression::fast());
    for line in lines {
        writeln!(gzip, "{line}").expect("written");
    }
    gzip.finish().expect("written");
    data
}

fn exposures(events: &[Envelope]) -> Vec<&Exposure> {
    let found = events.iter().filter_map(|envelope| match &envelope.event {
        Event::Exposure(exposure) => Some(exposure),
        _ => None,
    });
    found.collect()
}

fn signals(events: &[Envelope]) -> Vec<&Signal> {
    let found = events.iter().filter_map(|envelope| match &envelope.event {
        Event::Signal(signal) => Some(signal),
        _ => None,
    });
    found.collect()
}

#[test]
fn bot_messages_become_exposures_and_thumbs_become_signals() {
    let data = write(&[LATER, "", EARLIER]);
    let set = ConvAi::open(data.path(), Split::Train).expect("well-formed");
    let events: Vec<Envelope> = set.events().collect();
    let (shown, thumbs) = (exposures(&events), signals(&events));
    let ids: Vec<&str> = shown.iter().map(|e| e.exposure_id.as_str()).collect();
    assert_eq!(ids, ["convai-a-1-0", "convai-b-2-1", "convai-b-2-3"]);
    assert!(shown[0].context.messages.is_empty());
    assert_eq!(shown[0].ts.as_millis(), 1_540_783_928_296);
    assert_eq!(shown[0].policy_id.as_str(), "bot-001");
    assert_eq!(shown[2].response(), "me too");
    assert_eq!(shown[2].unit_id.as_str(), "user-7");
    let roles: Vec<Role> = shown[2].context.messages.iter().map(|m| m.role).collect();
    assert_eq!(roles, [Role::User, Role::Assistant, Role::User]);
    assert_eq!(shown[2].context.last_request(), "fine");
    assert_eq!(shown[2].ts.millis_since(shown[1].ts), 20_000);
    let kinds: Vec<&SignalKind> = thumbs.iter().map(|signal| &signal.kind).collect();
    assert_eq!(kinds, [&SignalKind::ThumbsUp, &SignalKind::ThumbsDown]);
    assert_eq!(thumbs[0].exposure_id, shown[1].exposure_id);
    assert!(thumbs[0].ts > shown[1].ts && thumbs[0].ts < shown[2].ts);
    for envelope in &events {
        assert_eq!(Envelope::decode(&envelope.encode()).as_ref(), Ok(envelope));
    }
    let expected = Counts { dialogs: 2, exposures: 3, thumbs_up: 1, thumbs_down: 1 };
    assert_eq!(set.counts(), expected);
}

#[test]
fn long_dialogs_keep_their_newest_turns_only() {
    let turn = r#"{"role":"assistant","text":"x","thumb":null}"#;
    let turns = vec![turn; MAX_CONTEXT_TURNS + 5].join(",");
    let line = EARLIER.replace(r#"{"role":"assistant","text":"welcome","thumb":null}"#, &turns);
    let data = write(&[&line]);
    let set = ConvAi::open(data.path(), Split::Train).expect("well-formed");
    let events: Vec<Envelope> = set.events().collect();
    let shown = exposures(&events);
    let sizes: Vec<usize> = shown.iter().map(|e| e.context.messages.len()).collect();
    assert_eq!(sizes[..3], [0, 1, 2]);
    assert_eq!(sizes[MAX_CONTEXT_TURNS..], [MAX_CONTEXT_TURNS; 5]);
    assert!(shown.windows(2).all(|pair| pair[1].ts.millis_since(pair[0].ts) >= MIN_GAP_MS));
}

#[test]
fn faults_name_the_file_and_the_line() {
    let absent = ConvAi::open(Path::new("/no/such/place"), Split::Test).unwrap_err();
    let text = absent.to_string();
    assert!(text.contains("/no/such/place/convai/dialogs.test.jsonl.gz"), "{text}");
    let data = write(&[EARLIER, "{}"]);
    let malformed = ConvAi::open(data.path(), Split::Train).unwrap_err();
    assert!(matches!(malformed, Error::Line { line: 2, .. }), "{malformed}");
    let data = write(&[&LATER.replace("2018-10-29 09:08:40", "yesterday")]);
    let text = ConvAi::open(data.path(), Split::Train).unwrap_err().to_string();
    assert!(text.contains("line 1 of") && text.contains("`start` must be a time"), "{text}");
    let data = write(&[&LATER.replace("Bot 002", "Bot/002")]);
    let text = ConvAi::open(data.path(), Split::Train).unwrap_err().to_string();
    assert!(text.contains("`policy` must be letters, digits"), "{text}");
    let data = write(&[&LATER.replace("\"thumb\":0", "\"thumb\":7")]);
    let text = ConvAi::open(data.path(), Split::Train).unwrap_err().to_string();
    assert!(text.contains("`thumb` must be 0, 1 or null"), "{text}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "only the environment says where the real files are")]
fn the_real_files_hold_what_was_counted() {
    let Ok(data) = std::env::var("PLAUDIT_DATA").map(PathBuf::from) else {
        let why = "set PLAUDIT_DATA to the directory of the data sets";
        // Not with a macro: their output is hidden when a test passes.
        writeln!(std::io::stderr(), "SKIPPED the_real_files_hold_what_was_counted: {why}").expect("standard error");
        return;
    };
    let train = ConvAi::open(&data, Split::Train).expect("the real file");
    let test = ConvAi::open(&data, Split::Test).expect("the real file");
    let expected = Counts { dialogs: 914, exposures: 6_131, thumbs_up: 733, thumbs_down: 438 };
    assert_eq!(train.counts(), expected);
    let expected = Counts { dialogs: 259, exposures: 1_679, thumbs_up: 149, thumbs_down: 120 };
    assert_eq!(test.counts(), expected);
    let mut units = [HashSet::new(), HashSet::new()];
    for (set, units) in [train, test].iter().zip(&mut units) {
        let events: Vec<Envelope> = set.events().collect();
        let (shown, thumbs) = (exposures(&events), signals(&events));
        let counts = set.counts();
        assert_eq!(shown.len(), counts.exposures);
        assert_eq!(thumbs.len(), counts.thumbs_up + counts.thumbs_down);
        let ids: HashSet<&str> = shown.iter().map(|e| e.exposure_id.as_str()).collect();
        assert_eq!(ids.len(), counts.exposures);
        assert!(thumbs.iter().all(|s| ids.contains(s.exposure_id.as_str())));
        assert!(events.iter().all(|event| event.encode().len() < 1 << 20));
        let times = events.iter().map(|event| match &event.event {
            Event::Exposure(exposure) => exposure.ts,
            Event::Signal(signal) => signal.ts,
            Event::Example(example) => example.ts,
        });
        assert!(times.is_sorted());
        units.extend(shown.iter().map(|e| e.unit_id.clone()));
    }
    assert!(units[0].is_disjoint(&units[1]));
}
