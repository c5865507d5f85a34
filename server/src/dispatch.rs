//! Dispatch: where a request meets its command, and the only place where ops are applied.
//!
//! A request goes through here in two steps, so that a pipeline can wait for memory once instead of
//! request by request: [`prepare`] looks the command up and hashes what it is about (the caller then
//! prefetches), and [`Turn::execute`] checks and runs it. A command that fails has no other output
//! than its error. Nothing here allocates on the way of a command that succeeds.

use hallpass_engine::value::Collection;
use hallpass_engine::{Hint, Key, Op, Outcome, Refusal, Stamp, Value, Words};

use crate::acl::log::Refused;
use crate::acl::{self, Denied};
use crate::client::{Client, ReplyMode};
use crate::clock::Ticks;
use crate::command::context::{LocalContext, LowerContext, ReadContext, Touching};
use crate::command::error::CommandError;
use crate::command::request::{Request, Subject, c_string};
use crate::command::spec::{self, FirstLook, Flags, KeyPositions, Run};
use crate::command::table::{Entry, Found};
use crate::config::Config;
use crate::gate::Passage;
use crate::metrics::ThreadCounters;
use crate::resp::reply::Reply;
use crate::session_id::{self, Secret};
use crate::slow_log::{self, SlowEntry};
use crate::state::ServerState;

mod attend;
mod queued_reads;
mod replicate;
mod script;
mod transaction;

pub(crate) use self::replicate::{Course, Lowered};

/// The most bytes of unknown commands and their arguments that are repeated in an error.
const ECHO_BYTES_MAX: usize = 128;

/// What is known of a request before it runs.
#[derive(Clone, Copy, Debug)]
pub struct Prepared {
    found: Found,
    subject: Subject,
    hint: Hint,
}

impl Prepared {
    /// The hash to prefetch, if the command is about something stored, and where to leave the place that
    /// the prefetch finds.
    #[inline]
    pub fn sought(&mut self) -> Option<(u64, &mut Hint)> {
        let hash = match &self.subject {
            Subject::Unknown => return None,
            Subject::Key { hash, .. } => *hash,
            Subject::Session(hash) => hash.hash(),
        };
        Some((hash, &mut self.hint))
    }
}

/// Looks a request's command up and hashes its first key or session id.
#[inline]
pub fn prepare(server: &ServerState, db: u8, words: Words<'_>) -> Prepared {
    let second = (words.len() > 1).then(|| words.at(1));
    let found = server.table.find(words.at(0), second);
    let mut subject = Subject::Unknown;
    if let (Found::Command(entry), Some(second)) = (found, second) {
        let first_key = usize::from(entry.spec.keys.first.unsigned_abs());
        if entry.spec.subject == spec::Subject::Session {
            subject = Subject::Session(session_id::hash(second));
        } else if first_key > 0 && first_key < words.len() {
            let key = Key::new(server.engine.seed(), db, words.at(first_key));
            subject = Subject::Key { index: first_key as u16, db, hash: key.hash() };
        }
    }
    Prepared { found, subject, hint: Hint::default() }
}

/// What a request needs to run: one for each batch of a connection.
pub struct Turn<'a> {
    /// The server.
    pub server: &'a ServerState,
    /// This thread's counters.
    pub counters: &'a ThreadCounters,
    /// The connection.
    pub client: &'a mut Client,
    /// The settings as of the batch's beginning.
    pub config: &'a Config,
    /// The time of the batch.
    pub now: Stamp,
    /// When the previous command ended: one reading of the cycle counter serves two commands.
    pub ticks: Ticks,
    /// How it passes the gate; `None` where the caller sees to it that a transaction is seen whole.
    pub(crate) passage: Option<Passage<'a>>,
    /// How touches are put into the log; `None` to store them at once, where there is no log.
    pub touch_slack: Option<u32>,
}

