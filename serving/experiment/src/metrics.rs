//! Metrics as code, and what an experiment says by them.
//!
//! ```text
//! exposures, signals, examples ─ UnitFold ─▶ UnitRow ─ Aggregates ─ merge ─▶ analyse ─▶ Report
//!         (one unit, any order)                 (sums, one a shard)
//! ```
//!
//! A metric is a number per *unit*, because units are what is randomised; the sums are kept by variant and by
//! phase of the ramp, because pooling over a ramp confuses time with treatment. Every number comes from
//! [`crate::stats`].

mod aggregate;
mod analyse;
mod config;
mod estimate;
mod fold;
mod method;
mod report;
mod sample;
mod validate;
mod view;

pub use aggregate::{Aggregates, Alike, Arm, Cell, MergeError, Stratum, Sums};
pub use analyse::{Reading, analyse, with_limits};
pub use config::{
    Choice, Cuped, Kind, MAX_DAYS, MAX_METRICS, MAX_SEGMENT_VALUES, MAX_SEGMENTS, Margin, MetricConfig, MetricSet,
    PerUnit, SegmentConfig, SignalSource, Source, Take, Winsorise,
};
pub use fold::{FoldPlan, Folded, Ignored, MAX_EVENTS, UnitFold, UnitRow, UnitValue};
pub use report::{Advice, EffectInterval, Report, ReportWarning, Row, RowWarning, Srm, Verdict};
pub use sample::{Sampled, UnitSample};
pub use validate::Vocabulary;
pub use view::{Assigned, ExampleView, ExposureView, SignalView};

#[cfg(test)]
mod tests;
