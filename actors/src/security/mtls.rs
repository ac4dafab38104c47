//! Client certificates on our own listener: whoever shows one of a CA that is trusted, and of the right name, is let in.
//!
//! The listener asks clients for a certificate while a definition of this kind runs, and lets them in with any or none:
//! TLS proves that they hold its key. Who vouches for it is found out here, by definition, so that each can trust
//! another CA and a change needs no new listener.

mod names;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::digest;
use bytes::Bytes;
use config::{Clock, Fault};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs as provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use schemars::JsonSchema;
use sdk::{Caller, Error, HttpHead, Result, Security};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use self::names::Names;
use crate::admission::Rate;
use crate::admission::metered::{Of, metered};
use crate::kind::{Kind, Start};
use crate::part::{CHECK_CALLERS, Guard, Part};

const TAG: &str = "security.mtls";
/// How long a certificate that was right is not looked at again, and how many are remembered.
const REMEMBERED: (Duration, usize) = (Duration::from_secs(60), 1024);
/// How long a chain of certificates may be.
const LONGEST: usize = 8;

/// Client certificates of callers. With none of the lists, every certificate of the CA is right; otherwise one that
/// has an entry of one of them.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// A PEM file with the CAs whose certificates are accepted. It is read when the definition starts.
    ca: PathBuf,
    /// Whole subjects, such as `CN=partner, O=Example`, in the order of the certificate. Within a value, `,` `+` `"` `\` `<`
    /// `>` `;` are written with a backslash before them, as in RFC 4514: `O=Example\, Inc.`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    subjects: Vec<String>,
    /// Common names of subjects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    common_names: Vec<String>,
    /// Alternative names: host names, exactly as they are written in the certificate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    dns_names: Vec<String>,
    /// Alternative names: mail addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    emails: Vec<String>,
    /// Alternative names: URIs, such as `spiffe://example.com/billing`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    uris: Vec<String>,
    /// The name under which services see a caller. Default: the common name, or else the first alternative name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    /// The roles of callers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    roles: Vec<String>,
    /// How often callers may call, by all channels that use this definition together; left out: as often as they like. One
    /// more is answered 429.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rate: Option<Rate<Of>>,
}

/// See the module.
pub struct Mtls;

#[async_trait]
impl Kind for Mtls {
    const TAG: &'static str = TAG;
    type Params = Params;

    fn example() -> Params {
        Params {
            ca: "/etc/zeugma/partners.pem".into(),
            subjects: Vec::new(),
            common_names: vec!["partner".into()],
            dns_names: Vec::new(),
            emails: Vec::new(),
            uris: Vec::new(),
            username: None,
            roles: Vec::new(),
            rate: None,
        }
    }

    fn check(params: &Params) -> Vec<Fault> {
        let lists = [
            ("subjects", &params.subjects),
            ("common_names", &params.common_names),
            ("dns_names", &params.dns_names),
            ("emails", &params.emails),
            ("uris", &params.uris),
        ];
        let empty = lists.into_iter().filter(|(_, list)| list.iter().any(String::is_empty));
        let faults = empty.map(|(at, _)| Fault::new(at, "nobody's name is empty"));
        faults.chain(params.rate.iter().flat_map(Rate::check)).collect()
    }

    fn offers(_: &Params) -> Option<Vec<&'static str>> {
        Some(vec![CHECK_CALLERS])
    }

    async fn start(params: Params, start: Start) -> Result<Part> {
        let path = params.ca.clone();
        let verifier = tokio::task::spawn_blocking(move || verifier(&path)).await??;
        let security = start.id.name.to_string();
        let (rate, clock) = (params.rate.clone(), start.clock.clone());
        let check = Arc::new(Check { params, verifier, security, clock, right: Mutex::default() });
        let incoming = Some(metered(check, rate.as_ref(), &start));
        Ok(Part::Security(Guard { incoming, certificates: true, ..Guard::default() }))
    }
}

fn verifier(path: &std::path::Path) -> Result<Arc<dyn ClientCertVerifier>> {
    let unusable = |why: &dyn std::fmt::Display| {
        Error::internal(format!("the file {} cannot be used: {why}", path.display()))
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|e| unusable(&e))? {
        roots.add(certificate.map_err(|e| unusable(&e))?).map_err(|e| unusable(&e))?;
    }
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(provider::default_provider()));
    builder.build().map_err(|e| unusable(&e))
}

