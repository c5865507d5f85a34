//! A machine: one Lua, with what scripts see in it, and how a script runs on it.
//!
//! Each thread keeps machines and the scripts compiled on them. A machine runs one script at a time: whoever wants
//! to run another while it is taken gets another machine.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use hallpass_engine::Words;
use mlua::{ChunkMode, Function, Lua, LuaOptions, StdLib, Table, Value};

use super::convert::write_value;
use super::json::SharedOptions;
use super::lent::Lent;
use super::random::Random;
use super::watch::{Bounds, Watch};
use super::{Digest, Host, Script, Scripts, api};
use crate::command::error::CommandError;
use crate::resp::reply::{Protocol, Reply};

/// What scripts are called in errors.
const CHUNK: &str = "@user_script";
/// What the prelude is called.
const PRELUDE: &str = "=prelude";
/// The most scripts a machine keeps compiled.
const COMPILED_MAX: usize = 500;
/// The most machines a thread keeps.
const MACHINES_KEPT_MAX: usize = 2;
/// A machine that has grown by more than this is cleaned before it is used again.
const GARBAGE_BYTES_MAX: usize = 4 << 20;

thread_local! {
    static MACHINES: RefCell<Vec<Machine>> = const { RefCell::new(Vec::new()) };
}

/// What the functions of a machine share.
#[derive(Default)]
pub(super) struct State {
    pub(super) watch: Rc<Watch>,
    pub(super) host: Lent,
    pub(super) random: Random,
    pub(super) json: SharedOptions,
    /// The protocol that the script chose for replies.
    pub(super) protocol: Cell<Protocol>,
    /// Room for replies.
    pub(super) reply: Cell<Vec<u8>>,
}

/// One Lua.
pub(crate) struct Machine {
    lua: Lua,
    state: Rc<State>,
    environment: Table,
    globals: Table,
    protected: Function,
    handler: Function,
    compiled: BTreeMap<Digest, Function>,
    /// Bytes in use when it was new.
    bytes_at_first: usize,
}

/// A script to run.
pub(crate) struct Call<'a> {
    pub(crate) script: &'a Script,
    pub(crate) keys: Words<'a>,
    pub(crate) arguments: Words<'a>,
    /// The client's.
    pub(crate) protocol: Protocol,
    /// For `math.random`.
    pub(crate) seed: u64,
    pub(crate) bounds: Bounds,
}

/// Whether a script compiles.
pub(crate) fn check(script: &Script) -> Result<(), CommandError> {
    let mut machine = Machine::take()?;
    let compiled = machine.function(script);
    machine.put_back();
    compiled.map(|_| ())
}

impl Machine {
    /// One of this thread's, or a new one.
    pub(crate) fn take() -> Result<Self, CommandError> {
        if let Some(machine) = MACHINES.with_borrow_mut(Vec::pop) {
            return Ok(machine);
        }
        Self::new().map_err(|error| format!("ERR Lua cannot start: {error}").into())
    }

    /// Keeps it for this thread's next script.
    pub(crate) fn put_back(self) {
        MACHINES.with_borrow_mut(|machines| {
            if machines.len() < MACHINES_KEPT_MAX {
                machines.push(self);
            }
        });
    }

    fn new() -> mlua::Result<Self> {
        let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH;
        let lua = Lua::new_with(libraries, LuaOptions::new().catch_rust_panics(false))?;
        let state = Rc::new(State::default());
        let native = api::natives(&lua, &state)?;
        let protected: Function = lua.globals().raw_get("xpcall")?;
        let prelude = lua.load(include_str!("prelude.lua")).set_name(PRELUDE);
        let (environment, globals): (Table, Table) = prelude.call(native)?;
        let handler = lua.create_function(explain)?;
        lua.gc_collect()?;
        let bytes_at_first = lua.used_memory();
        let compiled = BTreeMap::new();
        Ok(Self { lua, state, environment, globals, protected, handler, compiled, bytes_at_first })
    }

    /// The script compiled.
    fn function(&mut self, script: &Script) -> Result<Function, CommandError> {
        if let Some(function) = self.compiled.get(&script.digest) {
            return Ok(function.clone());
        }
        if self.compiled.len() >= COMPILED_MAX {
            self.compiled.clear();
        }
        let chunk = self.lua.load(script.code()).set_name(CHUNK).set_mode(ChunkMode::Text);
        let function = chunk.set_environment(self.environment.clone()).into_function();
        let function = function.map_err(|error| {
            let text = match error {
                mlua::Error::SyntaxError { message, .. } => message,
                other => other.to_string(),
            };
            let text = format!("ERR Error compiling script (new function): {text}");
            CommandError::Raw(text.into_bytes())
        })?;
        self.compiled.insert(script.digest, function.clone());
        Ok(function)
    }

    /// Runs a script and writes what it returns, or the error it ended with.
    pub(crate) fn run(
        &mut self,
        scripts: &Arc<Scripts>,
        call: &Call<'_>,
        host: &mut dyn Host,
        output: &mut Vec<u8>,
    ) -> Result<(), CommandError> {
        let function = self.function(call.script)?;
        let state = Rc::clone(&self.state);
        state.protocol.set(Protocol::Resp2);
        state.random.seed(call.seed as u32);
        state.json.set(super::json::JsonOptions::default());
        let result = self.run_watched(scripts, call, function, host, output);
        self.tidy();
        match (result, state.watch.ended()) {
            (_, Some(cause)) => Err(located(cause.text().as_bytes(), call.script, None)),
            (Ok(ended), None) => ended,
            (Err(error), None) => {
                let text =
                    if is_memory(&error) { NO_MEMORY.to_owned() } else { format!("ERR {error}") };
                Err(located(text.as_bytes(), call.script, None))
            }
        }
    }

