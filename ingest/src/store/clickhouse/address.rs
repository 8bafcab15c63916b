//! Where the server is: `clickhouse://[user[:password]@]host[:port]/database`.

use super::ClickHouseConfig;
use crate::Error;

/// The form of a location, for messages.
const FORM: &str = "clickhouse://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE";

const SCHEME: &str = "clickhouse:";
const PORT: u16 = 8123;
const TLS_PORT: u16 = 8443;

/// A server and a database on it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// Host and port.
    authority: String,
    pub(super) database: String,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    tls: bool,
}

impl Address {
    /// Reads `location`.
    pub(super) fn parse(location: &str, config: &ClickHouseConfig) -> Result<Self, Error> {
        let parsed = split(location).and_then(|parts| Self::new(parts, config));
        parsed.ok_or_else(|| Error::Location { location: redacted(location), allowed: format!("`{FORM}`") })
    }

    fn new((credentials, authority, database): (&str, &str, &str), config: &ClickHouseConfig) -> Option<Self> {
        let (user, password) = match credentials.split_once(':') {
            Some((user, password)) => (user, Some(decode(password)?)),
            None => (credentials, None),
        };
        let user = decode(user)?;
        let host_end = authority.rfind(']').map_or(0, |bracket| bracket + 1);
        let authority = match authority[host_end..].split_once(':') {
            Some((_, port)) => {
                port.parse::<u16>().ok()?;
                authority.to_owned()
            }
            None => format!("{authority}:{}", if config.tls { TLS_PORT } else { PORT }),
        };
        let of_config = |value: &str| (!value.is_empty()).then(|| value.to_owned());
        Some(Self {
            authority,
            database: database.to_owned(),
            user: of_config(&user).or_else(|| of_config(&config.user)),
            password: password.or_else(|| of_config(config.password.expose())),
            tls: config.tls,
        })
    }

    pub(super) fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.authority)
    }
}

/// Without the credentials.
impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "clickhouse://{}/{}", self.authority, self.database)
    }
}

/// Whether `location` names this backend, well formed or not.
pub(in crate::store) fn is_clickhouse(location: &str) -> bool {
    location.starts_with(SCHEME)
}

/// `location` without its password.
#[must_use]
pub fn redacted(location: &str) -> String {
    let Some(rest) = location.strip_prefix(SCHEME) else { return location.to_owned() };
    // A password that is not encoded may hold anything: all before the last `@` may be of it.
    let Some((credentials, server)) = rest.rsplit_once('@') else { return location.to_owned() };
    match credentials.trim_start_matches('/').split_once(':') {
        Some((user, _)) => format!("{SCHEME}//{user}:***@{server}"),
        None => location.to_owned(),
    }
}

/// Credentials, host with port, database.
fn split(location: &str) -> Option<(&str, &str, &str)> {
    let rest = location.strip_prefix(SCHEME)?.strip_prefix("//")?;
    let (authority, database) = rest.split_once('/')?;
    let (credentials, authority) = authority.rsplit_once('@').unwrap_or(("", authority));
    let is_host = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_valid = !authority.is_empty()
        && !authority.starts_with(':')
        && authority.chars().all(is_host)
        && (1..=64).contains(&database.len())
        && database.chars().all(is_name);
    is_valid.then_some((credentials, authority, database))
}

/// Text with `%XX` for what may not stand in a location.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(location: &str) -> Result<Address, Error> {
        Address::parse(location, &ClickHouseConfig::default())
    }

    #[test]
    fn an_address_has_a_host_a_database_and_perhaps_credentials() {
        let plain = parse("clickhouse://db.example/plaudit").unwrap();
        assert_eq!((plain.url().as_str(), plain.database.as_str()), ("http://db.example:8123", "plaudit"));
        assert_eq!((plain.user, plain.password), (None, None));
        let full = parse("clickhouse://ann:p%40ss%2f@[::1]:9/x_1").unwrap();
        assert_eq!(full.url(), "http://[::1]:9");
        assert_eq!((full.user.as_deref(), full.password.as_deref()), (Some("ann"), Some("p@ss/")));
        assert_eq!(full.to_string(), "clickhouse://[::1]:9/x_1");
    }

    #[test]
    fn credentials_may_stand_in_the_configuration() {
        let mut config = ClickHouseConfig { user: "bob".into(), tls: true, ..ClickHouseConfig::default() };
        config.password = "secret".to_owned().into();
        let address = Address::parse("clickhouse://h/d", &config).unwrap();
        assert_eq!((address.user.as_deref(), address.password.as_deref()), (Some("bob"), Some("secret")));
        assert_eq!(address.url(), "https://h:8443");
        let address = Address::parse("clickhouse://ann:other@h/d", &config).unwrap();
        assert_eq!((address.user.as_deref(), address.password.as_deref()), (Some("ann"), Some("other")));
    }

    #[test]
    fn an_address_that_is_wrong_is_refused_without_its_password() {
        for wrong in [
            "",
            "//",
            "//h",
            "//h/",
            "//h/a-b",
            "//:1/d",
            "//h:port/d",
            "//h h/d",
            "//u:secret%@h/d",
            "//u:secret/x@h/d",
        ] {
            let Err(error) = parse(&format!("clickhouse:{wrong}")) else { panic!("{wrong} was taken") };
            let text = format!("{error} {error:?}");
            assert!(text.contains("clickhouse:") && !text.contains("secret"), "{text}");
        }
    }

    #[test]
    fn the_password_of_a_location_is_not_shown() {
        assert_eq!(redacted("clickhouse://u:p@h/d"), "clickhouse://u:***@h/d");
        assert_eq!(redacted("clickhouse://u:p/q@r@h/d"), "clickhouse://u:***@h/d");
        for open in ["clickhouse://u@h/d", "clickhouse://h:1/d", "sqlite:a@b:c", "memory:"] {
            assert_eq!(redacted(open), open);
        }
    }
}
