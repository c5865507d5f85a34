//! Histories: what clients and faults did, one operation a line, in the order in which it was seen.
//!
//! A client's operation is an `invoke` and later one of `ok` (it happened, and this came back), `fail` (it did not
//! happen) or `info` (nobody knows). After `info` the process is over: its operation may still take effect at any
//! later time. Faults are `info` operations of the process `nemesis`. Checkers read nothing but this.

pub mod edn;
pub mod recorder;

use std::io::{BufRead, Write};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Process {
    /// A client, which does one operation at a time.
    Client(u64),
    /// Whoever causes faults.
    Nemesis(Nemesis),
}

/// The one name that is not a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Nemesis {
    /// Written `nemesis`.
    #[serde(rename = "nemesis")]
    Nemesis,
}

/// The process that causes faults.
pub const NEMESIS: Process = Process::Nemesis(Nemesis::Nemesis);

/// What an operation's line says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It begins.
    Invoke,
    /// It happened.
    Ok,
    /// It did not happen.
    Fail,
    /// It may have happened, or may yet.
    Info,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Op {
    /// Its place in the history.
    pub index: u64,
    /// Nanoseconds since the run began, by a clock that never runs back.
    pub time: u64,
    /// Who.
    pub process: Process,
    /// Invocation or how it ended.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// What: `read`, `save`, `revoke`.
    pub f: String,
    /// Its arguments, or what came back; the workload knows the shape.
    pub value: Value,
    /// The node that was asked; 0 for none.
    pub node: u64,
    /// Why it failed, or is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// An invocation and how it ended; without an end it is unknown.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// How it began.
    pub invoke: &'a Op,
    /// How it ended.
    pub end: Option<&'a Op>,
}

impl Pair<'_> {
    /// How it ended: `Info` without an end.
    pub fn kind(&self) -> Kind {
        self.end.map_or(Kind::Info, |end| end.kind)
    }

    /// What came back, when it is known to have happened.
    pub fn answer(&self) -> Option<&Value> {
        self.end.filter(|end| end.kind == Kind::Ok).map(|end| &end.value)
    }

    /// The index from which on it has certainly happened, if it has.
    pub fn done_at(&self) -> Option<u64> {
        self.end.filter(|end| end.kind == Kind::Ok).map(|end| end.index)
    }
}

/// All operations of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// In the order in which they were seen; `index` counts from 0.
    pub ops: Vec<Op>,
}

impl History {
    /// Invocations of clients, in order, each with its end.
    pub fn pairs(&self) -> Result<Vec<Pair<'_>>> {
        let mut open: std::collections::BTreeMap<Process, usize> =
            std::collections::BTreeMap::new();
        let mut pairs: Vec<Pair<'_>> = Vec::new();
        for op in self.ops.iter().filter(|op| op.process != NEMESIS) {
            if op.kind == Kind::Invoke {
                if open.insert(op.process, pairs.len()).is_some() {
                    bail!(
                        "line {}: {:?} begins while its last operation is open",
                        op.index,
                        op.process
                    );
                }
                pairs.push(Pair { invoke: op, end: None });
                continue;
            }
            let pair = open.remove(&op.process).and_then(|at| pairs.get_mut(at));
            match pair {
                Some(pair) if pair.invoke.f == op.f => pair.end = Some(op),
                _ => bail!("line {}: {:?} ends what it did not begin", op.index, op.process),
            }
        }
        Ok(pairs)
    }

    /// Reads JSON lines.
    pub fn read(input: impl BufRead) -> Result<Self> {
        let mut ops = Vec::new();
        for (number, line) in input.lines().enumerate() {
            let line = line.context("the history cannot be read")?;
            if line.trim().is_empty() {
                continue;
            }
            let op: Op =
                serde_json::from_str(&line).with_context(|| format!("line {}", number + 1))?;
            if op.index != ops.len() as u64 {
                bail!("line {}: index {} where {} was expected", number + 1, op.index, ops.len());
            }
            ops.push(op);
        }
        Ok(Self { ops })
    }

    /// Writes JSON lines.
    pub fn write(&self, output: &mut impl Write) -> Result<()> {
        for op in &self.ops {
            serde_json::to_writer(&mut *output, op)?;
            output.write_all(b"\n")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(index: u64, process: u64, kind: Kind) -> Op {
        let (f, value) = ("read".to_owned(), serde_json::json!(["k", null]));
        Op {
            index,
            time: index * 5,
            process: Process::Client(process),
            kind,
            f,
            value,
            node: 1,
            error: None,
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut history = History { ops: vec![op(0, 3, Kind::Invoke), op(1, 3, Kind::Info)] };
        history.ops[1].error = Some("timed out".into());
        history.ops.push(Op { process: NEMESIS, ..op(2, 0, Kind::Info) });
        let mut bytes = Vec::new();
        history.write(&mut bytes).unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(text.starts_with(r#"{"index":0,"time":0,"process":3,"type":"invoke","f":"read","value":["k",null],"node":1}"#));
        assert!(text.contains(r#""process":"nemesis""#));
        assert_eq!(History::read(&bytes[..]).unwrap(), history);
    }

    #[test]
    fn ends_belong_to_the_last_invocation_of_their_process() {
        let ops = vec![
            op(0, 1, Kind::Invoke),
            op(1, 2, Kind::Invoke),
            op(2, 1, Kind::Ok),
            op(3, 1, Kind::Invoke),
        ];
        let history = History { ops };
        let pairs = history.pairs().unwrap();
        let seen: Vec<_> = pairs.iter().map(|pair| (pair.invoke.index, pair.kind())).collect();
        assert_eq!(seen, [(0, Kind::Ok), (1, Kind::Info), (3, Kind::Info)]);
    }

    #[test]
    fn a_history_that_cannot_be_is_refused() {
        assert!(History { ops: vec![op(0, 1, Kind::Ok)] }.pairs().is_err());
        assert!(
            History { ops: vec![op(0, 1, Kind::Invoke), op(1, 1, Kind::Invoke)] }.pairs().is_err()
        );
        assert!(History::read(&b"{}\n"[..]).is_err());
    }
}
