//! The faults, by name.

use clap::ValueEnum;
use serde::Serialize;

use super::load::Style;

/// On which backends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    /// SQLite, one process.
    Embedded,
    /// Kafka and ClickHouse, several processes.
    Cluster,
}

impl Mode {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Cluster => "cluster",
        }
    }
}

/// What is done to the processes, the servers or the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Row {
    /// kill -9 of a process, drawn at random, at random moments.
    Kill,
    /// kill -9 of the broker, which is started again.
    Broker,
    /// kill -9 of the store, which is started again after a while.
    StoreDown,
    /// The store answers errors, and drops connections in the middle of an answer.
    StoreErrors,
    /// The disk that the process writes to is full for a while.
    DiskFull,
    /// Processes with the role ingest come and go, in order and by kill -9.
    Rebalance,
    /// Every event five times.
    Duplicates,
    /// Events in an order of their own, within the attribution window and across its close.
    Reorder,
}

impl Row {
    pub(super) const ALL: [Self; 8] = [
        Self::Kill,
        Self::Broker,
        Self::StoreDown,
        Self::StoreErrors,
        Self::DiskFull,
        Self::Rebalance,
        Self::Duplicates,
        Self::Reorder,
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Broker => "broker",
            Self::StoreDown => "store-down",
            Self::StoreErrors => "store-errors",
            Self::DiskFull => "disk-full",
            Self::Rebalance => "rebalance",
            Self::Duplicates => "duplicates",
            Self::Reorder => "reorder",
        }
    }

    /// Whether there is something to be broken that way.
    pub(super) const fn is_of(self, mode: Mode) -> bool {
        match self {
            Self::Kill | Self::DiskFull | Self::Duplicates | Self::Reorder => true,
            Self::Broker | Self::StoreDown | Self::StoreErrors | Self::Rebalance => matches!(mode, Mode::Cluster),
        }
    }

    /// How the clients send meanwhile.
    pub(super) const fn style(self) -> Style {
        match self {
            Self::Duplicates => Style::FiveTimes,
            Self::Reorder => Style::Shuffled,
            _ => Style::InOrder,
        }
    }

    /// The roles of the processes.
    pub(super) const fn roles(self, mode: Mode) -> &'static [&'static [&'static str]] {
        match (mode, self) {
            (Mode::Embedded, _) => &[&["serve", "ingest", "learn"]],
            (Mode::Cluster, Self::Kill) => &[&["serve"], &["ingest"], &["ingest"], &["learn"]],
            (Mode::Cluster, Self::Rebalance) => &[&["serve"], &["ingest"], &["ingest"], &["ingest"]],
            (Mode::Cluster, _) => &[&["serve"], &["ingest"], &["ingest"]],
        }
    }
}
