//! TLS for clients: what is made of the settings' files, and replaced when they are read again.
//!
//! A connection takes what is there when its handshake begins; those that stand stay as they are. A file that
//! cannot be used changes nothing: the old ones go on serving.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hallpass_engine::Stamp;
use parking_lot::RwLock;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ServerConfig, SupportedProtocolVersion};

use super::tls::{Certificate, TlsError, provider, read_authorities, read_certificate};
use crate::config::Config;

/// A failed handshake is written to the log at most once in so long: anybody can cause one.
const SAID_EVERY_MILLIS: u64 = 1000;

/// What clients on `tls-port` are met with.
#[derive(Default)]
pub(crate) struct ClientTls {
    acceptor: RwLock<Option<TlsAcceptor>>,
    /// When a failed handshake was last written to the log.
    said_millis: AtomicU64,
}

impl ClientTls {
    /// Reads the files that the settings name. Without a port for TLS there is nothing to read.
    pub(crate) fn load(&self, config: &Config) -> Result<(), TlsError> {
        if config.tls_port != 0 {
            let acceptor = TlsAcceptor::from(Arc::new(server_config(config)?));
            *self.acceptor.write() = Some(acceptor);
        }
        Ok(())
    }

    /// What the next handshake is done with.
    pub(crate) fn acceptor(&self) -> Option<TlsAcceptor> {
        self.acceptor.read().clone()
    }

    /// Writes to the log why a handshake failed, unless another one has just been written there.
    pub(crate) fn report(&self, address: &str, why: &dyn std::fmt::Display, now: Stamp) {
        let last = self.said_millis.load(Ordering::Relaxed);
        let now = now.millis();
        if now.saturating_sub(last) >= SAID_EVERY_MILLIS {
            self.said_millis.store(now, Ordering::Relaxed);
            crate::log::line(format_args!("no TLS with {address}: {why}"));
        }
    }
}

impl std::fmt::Debug for ClientTls {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("ClientTls")
    }
}

fn server_config(config: &Config) -> Result<ServerConfig, TlsError> {
    config
        .check_client_tls()
        .map_err(|(setting, reason)| TlsError::Setting { setting, reason: reason.to_owned() })?;
    let Certificate { chain, key } = read_certificate(&config.tls_cert_file, &config.tls_key_file)?;
    let together = |error: &dyn std::fmt::Display| TlsError::Together(error.to_string());
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&versions(&config.tls_protocols)?)
        .map_err(|error| together(&error))?;
    let builder = if config.tls_auth_clients == "no" {
        builder.with_no_client_auth()
    } else {
        let authorities = Arc::new(read_authorities(&config.tls_ca_cert_file)?);
        let mut verifier = WebPkiClientVerifier::builder_with_provider(authorities, provider());
        if config.tls_auth_clients == "optional" {
            verifier = verifier.allow_unauthenticated();
        }
        builder.with_client_cert_verifier(verifier.build().map_err(|error| together(&error))?)
    };
    builder.with_single_cert(chain, key).map_err(|error| together(&error))
}

/// The versions that `tls-protocols` names; all for none.
fn versions(names: &str) -> Result<Vec<&'static SupportedProtocolVersion>, TlsError> {
    let version = |name: &str| match name.to_ascii_lowercase().as_str() {
        "tlsv1.2" => Ok(&TLS12),
        "tlsv1.3" => Ok(&TLS13),
        _ => Err(TlsError::Setting {
            setting: "tls-protocols",
            reason: format!("'{name}' is none of TLSv1.2 and TLSv1.3"),
        }),
    };
    let named: Vec<_> = names.split_whitespace().map(version).collect::<Result<_, _>>()?;
    Ok(if named.is_empty() { vec![&TLS13, &TLS12] } else { named })
}
