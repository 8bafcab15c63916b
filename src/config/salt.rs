//! The secret under which names of units are hashed: never part of the configuration, so never printed with it.

use std::ffi::OsString;
use std::path::Path;

use plaudit_ingest::Salt;

use super::{Config, Error};

impl Config {
    /// With the salt, if names are hashed, from the file or from the variable among `environment` that the
    /// configuration names.
    ///
    /// # Errors
    /// Fails when the file cannot be read, the variable is not set, or the salt is too short.
    pub(crate) fn salted(mut self, environment: impl Iterator<Item = (OsString, OsString)>) -> Result<Self, Error> {
        let hashing = &mut self.ingest.quality.hashing;
        if !hashing.enabled {
            return Ok(self);
        }
        let (bytes, source) = match hashing.salt_file.as_str() {
            "" => (variable(&hashing.salt_env, environment)?, &hashing.salt_env),
            path => (file(Path::new(path))?, &hashing.salt_file),
        };
        let salt = Salt::new(&bytes).map_err(|error| Error::Salt { from: source.clone(), source: error })?;
        hashing.salt = Some(salt);
        Ok(self)
    }
}

/// The content of the file, without the end of its last line.
fn file(path: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    while bytes.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        bytes.pop();
    }
    Ok(bytes)
}

fn variable(name: &str, mut environment: impl Iterator<Item = (OsString, OsString)>) -> Result<Vec<u8>, Error> {
    let found = environment.find(|(key, _)| key == name);
    match found {
        Some((_, value)) => Ok(value.into_encoded_bytes()),
        None => Err(Error::NoSalt { name: name.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: &str = "0123456789abcdef";

    fn config(file: &str, variable: &str) -> Config {
        let mut config = Config::default();
        let hashing = &mut config.ingest.quality.hashing;
        (hashing.enabled, hashing.salt_file, hashing.salt_env) = (true, file.to_owned(), variable.to_owned());
        config
    }

    fn said(config: &Config, variables: &[(&str, &str)]) -> Result<String, String> {
        let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let config = config.clone().salted(variables).map_err(|error| {
            let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
            error.to_string() + &source.unwrap_or_default()
        })?;
        assert!(!config.to_toml().contains(SALT), "it is never printed");
        Ok(config.ingest.quality.hashing.salt.map(|salt| salt.hash("ada")).unwrap_or_default())
    }

    #[test]
    fn the_salt_comes_from_the_file_or_the_variable_that_is_named() {
        let expected = Salt::new(SALT.as_bytes()).unwrap().hash("ada");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("salt");
        std::fs::write(&path, format!("{SALT}\n")).unwrap();
        assert_eq!(said(&config(path.to_str().unwrap(), ""), &[]).unwrap(), expected);
        assert_eq!(said(&config("", "SALT"), &[("OTHER", "x"), ("SALT", SALT)]).unwrap(), expected);
        assert_eq!(said(&Config::default(), &[]).unwrap(), "", "none is needed");
    }

    #[test]
    fn a_salt_that_is_missing_or_too_short_is_told_and_not_shown() {
        let missing = said(&config("", "SALT"), &[("OTHER", SALT)]).unwrap_err();
        assert_eq!(missing, "no salt of unit hashes: the environment variable `SALT` is not set");
        let short = said(&config("", "SALT"), &[("SALT", &SALT[1..])]).unwrap_err();
        assert_eq!(
            short,
            "the salt from `SALT` cannot be used: bytes of the salt of unit hashes must be at least 16, got 15"
        );
        let nowhere = said(&config("/nowhere/salt", ""), &[]).unwrap_err();
        assert!(nowhere.starts_with("cannot read `/nowhere/salt`"), "{nowhere}");
    }
}
