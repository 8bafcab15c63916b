//! Commands that must fail.

use std::path::Path;

use crate::command::run;

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Fails with `code` and says all of `parts`.
pub(crate) fn fail(arguments: &[&str], code: i32, parts: &[&str]) {
    let output = run(arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    for part in parts {
        assert!(said.contains(part), "{arguments:?} does not say `{part}`: {said}");
    }
}
