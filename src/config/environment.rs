//! Keys from the environment: `PLAUDIT_SERVING__LISTEN=…` is the key `serving.listen`.

use std::ffi::OsString;

use toml::{Table, Value};

use super::{Config, Override};

const PREFIX: &str = "PLAUDIT_";

/// Variables that are no keys: the folder of the public data sets, the public cases of assignment, the key of a client,
/// and a good name for the salt.
const OTHERS: [&str; 4] = ["DATA", "GROWTHBOOK_CASES", "API_KEY", "UNIT_SALT"];

/// Beginnings of names that are no keys either: those of tests and of the development servers.
const OTHER_PREFIXES: [&str; 2] = ["TEST_", "DEV_"];

/// The keys that `variables` set, ordered by name. A value is TOML, or else a string.
///
/// A name without a section that is no key is passed over with a warning: orchestrators put variables such as
/// `PLAUDIT_PORT` into the environment of a service of that name.
pub(super) fn overrides(variables: impl Iterator<Item = (OsString, OsString)>) -> Vec<Override> {
    let known = Table::try_from(Config::default()).expect("the default configuration is TOML");
    let mut found = Vec::new();
    for (name, text) in variables {
        let (Some(name), Some(text)) = (name.to_str(), text.to_str()) else { continue };
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        if OTHERS.contains(&rest) || OTHER_PREFIXES.iter().any(|prefix| rest.starts_with(prefix)) {
            continue;
        }
        let path = rest.to_lowercase().replace("__", ".");
        if !path.contains('.') && !known.contains_key(&path) && path != "initial_policy" {
            tracing::warn!(name, "environment variable names no key");
            continue;
        }
        let value = format!("value = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("value"));
        let value = value.unwrap_or_else(|| Value::String(text.to_owned()));
        found.push(Override { path, value, variable: Some(name.to_owned()) });
    }
    found.sort_by(|left, right| left.path.cmp(&right.path));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Vec<Override> {
        overrides(variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))))
    }

    #[test]
    fn what_is_no_key_is_passed_over() {
        let others = [
            ("PLAUDIT_DATA", "/sets"),
            ("PLAUDIT_UNIT_SALT", "s"),
            ("PLAUDIT_API_KEY", "k"),
            ("PLAUDIT_PORT", "tcp://1.2.3.4:80"),
        ];
        assert_eq!(read(&others), []);
        assert_eq!(read(&[("PATH", "x"), ("PLAUDI_SEED", "1")]), []);
        assert_eq!(read(&[("PLAUDIT_TEST_KAFKA", "kafka://h:1"), ("PLAUDIT_DEV_NOTHING__X", "1")]), []);
    }

    #[test]
    fn a_variable_that_is_not_unicode_is_passed_over() {
        use std::os::unix::ffi::OsStringExt as _;
        let name = OsString::from("PLAUDIT_SEED");
        let found = overrides([(name, OsString::from_vec(vec![0xff]))].into_iter());
        assert_eq!(found, []);
    }

    #[test]
    fn sections_are_dotted_and_values_are_toml_or_text() {
        let found = read(&[("PLAUDIT_SEED", "9"), ("PLAUDIT_LEARN__ENABLED", "false"), ("PLAUDIT_DATA_DIR", "./x")]);
        let found: Vec<(&str, &Value)> = found.iter().map(|found| (found.path.as_str(), &found.value)).collect();
        let text = Value::String("./x".to_owned());
        assert_eq!(
            found,
            [("data_dir", &text), ("learn.enabled", &Value::Boolean(false)), ("seed", &Value::Integer(9))]
        );
        assert_eq!(read(&[("PLAUDIT_SERVING__LISTN", "1")])[0].variable.as_deref(), Some("PLAUDIT_SERVING__LISTN"));
    }
}
