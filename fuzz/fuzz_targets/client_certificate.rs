//! Client certificates: any bytes instead of one, and any names in one that the right CA has signed.

#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use rcgen::{CertificateParams, CertifiedIssuer, CustomExtension, DnType, KeyPair};
use sdk::Security;
use zeugma_fuzz::{Tried, with_certificates};

struct Kit {
    tried: Tried,
    anybody: Arc<dyn Security>,
    somebody: Arc<dyn Security>,
    ca: CertifiedIssuer<'static, KeyPair>,
    key: KeyPair,
    right: Vec<u8>,
}

static KIT: LazyLock<Kit> = LazyLock::new(|| {
    let mut params = CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, ca.pem()).expect("written");
    let tried = Tried::start(&format!(
        "security:\n- {{name: anybody, type: mtls, ca: '{0}'}}\n- {{name: somebody, type: mtls, ca: '{0}', \
         common_names: [partner], dns_names: [client.example.com], emails: [a@b], uris: ['spiffe://x/y']}}\n",
        path.display()
    ));
    let key = KeyPair::generate().expect("a key");
    let right = issued(&ca, &key, "partner", None).expect("a certificate");
    let (anybody, somebody) = (tried.security("anybody"), tried.security("somebody"));
    let kit = Kit { tried, anybody, somebody, ca, key, right };
    assert!(shows(&kit, &kit.somebody, &kit.right), "the right one is let in");
    kit
});

fn issued(
    ca: &CertifiedIssuer<'static, KeyPair>,
    key: &KeyPair,
    common: &str,
    names: Option<&[u8]>,
) -> Option<Vec<u8>> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common);
    let alternative = names.map(|names| CustomExtension::from_oid_content(&[2, 5, 29, 17], names.to_vec()));
    params.custom_extensions.extend(alternative);
    Some(params.signed_by(key, ca).ok()?.der().to_vec())
}

fn shows(kit: &Kit, security: &Arc<dyn Security>, certificate: &[u8]) -> bool {
    let head = with_certificates(vec![certificate.to_vec()]);
    head.is_some_and(|head| kit.tried.admit(security, &head).is_some())
}

fuzz_target!(|data: &[u8]| {
    let kit = &*KIT;
    let Some((mode, data)) = data.split_first() else { return };
    match mode % 3 {
        0 => assert!(!shows(kit, &kit.anybody, data), "the CA has signed nothing like it"),
        1 => {
            // The right one, with some bytes changed.
            let mut changed = kit.right.clone();
            for change in data.chunks_exact(3) {
                let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % changed.len();
                changed[at] = change[2];
            }
            assert_eq!(shows(kit, &kit.anybody, &changed), changed == kit.right);
        }
        _ => {
            // Names of any kind, rightly signed: read or refused; only one that is wanted is let in.
            let cut = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
            let (common, names) = (String::from_utf8_lossy(&data[..cut]), data.get(cut + 1..));
            let Some(certificate) = issued(&kit.ca, &kit.key, &common, names) else { return };
            shows(kit, &kit.anybody, &certificate);
            if shows(kit, &kit.somebody, &certificate) && common != "partner" {
                let has = |name: &[u8]| {
                    let found = |window: &[u8]| window.eq_ignore_ascii_case(name);
                    names.is_some_and(|names| names.windows(name.len()).any(found))
                };
                let wanted: [&[u8]; 3] = [b"client.example.com", b"a@b", b"spiffe://x/y"];
                assert!(wanted.into_iter().any(has), "{common:?} {names:?}");
            }
        }
    }
});
