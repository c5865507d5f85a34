//! TLS for clients: who is let in by which certificate, what happens to renewed files, and to those who
//! begin a handshake and do not end it.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, StreamOwned, crypto,
};

use crate::support::certificates::certificates;
use crate::support::server::{Server, command, free_port, run_to_end, scratch_folder};
use crate::support::wait_until;
use crate::{Talk, connect};

type Secured = StreamOwned<ClientConnection, TcpStream>;

/// A server that listens for TLS beside plain TCP, and the files it was given.
struct Front {
    server: Server,
    port: u16,
    files: [String; 3],
    folder: PathBuf,
}

impl Front {
    fn start(flags: &[&str]) -> Self {
        let folder = scratch_folder("tls");
        let files = certificates(&folder, "ours");
        let port = free_port();
        let [ca, certificate, key] = &files;
        let number = port.to_string();
        let mut all = vec!["--tls-port", &number, "--tls-cert-file", certificate];
        all.extend(["--tls-key-file", key, "--tls-ca-cert-file", ca]);
        all.extend(flags);
        let server = Server::start_with(&all);
        Self { server, port, files, folder }
    }

    /// A client that trusts the authority in `files` and shows the certificate in it, if it `shows` one.
    fn try_connect(&self, files: &[String; 3], shows: bool) -> std::io::Result<Talk<Secured>> {
        let stream = connect("127.0.0.1", self.port)?;
        let mut talk = Talk::over(StreamOwned::new(client(files, shows, false), stream));
        talk.try_run("PING").map(|reply| {
            assert_eq!(reply.text(), "PONG");
            talk
        })
    }

    #[track_caller]
    fn connect(&self) -> Talk<Secured> {
        self.try_connect(&self.files, true).expect("it lets its own clients in")
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).ok();
    }
}

