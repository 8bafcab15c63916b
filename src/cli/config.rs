//! `plaudit config`.

use super::{Config, print};

/// Prints, checks or documents the configuration.
pub(crate) fn run(verb: &Config) -> anyhow::Result<()> {
    match verb {
        Config::Print(files) => {
            let mut config = files.load(Vec::new())?;
            for key in &mut config.serving.api_keys {
                // What is printed ends up in tickets and logs.
                key.key = "(hidden)".to_owned();
            }
            print(&config.to_toml())
        }
        Config::Check(files) => {
            files.load(Vec::new())?.salted(std::env::vars_os())?;
            print("the configuration is valid\n")
        }
        Config::Schema => print(&(serde_json::to_string_pretty(&plaudit_event::json_schema())? + "\n")),
    }
}