impl Turn<'_> {
    /// Whether the gate was closed for long when this turn began.
    #[inline]
    pub(crate) fn is_kept_out(&self) -> bool {
        self.passage.as_ref().is_some_and(Passage::is_kept_out)
    }

    /// Until when a pause (CLIENT PAUSE) holds this request back.
    #[inline]
    pub fn paused_until(&self, prepared: &Prepared) -> Option<Stamp> {
        if !self.server.pause.is_on(self.now) {
            return None;
        }
        match prepared.found {
            Found::Command(entry) if self.is_exec_of_writes(entry) => {
                self.server.pause.holds_writes(self.now)
            }
            Found::Command(entry) => self.server.pause.holds(entry.spec, self.now),
            _ => None,
        }
    }

    /// Runs one request and appends its reply to `output`.
    #[inline]
    pub fn execute(&mut self, words: Words<'_>, prepared: &Prepared, output: &mut Vec<u8>) {
        let before = output.len();
        if self.client.reply_mode == ReplyMode::SkipNext {
            self.client.reply_mode = ReplyMode::SkipThis;
        }
        match prepared.found {
            Found::Command(entry) => {
                let request = Request::new(
                    words,
                    self.server.engine.seed(),
                    self.client.db,
                    prepared.subject,
                )
                .hinted(prepared.hint);
                self.command(entry, &request, output);
            }
            Found::UnknownSubcommand(entry) => {
                self.abort_transaction();
                let name = String::from_utf8_lossy(shortened(words.at(1))).into();
                let error = CommandError::UnknownSubcommand(name);
                self.refuse(&error, &entry.full_name, output);
            }
            Found::Unknown if is_http(words.at(0)) => self.client.closing = true,
            Found::Unknown => {
                self.abort_transaction();
                self.refuse(&unknown_command(words), "", output);
            }
        }
        // One jump for all: hardly any client is muted or has ever subscribed, and hardly any server tells of
        // keys.
        if (self.client.reply_mode != ReplyMode::On)
            | self.client.subscriptions.is_some()
            | self.config.notify_keyspace_events.any()
        {
            self.conclude(before, (words, prepared), output);
        }
    }

    /// Sees to what replies seldom need.
    #[cold]
    fn conclude(
        &mut self,
        before: usize,
        (words, prepared): (Words<'_>, &Prepared),
        output: &mut Vec<u8>,
    ) {
        let entry = if let Found::Command(entry) = prepared.found { Some(entry) } else { None };
        if let Some(entry) = entry
            && self.client.transaction.is_none()
        {
            self.attend(entry, words);
        }
        self.end_tracked(entry);
        if self.client.reply_mode != ReplyMode::On {
            self.mute(before, prepared, output);
        }
        // Behind the reply: what PUBLISH sends to its own client comes after its reply, as in Redis 7.2.
        self.client.write_mail(&mut Reply::new(output, self.client.protocol));
    }

    /// Takes a reply back that the client does not want.
    fn mute(&mut self, before: usize, prepared: &Prepared, output: &mut Vec<u8>) {
        // Confirmations of subscriptions are pushed, not replied; errors never are.
        let pushes = matches!(prepared.found, Found::Command(entry)
            if entry.spec.flags.has(Flags::PUBSUB.with(Flags::NOSCRIPT)))
            && output.get(before).is_some_and(|mark| *mark != b'-');
        if !pushes {
            output.truncate(before);
        }
        if self.client.reply_mode == ReplyMode::SkipThis {
            self.client.reply_mode = ReplyMode::On;
        }
    }

    #[inline]
    fn command(&mut self, entry: &'static Entry, request: &Request<'_>, output: &mut Vec<u8>) {
        let counters = &self.counters.commands[entry.index];
        if let Err(error) = self.admit(entry, request) {
            counters.rejected.add(1);
            let error = self.reject(entry, error);
            self.refuse(&error, &entry.full_name, output);
            return;
        }
        if self.client.transaction.is_some() && self.queue(entry, request, output) {
            return;
        }
        self.client.last_command = Some(entry);
        let before = output.len();
        let result = self.run(entry, request, output);
        let ended = self.server.clock.ticks();
        let nanos = self.server.clock.nanos(self.ticks, ended);
        self.ticks = ended;
        counters.calls.add(1);
        counters.nanos.add(nanos);
        if let Err(error) = result {
            output.truncate(before);
            counters.failed.add(1);
            self.refuse(&error, &entry.full_name, output);
        }
        self.log_if_slow(entry, request, nanos);
    }

    #[inline]
    fn log_if_slow(&self, entry: &Entry, request: &Request<'_>, nanos: u64) {
        let slower_than = self.config.slowlog_log_slower_than;
        if slower_than >= 0 && nanos / 1000 >= slower_than as u64 {
            self.log_slow(entry, request, nanos / 1000);
        }
    }

    /// Whether a request may run at all.
    #[inline]
    fn admit(&self, entry: &Entry, request: &Request<'_>) -> Result<(), CommandError> {
        let spec = entry.spec;
        if !spec.accepts(request.len()) {
            Err(CommandError::WrongArity)
        } else if self.client.restricted | self.client.subscriptions.is_some() {
            self.admit_to_some(entry, request)
        } else if spec.keys.first > 0 || spec.keys.counted_by > 0 {
            self.keys_fit(entry, request)
        } else {
            Ok(())
        }
    }

    /// Whether a client may have this command that may not have all.
    #[cold]
    fn admit_to_some(&self, entry: &Entry, request: &Request<'_>) -> Result<(), CommandError> {
        if !self.client.authenticated && !entry.spec.flags.has(Flags::NO_AUTH) {
            return Err(CommandError::NoAuth);
        }
        self.permit(entry, request.words_from(0))?;
        let listens = entry.spec.flags.has(Flags::PUBSUB.with(Flags::NOSCRIPT))
            || matches!(&*entry.full_name, "ping" | "quit" | "reset");
        if self.client.only_listens() && !listens {
            return Err(CommandError::OnlyListens);
        }
        self.keys_fit(entry, request)?;
        if let Some(own) = &self.client.tracking
            && self.client.transaction.is_none()
        {
            self.begin_tracked(own, entry, request.words_from(0));
        }
        Ok(())
    }

    /// Whether the client's user may have this request; a refusal goes into ACL LOG.
    #[cold]
    fn permit(&self, entry: &Entry, words: Words<'_>) -> Result<(), CommandError> {
        let Err(denied) = self.client.user.check(entry, words) else { return Ok(()) };
        let context = if self.client.transaction.is_some() { "multi" } else { "toplevel" };
        self.log_denied(denied, entry, words, context);
        let text = denied.text(&self.client.user, entry, words, false);
        Err(CommandError::Raw([b"NOPERM ", &*text].concat()))
    }

    /// Whether the user still may have a request of a transaction when that runs.
    #[cold]
    fn permit_queued(&self, entry: &Entry, words: Words<'_>) -> Result<(), CommandError> {
        let Err(denied) = self.client.user.check(entry, words) else { return Ok(()) };
        self.log_denied(denied, entry, words, "multi");
        Err(format!(
            "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC \
             call. This command is no longer allowed for the following reason: {}",
            denied.reason_in_transaction()
        )
        .into())
    }

    /// Whether the user may have a request that a script makes.
    fn permit_in_script(&self, entry: &Entry, words: Words<'_>) -> Result<(), CommandError> {
        if !self.client.restricted {
            return Ok(());
        }
        let Err(denied) = self.client.user.check(entry, words) else { return Ok(()) };
        self.log_denied(denied, entry, words, "lua");
        let text = denied.text(&self.client.user, entry, words, false);
        Err(CommandError::Raw([b"ERR ACL failure in script: ", &*text].concat()))
    }

    fn log_denied(&self, denied: Denied, entry: &Entry, words: Words<'_>, context: &'static str) {
        let refused = Refused {
            reason: denied.reason(),
            context,
            object: denied.object(entry, words),
            user: self.client.user.name.clone(),
        };
        acl::log::note(self.server, self.client, refused, self.now);
    }

    #[inline]
    fn run(
        &mut self,
        entry: &'static Entry,
        request: &Request<'_>,
        output: &mut Vec<u8>,
    ) -> Result<(), CommandError> {
        let server = self.server;
        match entry.spec.run {
            Run::Read(run) => {
                let reply = Reply::new(output, self.client.protocol);
                let touching = match self.touch_slack {
                    None => Touching::Now,
                    Some(slack_divisor) => {
                        Touching::Logged { slack_divisor, due: &mut self.client.touches_due }
                    }
                };
                let mut context = ReadContext {
                    engine: &server.engine,
                    now: self.now,
                    reply,
                    counters: self.counters,
                    touching,
                };
                run(&mut context, request)
            }
            Run::Write { lower, render } => {
                let lowered = lower(&self.lowering(), request);
                let op = lowered.map_err(|error| self.first_error(entry, request, error))?;
                let outcome = self.apply(&op)?;
                render(&outcome, request, &mut Reply::new(output, self.client.protocol));
                Ok(())
            }
            Run::Register { lower, render } => {
                let outcome = loop {
                    let outcome = self.apply(&lower(server, request)?)?;
                    acl::registers::follow(server);
                    // Who is refused here has seen another one's change, and begins from there.
                    if outcome != Outcome::Flag(false) {
                        break outcome;
                    }
                };
                self.client.follow_users(&server.acl);
                render(&outcome, request, &mut Reply::new(output, self.client.protocol));
                Ok(())
            }
            Run::Mint { lower, render } => {
                let secret = Secret::draw();
                let outcome = self.apply(&lower(&self.lowering(), request, &secret)?)?;
                render(&outcome, request, &secret, &mut Reply::new(output, self.client.protocol));
                Ok(())
            }
            Run::Local(run) => {
                // A local command may change the client's protocol (HELLO) and answer in the new one.
                let reply = Reply::new(output, self.client.protocol);
                let mut context =
                    LocalContext { server, client: &mut *self.client, now: self.now, reply };
                run(&mut context, request)
            }
            Run::Transaction(transacting) => self.transact(transacting, request, output),
            Run::Script(scripting) => self.script(scripting, request, output),
            // Looked up without a subcommand: Redis says that words are missing.
            Run::Container => Err(CommandError::WrongArity),
        }
    }

    /// Which error a write with bad arguments gets: what Redis looks at first may be bad as well.
    #[cold]
    fn first_error(
        &self,
        entry: &Entry,
        request: &Request<'_>,
        of_arguments: CommandError,
    ) -> CommandError {
        if entry.spec.first_look == FirstLook::None {
            return of_arguments;
        }
        self.server.engine.look(request.key(1), self.now, |found| {
            let refusal = match (entry.spec.first_look, found.map(|found| found.value)) {
                (FirstLook::ExistingList, None) => Refusal::NoSuchKey,
                (FirstLook::String, None | Some(Value::String(_)))
                | (FirstLook::ExistingList, Some(Value::Collection(Collection::List(_))))
                | (FirstLook::None, _) => return of_arguments,
                _ => Refusal::WrongType,
            };
            refusal.into()
        })
    }

    fn lowering(&self) -> LowerContext<'_> {
        LowerContext {
            now: self.now,
            sizes: &self.server.sizes,
            session_import: self.config.session_import,
        }
    }

    /// The seam: a memory-only server applies the op at once.
    #[inline]
    fn apply(&self, op: &Op<'_>) -> Result<Outcome, CommandError> {
        match self.server.engine.apply(op, self.now) {
            Outcome::Refused(refusal) => Err(refusal.into()),
            outcome => Ok(outcome),
        }
    }

    /// Refuses keys the store could not hold. A read of one would find nothing, so it is refused as
    /// well: the caller learns of its mistake at once.
    #[inline]
    fn keys_fit(&self, entry: &Entry, request: &Request<'_>) -> Result<(), CommandError> {
        let longest = self.server.sizes.key_bytes_max;
        let keys = entry.spec.keys;
        if keys == KeyPositions::FIRST {
            let fits = request.get(1).is_none_or(|key| key.len() <= longest);
            return if fits { Ok(()) } else { Err(CommandError::TooLong("key-bytes-max")) };
        }
        if keys.counted_by > 0 {
            // A count that makes no sense is for the command to refuse.
            let mut indexes = keys.of(request.words_from(0)).into_iter().flatten();
            if indexes.any(|index| request.word(index).len() > longest) {
                return Err(CommandError::TooLong("key-bytes-max"));
            }
            return Ok(());
        }
        let first = keys.first.unsigned_abs() as usize;
        let last = match keys.last {
            last if last < 0 => request.len().saturating_sub(last.unsigned_abs() as usize),
            last => last as usize,
        };
        let step = (keys.step.max(1)) as usize;
        let mut index = first;
        while index <= last && index < request.len() {
            if request.word(index).len() > longest {
                return Err(CommandError::TooLong("key-bytes-max"));
            }
            index += step;
        }
        Ok(())
    }

    /// Writes an error and counts it.
    #[cold]
    fn refuse(&self, error: &CommandError, command: &str, output: &mut Vec<u8>) {
        let reply = Reply::new(output, self.client.protocol);
        write_error(self.server, self.counters, error, command, reply);
    }

    #[cold]
    fn log_slow(&self, entry: &Entry, request: &Request<'_>, micros: u64) {
        if entry.spec.flags.has(Flags::SKIP_SLOWLOG) {
            return;
        }
        let shared = &self.client.shared;
        let slow = SlowEntry {
            id: 0,
            at_seconds: self.now.millis() / 1000,
            micros,
            words: slow_log::shorten(entry, request),
            address: shared.address.clone(),
            name: shared.names.lock().name.clone(),
        };
        self.server.slow_log.add(slow, self.config.slowlog_max_len as usize);
    }
}

