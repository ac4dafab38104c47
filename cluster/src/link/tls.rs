//! TLS between nodes: both sides show a certificate of the cluster's own authority.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::link::settings::{Identity, StartError};
use crate::link::socket::Stream;

/// Sent to nobody and compared with nothing: the dialer does not send the name that it wants.
const NO_NAME: &str = "node.invalid";

/// See the module.
#[derive(Clone)]
pub(crate) struct Tls {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
    name: Option<ServerName<'static>>,
}

impl Tls {
    pub(crate) fn new(identity: &Identity) -> Result<Self, StartError> {
        fn fault(what: &'static str) -> impl Fn(&dyn std::fmt::Display) -> StartError {
            move |why| StartError::Tls { what, why: why.to_string() }
        }
        let certificates = |pem: &str, what| -> Result<Vec<CertificateDer<'static>>, StartError> {
            let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
            let all = all.map_err(|e| fault(what)(&e))?;
            if all.is_empty() { Err(fault(what)(&"it holds no certificate")) } else { Ok(all) }
        };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&identity.authority, "authority")? {
            roots.add(certificate).map_err(|e| fault("authority")(&e))?;
        }
        let roots = Arc::new(roots);
        let chain = certificates(&identity.certificate, "certificate")?;
        // What the parser says of a key is not repeated: it may hold a piece of it.
        let key = PrivateKeyDer::from_pem_slice(identity.key.reveal().as_bytes())
            .map_err(|_| fault("key")(&"it is not a private key in PEM"))?;
        let name = identity.name.clone().map(ServerName::try_from).transpose();
        let name = name.map_err(|_| fault("name")(&"it is not a DNS name"))?;

        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .build()
            .map_err(|e| fault("authority")(&e))?;
        // Only our own code is on the other side, so nothing older than 1.3 is needed.
        let versions = &[&rustls::version::TLS13];
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(|e| fault("certificate")(&e))?
            .with_client_cert_verifier(clients)
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(|e| fault("certificate")(&e))?;
        let servers = Arc::new(OfTheCluster {
            roots,
            algorithms: provider.signature_verification_algorithms,
            name: name.clone(),
        });
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(|e| fault("certificate")(&e))?
            .dangerous() // the verifier checks the chain and, if one is set, the name
            .with_custom_certificate_verifier(servers)
            .with_client_auth_cert(chain, key)
            .map_err(|e| fault("certificate")(&e))?;
        client.enable_sni = false;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(server)),
            connector: TlsConnector::from(Arc::new(client)),
            name,
        })
    }

    /// The server's side, and whether the client's certificate bears the name of the cluster: the verifier of clients
    /// knows no names. The caller sets the deadline.
    pub(crate) async fn accept(&self, stream: TcpStream) -> std::io::Result<(Box<dyn Stream>, bool)> {
        let stream = self.acceptor.accept(stream).await?;
        let named = self.name.as_ref().is_none_or(|name| {
            let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            let parsed = shown.and_then(|shown| ParsedCertificate::try_from(shown).ok());
            parsed.is_some_and(|parsed| verify_server_name(&parsed, name).is_ok())
        });
        Ok((Box::new(stream), named))
    }

    /// The client's side. The caller sets the deadline.
    pub(crate) async fn connect(&self, stream: TcpStream) -> std::io::Result<Box<dyn Stream>> {
        let name = ServerName::try_from(NO_NAME).map_err(std::io::Error::other)?;
        Ok(Box::new(self.connector.connect(name, stream).await?))
    }
}

/// What the other side says of our certificate, if that is what an error on the stream is about.
pub(crate) fn refused_certificate(error: &std::io::Error) -> Option<String> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(alert) => {
            Some(format!("the other side refuses the certificate of this node ({alert:?})"))
        }
        _ => None,
    }
}

/// Checks that a server's certificate is of the cluster. Hosts are not compared: nodes come and go with any address,
/// and who they are, the greeting says.
#[derive(Debug)]
struct OfTheCluster {
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
    name: Option<ServerName<'static>>,
}

impl ServerCertVerifier for OfTheCluster {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(
            &shown,
            &self.roots,
            intermediates,
            now,
            self.algorithms.all,
        )?;
        if let Some(name) = &self.name {
            verify_server_name(&shown, name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
