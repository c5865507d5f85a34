//! What openraft sends, over our links: entries in a pipeline, votes, snapshots.
//!
//! Appends do not wait for each other: as many as fit the pipeline are on their way, and answers come in
//! order. The deadlines are ours and not a heartbeat's: a follower that syncs slowly is slow, not gone.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, FuturesOrdered, Stream, StreamExt, unfold};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::frame::Purpose;
use super::kind;
use super::link::{CallError, Identity, Link, Open};
use super::urgency::{Pace, Urgency};
use crate::cluster::codec;
use crate::cluster::snapshot::SnapshotFile;
use crate::cluster::types::{LogId, Member, NodeId, TypeConfig, Vote};

type Snapshot = openraft::alias::SnapshotOf<TypeConfig, SnapshotFile>;
type AppendAnswer = Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>;

/// Append requests on their way to one peer at a time.
const PIPELINE_REQUESTS_MAX: usize = 64;
/// A follower that has not written its entries after so long is taken for gone.
const APPEND_PATIENCE: Duration = Duration::from_secs(2);
/// How long a vote, a heartbeat or a transfer may take.
const SMALL_PATIENCE: Duration = Duration::from_millis(500);
/// How long one piece of a snapshot may take, and its installation.
const PIECE_PATIENCE: Duration = Duration::from_secs(10);
const INSTALL_PATIENCE: Duration = Duration::from_mins(10);
/// Bytes of a snapshot in one piece.
const PIECE_BYTES: usize = 1 << 20;

/// Makes the network clients of one node.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    own: Identity,
    urgency: Arc<Urgency>,
}

/// The way to one peer for one purpose.
#[derive(Debug)]
pub(crate) struct Client {
    link: Arc<Link>,
    own: Identity,
    urgency: Arc<Urgency>,
}

impl Network {
    /// The network of the node `own`.
    pub(crate) fn new(own: Identity, urgency: Arc<Urgency>) -> Self {
        Self { own, urgency }
    }

    fn client(&self, node: NodeId, member: &Member, purpose: Purpose) -> Client {
        let link = Link::new(self.own.clone(), node, member.address.clone(), purpose);
        let (own, urgency) = (self.own.clone(), Arc::clone(&self.urgency));
        Client { link: Arc::new(link), own, urgency }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Client;

    async fn new_client(&mut self, target: NodeId, node: &Member) -> Client {
        self.client(target, node, Purpose::Append)
    }

    async fn new_heartbeat_client(&mut self, target: NodeId, node: &Member) -> Client {
        self.client(target, node, Purpose::Heartbeat)
    }

    async fn new_snapshot_client(&mut self, target: NodeId, node: &Member) -> Client {
        self.client(target, node, Purpose::Snapshot)
    }
}

/// A failed call in openraft's words: it backs off from a peer that cannot be reached, and tries again
/// at once after anything else.
fn rpc_error(error: &CallError) -> RPCError<TypeConfig> {
    match error {
        CallError::Unreachable { .. } | CallError::Refused { .. } => {
            RPCError::Unreachable(Unreachable::new(error))
        }
        _ => RPCError::Network(NetworkError::new(error)),
    }
}

fn codec_error(error: &codec::CodecError) -> RPCError<TypeConfig> {
    RPCError::Network(NetworkError::new(error))
}

impl Client {
    async fn ask<Q: Serialize, A: DeserializeOwned>(
        &self,
        kind: u8,
        request: &Q,
        patience: Duration,
    ) -> Result<A, RPCError<TypeConfig>> {
        let answer = self.link.call(kind, codec::encode(request), patience).await;
        codec::decode(&answer.map_err(|error| rpc_error(&error))?)
            .map_err(|error| codec_error(&error))
    }

    /// Votes travel on a connection of their own, made for the occasion: elections are rare.
    fn vote_link(&self) -> Self {
        let (node, address) = (self.link.node(), self.link.address().to_owned());
        let link = Link::new(self.own.clone(), node, address, Purpose::Vote);
        let (own, urgency) = (self.own.clone(), Arc::clone(&self.urgency));
        Self { link: Arc::new(link), own, urgency }
    }

