//! A node inside a Rust program: the whole server, and typed access to its sessions without a socket.
//!
//! [`Node`] starts what the binary starts (in memory, durable, or a member of a cluster, as the
//! configuration says) and stops it when dropped. [`Sessions`] makes the same changes that SESSION
//! commands make and goes the same way: at once in memory, through the log where there is one, so what
//! it acknowledges is as safe as what a client is told.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hallpass_engine::{Limits, Op, Outcome, Refusal, SessionHash, Stamp, Touch, Words};

use crate::cluster::Unavailable;
use crate::config::Config;
use crate::error::StartError;
use crate::server::Server;
use crate::session_id::{self, Secret};
use crate::state::ServerState;

/// A running node. Dropping it stops it.
#[derive(Debug)]
pub struct Node {
    server: Server,
}

/// Why a session was not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The cluster could not answer; a write may or may not have happened.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The store refused it.
    #[error("refused: {0:?}")]
    Refused(Refusal),
}

/// A session that was just made. Its id is the secret for the client; its handle may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSession {
    /// 256 random bits in base64url.
    pub id: String,
    /// The public name.
    pub handle: String,
    /// When it ends if nobody touches it, in milliseconds since 1970; `None` without limits.
    pub expires_ms: Option<u64>,
}

/// Typed access to a node's sessions. Cheap to clone; usable from any tokio runtime.
#[derive(Clone, Debug)]
pub struct Sessions {
    server: Arc<ServerState>,
}

impl Node {
    /// Starts a node as the configuration says.
    pub fn start(config: Config) -> Result<Self, StartError> {
        Ok(Self { server: Server::start(config)? })
    }

    /// Where it listens for clients.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Its sessions.
    pub fn sessions(&self) -> Sessions {
        Sessions { server: Arc::clone(self.server.state()) }
    }
}

impl Sessions {
    /// Makes a session for a user.
    pub async fn create(
        &self,
        user: &str,
        idle: Duration,
        lifetime: Duration,
        data: &[u8],
    ) -> Result<NewSession, SessionError> {
        let secret = Secret::draw();
        let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        let limits = Limits { idle_seconds: seconds(idle), lifetime_seconds: seconds(lifetime) };
        let op = Op::SessionCreate {
            id: secret.hash(),
            user: user.as_bytes(),
            limits,
            data,
            meta: Words::EMPTY,
            cap: None,
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match self.apply(&op).await? {
            Outcome::Session(brief) => Ok(NewSession {
                id: text(secret.id()),
                handle: text(&session_id::handle(&brief.handle)),
                expires_ms: (!brief.expires.is_never()).then(|| brief.expires.millis()),
            }),
            other => unreachable!("a create answers with a session, not {other:?}"),
        }
    }

    /// Whose session it is, if it is live; counts as activity.
    pub async fn validate(&self, id: &str) -> Result<Option<String>, SessionError> {
        let id = session_id::hash(id.as_bytes());
        let text =
            |user: Option<&[u8]>| user.map(|user| String::from_utf8_lossy(user).into_owned());
        let Some(cluster) = self.server.cluster.get() else {
            let now = self.server.clock.now();
            return Ok(self.server.engine.validate(&id, now, Touch::Now, text));
        };
        let slack_divisor = self.server.settings.current().touch_slack as u32;
        let (user, due) = cluster
            .read(|engine, now| {
                let due = std::cell::Cell::new(false);
                let touch = Touch::Due { slack_divisor, due: &due };
                (engine.validate(&id, now, touch, text), due.get())
            })
            .await?;
        if due {
            cluster.touch(&[id]);
        }
        Ok(user)
    }

    /// Replaces a live session's data; its new version.
    pub async fn save(&self, id: &str, data: &[u8]) -> Result<i64, SessionError> {
        let op = Op::SessionSave { id: session_id::hash(id.as_bytes()), data, version: None };
        Ok(integer(self.apply(&op).await?))
    }

    /// Ends a session; whether it was live.
    pub async fn revoke(&self, id: &str) -> Result<bool, SessionError> {
        let ids: Vec<SessionHash> = vec![session_id::hash(id.as_bytes())];
        Ok(integer(self.apply(&Op::SessionRevoke { ids }).await?) > 0)
    }

    /// Ends all sessions of a user, at the cost of one write; how many were live.
    pub async fn revoke_user(&self, user: &str) -> Result<i64, SessionError> {
        let op = Op::SessionRevokeUser { user: user.as_bytes(), except: None };
        Ok(integer(self.apply(&op).await?))
    }

    /// How many live sessions a user has.
    pub async fn count(&self, user: &str) -> Result<u64, SessionError> {
        let count = |engine: &hallpass_engine::Engine, now: Stamp| {
            engine.session_count(user.as_bytes(), now)
        };
        match self.server.cluster.get() {
            None => Ok(count(&self.server.engine, self.server.clock.now())),
            Some(cluster) => Ok(cluster.read(count).await?),
        }
    }

    async fn apply(&self, op: &Op<'_>) -> Result<Outcome, SessionError> {
        let engine = &self.server.engine;
        let outcome = match self.server.cluster.get() {
            None => engine.apply(op, self.server.clock.now()),
            Some(cluster) => {
                let limit = self.server.settings.current().maxmemory;
                engine.has_room_for(op, limit).map_err(SessionError::Refused)?;
                let mut ops = Vec::new();
                op.encode(&mut ops);
                let mut outcomes = cluster.submit(Bytes::from(ops)).await?;
                outcomes.pop().unwrap_or(Outcome::Nil)
            }
        };
        match outcome {
            Outcome::Refused(refusal) => Err(SessionError::Refused(refusal)),
            outcome => Ok(outcome),
        }
    }
}

fn integer(outcome: Outcome) -> i64 {
    if let Outcome::Integer(count) = outcome { count } else { 0 }
}
