//! Starting and stopping `plaudit up`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::command::plaudit;

/// A running `plaudit up`; dropping it kills it at once, as a crash would.
pub(crate) struct Server {
    child: Child,
    /// Such as `http://127.0.0.1:40123`.
    pub(crate) url: String,
}

impl Server {
    /// Starts on a free port with the configuration `config` and data below `data`, and waits until it listens.
    pub(crate) fn start(config: &Path, data: &Path) -> Self {
        let path = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        let arguments = ["up", "--config", &path(config), "--data", &path(data), "--listen", "127.0.0.1:0"];
        let mut child = plaudit(&arguments).stdout(Stdio::piped()).spawn().expect("the binary starts");
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        output.read_line(&mut line).expect("readable");
        let url =
            line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("unexpected: {line:?}")).to_owned();
        Self { child, url }
    }

    /// Asks it to stop and waits until it has.
    pub(crate) fn stop(mut self) {
        let pid = self.child.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status().expect("kill exists");
        assert!(asked.success());
        let status = self.child.wait().expect("a child");
        assert!(status.success(), "stopped with {status}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
