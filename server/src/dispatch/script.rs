//! EVAL and its kin: a script is requests dispatched from Lua, with the store for itself.
//!
//! On a server of its own the gate is closed while a script runs, as for EXEC. Meanwhile others wait at the gate;
//! when it takes long they are answered BUSY ([`Turn::execute_busy`]), those of the same thread too, because
//! the script steps aside ([`crate::script::aside`]). In a cluster a script that only reads
//! runs on the node that is asked, and others are refused: they would have to go through the log.

use std::sync::Arc;

use hallpass_engine::Words;

use super::{Prepared, Turn, prepare};
use crate::client::{Client, ReplyMode};
use crate::command::error::CommandError;
use crate::command::request::{Request, Subject};
use crate::command::spec::{Flags, Run, Scripting, Transacting};
use crate::command::table::{Entry, Found};
use crate::resp::reply::{Protocol, Reply};
use crate::script::machine::Machine;
use crate::script::{Bounds, Call, Digest, Host, Script};

/// What others are told while a script takes long.
pub(super) const BUSY: &str = "BUSY Redis is busy running a script. You can only call SCRIPT KILL or \
                               SHUTDOWN NOSAVE.";

const NO_SCRIPT: &str = "NOSCRIPT No matching script. Please use EVAL.";

const OUT_OF_MEMORY: &str = "OOM allow-oom flag is not set on the script, can not run it when used memory \
                             > 'maxmemory'";

/// A script and what it is given.
pub(crate) struct Asked<'a> {
    pub(crate) script: Arc<Script>,
    pub(crate) keys: Words<'a>,
    pub(crate) arguments: Words<'a>,
    pub(crate) read_only: bool,
}

impl Prepared {
    /// Whether this runs a script, or a transaction with one.
    #[cold]
    pub(crate) fn runs_scripts(&self, client: &Client) -> bool {
        let Found::Command(entry) = self.found else { return false };
        match entry.spec.run {
            Run::Script(_) => true,
            Run::Transaction(Transacting::Exec) => {
                client.transaction.as_ref().is_some_and(|transaction| transaction.has_scripts)
            }
            _ => false,
        }
    }
}

impl Turn<'_> {
    /// Runs a request if it may run while somebody else's script takes long, and refuses it otherwise.
    pub(crate) fn execute_busy(
        &mut self,
        words: Words<'_>,
        prepared: &Prepared,
        output: &mut Vec<u8>,
    ) {
        let Found::Command(entry) = prepared.found else {
            return self.execute(words, prepared, output);
        };
        let request =
            Request::new(words, self.server.engine.seed(), self.client.db, prepared.subject);
        if entry.spec.flags.has(Flags::ALLOW_BUSY) || self.admit(entry, &request).is_err() {
            return self.execute(words, prepared, output);
        }
        self.counters.commands[entry.index].rejected.add(1);
        let error = self.reject(entry, BUSY.into());
        if self.client.reply_mode == ReplyMode::On {
            self.refuse(&error, &entry.full_name, output);
        }
    }

    /// The script that a request asks for, and what it gives it.
    pub(crate) fn asked<'r>(
        &self,
        scripting: Scripting,
        request: &Request<'r>,
    ) -> Result<Asked<'r>, CommandError> {
        if scripting.by_digest && request.word(1).len() != size_of::<Digest>() {
            return Err(NO_SCRIPT.into());
        }
        let count = request.integer(2)?;
        let Ok(count) = usize::try_from(count) else {
            return Err("ERR Number of keys can't be negative".into());
        };
        if count > request.len() - 3 {
            return Err("ERR Number of keys can't be greater than number of args".into());
        }
        let scripts = &self.server.scripts;
        let script = if scripting.by_digest {
            scripts.find(request.word(1)).ok_or(NO_SCRIPT)?
        } else {
            scripts.load(request.word(1))?
        };
        let mut read_only = scripting.read_only;
        if let Some(flags) = script.flags {
            if read_only && !flags.no_writes {
                return Err(
                    "ERR Can not execute a script with write flag using *_ro command.".into()
                );
            }
            read_only |= flags.no_writes;
            if !flags.no_writes && !flags.allow_oom && self.is_full() {
                return Err(OUT_OF_MEMORY.into());
            }
        }
        let (keys, arguments) = (request.words(3, 3 + count), request.words_from(3 + count));
        Ok(Asked { script, keys, arguments, read_only })
    }

    fn is_full(&self) -> bool {
        self.config.maxmemory > 0 && self.server.engine.memory_bytes() >= self.config.maxmemory
    }

    /// Runs a script on this node alone.
    pub(super) fn script(
        &mut self,
        scripting: Scripting,
        request: &Request<'_>,
        output: &mut Vec<u8>,
    ) -> Result<(), CommandError> {
        let asked = self.asked(scripting, request)?;
        let in_cluster = self.server.cluster.get().is_some();
        let bounds = Bounds {
            instructions_max: self.config.script_instructions_max,
            memory_bytes_max: self.config.script_memory_max,
            // A node of a cluster has others to serve at once: nothing is closed to them.
            alone_millis: if in_cluster { 0 } else { self.config.busy_reply_threshold },
            busy: (!in_cluster).then(|| Arc::clone(&self.server.gate.busy)),
        };
        let began = self.ticks;
        let result = self.alone(|turn| turn.run_script(&asked, bounds, output));
        self.ticks = began;
        result
    }

    fn run_script(
        &mut self,
        asked: &Asked<'_>,
        bounds: Bounds,
        output: &mut Vec<u8>,
    ) -> Result<(), CommandError> {
        let call = Call {
            script: &asked.script,
            keys: asked.keys,
            arguments: asked.arguments,
            protocol: self.client.protocol,
            seed: crate::random::next(),
            bounds,
        };
        let mut machine = Machine::take()?;
        let scripts = Arc::clone(&self.server.scripts);
        // What a script selects is its own.
        let (db, last_command) = (self.client.db, self.client.last_command);
        let mut host = Dispatching { turn: self, read_only: asked.read_only, has_written: false };
        let result = machine.run(&scripts, &call, &mut host, output);
        machine.put_back();
        (self.client.db, self.client.last_command) = (db, last_command);
        result
    }
}

