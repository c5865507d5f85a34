//! Two nodes that meet under TLS: with certificates of one authority, of two, and without.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::*;
use crate::net::tls::{Certificate, provider};

const HERE: &str = "127.0.0.1";

/// Who signs certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

impl Authority {
    fn new() -> Self {
        let mut parameters = CertificateParams::new([]).expect("no names");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("random bits");
        let certificate = parameters.self_signed(&key).expect("its own key");
        Self { issuer: Issuer::new(parameters, key), certificate }
    }

    fn trusted(&self) -> RootCertStore {
        let mut trusted = RootCertStore::empty();
        trusted.add(self.certificate.der().clone()).expect("a certificate of an authority");
        trusted
    }

    fn certificate_for(&self, host: &str) -> Certificate {
        let parameters = CertificateParams::new([host.to_owned()]).expect("a name");
        let key = KeyPair::generate().expect("random bits");
        let certificate = parameters.signed_by(&key, &self.issuer).expect("an authority");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        Certificate { chain: vec![certificate.der().clone()], key }
    }

    /// A node that trusts this authority, and shows a certificate of `signer`.
    fn node(&self, host: &str, signer: &Authority) -> Security {
        let tls = PeerTls::new(signer.certificate_for(host), self.trusted());
        Security::new(Some(tls.expect("a certificate and its key")))
    }
}

/// One node calls another and they exchange a word; how either side ends.
async fn meet(caller: &Security, called: &Security) -> [io::Result<Stream>; 2] {
    let listener = TcpListener::bind((HERE, 0)).await.expect("a free port");
    let address = listener.local_addr().expect("a bound socket has an address").to_string();
    let calling = async {
        let socket = TcpStream::connect(&address).await?;
        let mut stream = caller.connected(socket, &address).await?;
        stream.write_all(b"hello").await?;
        stream.flush().await?;
        stream.read_exact(&mut [0; 5]).await?;
        Ok(stream)
    };
    let answering = async {
        let (socket, _) = listener.accept().await?;
        let mut stream = called.accepted(socket).await?;
        let mut word = [0; 5];
        stream.read_exact(&mut word).await?;
        stream.write_all(&word).await?;
        stream.flush().await?;
        Ok(stream)
    };
    let (calling, answering) = tokio::join!(calling, answering);
    [calling, answering]
}

/// The errors of two nodes that do not come together.
async fn refused(caller: &Security, called: &Security) -> [String; 2] {
    meet(caller, called).await.map(|end| end.expect_err("refused").to_string())
}

#[tokio::test]
async fn nodes_of_one_authority_meet_and_know_whom() {
    let authority = Authority::new();
    let [one, two] = [authority.node(HERE, &authority), authority.node(HERE, &authority)];
    for end in meet(&one, &two).await {
        let end = end.expect("they meet");
        assert_eq!(end.is_for("127.0.0.1:7379"), Ok(()));
        let other = end.is_for("127.0.0.2:7379").expect_err("another host");
        assert_eq!(other, "its certificate is not for 127.0.0.2");
    }
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused_by_either_side() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (node, stranger) = (ours.node(HERE, &ours), ours.node(HERE, &theirs));
    let [calling, _] = refused(&node, &stranger).await;
    assert!(calling.contains("invalid peer certificate"), "{calling}");
    let [calling, called] = refused(&stranger, &node).await;
    assert!(called.contains("invalid peer certificate"), "{called}");
    assert!(calling.contains("alert"), "{calling}");
}

#[tokio::test]
async fn a_caller_without_a_certificate_is_refused() {
    let authority = Authority::new();
    let node = authority.node(HERE, &authority);
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has TLS 1.3")
        .with_root_certificates(authority.trusted())
        .with_no_client_auth();
    let PeerTls { acceptor, .. } =
        PeerTls::new(authority.certificate_for(HERE), authority.trusted()).expect("a key");
    let connector = TlsConnector::from(Arc::new(config));
    let [calling, called] =
        refused(&Security::new(Some(PeerTls { connector, acceptor })), &node).await;
    assert!(called.contains("no certificate"), "{called}");
    assert!(calling.contains("CertificateRequired"), "{calling}");
}

#[tokio::test]
async fn a_node_whose_certificate_is_for_another_host_is_not_talked_to() {
    let authority = Authority::new();
    let node = authority.node(HERE, &authority);
    let [calling, _] = refused(&node, &authority.node("127.0.0.9", &authority)).await;
    assert!(calling.contains("not valid for name"), "{calling}");
}

#[tokio::test]
async fn with_and_without_tls_do_not_mix() {
    let authority = Authority::new();
    let node = authority.node(HERE, &authority);
    let [_, called] = meet(&Security::default(), &node).await;
    let called = called.expect_err("refused").to_string();
    assert!(called.contains("corrupt") || called.contains("InvalidContentType"), "{called}");
    for end in meet(&Security::default(), &Security::default()).await {
        assert_eq!(end.expect("plain").is_for("127.0.0.1:7379"), Ok(()));
    }
}
