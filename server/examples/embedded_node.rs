//! A durable node inside a program: `cargo run -p hallpass-server --example embedded_node [directory]`.
//!
//! Run it twice: the session of the first run is known to the second. Other programs reach the same
//! sessions with any Redis client, at the address it prints.

use std::time::Duration;

use hallpass_server::Node;
use hallpass_server::config::Config;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args().nth(1).unwrap_or_else(|| "target/embedded-node".to_owned());
    let config = Config { data_dir: directory, port: 0, ..Config::default() };
    let node = Node::start(config)?;
    println!("listening on {:?}", node.server().addresses());

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let sessions = node.sessions();
        println!("alice has {} sessions of earlier runs", sessions.count("alice").await?);
        let (idle, lifetime) = (Duration::from_mins(30), Duration::from_hours(24));
        let session = sessions.create("alice", idle, lifetime, b"cart: 3 books").await?;
        println!("made {}, which is {:?}'s", session.handle, sessions.validate(&session.id).await?);
        Ok(())
    })
}