/// The command that a script calls, if it may.
pub(super) fn callable(
    found: Found,
    words: Words<'_>,
    read_only: bool,
) -> Result<&'static Entry, CommandError> {
    let Found::Command(entry) = found else {
        return Err("ERR Unknown Redis command called from script".into());
    };
    let flags = entry.spec.flags;
    if !entry.spec.accepts(words.len()) || matches!(entry.spec.run, Run::Container) {
        Err("ERR Wrong number of args calling Redis command from script".into())
    } else if flags.has(Flags::NOSCRIPT)
        || matches!(entry.spec.run, Run::Script(_) | Run::Transaction(_))
    {
        Err("ERR This Redis command is not allowed from script".into())
    } else if read_only && flags.has(Flags::WRITE) {
        Err("ERR Write commands are not allowed from read-only scripts.".into())
    } else {
        Ok(entry)
    }
}

/// Carries a script's commands out as its client's.
struct Dispatching<'t, 'a> {
    turn: &'t mut Turn<'a>,
    read_only: bool,
    has_written: bool,
}

impl Host for Dispatching<'_, '_> {
    fn call(&mut self, words: Words<'_>, protocol: Protocol, output: &mut Vec<u8>) {
        let turn = &mut *self.turn;
        let prepared = prepare(turn.server, turn.client.db, words);
        let called = callable(prepared.found, words, self.read_only);
        match called.and_then(|entry| turn.permit_in_script(entry, words).map(|()| entry)) {
            Ok(entry) => {
                self.has_written |= entry.spec.flags.has(Flags::WRITE);
                let seed = turn.server.engine.seed();
                let request = Request::new(words, seed, turn.client.db, Subject::Unknown);
                let client_protocol = std::mem::replace(&mut turn.client.protocol, protocol);
                turn.command(entry, &request, output);
                turn.client.protocol = client_protocol;
                turn.attend(entry, words);
            }
            Err(error) => {
                let mut text = Vec::new();
                error.write_text("", &mut text);
                Reply::new(output, protocol).error(&text);
            }
        }
    }

    fn may_call(&mut self, words: Words<'_>) -> Option<bool> {
        let found = prepare(self.turn.server, self.turn.client.db, words).found;
        let Found::Command(entry) = found else { return None };
        let user = &self.turn.client.user;
        Some(entry.spec.accepts(words.len()) && user.check(entry, words).is_ok())
    }

    fn has_written(&self) -> bool {
        self.has_written
    }
}
