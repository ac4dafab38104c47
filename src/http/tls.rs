//! TLS on the listeners: certificates from files, read again when the files change.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use config::settings::TlsFiles;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use sdk::{Error, Result};
use tokio_rustls::TlsAcceptor;

use crate::app::App;

/// How often the files are looked at. A renewed certificate is shown to new connections after this time at most.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The certificate that is shown to clients, exchangeable while connections come in.
#[derive(Clone)]
pub struct Certificates(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    files: TlsFiles,
    current: ArcSwap<CertifiedKey>,
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    /// If they cannot be read, or do not belong together.
    pub fn load(files: &TlsFiles) -> Result<Self> {
        let current = ArcSwap::from_pointee(read(files)?);
        Ok(Self(Arc::new(Inner { files: files.clone(), current })))
    }

    /// Accepts TLS connections that show the certificate of the moment, and offers HTTP/2 and HTTP/1.1. With `ask`,
    /// clients are asked for a certificate of theirs, which they need not have.
    pub fn acceptor(&self, ask: bool) -> TlsAcceptor {
        let builder = ServerConfig::builder();
        let builder = match ask {
            true => builder.with_client_cert_verifier(Arc::new(AnyClient(aws_lc_rs::default_provider()))),
            false => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(self.0.clone() as Arc<_>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }

    /// Reads the files again whenever they change, until the node stops. Files that do not fit leave the certificate
    /// of before.
    pub fn watch(&self, app: &App) {
        let (certificates, mut stopping) = (self.clone(), app.stopping.clone());
        app.tasks.spawn("certificates", async move {
            let mut seen = certificates.stamp().await;
            loop {
                tokio::select! {
                    _ = stopping.wait_for(|stop| *stop) => return,
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                }
                let stamp = certificates.stamp().await;
                if stamp == seen {
                    continue;
                }
                seen = stamp;
                match read(&certificates.0.files) {
                    Ok(next) => {
                        certificates.0.current.store(Arc::new(next));
                        tracing::info!("the TLS certificate was read again");
                    }
                    Err(error) => tracing::warn!(%error, "the TLS certificate of before is kept"),
                }
            }
        });
    }

    /// Changes whenever the files do; files that are not there have none.
    async fn stamp(&self) -> [Option<(std::time::SystemTime, u64)>; 2] {
        let of = async |path: &Path| {
            let meta = tokio::fs::metadata(path).await.ok()?;
            Some((meta.modified().ok()?, meta.len()))
        };
        [of(&self.0.files.cert).await, of(&self.0.files.key).await]
    }
}

/// Takes any certificate of a client, or none: that they hold its key is proven by the handshake, and who vouches for
/// it, security definitions find out.
#[derive(Debug)]
struct AnyClient(CryptoProvider);

impl ClientCertVerifier for AnyClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
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

impl ResolvesServerCert for Inner {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn read(files: &TlsFiles) -> Result<CertifiedKey> {
    let fault = |path: &Path, error: &dyn std::fmt::Display| {
        Error::internal(format!("the TLS file {}: {error}", path.display()))
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect)
        .map_err(|e| fault(&files.cert, &e))?;
    if chain.is_empty() {
        return Err(fault(&files.cert, &"there is no certificate in it"));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|e| fault(&files.key, &e))?;
    let key = aws_lc_rs::sign::any_supported_type(&key).map_err(|e| fault(&files.key, &e))?;
    let certified = CertifiedKey::new(chain, key);
    certified
        .keys_match()
        .map_err(|e| fault(&files.key, &format!("it does not belong to the certificate: {e}")))?;
    Ok(certified)
}
