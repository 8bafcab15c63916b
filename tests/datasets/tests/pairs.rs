//! Pairs of responses and of headlines: on rows written here, and on the real files where they are present.

use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use plaudit_datasets::pairs::PairSet;
use plaudit_datasets::upworthy::{self, Upworthy};
use plaudit_datasets::{Error, Split};
use plaudit_event::Role;

fn write(data: &Path, path: &Path, lines: &[&str]) {
    assert!(path.starts_with(data));
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    let mut gzip = GzEncoder::new(std::fs::File::create(path).expect("made"), Compression::fast());
    for line in lines {
        writeln!(gzip, "{line}").expect("written");
    }
    gzip.finish().expect("written");
}

fn read(set: PairSet, lines: &[&str]) -> Result<Vec<plaudit_datasets::pairs::Pair>, Error> {
    let data = tempfile::tempdir().expect("a directory");
    write(data.path(), &set.path(data.path(), Split::Train), lines);
    set.read(data.path(), Split::Train)
}

#[test]
fn a_dialogue_becomes_messages_and_the_preferred_answer_the_chosen_one() {
    let row = r#"{"id": "x", "prompt": "Human: hi\n\nAssistant: Hello.\n\nHow are you?\n\nHuman\n\nHuman: well", "a": "Good.", "b": "Oh.", "p_a": 0.0}"#;
    let pairs = read(PairSet::Helpful, &[row]).expect("well-formed");
    assert_eq!((&*pairs[0].chosen, &*pairs[0].rejected, pairs[0].weight), ("Oh.", "Good.", 1.0));
    let messages: Vec<(Role, &str)> = pairs[0].context.messages.iter().map(|m| (m.role, &*m.content)).collect();
    assert_eq!(messages, [(Role::User, "hi"), (Role::Assistant, "Hello.\n\nHow are you?"), (Role::User, "well")]);
}

#[test]
fn ties_are_left_out_votes_weigh_and_parts_keep_their_names() {
    let tie = r#"{"id": 1, "prompt": "p", "a": "x", "b": "y", "votes": [0, 0, 0], "p_a": 0.5}"#;
    let most = r#"{"id": 2, "prompt": "Human: p", "a": "x", "b": "y", "votes": [1, 1, 0], "p_a": 0.75}"#;
    let pairs = read(PairSet::PandaLm, &[tie, most]).expect("well-formed");
    assert_eq!((pairs.len(), pairs[0].weight, &*pairs[0].chosen), (1, 0.5, "x"));
    assert_eq!(pairs[0].context.last_request(), "Human: p", "only hh-rlhf writes dialogues so");
    let part = r#"{"id": "n", "subset": "LLMBar_Natural", "prompt": "p", "a": "x", "b": "y", "p_a": 1.0}"#;
    assert_eq!(read(PairSet::LlmBar, &[part]).expect("well-formed")[0].subset, "LLMBar_Natural");
    let part = r#"{"id": 3, "scenario": "math", "prompt": "p", "a": "x", "b": "y", "p_a": 1.0}"#;
    assert_eq!(read(PairSet::AutoJ, &[part]).expect("well-formed")[0].subset, "math");
    let beyond = part.replace("1.0", "1.5");
    let said = read(PairSet::AutoJ, &[part, &beyond]).unwrap_err().to_string();
    assert!(said.contains("line 2 of") && said.contains("`p_a` must be 0 to 1, got `1.5`"), "{said}");
}

/// z of 30/1000 against 10/1000: `(.03 − .01)/√(.02·.98·(2/1000)) = 3.194382824999699` (Python 3.12).
#[test]
fn arms_with_other_headlines_are_compared_by_two_proportions() {
    let data = tempfile::tempdir().expect("a directory");
    let test = r#"{"test": "t", "week": 201412, "randomisation_suspect": false, "arms": [
        {"headline": "One", "impressions": 1000, "clicks": 10}, {"headline": "Two", "impressions": 1000, "clicks": 30},
        {"headline": "Two ", "impressions": 1000, "clicks": 10}, {"headline": "Unseen", "impressions": 0, "clicks": 0}]}"#;
    write(data.path(), &upworthy::path(data.path(), Split::Test), &[&test.replace('\n', " ")]);
    let contests = Upworthy::open(data.path(), Split::Test).expect("well-formed").contests();
    assert_eq!(contests.len(), 1, "equal shares, equal headlines and arms that were never shown are no contest");
    assert_eq!((&*contests[0].pair.chosen, &*contests[0].pair.rejected, &*contests[0].pair.group), ("Two", "One", "t"));
    assert!((contests[0].z - 3.194_382_824_999_699).abs() < 1e-12, "{}", contests[0].z);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "only the environment says where the real files are")]
fn the_real_pairs_are_all_read() {
    let Ok(data) = std::env::var("PLAUDIT_DATA").map(PathBuf::from) else {
        let why = "set PLAUDIT_DATA to the directory of the data sets";
        // Not with a macro: their output is hidden when a test passes.
        writeln!(std::io::stderr(), "SKIPPED the_real_pairs_are_all_read: {why}").expect("standard error");
        return;
    };
    let count = |set: PairSet, split| set.read(&data, split).expect("the real file").len();
    assert_eq!((count(PairSet::Helpful, Split::Train), count(PairSet::Helpful, Split::Test)), (1_358, 500));
    assert_eq!((count(PairSet::Harmless, Split::Train), count(PairSet::Harmless, Split::Test)), (1_401, 448));
    assert_eq!((count(PairSet::LlmBar, Split::Test), count(PairSet::AutoJ, Split::Test)), (885, 225));
    assert_eq!((count(PairSet::PandaLm, Split::Train), count(PairSet::PandaLm, Split::Test)), (549, 213));
    let clear = |split| {
        let contests = Upworthy::open(&data, split).expect("the real file").contests();
        contests.iter().filter(|contest| contest.z > 1.96).count()
    };
    assert_eq!((clear(Split::Train), clear(Split::Test)), (3_621, 1_260));
}
