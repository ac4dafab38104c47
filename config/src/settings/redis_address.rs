//! The URL of a Redis, taken apart: one server, or the sentinels that know which server is the master.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;

use crate::secret::Secret;

/// Where a Redis is, and how to log in.
#[derive(Clone, Debug)]
pub struct RedisAddress {
    /// The server; or the sentinels, to be asked in this order.
    pub hosts: Vec<(String, u16)>,
    /// What the sentinels call the master; none if `hosts` is the server itself.
    pub master: Option<String>,
    /// Whether everybody is spoken to in TLS.
    pub tls: bool,
    /// The number of the database.
    pub db: u32,
    /// The ACL user; none is the default user.
    pub user: Option<String>,
    /// The password.
    pub password: Option<Secret>,
    /// How to log in at the sentinels, if they ask: user and password.
    pub sentinel_login: (Option<String>, Option<Secret>),
    /// A PEM file with the certificates that vouch for the servers, instead of the system's.
    pub ca: Option<PathBuf>,
}

const FORM: &str = "write redis://user:password@host:port/database, or with rediss:// for TLS; for sentinels \
                    redis+sentinel://host:port,host:port/master";

impl RedisAddress {
    /// Takes a URL apart. The faults never repeat it, as it may hold a password.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let wrong = |what: &str| Err(format!("{what}: {FORM}"));
        let Some((scheme, rest)) = url.split_once("://") else { return wrong("not a URL") };
        let (tls, sentinel) = match scheme {
            "redis" => (false, false),
            "rediss" => (true, false),
            "redis+sentinel" => (false, true),
            "rediss+sentinel" => (true, true),
            _ => return wrong("no store has this scheme"),
        };
        // A password may hold any character, so that everything before the last @ counts as one.
        let (login, rest) = rest.rsplit_once('@').map_or(("", rest), |(login, rest)| (login, rest));
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let port = if sentinel { 26_379 } else { 6_379 };
        let hosts: Option<Vec<_>> = authority.split(',').map(|host| host_and_port(host, port)).collect();
        let Some(hosts) = hosts.filter(|hosts| sentinel || hosts.len() == 1) else {
            return wrong("the host or the port is not one");
        };
        let (master, db) = match path.split_once('/') {
            _ if !sentinel => (None, path),
            Some((master, db)) => (Some(decoded(master)), db),
            None => (Some(decoded(path)), ""),
        };
        if master.as_ref().is_some_and(String::is_empty) {
            return wrong("the name of the master is missing");
        }
        let Ok(db) = (if db.is_empty() { Ok(0) } else { db.parse() }) else {
            return wrong("the database is not a number");
        };
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let some = |text: &str| Some(decoded(text)).filter(|text| !text.is_empty());
        let mut address = Self {
            hosts,
            master,
            tls,
            db,
            user: some(user),
            password: some(password).map(Secret::new),
            sentinel_login: (None, None),
            ca: None,
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("ca", file)) if tls => address.ca = Some(decoded(file).into()),
                Some(("sentinel_user", user)) if sentinel => address.sentinel_login.0 = some(user),
                Some(("sentinel_password", word)) if sentinel => {
                    address.sentinel_login.1 = some(word).map(Secret::new);
                }
                _ => {
                    return wrong(
                        "it has a parameter that is not known; there are ca=FILE (with TLS), and sentinel_user \
                         and sentinel_password (with sentinels)",
                    );
                }
            }
        }
        Ok(address)
    }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// `host`, `host:port`, `[::1]` or `[::1]:port`.
fn host_and_port(text: &str, default: u16) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map_or(Some(default), |port| port.parse().ok().filter(|port| *port != 0))?;
    Some((host.to_owned(), port)).filter(|_| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let address =
            RedisAddress::parse("rediss://app:h%40u/sh@x@[::1]:6380/3?ca=/etc/ca%20.pem").expect("ok");
        assert_eq!(address.hosts, [("::1".to_owned(), 6380)]);
        assert_eq!((address.tls, address.db, address.master), (true, 3, None));
        assert_eq!(address.user.as_deref(), Some("app"));
        assert_eq!(address.password.expect("one").reveal(), "h@u/sh@x");
        assert_eq!(address.ca.expect("one"), PathBuf::from("/etc/ca .pem"));

        let url = "redis+sentinel://:hush@a,b:1/the.master/2?sentinel_password=shh";
        let address = RedisAddress::parse(url).expect("ok");
        assert_eq!(address.hosts, [("a".to_owned(), 26_379), ("b".to_owned(), 1)]);
        assert_eq!((address.master.as_deref(), address.db, address.user), (Some("the.master"), 2, None));
        assert_eq!(address.sentinel_login.1.expect("one").reveal(), "shh");
    }

    #[test]
    fn what_is_wrong_is_told_without_the_url() {
        for url in [
            "redis://hush:0",
            "redis://hush:x",
            "redis://hush,hush",
            "redis://hush/one",
            "redis://hush?hush=1",
            "redis://hush?ca=hush",
            "redis+sentinel://hush",
            "redis+sentinel://hush/m/hush",
            "rediss://[hush",
        ] {
            let message = RedisAddress::parse(url).expect_err(url);
            assert!(!message.contains("hush"), "{message}");
        }
    }
}
