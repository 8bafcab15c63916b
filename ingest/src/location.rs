//! Where a backend is: the URIs of the configuration.

use std::path::Path;

use crate::Error;

/// A backend of this build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Location<'a> {
    /// `memory:`
    Memory,
    /// `sqlite:PATH`
    Sqlite(&'a Path),
    /// What follows the scheme of a backend that several processes share.
    Distributed(&'a str),
}

/// Reads `location`; `distributed` is the scheme of the backend that several processes share.
pub(crate) fn parse<'a>(location: &'a str, distributed: &'static str) -> Result<Location<'a>, Error> {
    match location.split_once(':') {
        Some(("memory", "")) => return Ok(Location::Memory),
        Some(("sqlite", path)) if !path.is_empty() => return Ok(Location::Sqlite(Path::new(path))),
        Some((scheme, rest)) if scheme == distributed => {
            if let Some(rest) = rest.strip_prefix("//").filter(|rest| !rest.is_empty()) {
                return Ok(Location::Distributed(rest));
            }
        }
        _ => {}
    }
    let allowed = format!("`memory:`, `sqlite:PATH` or `{distributed}://HOST:PORT`");
    Err(Error::Location { location: location.to_owned(), allowed })
}
