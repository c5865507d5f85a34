//! Runs checks one after another against an emptied server, with a connection of the test's own.

use std::future::Future;
use std::time::{Duration, Instant};

use fred::prelude::*;
use fred::types::{ClusterHash, CustomCommand, RespVersion};

pub(crate) struct Checks {
    pub(crate) client: Client,
    passed: usize,
    failed: usize,
}

/// A client of fred's on a server of this machine.
pub(crate) async fn connect(port: u16) -> Client {
    let client = Builder::from_config(config(port)).build().expect("a client");
    client.init().await.expect("a connection");
    client
}

pub(crate) fn config(port: u16) -> Config {
    let mut config = Config::from_url(&format!("redis://127.0.0.1:{port}")).expect("an address");
    config.version = RespVersion::RESP3;
    config
}

/// Sends any command, also one that no client knows.
pub(crate) async fn call(client: &Client, words: &[&str]) -> Value {
    let command = CustomCommand::new(words[0], ClusterHash::FirstKey, false);
    let arguments: Vec<String> = words[1..].iter().map(ToString::to_string).collect();
    client.custom(command, arguments).await.unwrap_or_else(|error| panic!("{words:?}: {error}"))
}

pub(crate) async fn eventually<F: Future<Output = bool>>(mut condition: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition().await {
        assert!(Instant::now() < deadline, "waited in vain");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

impl Checks {
    pub(crate) async fn new(port: u16) -> Self {
        Self { client: connect(port).await, passed: 0, failed: 0 }
    }

    /// Says which version of a library the lock file of this program has.
    pub(crate) fn library(&self, name: &str) {
        let lock = include_str!("../Cargo.lock");
        let (_, after) =
            lock.split_once(&format!("name = \"{name}\"\nversion = \"")).expect("a library");
        println!("library {name} {}", &after[..after.find('"').expect("a version")]);
    }

    pub(crate) async fn check(&mut self, name: &str, body: impl Future<Output = ()> + 'static) {
        let () = self.client.flushall(false).await.expect("an empty server");
        if tokio::task::spawn_local(body).await.is_ok() {
            self.passed += 1;
            println!("ok {name}");
        } else {
            self.failed += 1;
            println!("not ok {name}");
        }
    }

    /// A check that is left out, and said to be, while the server may lack a command and does.
    pub(crate) async fn check_with(
        &mut self,
        command: &str,
        name: &str,
        body: impl Future<Output = ()> + 'static,
    ) {
        let may_lack = std::env::var("CLIENT_TESTS_MAY_LACK").unwrap_or_default();
        if may_lack.split(' ').any(|word| word == command) {
            let known = call(&self.client, &["COMMAND", "INFO", command]).await;
            if known.into_array().first().is_none_or(Value::is_null) {
                println!("left out {name}: the server has no {command}");
                return;
            }
        }
        self.check(name, body).await;
    }

    pub(crate) fn finish(&self) -> bool {
        println!("{} passed, {} failed", self.passed, self.failed);
        self.failed == 0
    }
}