/// Checks callers.
struct Check {
    params: Params,
    verifier: Arc<dyn ClientCertVerifier>,
    security: String,
    clock: Clock,
    /// Chains that were right a moment ago, by their hash.
    right: Mutex<HashMap<[u8; 32], (Caller, Instant)>>,
}

impl Params {
    fn allow(&self, names: &Names) -> bool {
        let host = |a: &String, b: &String| a.eq_ignore_ascii_case(b);
        let lists = [&self.common_names, &self.dns_names, &self.emails, &self.uris];
        if self.subjects.is_empty() && lists.iter().all(|list| list.is_empty()) {
            return true;
        }
        names.subject.as_ref().is_some_and(|subject| self.subjects.contains(subject))
            || names.common.iter().any(|name| self.common_names.contains(name))
            || names.dns.iter().any(|name| self.dns_names.iter().any(|wanted| host(name, wanted)))
            || names.emails.iter().any(|name| self.emails.contains(name))
            || names.uris.iter().any(|name| self.uris.contains(name))
    }
}

fn hash(chain: &[Bytes]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for certificate in chain {
        context.update(&(certificate.len() as u64).to_le_bytes());
        context.update(certificate);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

impl Check {
    fn verify(&self, chain: &[Bytes]) -> Result<Caller> {
        let refused = Error::unauthenticated;
        let (first, rest) = chain.split_first().ok_or_else(|| refused("a client certificate is needed"))?;
        if chain.len() > LONGEST {
            return Err(refused("the chain of certificates is too long"));
        }
        let rest: Vec<_> = rest.iter().map(|der| CertificateDer::from(der.to_vec())).collect();
        let now = u64::try_from(self.clock.now().timestamp()).unwrap_or(0);
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
        let own = CertificateDer::from(first.to_vec());
        let verified = self.verifier.verify_client_cert(&own, &rest, now);
        verified.map_err(|e| refused("this client certificate is not accepted").because(e))?;
        let names = Names::of(first).filter(|names| self.params.allow(names));
        let refusal = || refused("this client certificate is not accepted");
        let names = names.ok_or_else(refusal)?;
        let name = self.params.username.as_deref().or(names.name()).ok_or_else(refusal)?;
        Ok(Caller::vouch(name, &self.security, self.params.roles.clone()).of_kind(TAG))
    }
}

#[async_trait]
impl Security for Check {
    fn guess(&self, _: &HttpHead) -> Option<Error> {
        None
    }

    async fn check(&self, head: &HttpHead) -> Result<Caller> {
        let chain = head.certificates.as_deref().unwrap_or_default();
        let (hash, now) = (hash(chain), Instant::now());
        let remembered = |until: &Instant| *until > now;
        {
            let right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((caller, _)) = right.get(&hash).filter(|(_, until)| remembered(until)) {
                return Ok(caller.clone());
            }
        }
        let caller = self.verify(chain)?;
        let mut right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        if right.len() >= REMEMBERED.1 {
            right.retain(|_, (_, until)| remembered(until));
        }
        if right.len() < REMEMBERED.1 {
            right.insert(hash, (caller.clone(), now + REMEMBERED.0));
        }
        Ok(caller)
    }
}

#[cfg(test)]
mod tests {
    use rcgen::string::Ia5String;
    use rcgen::{CertificateParams, CertifiedIssuer, DnType, KeyPair, SanType};

    use super::*;

    fn ca(name: &str) -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA")
    }

    fn issued(ca: &CertifiedIssuer<'static, KeyPair>, change: impl FnOnce(&mut CertificateParams)) -> Bytes {
        let mut params = CertificateParams::new(vec!["client.example.com".to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, "partner");
        params.subject_alt_names.push(SanType::URI(Ia5String::try_from("spiffe://x/y").expect("ASCII")));
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        Bytes::copy_from_slice(params.signed_by(&key, ca).expect("signed").der())
    }

    fn check(ca: &CertifiedIssuer<'static, KeyPair>, change: impl FnOnce(&mut Params)) -> Check {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, ca.pem()).expect("written");
        let mut params = Params { ca: path.clone(), common_names: Vec::new(), ..Mtls::example() };
        change(&mut params);
        let verifier = verifier(&path).expect("a CA");
        Check { params, verifier, security: "sec".into(), clock: Clock::System, right: Mutex::default() }
    }

    #[test]
    fn a_certificate_of_the_ca_and_of_the_right_name_is_enough() {
        let (ca, other) = (ca("ours"), ca("theirs"));
        let certificate = [issued(&ca, |_| {})];
        let caller = check(&ca, |_| {}).verify(&certificate).expect("let in");
        assert_eq!((caller.name(), caller.security(), caller.kind()), ("partner", "sec", TAG));
        type Change = fn(&mut Params);
        let right: [Change; 5] = [
            |p| p.subjects = vec!["CN=rcgen self signed cert, CN=partner".into(), "CN=partner".into()],
            |p| p.common_names = vec!["partner".into()],
            |p| p.dns_names = vec!["Client.example.com".into()],
            |p| p.uris = vec!["spiffe://x/y".into()],
            |p| (p.emails, p.uris) = (vec!["a@b".into()], vec!["spiffe://x/y".into()]),
        ];
        for change in right {
            let check = check(&ca, change);
            assert!(
                check.verify(&certificate).is_ok(),
                "{:?} {:?}",
                check.params,
                Names::of(&certificate[0])
            );
        }
        let wrong: [Change; 4] = [
            |p| p.subjects = vec!["CN=partne".into()],
            |p| p.common_names = vec!["Partner".into()],
            |p| p.dns_names = vec!["*.example.com".into(), "example.com".into()],
            |p| p.uris = vec!["spiffe://x/".into()],
        ];
        for change in wrong {
            assert!(check(&ca, change).verify(&certificate).is_err());
        }
        assert!(check(&other, |_| {}).verify(&certificate).is_err(), "of another CA");
    }

    #[tokio::test]
    async fn none_an_old_one_one_for_servers_and_what_is_none_are_refused() {
        let ca = ca("ours");
        let check = check(&ca, |_| {});
        let old = issued(&ca, |p| p.not_after = rcgen::date_time_ymd(2020, 1, 1));
        let early = issued(&ca, |p| p.not_before = rcgen::date_time_ymd(2100, 1, 1));
        let server =
            issued(&ca, |p| p.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth]);
        let fine = issued(&ca, |_| {});
        let mut broken = fine.to_vec();
        let middle = broken.len() / 2;
        broken[middle] ^= 1;
        let long: Vec<Bytes> = vec![fine.clone(); LONGEST + 1];
        let chains = [
            vec![],
            vec![old],
            vec![early],
            vec![server],
            vec![Bytes::from(broken)],
            vec![Bytes::new()],
            long,
        ];
        for (n, chain) in chains.into_iter().enumerate() {
            let error = check.verify(&chain).expect_err("refused");
            assert_eq!(error.kind(), sdk::ErrorKind::Unauthenticated, "{n}");
        }
        let (method, uri, peer) = (http::Method::GET, http::Uri::default(), ([127, 0, 0, 1], 1).into());
        let certificates = Some(vec![fine].into());
        let head =
            HttpHead { method, uri, headers: http::HeaderMap::new(), peer, certificates, params: Vec::new() };
        for _ in 0..2 {
            check.check(&head).await.expect("let in, the second time from memory");
        }
        assert_eq!(check.right.lock().expect("not poisoned").len(), 1);
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(500))]

        #[test]
        fn whatever_is_shown_as_a_certificate_is_read_or_refused(at in 0_usize..400, with: u8, cut in 0_usize..600) {
            static RIGHT: std::sync::LazyLock<(Check, Bytes)> = std::sync::LazyLock::new(|| {
                let ca = ca("ours");
                (check(&ca, |_| {}), issued(&ca, |_| {}))
            });
            let (check, right) = &*RIGHT;
            let mut changed = right.to_vec();
            let at = at % changed.len();
            let same = changed[at] == with;
            changed[at] = with;
            drop(Names::of(&changed));
            proptest::prop_assert_eq!(check.verify(&[changed.into()]).is_ok(), same);
            let cut = &right[..cut % right.len()];
            drop(Names::of(cut));
            proptest::prop_assert!(check.verify(&[Bytes::copy_from_slice(cut)]).is_err());
        }
    }
}