/// Writes an error and counts it.
#[cold]
fn write_error(
    server: &ServerState,
    counters: &ThreadCounters,
    error: &CommandError,
    command: &str,
    mut reply: Reply<'_>,
) {
    let mut text = Vec::new();
    error.write_text(command, &mut text);
    counters.errors.add(1);
    server.metrics.count_error(&text);
    reply.error(&text);
}

/// Whether a request is a line of an HTTP request that a web page made a browser send here, to have
/// commands of its body run. Redis knows it by the same two words.
fn is_http(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}

/// Redis' text for a command that does not exist, with the beginning of its arguments.
#[cold]
fn unknown_command(words: Words<'_>) -> CommandError {
    let mut text = b"ERR unknown command '".to_vec();
    text.extend_from_slice(shortened(words.at(0)));
    text.extend_from_slice(b"', with args beginning with: ");
    let mut arguments: Vec<u8> = Vec::new();
    for word in words.skip(1).iter() {
        if arguments.len() >= ECHO_BYTES_MAX {
            break;
        }
        let room = ECHO_BYTES_MAX - arguments.len();
        arguments.push(b'\'');
        let word = c_string(word);
        arguments.extend_from_slice(&word[..word.len().min(room)]);
        arguments.extend_from_slice(b"' ");
    }
    text.extend_from_slice(&arguments);
    CommandError::Raw(text)
}

fn shortened(word: &[u8]) -> &[u8] {
    &word[..word.len().min(ECHO_BYTES_MAX)]
}
