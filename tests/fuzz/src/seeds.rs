//! Where fuzzing starts: the rows of the table of bad events, and a few stories.

#[path = "../../support/bad_events.rs"]
#[expect(dead_code, reason = "only what is sent is needed here")]
mod bad_events;

use std::io::Result;
use std::path::Path;

use bad_events::{BadEvent, Sent, bad_events};

/// Larger inputs are slow and say nothing new.
const LARGEST: usize = 4_096;

/// Writes the seeds of both targets below `corpus/seeds`.
///
/// # Panics
/// When they cannot be written.
pub fn write_seeds() {
    write(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/seeds"))).expect("a writable directory");
}

fn write(dir: &Path) -> Result<()> {
    let [decode, intake] = ["decode", "intake"].map(|target| dir.join(target));
    std::fs::create_dir_all(&decode)?;
    std::fs::create_dir_all(&intake)?;
    let mut all = b"d\n".to_vec();
    for (number, row) in bad_events().iter().enumerate() {
        let envelope = row.sent.envelope();
        if envelope.len() > LARGEST {
            continue;
        }
        std::fs::write(decode.join(format!("{number}")), &envelope)?;
        let story = story(row);
        all.extend(&story);
        for start in ["d", "q"] {
            std::fs::write(intake.join(format!("{number}{start}")), [start.as_bytes(), b"\n", &story].concat())?;
        }
    }
    let sound = [bad_events::exposure("e", "ada"), bad_events::signal("s", "e", "love")];
    for (event, data) in ["exposure", "signal"].into_iter().zip(&sound) {
        let sent = Sent::Data(event, data.to_string().into_bytes());
        std::fs::write(decode.join(event), sent.envelope())?;
    }
    std::fs::write(intake.join("all"), all)?;
    let retraction = "d\ne1a\nl112a\nr211\n@\u{2}\n>\u{40}\nl311b\nr431\n>\u{7f}\ne1b\ne2a\n!\nl522c\n@\u{0}\n@\u{1}";
    std::fs::write(intake.join("retraction"), retraction)?;
    std::fs::write(intake.join("rates"), "q\ne1a\ne5a\nl111a\nl211a\nl355b\nl451c\nl551d\nl651e\n>\u{1}\nl751f")
}

/// A row as lines of a story, each event as a value and as an envelope.
fn story(row: &BadEvent) -> Vec<u8> {
    let mut story = Vec::new();
    for sent in row.before.iter().chain([&row.sent]) {
        if let Sent::Data(event, data) = sent {
            let start: &[u8] = if *event == "signal" { b"s" } else { b"x" };
            story.extend([start, data, b"\n"].concat());
        }
        story.extend([sent.envelope(), b"\n".to_vec()].concat());
    }
    story
}
