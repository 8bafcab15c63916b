//! Made-up tests in the format of the real files, for whoever has none.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use plaudit_event::Seed;
use rand::Rng as _;

use super::read::{RawArm, RawTest};
use crate::Error;
use crate::Split;

/// Impressions of an arm, on average.
const IMPRESSIONS: u64 = 100;
/// How much more often the first arm is shown where the randomisation is at fault.
const FAULT: u64 = 3;

/// Writes a split of `tests` tests under `data`; every fourth of them is from the faulty period, and its first
/// arm is shown three times as often as the others.
///
/// # Errors
/// Fails when the file cannot be written.
pub fn write(data: &Path, split: Split, seed: Seed, tests: u32) -> Result<(), Error> {
    let path = super::path(data, split);
    let unwritable = |source| Error::Write { path: path.clone(), source };
    std::fs::create_dir_all(path.parent().unwrap_or(data)).map_err(unwritable)?;
    let file = File::create(&path).map_err(unwritable)?;
    let mut gzip = GzEncoder::new(file, Compression::fast());
    for number in 0..tests {
        let test = make(split, seed, number);
        let line = serde_json::to_string(&test).expect("a test has only string keys");
        writeln!(gzip, "{line}").map_err(unwritable)?;
    }
    gzip.finish().map_err(unwritable)?;
    Ok(())
}

fn make(split: Split, seed: Seed, number: u32) -> RawTest {
    let test = format!("{split:?}{number:04}").to_lowercase();
    let mut rng = seed.stream(&format!("synthetic {test}"));
    let randomisation_suspect = number % 4 == 3;
    let week = if randomisation_suspect { 201_330 + number % 5 } else { 201_410 + number % 7 };
    let arms = rng.random_range(2..=5);
    // A fair split is drawn impression by impression.
    let mut shown = vec![0_u64; arms];
    for _ in 0..IMPRESSIONS * arms as u64 {
        shown[rng.random_range(0..arms)] += 1;
    }
    if randomisation_suspect {
        shown[0] *= FAULT;
    }
    let mut made = Vec::with_capacity(arms);
    for (arm, impressions) in shown.into_iter().enumerate() {
        let clicks = rng.random_range(0..=impressions / 10);
        made.push(RawArm { headline: format!("You will not believe number {arm} of {number}"), impressions, clicks });
    }
    RawTest { test, week, randomisation_suspect, arms: made }
}
