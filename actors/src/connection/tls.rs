//! TLS towards others: whose certificates are trusted, and who we say we are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion};
use sdk::{Error, Result};

/// The certificate by which we show the other side who we are.
#[derive(Clone, Debug)]
pub struct Identity {
    /// A PEM file with the certificate and those between it and its CA.
    pub certificate: PathBuf,
    /// A PEM file with its private key.
    pub key: PathBuf,
}

/// How to speak TLS to a server. It is trusted if its certificate comes from one of the CAs in the PEM file `ca`, or
/// from one of the system's when there is no such file; without `verify`, whatever it shows.
///
/// # Errors
/// If a file cannot be read or holds nothing of use, or the system has no CAs at all.
pub fn client_config(ca: Option<&Path>, identity: Option<&Identity>, verify: bool) -> Result<ClientConfig> {
    client_config_of(rustls::DEFAULT_VERSIONS, ca, identity, verify)
}

/// The same, in these versions of TLS only.
///
/// # Errors
/// As [`client_config`].
pub fn client_config_of(
    versions: &[&'static SupportedProtocolVersion],
    ca: Option<&Path>,
    identity: Option<&Identity>,
    verify: bool,
) -> Result<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .map_err(|e| Error::internal("TLS cannot be set up").because(e))?;
    let builder = match verify {
        true => builder.with_root_certificates(match ca {
            Some(path) => roots_of(path)?,
            None => roots_of_the_system()?,
        }),
        false => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider))),
    };
    match identity {
        None => Ok(builder.with_no_client_auth()),
        Some(Identity { certificate, key }) => {
            let private = PrivateKeyDer::from_pem_file(key).map_err(|e| unusable(key, &e))?;
            let fitting = builder.with_client_auth_cert(certificates(certificate)?, private);
            fitting.map_err(|e| unusable(certificate, &e))
        }
    }
}

fn roots_of(path: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|e| unusable(path, &e))?;
    }
    Ok(roots)
}

fn roots_of_the_system() -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    // Systems carry certificates that nobody can read any more; the others are as good as before.
    let (usable, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    match usable {
        0 => Err(Error::internal("this system has no CA certificates; name a file with the CA to trust")),
        _ => Ok(roots),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    match read.map_err(|e| unusable(path, &e))? {
        none if none.is_empty() => Err(unusable(path, &"it holds no certificate in PEM form")),
        some => Ok(some),
    }
}

fn unusable(path: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::internal(format!("the file {} cannot be used: {why}", path.display()))
}

/// Whether TLS itself failed: a certificate that one side does not accept, mostly.
pub fn failed(error: &reqwest::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if error.is::<rustls::Error>() {
            return true;
        }
        // An I/O error does not name what it wraps as its source, but that one's source.
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        cause = wrapped.map(|wrapped| wrapped as _).or_else(|| error.source());
    }
    false
}

/// Takes every server for the right one. The signatures of the handshake are still checked, so that at least it is
/// the same one throughout.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_certificate_is_named() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        for bad in [file.path(), Path::new("/nonexistent/ca.pem")] {
            let error = client_config(Some(bad), None, true).expect_err("must not do");
            assert!(error.to_string().contains(&*bad.to_string_lossy()), "{error}");
        }
    }

    #[test]
    fn whoever_trusts_anyone_needs_no_file() {
        client_config(None, None, false).expect("no file is read");
    }
}
