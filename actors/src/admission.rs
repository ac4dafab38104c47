//! Who may come in by a channel, from where, and how often. A channel that says nothing of it pays nothing for it.

mod bucket;
mod limiter;
pub mod lockout;
pub mod metered;

use std::net::IpAddr;
use std::sync::Arc;

use config::{Fault, Span};
use http::HeaderValue;
use ipnet::IpNet;
use schemars::JsonSchema;
use sdk::{Caller, Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use self::limiter::Limiter;
use crate::kind::Start;

/// How often callers may call.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rate<W: Whose = By> {
    /// How many requests within `per`. They may come all at once: the budget fills up again evenly.
    pub limit: u32,
    /// The time for that many, such as `1s`, `1m` or `1h`.
    pub per: Span,
    /// Who has a budget of their own: each `address` (of IPv6, the first 64 bits), each `caller` (where nobody is known,
    /// each address), or all together.
    #[serde(default)]
    pub by: W,
    /// Ask the store about each request, so that not one is too many on any number of nodes. Each request then waits for
    /// a round trip. Left out: each node counts by itself and tells the others within milliseconds; no request waits.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exact: bool,
}

/// Who has a budget of their own, in the words of a family of definitions.
pub trait Whose: Copy + Default + Serialize + Send + Sync + 'static {
    /// The word for it.
    fn word(self) -> &'static str;
}

impl<W: Whose> Rate<W> {
    /// What the types alone do not show.
    pub fn check(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.limit == 0 {
            faults.push(
                Fault::new("rate.limit", "no request would ever be let in")
                    .hint("to keep everybody out, use enabled: false"),
            );
        }
        if self.per.get().is_zero() {
            faults.push(Fault::new("rate.per", "no time is too short a time").hint("such as 1s or 1m"));
        }
        faults
    }

    /// What callers are told about it: a quota `q` within a window of `w` seconds.
    fn policy(&self) -> HeaderValue {
        let window = self.per.get().as_secs().max(1);
        let text = format!("\"{}\";q={};w={window}", self.by.word(), self.limit);
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("?"))
    }
}

/// Who has a budget of their own on a channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// Each address; of an IPv6 address, the first 64 bits.
    #[default]
    Address,
    /// Each caller whom the security definition vouches for; where there is none, each address.
    Caller,
    /// All together.
    Channel,
}

impl Whose for By {
    fn word(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Caller => "caller",
            Self::Channel => "channel",
        }
    }
}

/// What parameters say about who may come in.
#[derive(Debug)]
pub struct Wanted<'p> {
    /// Networks such as `10.0.0.0/8`; none: from anywhere.
    pub allow_from: &'p [String],
    /// Roles, all of which the caller must have.
    pub require: &'p [String],
    /// How often.
    pub rate: Option<&'p Rate>,
}

/// See the module.
pub struct Admission {
    networks: Vec<IpNet>,
    roles: Vec<String>,
    rate: Option<(By, Arc<Limiter>)>,
}

impl Wanted<'_> {
    /// What the types alone do not show.
    pub fn check(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        for text in self.allow_from.iter().filter(|text| network(text).is_none()) {
            faults.push(
                Fault::new("allow_from", format!("{text:?} is no network")).hint("such as 10.0.0.0/8 or ::1"),
            );
        }
        faults.extend(self.rate.into_iter().flat_map(Rate::check));
        faults
    }

    /// What a channel then asks; none, if it asks nothing.
    ///
    /// # Errors
    /// If a network is none.
    pub fn admission(&self, start: &Start) -> Result<Option<Admission>> {
        if self.allow_from.is_empty() && self.require.is_empty() && self.rate.is_none() {
            return Ok(None);
        }
        let networks = self.allow_from.iter().map(|text| {
            network(text).ok_or_else(|| Error::internal(format!("{}: {text:?} is no network", start.id)))
        });
        let limiter = |rate: &Rate| (rate.by, Limiter::start(rate, start));
        Ok(Some(Admission {
            networks: networks.collect::<Result<_>>()?,
            roles: self.require.to_vec(),
            rate: self.rate.map(limiter),
        }))
    }
}

impl Admission {
    /// Before it is known who calls.
    ///
    /// # Errors
    /// Forbidden from this address; too many.
    pub async fn from(&self, address: IpAddr) -> Result<()> {
        let address = address.to_canonical();
        if !self.networks.is_empty() && !self.networks.iter().any(|network| network.contains(&address)) {
            return Err(Error::new(ErrorKind::Forbidden, "this channel does not answer your address"));
        }
        match &self.rate {
            Some((By::Address, limiter)) => limiter.take(&of_address(address)).await,
            Some((By::Channel, limiter)) => limiter.take("").await,
            Some((By::Caller, _)) | None => Ok(()),
        }
    }

    /// Once it is.
    ///
    /// # Errors
    /// Forbidden without the roles; too many.
    pub async fn of(&self, caller: Option<&Caller>, address: IpAddr) -> Result<()> {
        if let Some((By::Caller, limiter)) = &self.rate {
            match caller {
                Some(caller) => limiter.take(&of_caller(caller)).await?,
                None => limiter.take(&of_address(address)).await?,
            }
        }
        permitted(caller, &self.roles)
    }
}

/// Whether a caller has all of these roles.
///
/// # Errors
/// Forbidden, with the roles that are missing.
pub fn permitted(caller: Option<&Caller>, roles: &[String]) -> Result<()> {
    let missing = |role: &&String| !caller.is_some_and(|caller| caller.has(role));
    let missing: Vec<&str> = roles.iter().filter(missing).map(String::as_str).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Forbidden, format!("this needs the role {}", missing.join(", "))))
}

/// The key of a caller's budget.
fn of_caller(caller: &Caller) -> String {
    format!("{}/{}", caller.security(), caller.name())
}

/// The key of an address's budget.
fn of_address(address: IpAddr) -> String {
    home(address.to_canonical()).to_string()
}

/// A network, or a single address.
fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// What one customer of a provider commonly has: an IPv4 address, or 64 bits of IPv6.
fn home(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(long) => {
            let [a, b, c, d, ..] = long.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(networks: &[&str]) -> Admission {
        Admission {
            networks: networks.iter().map(|text| network(text).expect("a network")).collect(),
            roles: Vec::new(),
            rate: None,
        }
    }

    #[tokio::test]
    async fn only_these_networks_come_in_however_an_address_is_written() {
        let admission = admission(&["10.0.0.0/8", "::1", "2001:db8::/32"]);
        for (address, may) in [
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("::1", true),
            ("::ffff:10.1.2.3", true),
            ("2001:db8:7::9", true),
            ("2001:db9::1", false),
        ] {
            let outcome = admission.from(address.parse().expect("an address")).await;
            assert_eq!(outcome.is_ok(), may, "{address}");
        }
    }

    #[test]
    fn a_rate_that_lets_nobody_in_and_a_network_that_is_none_are_faults() {
        let rate = Rate { limit: 0, per: Span::secs(0), by: By::Address, exact: false };
        let networks = ["10.0.0.0/33".to_owned(), "localhost".to_owned(), "10.0.0.1".to_owned()];
        let wanted = Wanted { allow_from: &networks, require: &[], rate: Some(&rate) };
        let at: Vec<String> = wanted.check().into_iter().map(|fault| fault.at).collect();
        assert_eq!(at, ["allow_from", "allow_from", "rate.limit", "rate.per"]);
    }
}
