//! Case files: from text to cases, and back when replies are recorded. The README beside this
//! file is the reference of the format.

use super::notation::{Captures, Expected, Protocol, unquote};

/// A file of cases.
pub(crate) struct CaseFile {
    /// The file's name without `.case`.
    pub(crate) name: String,
    /// Flags of the server that runs it.
    pub(crate) flags: Vec<String>,
    /// Its cases in order.
    pub(crate) cases: Vec<Case>,
}

/// One case: steps that share a server state and connections.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) title: String,
    /// `None`: both protocols.
    pub(crate) only: Option<Protocol>,
    /// Uses commands that Redis does not have.
    pub(crate) hallpass_only: bool,
    /// Says something about sockets, which the embedded server has none of.
    pub(crate) socket_only: bool,
    pub(crate) steps: Vec<Step>,
}

/// One command and what is expected of it.
#[derive(Clone)]
pub(crate) struct Step {
    /// Line in the file, from 1.
    pub(crate) line: usize,
    /// The connection that sends it.
    pub(crate) connection: String,
    /// Ask again until the reply fits.
    pub(crate) eventually: bool,
    pub(crate) request: Request,
    pub(crate) expectations: Vec<Expectation>,
}

/// What a step sends.
#[derive(Clone)]
pub(crate) enum Request {
    Command(Vec<Word>),
    Raw(Vec<u8>),
}

/// An argument, some of which are known only when the case runs.
#[derive(Clone)]
pub(crate) enum Word {
    Bytes(Vec<u8>),
    Captured(String),
}

/// One indented line: an expectation and where it holds.
#[derive(Clone)]
pub(crate) struct Expectation {
    protocol: Option<Protocol>,
    only_redis_7_0: bool,
    /// `None`: no reply at all.
    pub(crate) reply: Option<Expected>,
    pub(crate) text: String,
}

impl Step {
    /// The expectation that holds for a protocol and a server version.
    pub(crate) fn expectation(&self, protocol: Protocol, redis_7_0: bool) -> Option<&Expectation> {
        let fits = |line: &&Expectation| line.protocol.is_none_or(|only| only == protocol);
        let of_7_0 = self.expectations.iter().filter(fits).find(|line| line.only_redis_7_0);
        let general = self.expectations.iter().filter(fits).find(|line| !line.only_redis_7_0);
        if redis_7_0 { of_7_0.or(general) } else { general }
    }
}

impl Word {
    /// The argument's bytes, with captures filled in.
    pub(crate) fn bytes(&self, captures: &Captures) -> Result<Vec<u8>, String> {
        match self {
            Word::Bytes(bytes) => Ok(bytes.clone()),
            Word::Captured(name) => {
                captures.get(name).cloned().ok_or_else(|| format!("nothing captured as ${name}"))
            }
        }
    }
}

impl CaseFile {
    /// Parses a whole file; an error says which line.
    pub(crate) fn parse(name: &str, text: &str) -> Result<CaseFile, String> {
        let mut file = CaseFile { name: name.to_owned(), flags: Vec::new(), cases: Vec::new() };
        let mut pending = String::new();
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            file.take_line(number, line, &mut pending)
                .map_err(|error| format!("{name}.case:{number}: {error}"))?;
        }
        if pending.is_empty() { Ok(file) } else { Err(format!("{name}.case: unfinished reply")) }
    }

    fn take_line(&mut self, number: usize, line: &str, pending: &mut String) -> Result<(), String> {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(';') {
            return Ok(());
        }
        if line.starts_with(' ') {
            if !pending.is_empty() {
                pending.push(' ');
            }
            pending.push_str(trimmed);
            if is_open(pending) {
                return Ok(());
            }
            let expectation = Expectation::parse(&std::mem::take(pending))?;
            let case = self.cases.last_mut().ok_or("a reply before the first case")?;
            let step = case.steps.last_mut().ok_or("a reply before the first command")?;
            step.expectations.push(expectation);
            return Ok(());
        }
        if let Some(title) = trimmed.strip_prefix("# ") {
            let title = title.to_owned();
            if self.cases.iter().any(|case| case.title == title) {
                return Err(format!("a second case named {title:?}"));
            }
            self.cases.push(Case {
                title,
                only: None,
                hallpass_only: false,
                socket_only: false,
                steps: Vec::new(),
            });
            return Ok(());
        }
        if let Some(flags) = trimmed.strip_prefix("@server ") {
            self.flags = flags.split_whitespace().map(str::to_owned).collect();
            return Ok(());
        }
        let case = self.cases.last_mut().ok_or("a command before the first case")?;
        match trimmed {
            "@resp2" => case.only = Some(Protocol::Resp2),
            "@resp3" => case.only = Some(Protocol::Resp3),
            "@hallpass" => case.hallpass_only = true,
            "@socket" => case.socket_only = true,
            _ => case.steps.push(Step::parse(number, trimmed)?),
        }
        Ok(())
    }
}

