//! TLS: certificates, keys and authorities read from files, and what peers of a cluster make of them.
//!
//! One place reads the files, so that whatever is wrong with one is said in one way: the setting, the file,
//! the reason. What clients speak is made of them in [`super::client_tls`]. Peers prove who they are to each
//! other, both sides with a certificate of the same authority; `cluster/network/secure.rs` puts it between socket and protocol. TLS 1.3 only: both ends are ours.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::client::verify_server_name;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig, crypto};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::config::Config;

/// What is wrong with the files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or does not hold what it should.
    #[error("{setting}: {file}: {reason}")]
    File {
        /// The setting that names it.
        setting: &'static str,
        /// Which file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// A setting does not go with the others.
    #[error("{setting}: {reason}")]
    Setting {
        /// Which.
        setting: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Each file is well-formed, but they do not make a configuration.
    #[error("tls-cert-file and tls-key-file: {0}")]
    Together(String),
}

/// A certificate with what it was signed by, and its key.
pub(crate) struct Certificate {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

/// Reads a certificate and its key, both in PEM.
pub(crate) fn read_certificate(certificate: &str, key: &str) -> Result<Certificate, TlsError> {
    Ok(Certificate {
        chain: read_certificates("tls-cert-file", certificate)?,
        key: PrivateKeyDer::from_pem_file(key)
            .map_err(|error| unusable("tls-key-file", key, error))?,
    })
}

/// Reads the certificates of the authorities that are trusted, in PEM.
pub(crate) fn read_authorities(file: &str) -> Result<RootCertStore, TlsError> {
    let mut authorities = RootCertStore::empty();
    for certificate in read_certificates("tls-ca-cert-file", file)? {
        authorities.add(certificate).map_err(|error| unusable("tls-ca-cert-file", file, error))?;
    }
    Ok(authorities)
}

fn read_certificates(
    setting: &'static str,
    file: &str,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_file_iter(Path::new(file))
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(setting, file, error))?;
    if certificates.is_empty() {
        return Err(unusable(setting, file, "it holds no certificate in PEM"));
    }
    Ok(certificates)
}

fn unusable(setting: &'static str, file: &str, reason: impl std::fmt::Display) -> TlsError {
    TlsError::File { setting, file: file.to_owned(), reason: reason.to_string() }
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(crypto::ring::default_provider())
}

/// TLS between the nodes of a cluster.
#[derive(Clone)]
pub struct PeerTls {
    pub(crate) connector: TlsConnector,
    pub(crate) acceptor: TlsAcceptor,
}

impl PeerTls {
    /// What the settings ask for; nothing when they leave it off.
    pub(crate) fn from_config(config: &Config) -> Result<Option<Self>, TlsError> {
        if !config.tls_cluster {
            return Ok(None);
        }
        let certificate = read_certificate(&config.tls_cert_file, &config.tls_key_file)?;
        let authorities = read_authorities(&config.tls_ca_cert_file)?;
        PeerTls::new(certificate, authorities).map(Some)
    }

    /// Both sides of TLS with one certificate and the authorities that sign the peers'.
    pub(crate) fn new(
        certificate: Certificate,
        authorities: RootCertStore,
    ) -> Result<Self, TlsError> {
        let together = |error: &dyn std::fmt::Display| TlsError::Together(error.to_string());
        let Certificate { chain, key } = certificate;
        let client = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| together(&error))?
            .with_root_certificates(authorities.clone())
            .with_client_auth_cert(chain.clone(), key.clone_key())
            .map_err(|error| together(&error))?;
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider())
                .build()
                .map_err(|error| together(&error))?;
        let server = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| together(&error))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(|error| together(&error))?;
        Ok(Self {
            connector: TlsConnector::from(Arc::new(client)),
            acceptor: TlsAcceptor::from(Arc::new(server)),
        })
    }
}

impl std::fmt::Debug for PeerTls {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("PeerTls")
    }
}

/// The name that a certificate has to be for: the host of an address, a name or an IP.
pub(crate) fn host_of(address: &str) -> Result<ServerName<'static>, String> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned())
        .map_err(|_| format!("'{host}' is neither a host's name nor an IP address"))
}

/// Whether a certificate that was found genuine is for the host of an address.
pub(crate) fn is_for(certificate: &CertificateDer<'_>, address: &str) -> Result<(), String> {
    let host = host_of(address)?;
    let parsed = ParsedCertificate::try_from(certificate).map_err(|error| error.to_string())?;
    verify_server_name(&parsed, &host)
        .map_err(|_| format!("its certificate is not for {}", host.to_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_what_stands_before_the_port() {
        for (address, host) in [
            ("node-1.internal:7379", "node-1.internal"),
            ("10.0.0.1:7379", "10.0.0.1"),
            ("[2001:db8::1]:7379", "2001:db8::1"),
        ] {
            assert_eq!(host_of(address).expect("a host").to_str(), host);
        }
        assert!(host_of("no host:7379").is_err());
    }

    #[test]
    fn an_unusable_file_is_named_with_its_setting() {
        let error = read_authorities("/nowhere/ca.pem").expect_err("no such file").to_string();
        assert!(error.starts_with("tls-ca-cert-file: /nowhere/ca.pem: "), "{error}");
        let error = read_authorities("/dev/null").expect_err("nothing in it").to_string();
        assert!(error.contains("no certificate"), "{error}");
    }
}
