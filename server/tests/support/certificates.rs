//! Certificates of authorities that live as long as a test.

use std::fs;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// Writes an authority's certificate, one for this machine that it has signed, and the key: their files.
pub(crate) fn certificates(folder: &Path, name: &str) -> [String; 3] {
    let mut parameters = CertificateParams::new([]).expect("the parameters make sense");
    // Of a name other than the certificates': some take one of the same name for signed by itself.
    parameters.distinguished_name.push(DnType::CommonName, "a test's authority");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().expect("the parameters make sense");
    let authority = parameters.self_signed(&authority_key).expect("the parameters make sense");
    let issuer = Issuer::new(parameters, authority_key);
    let key = KeyPair::generate().expect("the parameters make sense");
    let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
    let certificate = CertificateParams::new(names)
        .expect("the parameters make sense")
        .signed_by(&key, &issuer)
        .expect("the parameters make sense");
    [("ca", authority.pem()), ("cert", certificate.pem()), ("key", key.serialize_pem())].map(
        |(part, text)| {
            let file = folder.join(format!("{name}-{part}.pem"));
            fs::write(&file, text).expect("the folder is writable");
            file.display().to_string()
        },
    )
}
