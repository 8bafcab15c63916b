//! How far a training has come, and when it is saved.

use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use plaudit_event::Seed;
use plaudit_nn::checkpoint;
use plaudit_reward_model::{Config, Trainer};

/// Prefix of the checkpoint's name, that of the running service.
const PREFIX: &str = "reward-";

/// How far a training has come.
pub(super) struct Course {
    out: PathBuf,
    /// Rows between two checkpoints; 0 is only at the end.
    every: u64,
    /// Rows taken.
    done: u64,
    total: u64,
    /// The newest checkpoint, and how many rows had been taken by then.
    saved: Option<(String, u64)>,
    bar: ProgressBar,
}

impl Course {
    /// A trainer of `config` and the course of its training: from the beginning, or from the checkpoint `resume`.
    pub(super) fn begin(
        (config, seed): (Config, Seed),
        resume: Option<&Path>,
        (out, every): (&Path, u64),
    ) -> anyhow::Result<(Trainer, Self)> {
        let bar = ProgressBar::new(0);
        bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len}  {msg}  {eta} left")?);
        let mut course = Self { out: out.to_owned(), every, done: 0, total: 0, saved: None, bar };
        let Some(resume) = resume else { return Ok((Trainer::new(config, seed)?, course)) };
        let loaded = checkpoint::load(resume)?;
        course.done = loaded.manifest.log_position;
        course.saved = Some((loaded.manifest.id.clone(), course.done));
        Ok((Trainer::resume(&loaded, config, seed)?, course))
    }

    /// Says how many rows there are; the number of those that were taken before.
    pub(super) fn of(&mut self, total: usize) -> anyhow::Result<usize> {
        self.total = total as u64;
        anyhow::ensure!(
            self.done <= self.total,
            "`--resume` must be a checkpoint of these data: it has taken {} rows, there are {total}",
            self.done
        );
        self.bar.set_length(self.total);
        self.bar.set_position(self.done);
        Ok(self.done as usize)
    }

    /// How many rows to take next: at most `most`, and not past the next checkpoint.
    pub(super) fn stretch(&self, most: usize) -> usize {
        let left = (self.total - self.done).min(most as u64);
        let due = if self.every == 0 { left } else { self.every - self.done % self.every };
        left.min(due) as usize
    }

    /// `rows` more were taken; saves where that is due.
    pub(super) fn advance(&mut self, trainer: &Trainer, rows: usize, message: String) -> anyhow::Result<()> {
        self.done += rows as u64;
        self.bar.set_position(self.done);
        self.bar.set_message(message);
        if self.every > 0 && self.done.is_multiple_of(self.every) {
            self.save(trainer)?;
        }
        Ok(())
    }

    /// Saves what is not saved yet; the name of the checkpoint.
    pub(super) fn finish(mut self, trainer: &Trainer) -> anyhow::Result<String> {
        self.bar.finish_and_clear();
        self.save(trainer)
    }

    fn save(&mut self, trainer: &Trainer) -> anyhow::Result<String> {
        let parent = match &self.saved {
            Some((id, at)) if *at == self.done && self.out.join(id).is_dir() => return Ok(id.clone()),
            saved => saved.as_ref().map(|(id, _)| id.clone()),
        };
        let id = checkpoint::write(&self.out, PREFIX, &trainer.checkpoint(self.done, parent)?)?.id;
        self.saved = Some((id.clone(), self.done));
        Ok(id)
    }
}
