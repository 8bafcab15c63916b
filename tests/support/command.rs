//! Running the built binary to its end.

use std::process::{Command, Output};

/// The binary with `arguments`, and nothing of the caller's configuration.
pub(crate) fn plaudit(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plaudit"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PLAUDIT_")) {
        command.env_remove(name);
    }
    command.args(arguments);
    command
}

/// Runs to the end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    plaudit(arguments).output().expect("the binary starts")
}

/// Runs to the end, which must be success, and returns what it printed.
pub(crate) fn succeed(arguments: &[&str]) -> String {
    let output = run(arguments);
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{arguments:?}: {}\n{printed}", String::from_utf8_lossy(&output.stderr));
    printed
}