impl Step {
    fn parse(line: usize, text: &str) -> Result<Step, String> {
        let (text, eventually) = match text.strip_prefix("eventually ") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let (connection, text) = match text.split_once("> ") {
            Some((name, rest)) if name.len() == 1 => (name, rest),
            _ => ("a", text),
        };
        let request = match text.strip_prefix("raw ") {
            Some(quoted) => Request::Raw(unquote(quoted)?.0),
            None => Request::Command(words(text)?),
        };
        Ok(Step {
            line,
            connection: connection.to_owned(),
            eventually,
            request,
            expectations: Vec::new(),
        })
    }
}

impl Expectation {
    fn parse(text: &str) -> Result<Expectation, String> {
        let (body, only_redis_7_0) = match text.strip_prefix("7.0: ") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let (body, protocol) = if let Some(rest) = body.strip_prefix("2: ") {
            (rest, Some(Protocol::Resp2))
        } else if let Some(rest) = body.strip_prefix("3: ") {
            (rest, Some(Protocol::Resp3))
        } else {
            (body, None)
        };
        let reply = if body == "none" { None } else { Some(Expected::parse(body)?) };
        Ok(Expectation { protocol, only_redis_7_0, reply, text: text.to_owned() })
    }
}

/// Splits a command line into arguments.
fn words(text: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if rest.starts_with('"') {
            let (bytes, after) = unquote(rest)?;
            words.push(Word::Bytes(bytes));
            rest = after.trim_start();
            continue;
        }
        let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
        words.push(match word.strip_prefix('$') {
            Some(name) if !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) => {
                Word::Captured(name.to_owned())
            }
            _ => Word::Bytes(repeated(word)?.unwrap_or_else(|| word.as_bytes().to_vec())),
        });
        rest = after.trim_start();
    }
    Ok(words)
}

/// `repeat(3,ab)` as `ababab`.
fn repeated(word: &str) -> Result<Option<Vec<u8>>, String> {
    let Some(inner) = word.strip_prefix("repeat(").and_then(|rest| rest.strip_suffix(')')) else {
        return Ok(None);
    };
    let (count, text) = inner.split_once(',').ok_or("repeat(count,text)")?;
    let count: usize = count.parse().map_err(|_| format!("bad count {count:?}"))?;
    Ok(Some(text.repeat(count).into_bytes()))
}

/// True while a bracket outside quotes waits for its other half. A status or error is never open.
fn is_open(text: &str) -> bool {
    let body = text.trim_start_matches("7.0: ").trim_start_matches("2: ").trim_start_matches("3: ");
    if body.starts_with(['+', '-']) {
        return false;
    }
    let (mut depth, mut quoted, mut escaped) = (0_i32, false, false);
    for character in body.chars() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '[' | '{' if !quoted => depth += 1,
            ']' | '}' if !quoted => depth -= 1,
            _ => {}
        }
    }
    depth > 0
}
