//! What can go wrong in a simulation.

use std::path::PathBuf;

/// Why a simulation cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A scenario file that cannot be read.
    #[error("cannot read scenario `{path}`")]
    ScenarioFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A scenario that is not TOML of the right shape.
    #[error("scenario `{name}` is malformed")]
    ScenarioSyntax {
        /// Name or path of the scenario.
        name: String,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A scenario with values out of range; every problem is listed.
    #[error("scenario `{name}` is invalid: {}", problems.join("; "))]
    ScenarioValues {
        /// Name of the scenario.
        name: String,
        /// Key, allowed range and value of each problem.
        problems: Vec<String>,
    },
    /// A scenario name that is not built in.
    #[error("no built-in scenario `{0}`: known are demo, sparse")]
    UnknownScenario(String),
    /// An HTTP client that cannot be made, or a base address that is no URL.
    #[error("cannot talk to `{url}`")]
    Client {
        /// Base address.
        url: String,
        /// Why.
        #[source]
        source: Box<reqwest::Error>,
    },
    /// The task that sends signals is gone.
    #[error("the signal sender stopped")]
    SenderStopped,
}