fn client([ca, certificate, key]: &[String; 3], shows: bool, old: bool) -> ClientConnection {
    let mut authorities = RootCertStore::empty();
    authorities
        .add(CertificateDer::from_pem_file(ca).expect("the files are in order"))
        .expect("the files are in order");
    let versions = [if old { &TLS12 } else { &TLS13 }];
    let provider = Arc::new(crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .expect("the files are in order")
        .with_root_certificates(authorities);
    let config = if shows {
        let chain =
            vec![CertificateDer::from_pem_file(certificate).expect("the files are in order")];
        let key = PrivateKeyDer::from_pem_file(key).expect("the files are in order");
        builder.with_client_auth_cert(chain, key).expect("the files are in order")
    } else {
        builder.with_no_client_auth()
    };
    let host = ServerName::try_from("127.0.0.1").expect("the files are in order");
    ClientConnection::new(Arc::new(config), host).expect("the files are in order")
}

#[test]
fn both_ports_serve_the_same_store() {
    let front = Front::start(&[]);
    let (mut secured, mut plain) = (front.connect(), front.server.connect());
    assert!(secured.run("SET key value").is_ok());
    assert_eq!(plain.run("GET key").text(), "value");
    let port = front.port.to_string();
    assert_eq!(plain.run("CONFIG GET tls-port").map()["tls-port"].text(), port);
    assert!(plain.run("CLIENT LIST").text().contains(&format!(" laddr=127.0.0.1:{port} ")));
}

/// A reply is more than what TLS takes at once, and more than the socket does.
#[test]
fn large_requests_and_replies_arrive_whole() {
    let front = Front::start(&[]);
    let mut client = front.connect();
    let value: String = ('a'..='z').cycle().take(5_000_000).collect();
    assert!(client.call(&["SET", "large", &value]).is_ok());
    for _ in 0..3 {
        assert_eq!(client.run("GET large").text(), value);
    }
    let requests = "GET large\r\nECHO behind\r\n".repeat(8);
    client.0.get_mut().write_all(requests.as_bytes()).unwrap();
    for _ in 0..8 {
        assert_eq!(crate::Reply::read(&mut client.0).unwrap().text(), value);
        assert_eq!(crate::Reply::read(&mut client.0).unwrap().text(), "behind");
    }
}

#[test]
fn messages_reach_subscribers_under_tls() {
    let front = Front::start(&[]);
    let (mut listener, mut other) = (front.connect(), front.server.connect());
    listener.run("SUBSCRIBE news");
    assert_eq!(other.run("PUBLISH news hello").integer(), 1);
    let parts = ["message", "news", "hello"].map(|part| crate::Reply::Bulk(part.into()));
    assert_eq!(crate::Reply::read(&mut listener.0).unwrap(), crate::Reply::Array(parts.into()));
}

#[test]
fn certificates_of_clients_are_asked_for_as_set() {
    let theirs_of = |front: &Front| {
        let [_, certificate, key] = certificates(&front.folder, "theirs");
        [front.files[0].clone(), certificate, key]
    };
    let front = Front::start(&[]);
    assert!(front.try_connect(&front.files, false).is_err(), "none was shown");
    assert!(front.try_connect(&theirs_of(&front), true).is_err(), "of another authority");
    wait_until("the log to say why", || front.server.output().contains("no TLS with 127.0.0.1:"));
    let front = Front::start(&["--tls-auth-clients", "optional"]);
    assert!(front.try_connect(&front.files, false).is_ok());
    assert!(front.try_connect(&theirs_of(&front), true).is_err(), "of another authority");
    front.connect();
    let front = Front::start(&["--tls-auth-clients", "no"]);
    assert!(front.try_connect(&front.files, false).is_ok());
}

#[test]
fn versions_are_spoken_as_set() {
    let version_of = |front: &Front, old| {
        let stream = connect("127.0.0.1", front.port).unwrap();
        let mut talk = Talk::over(StreamOwned::new(client(&front.files, true, old), stream));
        talk.try_run("PING").ok().and_then(|_| talk.0.get_ref().conn.protocol_version())
    };
    let front = Front::start(&[]);
    assert_eq!(version_of(&front, true), Some(ProtocolVersion::TLSv1_2));
    assert_eq!(version_of(&front, false), Some(ProtocolVersion::TLSv1_3));
    let mut plain = front.server.connect();
    assert!(plain.run("CONFIG SET tls-protocols TLSv1.3").is_ok());
    assert_eq!(version_of(&front, true), None);
    assert_eq!(version_of(&front, false), Some(ProtocolVersion::TLSv1_3));
    assert!(plain.run("CONFIG SET tls-protocols SSLv3").error().contains("'tls-protocols'"));
    assert_eq!(version_of(&front, false), Some(ProtocolVersion::TLSv1_3));
}

#[test]
fn renewed_files_are_taken_and_bad_ones_are_not() {
    let front = Front::start(&["--tls-auth-clients", "no"]);
    let mut plain = front.server.connect();
    let mut before = front.connect();
    let others = certificates(&front.folder, "others");
    let [_, certificate, key] = &front.files;
    let set = |certificate: &str, key: &str| {
        format!("CONFIG SET tls-cert-file {certificate} tls-key-file {key}")
    };
    let refused = "Unable to update TLS configuration. Check server logs.";
    for (certificate, key) in [(&others[1], key), (&"/nowhere".to_owned(), key)] {
        let reply = plain.run(&set(certificate, key));
        assert!(reply.error().ends_with(refused), "{reply:?}");
    }
    let shown = plain.run("CONFIG GET tls-cert-file").map()["tls-cert-file"].text();
    assert_eq!(&shown, certificate);
    front.connect();

    assert!(plain.run(&set(&others[1], &others[2])).is_ok());
    assert!(front.try_connect(&others, false).is_ok());
    assert!(front.try_connect(&front.files, false).is_err(), "the old certificate is gone");
    assert_eq!(before.run("PING").text(), "PONG", "who is in stays in");

    // In place, under the same names.
    assert!(plain.run(&set(certificate, key)).is_ok());
    fs::copy(&others[1], certificate).unwrap();
    fs::copy(&others[2], key).unwrap();
    let hang_up = Command::new("kill").args(["-HUP", &front.server.id().to_string()]).status();
    assert!(hang_up.unwrap().success());
    wait_until("the files to be read", || front.try_connect(&others, false).is_ok());
}

#[test]
fn without_a_plain_port_tls_is_the_only_way_in() {
    let folder = scratch_folder("tls-only");
    let [ca, certificate, key] = certificates(&folder, "ours");
    let port = free_port();
    let flags = ["--tls-port", &port.to_string(), "--tls-cert-file", &certificate];
    let more = ["--tls-key-file", &key, "--tls-auth-clients", "no"];
    let _process = crate::support::server::Process::start(command(0, &[flags, more].concat()));
    let files = [ca, certificate, key];
    let talk = || {
        let stream = connect("127.0.0.1", port).ok()?;
        let mut talk = Talk::over(StreamOwned::new(client(&files, false, false), stream));
        talk.try_run("INFO server").ok()
    };
    let info = crate::support::wait_for("the server to answer", talk);
    assert!(info.text().contains(&format!("tcp_port:{port}\r\n")), "{info:?}");
    fs::remove_dir_all(folder).ok();
}

/// Requests that are no TLS end with an alert, and whoever says nothing has no lasting place.
#[test]
fn plain_bytes_on_the_tls_port_end_the_connection() {
    let front = Front::start(&["--tls-auth-clients", "no"]);
    for bytes in [&b"PING\r\n"[..], b"*1\r\n$4\r\nPING\r\n", &[0; 4096], &[0x16; 4096]] {
        let mut stream = connect("127.0.0.1", front.port).unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        // A reset is an end, too.
        let _ended = stream.read_to_end(&mut answer);
        assert!(!answer.windows(4).any(|word| word == b"PONG"), "{answer:?}");
    }
    front.connect();
    wait_until("all of them to be gone", || {
        let mut plain = front.server.connect();
        plain.run("INFO clients").text().contains("connected_clients:1\r\n")
    });
}

fn is_closed(mut stream: &TcpStream) -> bool {
    match stream.read(&mut [0; 16]) {
        Ok(bytes) => bytes == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

/// Handshakes that do not go on hold up neither others nor the server's stop.
#[test]
fn unfinished_handshakes_hold_up_nobody() {
    let mut front = Front::start(&[]);
    let silent: Vec<TcpStream> =
        (0..50).map(|_| connect("127.0.0.1", front.port).unwrap()).collect();
    // The beginning of a greeting, whose rest never comes.
    for mut stream in &silent {
        stream.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00]).unwrap();
    }
    front.connect();
    let mut plain = front.server.connect();
    let victim = silent[0].local_addr().unwrap();
    assert_eq!(plain.run(&format!("CLIENT KILL ADDR {victim}")).integer(), 1);
    assert!(is_closed(&silent[0]));
    // After a while the server lets the others go as well.
    assert!(silent.iter().all(is_closed));
    let _silent_too = connect("127.0.0.1", front.port).unwrap();
    front.server.terminate();
    assert_eq!(front.server.wait_for_exit().code(), Some(0), "{}", front.server.output());
}

#[test]
fn unusable_files_are_one_line_and_exit_code_2() {
    let folder = scratch_folder("tls-files");
    let [ca, certificate, key] = certificates(&folder, "one");
    let [_, _, other_key] = certificates(&folder, "other");
    let refusals: [(&[&str], &str); 6] = [
        (&[], "tls-port: it needs tls-cert-file and tls-key-file"),
        (&["--tls-cert-file", &certificate, "--tls-key-file", &key], "tls-auth-clients: "),
        (
            &["--tls-cert-file", "/nowhere", "--tls-key-file", &key, "--tls-auth-clients", "no"],
            "tls-cert-file: /nowhere: ",
        ),
        (
            &["--tls-cert-file", &certificate, "--tls-key-file", &ca, "--tls-auth-clients", "no"],
            "tls-key-file: ",
        ),
        (
            &[
                "--tls-cert-file",
                &certificate,
                "--tls-key-file",
                &other_key,
                "--tls-auth-clients",
                "no",
            ],
            "tls-cert-file and tls-key-file: ",
        ),
        (
            &["--tls-cert-file", &certificate, "--tls-key-file", &key, "--tls-ca-cert-file", &key],
            "tls-ca-cert-file: ",
        ),
    ];
    for (flags, expected) in refusals {
        let port = free_port().to_string();
        let all = [&["--tls-port", &port], flags].concat();
        let (status, _, stderr) = run_to_end(command(free_port(), &all));
        assert_eq!(status.code(), Some(2), "{flags:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{flags:?}: {stderr}");
        assert!(stderr.contains(expected), "{flags:?}: {stderr}");
    }
    fs::remove_dir_all(folder).ok();
}

#[test]
fn redis_cli_speaks_tls_with_it() {
    let front = Front::start(&[]);
    let [ca, certificate, key] = &front.files;
    let mut cli = Command::new("redis-cli");
    cli.args(["-p", &front.port.to_string(), "--tls", "--cacert", ca]);
    cli.args(["--cert", certificate, "--key", key, "PING"]);
    match cli.output() {
        Ok(output) => assert_eq!(
            (String::from_utf8_lossy(&output.stdout).trim(), output.status.success()),
            ("PONG", true),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => eprintln!("redis-cli is not here: {error}"),
    }
}
