//! The table of strategies.

use std::fmt::Write as _;

use serde::Serialize;

/// One pass over all domains.
#[derive(Debug)]
pub(super) struct Run {
    /// Area under the ROC curve on each domain (columns) after training on each (rows).
    pub(super) areas: Vec<Vec<f64>>,
    /// Mean of the best possible areas.
    pub(super) oracle: f64,
    /// Processor time of the pass.
    pub(super) cpu_seconds: f64,
}

impl Run {
    /// Mean area over all domains at the end.
    fn final_mean(&self) -> f64 {
        self.areas.last().map_or(0.0, |last| mean(last))
    }

    /// Mean over all domains but the last of what was lost since the area was largest (Chaudhry et al., ECCV 2018, eq. 3).
    fn forgetting(&self) -> f64 {
        let Some((last, before)) = self.areas.split_last() else { return 0.0 };
        let lost = (0..before.len()).map(|domain| {
            let best = before[domain..].iter().map(|areas| areas[domain]).fold(f64::MIN, f64::max);
            best - last[domain]
        });
        mean(&lost.collect::<Vec<f64>>())
    }

    /// Mean area on the domain that was trained on last, over all domains.
    fn current(&self) -> f64 {
        let current = self.areas.iter().enumerate().map(|(domain, areas)| areas[domain]);
        mean(&current.collect::<Vec<f64>>())
    }
}

/// What a strategy came to, on average over the seeds.
#[derive(Debug, Serialize)]
struct Line {
    strategy: String,
    final_mean: f64,
    forgetting: f64,
    /// The largest forgetting of a seed.
    worst_forgetting: f64,
    current: f64,
    oracle: f64,
    cpu_seconds: f64,
    /// Areas on each domain (columns) after training on each (rows).
    matrix: Vec<Vec<f64>>,
}

/// All strategies.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    capacity: usize,
    lines: Vec<Line>,
}

impl Report {
    pub(super) const fn new(capacity: usize) -> Self {
        Self { capacity, lines: Vec::new() }
    }

    pub(super) fn push(&mut self, strategy: &str, runs: &[Run]) {
        let over = |read: fn(&Run) -> f64| mean(&runs.iter().map(read).collect::<Vec<f64>>());
        let domains = runs.first().map_or(0, |run| run.areas.len());
        let cell =
            |row: usize, column: usize| mean(&runs.iter().map(|run| run.areas[row][column]).collect::<Vec<f64>>());
        self.lines.push(Line {
            strategy: strategy.to_owned(),
            final_mean: over(Run::final_mean),
            forgetting: over(Run::forgetting),
            worst_forgetting: runs.iter().map(Run::forgetting).fold(f64::MIN, f64::max),
            current: over(Run::current),
            oracle: over(|run| run.oracle),
            cpu_seconds: over(|run| run.cpu_seconds),
            matrix: (0..domains).map(|row| (0..domains).map(|column| cell(row, column)).collect()).collect(),
        });
    }

    pub(super) fn to_json(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = format!(
            "{} examples remembered; areas under the ROC curve\n\n{:<12}{:>12}{:>12}{:>12}{:>12}{:>12}{:>10}\n",
            self.capacity, "strategy", "final mean", "forgetting", "worst seed", "current", "oracle", "CPU s"
        );
        for line in &self.lines {
            let Line { strategy, final_mean, forgetting, worst_forgetting, current, oracle, cpu_seconds, .. } = line;
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{strategy:<12}{final_mean:>12.3}{forgetting:>12.3}{worst_forgetting:>12.3}{current:>12.3}{oracle:>12.3}{cpu_seconds:>10.1}"
            );
        }
        for line in &self.lines {
            let _ = writeln!(text, "\n{}: after training on (down), area on (across)", line.strategy);
            for row in &line.matrix {
                let cells: Vec<String> = row.iter().map(|area| format!("{area:.3}")).collect();
                let _ = writeln!(text, "  {}", cells.join("  "));
            }
        }
        text
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}