    fn run_watched(
        &mut self,
        scripts: &Arc<Scripts>,
        call: &Call<'_>,
        function: Function,
        host: &mut dyn Host,
        output: &mut Vec<u8>,
    ) -> mlua::Result<Result<(), CommandError>> {
        let watch = Rc::clone(&self.state.watch);
        let _running = watch.begin(&self.lua, scripts, &call.bounds)?;
        let limit = call.bounds.memory_bytes_max as usize;
        if limit > 0 {
            self.lua.set_memory_limit(self.lua.used_memory().saturating_add(limit))?;
        }
        for (name, words) in [("KEYS", call.keys), ("ARGV", call.arguments)] {
            let table = self.lua.create_table_with_capacity(words.len(), 0)?;
            for (index, word) in words.iter().enumerate() {
                table.raw_set(index + 1, self.lua.create_string(word)?)?;
            }
            self.globals.raw_set(name, table)?;
        }
        let state = Rc::clone(&self.state);
        let protected = &self.protected;
        let handler = self.handler.clone();
        let result = state.host.lend(host, || protected.call::<(bool, Value)>((function, handler)));
        // What follows is ours.
        self.lua.set_memory_limit(0)?;
        let (ok, value) = result?;
        if !ok {
            return Ok(Err(failure(&value, call.script)?));
        }
        let mut reply = Reply::new(output, call.protocol);
        write_value(&value, self.state.protocol.get(), 0, &mut reply)?;
        Ok(Ok(()))
    }

    /// Leaves nothing of a script behind.
    fn tidy(&mut self) {
        self.lua.remove_hook();
        // Lifting a limit and starting the collector do not fail.
        let _lifted = self.lua.set_memory_limit(0);
        self.lua.gc_restart();
        for name in ["KEYS", "ARGV"] {
            let _gone = self.globals.raw_set(name, Value::Nil);
        }
        if self.lua.used_memory() > self.bytes_at_first + GARBAGE_BYTES_MAX {
            let _collected = self.lua.gc_collect();
        }
    }
}

const NO_MEMORY: &str = "ERR Script ended: it needs more memory than 'script-memory-max'";
/// What Lua says.
const LUA_NO_MEMORY: &[u8] = b"not enough memory";

fn is_memory(error: &mlua::Error) -> bool {
    match error {
        mlua::Error::MemoryError(_) => true,
        mlua::Error::CallbackError { cause, .. } => is_memory(cause),
        _ => false,
    }
}

/// Makes a table of whatever was raised, with the place in the script where it was.
fn explain(lua: &Lua, raised: Value) -> mlua::Result<Table> {
    let table = match raised {
        Value::Table(table) => table,
        Value::Error(error) if is_memory(&error) => {
            let table = lua.create_table()?;
            table.raw_set("err", NO_MEMORY)?;
            table
        }
        other => {
            let text = match &other {
                Value::String(text) => text.as_bytes().to_vec(),
                other => other.to_string()?.into_bytes(),
            };
            let table = lua.create_table()?;
            table.raw_set("err", lua.create_string([b"ERR ", &text[..]].concat())?)?;
            table
        }
    };
    for level in 1.. {
        let place = lua.inspect_stack(level, |frame| {
            let (source, line) = (frame.source(), frame.current_line());
            let source = source.source.filter(|source| source != PRELUDE)?;
            Some((source.into_owned(), line?))
        });
        match place {
            None => break,
            Some(None) => {}
            Some(Some((source, line))) => {
                table.raw_set("source", source)?;
                table.raw_set("line", line)?;
                break;
            }
        }
    }
    Ok(table)
}

/// The error that a script ended with.
fn failure(value: &Value, script: &Script) -> mlua::Result<CommandError> {
    let Value::Table(table) = value else {
        let text = match value {
            Value::String(text) if text.as_bytes() == LUA_NO_MEMORY => NO_MEMORY.to_owned(),
            Value::Error(error) if is_memory(error) => NO_MEMORY.to_owned(),
            other => format!("ERR {}", other.to_string()?),
        };
        return Ok(located(text.as_bytes(), script, None));
    };
    let text = match table.raw_get("err")? {
        Value::String(text) => text.as_bytes().to_vec(),
        _ => b"ERR unknown error".to_vec(),
    };
    let place = match (table.raw_get("source")?, table.raw_get("line")?) {
        (Value::String(source), Value::Integer(line)) => {
            Some(format!("{}:{line}", source.to_string_lossy()))
        }
        _ => None,
    };
    Ok(located(&text, script, place))
}

fn located(text: &[u8], script: &Script, place: Option<String>) -> CommandError {
    let mut error = text.to_vec();
    if let Some(place) = place {
        error.extend_from_slice(b" script: ");
        error.extend_from_slice(&script.digest);
        error.extend_from_slice(format!(", on {place}.").as_bytes());
    }
    CommandError::Raw(error)
}
