//! A connection's opening: the TLS handshake, and the word to those who are turned away.
//!
//! The handshake happens on the connection's own thread, so one that does not go on holds up nobody; it is cut
//! after a while, because until then its client counts among `maxclients`.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::timeout;

use super::connection::{Connection, Ended};
use super::stream::Stream;

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long a client that is turned away may take to read why.
const FAREWELL: Duration = Duration::from_secs(1);

/// Redis' words to a client that protected mode keeps out.
const DENIED: &[u8] = b"-DENIED Redis is running in protected mode because protected mode is enabled \
and no password is set for the default user. \
In this mode connections are only accepted from the loopback interface. \
If you want to connect from external computers to Redis you may adopt one of the following solutions: \
1) Just disable protected mode sending the command 'CONFIG SET protected-mode no' from the loopback \
interface by connecting to Redis from the same host the server is running, however MAKE SURE Redis is not \
publicly accessible from internet if you do so. Use CONFIG REWRITE to make this change permanent. \
2) Alternatively you can just disable the protected mode by editing the Redis configuration file, and \
setting the protected mode option to 'no', and then restarting the server. \
3) If you started the server manually just for testing, restart it with the '--protected-mode no' option. \
4) Setup a an authentication password for the default user. \
NOTE: You only need to do one of the above things in order for the server to start accepting connections \
from the outside.\r\n";

impl Connection {
    /// Whether anything has to happen before the first request.
    pub(super) fn has_opening(&self) -> bool {
        self.client.closing || matches!(self.stream, Stream::Unsecured(_))
    }

    /// Does that.
    pub(super) async fn open(&mut self) -> Result<(), Ended> {
        if let Stream::Unsecured(_) = self.stream {
            self.secure().await?;
        }
        if self.client.closing {
            let _gone = timeout(FAREWELL, self.stream.end_with(DENIED)).await;
            return Err(Ended::Ours);
        }
        Ok(())
    }

    async fn secure(&mut self) -> Result<(), Ended> {
        let Stream::Unsecured(stream) = &mut self.stream else { return Ok(()) };
        let stream = stream.take().ok_or(Ended::Closed)?;
        let acceptor = self.server.client_tls.acceptor().ok_or(Ended::Ours)?;
        let mut handshake = pin!(timeout(HANDSHAKE, acceptor.accept(stream)));
        let shared = &self.client.shared;
        let secured = poll_fn(|context| {
            shared.keep_waker(context.waker());
            if shared.is_killed() || self.server.shutdown.has_begun() {
                return Poll::Ready(None);
            }
            handshake.as_mut().poll(context).map(Some)
        });
        let why = match secured.await.ok_or(Ended::Ours)? {
            Ok(Ok(stream)) => {
                self.stream = Stream::Tls(Box::new(stream));
                return Ok(());
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("the handshake takes longer than {} s", HANDSHAKE.as_secs()),
        };
        self.server.client_tls.report(&shared.address, &why, self.server.clock.now());
        Err(Ended::Closed)
    }
}
