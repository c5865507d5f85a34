//! The first line of a script, `#!lua flags=...`, by which it says what it does and needs.

use crate::command::error::CommandError;

/// What a script says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ScriptFlags {
    /// It writes nothing.
    pub(crate) no_writes: bool,
    /// It may run when memory is full.
    pub(crate) allow_oom: bool,
}

/// A first line, read.
pub(super) struct Shebang {
    pub(super) flags: Option<ScriptFlags>,
    /// The end of the line, so that lines keep their numbers.
    pub(super) code_at: usize,
}

impl Shebang {
    pub(super) fn read(body: &[u8]) -> Result<Self, CommandError> {
        if !body.starts_with(b"#!") {
            return Ok(Self { flags: None, code_at: 0 });
        }
        let Some(end) = body.iter().position(|byte| *byte == b'\n') else {
            return Err("ERR Invalid script shebang".into());
        };
        let line = String::from_utf8_lossy(&body[..end]);
        let mut parts = line.split_ascii_whitespace();
        let engine = parts.next().unwrap_or_default();
        if engine != "#!lua" {
            return Err(format!("ERR Unexpected engine in script shebang: {engine}").into());
        }
        let mut flags = ScriptFlags::default();
        for part in parts {
            let Some(list) = part.strip_prefix("flags=") else {
                return Err(format!("ERR Unknown lua shebang option: {part}").into());
            };
            for flag in list.split(',').filter(|flag| !flag.is_empty()) {
                match flag {
                    "no-writes" => flags.no_writes = true,
                    "allow-oom" => flags.allow_oom = true,
                    "allow-stale" | "no-cluster" | "allow-cross-slot-keys" => {}
                    _ => {
                        return Err(format!("ERR Unexpected flag in script shebang: {flag}").into());
                    }
                }
            }
        }
        Ok(Self { flags: Some(flags), code_at: end })
    }
}
