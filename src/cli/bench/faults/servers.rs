//! Broker and store of this run: `deploy/dev/servers` on a folder of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

/// Servers that may be killed.
#[derive(Debug, Clone)]
pub(super) struct Servers {
    script: PathBuf,
    run: PathBuf,
}

impl Servers {
    /// Starts those of the folder `run` that do not run.
    pub(super) async fn up(script: &Path, run: &Path) -> anyhow::Result<Self> {
        anyhow::ensure!(
            script.is_file(),
            "no script `{}`: run this in the repository, or name it with `--servers`",
            script.display()
        );
        let servers = Self { script: script.to_owned(), run: run.to_owned() };
        servers.run("up").await?;
        Ok(servers)
    }

    /// Runs a verb of the script to its end and returns what it printed.
    pub(super) async fn run(&self, verb: &'static str) -> anyhow::Result<String> {
        let mut command = Command::new(&self.script);
        command.arg(verb).arg("--run").arg(&self.run);
        command.env("PLAUDIT_DEV_KAFKA_PORT", "0").env("PLAUDIT_DEV_CLICKHOUSE_PORT", "0");
        let done = tokio::task::spawn_blocking(move || command.output()).await?;
        let done = done.with_context(|| format!("failed to run `{}`", self.script.display()))?;
        anyhow::ensure!(
            done.status.success(),
            "`{} {verb}` failed: {}",
            self.script.display(),
            String::from_utf8_lossy(&done.stderr).trim()
        );
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }

    /// The locations of log and store.
    pub(super) async fn locations(&self) -> anyhow::Result<(String, String)> {
        let printed = self.run("env").await?;
        let find = |name: &str| {
            let value = printed.lines().find_map(|line| line.trim().strip_prefix(&format!("export {name}=")));
            value.map(str::to_owned).with_context(|| format!("`{} env` does not say {name}", self.script.display()))
        };
        Ok((find("PLAUDIT_TEST_KAFKA")?, find("PLAUDIT_TEST_CLICKHOUSE")?))
    }
}