    async fn send_snapshot(&self, vote: Vote, snapshot: Snapshot) -> Result<Vote, StreamError> {
        let begin = codec::encode(&(vote, snapshot.meta));
        self.link.call(kind::SNAPSHOT_BEGIN, begin, PIECE_PATIENCE).await?;
        let mut reader = snapshot.snapshot.reader()?;
        while let Some(piece) = reader.next(PIECE_BYTES)? {
            self.link.call(kind::SNAPSHOT_BYTES, piece, PIECE_PATIENCE).await?;
        }
        let answer = self.link.call(kind::SNAPSHOT_END, Bytes::new(), INSTALL_PATIENCE).await?;
        Ok(codec::decode(&answer)?)
    }
}

/// Why a snapshot did not get through.
#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Read(#[from] std::io::Error),
    #[error(transparent)]
    Codec(#[from] codec::CodecError),
}

/// A request that was sent: what it would make the follower's log end with, and the answer to come.
struct Sent {
    previous: Option<LogId>,
    last: Option<LogId>,
    answer: Result<Bytes, CallError>,
}

/// The state of one pipeline between two answers.
struct Pipeline<S> {
    link: Arc<Link>,
    open: Open,
    input: S,
    urgency: Arc<Urgency>,
    pace: Pace,
    under_way: FuturesOrdered<BoxFuture<'static, Sent>>,
    /// Set when an answer ends the stream: openraft then starts another.
    ended: bool,
}

/// Sends one request, after all before it, and gives what will become of it.
async fn send(
    link: &Arc<Link>,
    open: &Open,
    request: AppendEntriesRequest<TypeConfig>,
) -> BoxFuture<'static, Sent> {
    let previous = request.prev_log_id;
    let last = request.entries.last().map(|entry| entry.log_id).or(previous);
    let asked = open.ask(kind::APPEND, codec::encode_append(&request)).await;
    let link = Arc::clone(link);
    Box::pin(async move {
        let answer = tokio::time::timeout(APPEND_PATIENCE, link.answer_of(asked)).await;
        let answer = answer.unwrap_or(Err(CallError::Timeout(link.node())));
        Sent { previous, last, answer }
    })
}

fn append_answer(sent: Sent) -> AppendAnswer {
    let payload = sent.answer.map_err(|error| rpc_error(&error))?;
    let response: AppendEntriesResponse<TypeConfig> =
        codec::decode(&payload).map_err(|error| codec_error(&error))?;
    Ok(response.into_stream_result(sent.previous, sent.last))
}

impl RaftNetworkV2<TypeConfig> for Client {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let request = codec::encode_append(&rpc);
        let answer = self.link.call(kind::APPEND, request, SMALL_PATIENCE).await;
        let answer = answer.map_err(|error| rpc_error(&error))?;
        codec::decode(&answer).map_err(|error| codec_error(&error))
    }

    fn stream_append<S>(
        &mut self,
        input: S,
        _option: RPCOption,
    ) -> BoxFuture<'_, Result<BoxStream<'_, AppendAnswer>, RPCError<TypeConfig>>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
    {
        Box::pin(async move {
            let link = Arc::clone(&self.link);
            let open = link.open().await.map_err(|error| rpc_error(&error))?;
            let pipeline = Pipeline {
                link,
                open,
                input: input.fuse(),
                pace: self.urgency.pace(self.link.node()),
                urgency: Arc::clone(&self.urgency),
                under_way: FuturesOrdered::new(),
                ended: false,
            };
            Ok(unfold(pipeline, next_answer).boxed())
        })
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.vote_link().ask(kind::VOTE, &rpc, SMALL_PATIENCE).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.vote_link().ask(kind::PRE_VOTE, &rpc, SMALL_PATIENCE).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = self.send_snapshot(vote, snapshot) => match sent {
                Ok(vote) => Ok(SnapshotResponse::new(vote)),
                Err(StreamError::Call(error)) => Err(rpc_error(&error).into()),
                Err(error) => Err(StreamingError::Network(NetworkError::new(&error))),
            },
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.vote_link().ask(kind::TRANSFER, &request, SMALL_PATIENCE).await
    }
}

/// Sends what there is to send, and gives the next answer.
async fn next_answer<S>(mut pipeline: Pipeline<S>) -> Option<(AppendAnswer, Pipeline<S>)>
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
{
    if pipeline.ended {
        return None;
    }
    loop {
        let room = pipeline.under_way.len() < PIPELINE_REQUESTS_MAX;
        let all_answered = pipeline.under_way.is_empty();
        tokio::select! {
            // Answers first: they are what openraft waits for.
            biased;
            Some(sent) = pipeline.under_way.next() => {
                let answer = append_answer(sent);
                pipeline.ended = !matches!(answer, Ok(Ok(_)));
                return Some((answer, pipeline));
            }
            request = next_request(&mut pipeline.input, &mut pipeline.pace, &pipeline.urgency, all_answered), if room => {
                let Some(request) = request else {
                    // No more requests; what is under way is still answered.
                    let sent = pipeline.under_way.next().await?;
                    let answer = append_answer(sent);
                    pipeline.ended = !matches!(answer, Ok(Ok(_)));
                    return Some((answer, pipeline));
                };
                pipeline.pace.sent(request.entries.last().map(|entry| entry.log_id.index));
                let sent = send(&pipeline.link, &pipeline.open, request).await;
                pipeline.under_way.push_back(sent);
            }
        }
    }
}

/// The next request, when there is one that should not wait for company.
async fn next_request<S>(
    input: &mut S,
    pace: &mut Pace,
    urgency: &Urgency,
    all_answered: bool,
) -> Option<AppendEntriesRequest<TypeConfig>>
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin,
{
    pace.due(urgency, all_answered).await;
    input.next().await
}
