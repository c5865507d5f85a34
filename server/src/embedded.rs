//! The server without its sockets: the same parser, dispatch and engine, called in-process.
//!
//! For programs that want the commands but no network, and for the conformance tests, which run the same
//! cases here and over a socket.

use std::sync::Arc;

use hallpass_engine::{Span, Words};

use crate::client::{Client, ClientShared, ReplyMode};
use crate::dispatch::{Turn, prepare};
use crate::gate::Passage;
use crate::metrics::SharedCounters;
use crate::resp::reply::{Protocol, Reply};
use crate::resp::request::{ParseLimits, RequestParser, Requests};
use crate::state::{ServerState, SettingsView};

/// One client of an in-process server. It holds what a connection holds, but for the socket.
#[derive(Debug)]
pub struct Embedded {
    server: Arc<ServerState>,
    client: Client,
    counters: SharedCounters,
    settings: SettingsView,
    parser: RequestParser,
    requests: Requests,
    input: Vec<u8>,
}

impl Embedded {
    /// A new client of `server`.
    pub fn connect(server: &Arc<ServerState>) -> Self {
        let shared = Arc::new(ClientShared::new(
            server.clients.next_id(),
            "embedded".into(),
            "embedded".into(),
            -1,
            server.clock.now(),
        ));
        server.clients.insert(Arc::clone(&shared));
        let settings = server.settings.view();
        let client = Client::new(shared, &server.acl.users());
        Self {
            server: Arc::clone(server),
            client,
            counters: server.metrics.add_thread(),
            settings,
            parser: RequestParser::default(),
            requests: Requests::default(),
            input: Vec::new(),
        }
    }

    /// Runs one request and returns the reply as a socket would carry it. Messages that came for the
    /// client since its last call stand in front; a call without words asks for nothing else.
    ///
    /// CLIENT PAUSE does not hold these requests back.
    pub fn call(&mut self, words: &[&[u8]]) -> Vec<u8> {
        let mut output = Vec::new();
        self.client.write_mail(&mut Reply::new(&mut output, self.client.protocol));
        if !words.is_empty() {
            self.run(Words::from_slices(words), &mut output);
        }
        output
    }

    /// Takes bytes as they would come from a socket, in any pieces, and returns the replies.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.input.extend_from_slice(bytes);
        let mut output = Vec::new();
        self.client.write_mail(&mut Reply::new(&mut output, self.client.protocol));
        while !self.client.closing {
            let config = self.settings.refresh(&self.server, &mut self.client);
            let limits = ParseLimits {
                bulk_bytes_max: config.proto_max_bulk_len,
                authenticated: self.client.authenticated,
            };
            let parsed = self.parser.parse(&mut self.input, limits, &mut self.requests);
            let frames = std::mem::take(&mut self.requests.frames);
            let input = std::mem::take(&mut self.input);
            for frame in &frames {
                let spans: Vec<Span> = self.requests.words(*frame).to_vec();
                if !self.client.closing {
                    self.run(Words::from_spans(&input, &spans), &mut output);
                }
            }
            self.input = input;
            let consumed = self.parser.consumed();
            self.parser.rebase(&mut self.requests);
            self.input.drain(..consumed);
            if let Err(error) = parsed {
                if !self.client.closing && self.client.reply_mode == ReplyMode::On {
                    let mut text = b"ERR ".to_vec();
                    error.write_text(&mut text);
                    Reply::new(&mut output, self.client.protocol).error(&text);
                }
                self.client.closing = true;
            }
            if frames.is_empty() {
                break;
            }
        }
        output
    }

    /// Whether a socket would have been closed: by QUIT, or after a protocol error.
    pub fn is_closed(&self) -> bool {
        self.client.closing || self.client.shared.is_killed()
    }

    /// The protocol chosen with HELLO.
    pub fn protocol(&self) -> Protocol {
        self.client.protocol
    }

    fn run(&mut self, words: Words<'_>, output: &mut Vec<u8>) {
        let Self { server, client, counters, settings, .. } = self;
        let config = settings.refresh(server, client);
        let (now, ticks) = (server.clock.now(), server.clock.ticks());
        let prepared = prepare(server, client.db, words);
        let (passage, touch_slack) = (Some(Passage::enter(&server.gate)), None);
        let mut turn = Turn { server, counters, client, config, now, ticks, passage, touch_slack };
        if turn.is_kept_out() {
            turn.execute_busy(words, &prepared, output);
        } else {
            turn.execute(words, &prepared, output);
        }
        drop(turn);
        self.client.publish(now);
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.server.clients.remove(self.client.shared.id);
        self.server.keyspace.untrack(&self.server.engine, &mut self.client);
        self.server.pubsub.leave(&mut self.client);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn server() -> Arc<ServerState> {
        Arc::new(ServerState::new(Config { threads: 1, shards: 1, ..Config::default() }))
    }

    /// What came behind a QUIT in the same read was answered with a protocol error when it was none that
    /// can be read. A socket is closed by then.
    #[test]
    fn nothing_is_answered_after_quit() {
        let mut client = Embedded::connect(&server());
        assert_eq!(client.feed(b"PING\r\nQUIT\r\nPING\r\n*x\r\n"), b"+PONG\r\n+OK\r\n");
        assert!(client.is_closed());
    }

    #[test]
    fn nothing_is_answered_in_silence() {
        let mut client = Embedded::connect(&server());
        assert_eq!(client.feed(b"CLIENT REPLY OFF\r\nPING\r\n*x\r\n"), b"");
        assert!(client.is_closed());
    }
}
