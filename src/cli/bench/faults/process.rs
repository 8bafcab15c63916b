//! One process under test: this binary as `up`.

use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// How much of the end of a log is looked at.
const TAIL_BYTES: u64 = 4_096;
/// How long an orderly stop may take, and how often it is looked.
const PATIENCE: Duration = Duration::from_secs(40);
const LOOK: Duration = Duration::from_millis(20);

/// A running process; dropping it kills it at once.
pub(super) struct Process {
    child: Child,
    reader: Option<JoinHandle<()>>,
    log: PathBuf,
}

impl Process {
    /// Starts `plaudit up` with the configuration `config`; `listening` gets its address when it serves.
    pub(super) fn start(
        config: &Path,
        log: &Path,
        listening: impl FnOnce(String) + Send + 'static,
    ) -> anyhow::Result<Self> {
        let binary = std::env::current_exe().context("failed to find this binary")?;
        let errors = std::fs::OpenOptions::new().create(true).append(true).open(log);
        let errors = errors.with_context(|| format!("failed to open `{}`", log.display()))?;
        let mut command = Command::new(&binary);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PLAUDIT_")) {
            command.env_remove(name);
        }
        command.args(["--log", "warn", "up", "--config"]).arg(config);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .with_context(|| format!("failed to start `{}`", binary.display()))?;
        let output = child.stdout.take().context("the output of the process is not a pipe")?;
        let reader = std::thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(output).read_line(&mut line);
            if let (Ok(_), Some(url)) = (read, line.trim().strip_prefix("listening on ")) {
                listening(url.to_owned());
            }
        });
        Ok(Self { child, reader: Some(reader), log: log.to_owned() })
    }

    /// `kill -9`; returns when it is gone.
    pub(super) fn kill(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.finish_reader();
    }

    /// Asks it to stop. Blocks until it has, and tells how it ended if not well.
    pub(super) fn stop(&mut self) -> Result<(), String> {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        if !asked.is_ok_and(|status| status.success()) {
            return Err(format!("could not be asked to stop; {}", self.last_words()));
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(format!("stopped with {status}: {}", self.last_words())),
                Ok(None) if Instant::now() < deadline => std::thread::sleep(LOOK),
                Ok(None) => {
                    return Err(format!("had not stopped {} s after it was asked to", PATIENCE.as_secs()));
                }
                Err(error) => return Err(format!("was lost: {error}")),
            }
        }
    }

    /// How it ended, if it has ended by itself.
    pub(super) fn ended(&mut self) -> Option<String> {
        match self.child.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(format!("ended by itself with {status}: {}", self.last_words())),
            Err(error) => Some(format!("was lost: {error}")),
        }
    }

    fn finish_reader(&mut self) {
        // Its pipe is closed: it ends.
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }

    /// The last line that it logged.
    fn last_words(&self) -> String {
        last_line(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn last_line(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let tail = String::from_utf8_lossy(&tail);
    Ok(tail.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().to_owned())
}
