//! What a network is said to take of memory against what it takes: an allocator that counts, on the CPU, where tensors are
//! ordinary memory. One test, so that nothing else allocates meanwhile.

#[cfg(test)]
#[path = "suite/network_files.rs"]
mod network_files;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// Bytes that are in use, and the most there were since [`Counting::restart`].
struct Counting {
    live: AtomicUsize,
    peak: AtomicUsize,
}

impl Counting {
    fn add(&self, bytes: usize) {
        let live = self.live.fetch_add(bytes, SeqCst) + bytes;
        self.peak.fetch_max(live, SeqCst);
    }

    #[cfg(test)]
    fn restart(&self) -> usize {
        let live = self.live.load(SeqCst);
        self.peak.store(live, SeqCst);
        live
    }
}

#[expect(unsafe_code, reason = "an allocator cannot be safe; this one only counts what the system's does")]
// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.add(layout.size());
        // SAFETY: the caller's promises are the system's conditions.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.add(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        self.live.fetch_sub(layout.size(), SeqCst);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static MEMORY: Counting = Counting { live: AtomicUsize::new(0), peak: AtomicUsize::new(0) };

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use plaudit_event::{
        Context, Example, ExposureId, Label, Objective, PolicyId, Remarks, Seed, Surface, Timestamp, UnitId,
    };
    use plaudit_nn::decoder::Family;
    use plaudit_reward_model::{Config, EncoderKind, NetworkMemory, RewardModel as _, Row, TrainedPart, Trainer};

    use super::MEMORY;
    use super::network_files::{self, SMALL, Size};

    const ROWS: usize = 16;
    const TOKENS: usize = 96;
    const SIZE: Size = Size { layers: 4, hidden: 128, ffn: 256, max_positions: 512, ..SMALL };
    const WORDS: &str = "one two three four five six seven eight nine ten";

    fn example(i: usize) -> Example {
        let at = Timestamp::from_millis(1_000 * i as i64);
        let value = (i % 2) as f32;
        Example {
            exposure_id: ExposureId::new(format!("e{i}")).unwrap(),
            revision: 0,
            unit_id: UnitId::new(format!("u{i}")).unwrap(),
            surface: Surface::Chat,
            context: Context::of_user(["one", "two", "three", "four"][i % 4]),
            // Long enough to fill the row.
            response: format!("{} {}", ["five", "six", "seven", "eight"][i / 4 % 4], WORDS.repeat(60)),
            item_id: "0".to_owned(),
            position: 0,
            policy_id: PolicyId::new("p").unwrap(),
            propensity: None,
            assignments: Vec::new(),
            attributes: serde_json::Map::new(),
            labels: BTreeMap::from([(Objective::new(Objective::LOVE), Label { value, weight: 1.0 })]),
            replaced: BTreeMap::default(),
            remarks: Remarks::default(),
            exposure_ts: at,
            ts: at,
        }
    }

    fn config(dir: &Path, kind: EncoderKind, train: TrainedPart, max_tokens: usize) -> Config {
        let mut config = Config { metrics_window: 20, ..Config::default() };
        config.objectives.retain(|objective| objective.0 == Objective::LOVE);
        config.encoder.kind = kind;
        config.encoder.buckets = 1 << 10;
        config.replay.per_example = 0;
        let network = &mut config.encoder.network;
        (network.path, network.train, network.max_tokens) = (dir.to_owned(), train, max_tokens);
        (network.last_layers, network.lora_rank) = (2, 4);
        (network.batch_rows, network.step_every) = (ROWS, ROWS as u64);
        config
    }

    /// The most that is in use at once during `work`, beyond what is before.
    fn peak<R>(work: impl FnOnce() -> R) -> (u64, R) {
        let before = MEMORY.restart();
        let result = work();
        ((MEMORY.peak.load(std::sync::atomic::Ordering::SeqCst) - before) as u64, result)
    }

    fn assert_bounds(estimate: u64, measured: u64, what: &str) {
        let ratio = estimate as f64 / measured as f64;
        assert!((1.0..=3.0).contains(&ratio), "{what}: {estimate} bytes estimated, {measured} measured: {ratio:.2}");
    }

    fn check(dir: &Path, kind: EncoderKind, train: TrainedPart, recompute: bool) {
        let what = format!("{kind:?} {train:?} recompute {recompute}");
        let mut config = config(dir, kind, train, TOKENS);
        config.encoder.network.recompute = recompute;
        let before = MEMORY.restart();
        let mut trainer = Trainer::new(config, Seed::new(3)).unwrap();
        let resident = (MEMORY.restart() - before) as u64;
        let NetworkMemory { weights, optimizer, gradients, workspace, scorers, .. } = trainer.network_memory().unwrap();
        let ratio = resident as f64 / (weights + optimizer) as f64;
        assert!((1.0..1.3).contains(&ratio), "{what}: {weights} + {optimizer} bytes resident, {resident} measured");
        let needs = trainer.network_memory().unwrap();
        if train != TrainedPart::None {
            let examples: Vec<Example> = (0..ROWS).map(example).collect();
            let (measured, _) = peak(|| trainer.try_step(&examples).unwrap());
            let estimate = needs.training(ROWS, TOKENS) + gradients + workspace;
            assert_bounds(estimate, measured, &format!("{what} training"));
            let (frozen, _snapshot) = peak(|| trainer.snapshot());
            assert!(frozen < scorers / 3 + (1 << 20), "{what}: {scorers} bytes for 3 scorers, {frozen} for one");
        }
    }

    fn check_scoring(dir: &Path, kind: EncoderKind) {
        const LONG: usize = 384;
        let trainer = Trainer::new(config(dir, kind, TrainedPart::None, LONG), Seed::new(3)).unwrap();
        let (needs, model) = (trainer.network_memory().unwrap(), trainer.snapshot());
        assert_eq!((needs.training(1, LONG), needs.gradients, needs.scorers), (0, 0, 0));
        let example = example(0);
        let row = Row { context: &example.context, response: &example.response };
        let (measured, _) = peak(|| model.score(&[row]).unwrap());
        assert_bounds(needs.scoring(1, LONG) + needs.workspace, measured, &format!("{kind:?} scoring"));
    }

    #[test]
    fn estimates_are_bounds_and_not_far_from_what_is_taken() {
        let (bert, decoder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        network_files::bert(bert.path(), &[WORDS], SIZE);
        network_files::decoder(decoder.path(), &[WORDS], Family::Qwen3, SIZE);
        for (dir, kind, train) in [
            (bert.path(), EncoderKind::Bert, TrainedPart::All),
            (bert.path(), EncoderKind::Bert, TrainedPart::Last),
            (bert.path(), EncoderKind::Bert, TrainedPart::Lora),
            (bert.path(), EncoderKind::Bert, TrainedPart::None),
            (decoder.path(), EncoderKind::Decoder, TrainedPart::All),
            (decoder.path(), EncoderKind::Decoder, TrainedPart::Lora),
        ] {
            check(dir, kind, train, false);
            check(dir, kind, train, true);
        }
        check_scoring(bert.path(), EncoderKind::Bert);
        check_scoring(decoder.path(), EncoderKind::Decoder);
    }
}
