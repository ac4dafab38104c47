//! Certificates that live as long as a test: a CA, and what it signs.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// A CA of the test's own.
pub(crate) struct Ca(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key, in PEM files.
pub(crate) struct Certificate {
    /// The certificate.
    pub(crate) certificate: PathBuf,
    /// Its private key.
    pub(crate) key: PathBuf,
}

impl Ca {
    /// A new one, known to nobody.
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a CA"))
    }

    /// Writes its own certificate into `folder`, for those who are to trust it.
    pub(crate) fn write(&self, folder: &Path) -> PathBuf {
        let path = folder.join("ca.pem");
        std::fs::write(&path, self.0.pem()).expect("a file for the CA");
        path
    }

    /// A certificate for these names and addresses, written into `folder`.
    pub(crate) fn issue(&self, names: &[&str], folder: &Path) -> Certificate {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        self.issue_with(CertificateParams::new(names).expect("names for a certificate"), folder)
    }

    /// The same, but its time is over.
    pub(crate) fn issue_expired(&self, names: &[&str], folder: &Path) -> Certificate {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names for a certificate");
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2020, 1, 2);
        self.issue_with(params, folder)
    }

    fn issue_with(&self, params: CertificateParams, folder: &Path) -> Certificate {
        let key = KeyPair::generate().expect("a key");
        let signed = params.signed_by(&key, &self.0).expect("a certificate");
        let written = Certificate { certificate: folder.join("cert.pem"), key: folder.join("key.pem") };
        std::fs::write(&written.certificate, signed.pem()).expect("a file for the certificate");
        std::fs::write(&written.key, key.serialize_pem()).expect("a file for the key");
        written
    }
}
