//! The words behind SESSION.CREATE's user and SESSION.LIST's: options in any order and case.
//!
//! Each error says what is right and none quotes what was sent, which may be a secret.

use hallpass_engine::{Cap, Limits, SizeLimits, Words};

use crate::command::context::LowerContext;
use crate::command::error::CommandError;
use crate::command::request::Request;
use hallpass_engine::value::number::parse_i64;

/// The longest id that can be imported.
const IMPORTED_ID_BYTES_MAX: usize = 512;

/// What may stand where an option does. A metadata field of such a name would end META's pairs.
const OPTIONS: [(&str, CreateOption); 7] = [
    ("idle", CreateOption::Idle),
    ("lifetime", CreateOption::Lifetime),
    ("preset", CreateOption::Preset),
    ("data", CreateOption::Data),
    ("meta", CreateOption::Meta),
    ("limit", CreateOption::Limit),
    ("id", CreateOption::Id),
];

/// Limits by name, from NIST SP 800-63B-4 (requirement R7).
const PRESETS: [(&str, Limits); 3] = [
    ("aal1", Limits { idle_seconds: 0, lifetime_seconds: 30 * 24 * 3600 }),
    ("aal2", Limits { idle_seconds: 3600, lifetime_seconds: 24 * 3600 }),
    ("aal3", Limits { idle_seconds: 15 * 60, lifetime_seconds: 12 * 3600 }),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum CreateOption {
    Idle,
    Lifetime,
    Preset,
    Data,
    Meta,
    Limit,
    Id,
}

impl CreateOption {
    fn of(word: &[u8]) -> Option<Self> {
        OPTIONS
            .iter()
            .find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, option)| *option)
    }
}

/// What SESSION.CREATE was told.
pub(super) struct CreateOptions<'a> {
    pub(super) limits: Limits,
    pub(super) data: &'a [u8],
    pub(super) meta: Words<'a>,
    pub(super) cap: Option<Cap>,
    /// An id made elsewhere.
    pub(super) id: Option<&'a [u8]>,
}

/// The options as they were said, before a preset and explicit limits are brought together.
#[derive(Default)]
struct Said<'a> {
    idle_seconds: Option<u32>,
    lifetime_seconds: Option<u32>,
    preset: Option<Limits>,
    data: Option<&'a [u8]>,
    meta: Option<Words<'a>>,
    cap: Option<Cap>,
    id: Option<&'a [u8]>,
}

impl<'a> CreateOptions<'a> {
    /// Reads the words behind the user.
    pub(super) fn parse(
        request: &Request<'a>,
        context: &LowerContext<'_>,
    ) -> Result<Self, CommandError> {
        let mut said = Said::default();
        let mut index = 2;
        while index < request.len() {
            let option = CreateOption::of(request.word(index)).ok_or(
                "ERR the options of SESSION.CREATE are IDLE, LIFETIME, PRESET, DATA, META, LIMIT \
                 and ID",
            )?;
            index = said.take(option, request, index + 1, context)?;
        }
        Ok(Self {
            limits: said.limits()?,
            data: said.data.unwrap_or_default(),
            meta: said.meta.unwrap_or(Words::EMPTY),
            cap: said.cap,
            id: said.id,
        })
    }
}

impl<'a> Said<'a> {
    /// Reads the words of one option, which begin at `index`; gives the index behind them.
    fn take(
        &mut self,
        option: CreateOption,
        request: &Request<'a>,
        index: usize,
        context: &LowerContext<'_>,
    ) -> Result<usize, CommandError> {
        let word = request.get(index);
        let next = index + 1;
        match option {
            CreateOption::Idle => {
                let seconds = seconds(word, "IDLE must be a whole number of seconds")?;
                once(&mut self.idle_seconds, seconds, "IDLE")?;
            }
            CreateOption::Lifetime => {
                let seconds = seconds(word, "LIFETIME must be a whole number of seconds")?;
                once(&mut self.lifetime_seconds, seconds, "LIFETIME")?;
            }
            CreateOption::Preset => once(&mut self.preset, preset(word)?, "PRESET")?,
            CreateOption::Data => {
                let data = word.ok_or("ERR DATA must be followed by the session's data")?;
                check_data(data, context.sizes)?;
                once(&mut self.data, data, "DATA")?;
            }
            CreateOption::Meta => {
                let end = meta_end(request, index);
                let fields = request.words(index, end);
                check_meta(fields, context.sizes)?;
                once(&mut self.meta, fields, "META")?;
                return Ok(end);
            }
            CreateOption::Limit => {
                once(&mut self.cap, cap(word, request.get(next))?, "LIMIT")?;
                return Ok(next + 1);
            }
            CreateOption::Id => {
                let id = imported_id(word, context.session_import)?;
                once(&mut self.id, id, "ID")?;
            }
        }
        Ok(next)
    }

    /// The limits: those of the preset, made shorter by IDLE and LIFETIME.
    fn limits(&self) -> Result<Limits, CommandError> {
        let preset = self.preset.unwrap_or_default();
        Ok(Limits {
            idle_seconds: shorter(self.idle_seconds, preset.idle_seconds, "IDLE")?,
            lifetime_seconds: shorter(self.lifetime_seconds, preset.lifetime_seconds, "LIFETIME")?,
        })
    }
}

fn once<T>(place: &mut Option<T>, value: T, name: &str) -> Result<(), CommandError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("ERR {name} may be given once").into()),
    }
}

/// `said` seconds, or the preset's (0 for none), which `said` must not exceed.
fn shorter(said: Option<u32>, preset: u32, name: &str) -> Result<u32, CommandError> {
    match said {
        None => Ok(preset),
        Some(seconds) if preset == 0 || seconds <= preset => Ok(seconds),
        Some(_) => {
            Err(format!("ERR {name} must not exceed the {preset} seconds of the PRESET").into())
        }
    }
}

/// A whole number of 32 bits, at least `least`. The error is `rule` with the range behind it.
pub(super) fn whole_number(word: &[u8], least: u32, rule: &str) -> Result<u32, CommandError> {
    parse_i64(word)
        .and_then(|value| u32::try_from(value).ok())
        .filter(|value| *value >= least)
        .ok_or_else(|| format!("ERR {rule} from {least} to {}", u32::MAX).into())
}

fn seconds(word: Option<&[u8]>, rule: &str) -> Result<u32, CommandError> {
    whole_number(word.unwrap_or_default(), 1, rule)
}

fn preset(word: Option<&[u8]>) -> Result<Limits, CommandError> {
    let word = word.unwrap_or_default();
    PRESETS
        .iter()
        .find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()))
        .map(|(_, limits)| *limits)
        .ok_or_else(|| "ERR PRESET must be aal1, aal2 or aal3".into())
}

fn cap(count: Option<&[u8]>, action: Option<&[u8]>) -> Result<Cap, CommandError> {
    let rule = "LIMIT must be a whole number of sessions";
    let sessions_max = whole_number(count.unwrap_or_default(), 1, rule)?;
    let action = action.unwrap_or_default();
    let evict = if action.eq_ignore_ascii_case(b"evict") {
        true
    } else if action.eq_ignore_ascii_case(b"reject") {
        false
    } else {
        return Err("ERR LIMIT and its number must be followed by EVICT or REJECT".into());
    };
    Ok(Cap { sessions_max, evict })
}

fn imported_id(word: Option<&[u8]>, allowed: bool) -> Result<&[u8], CommandError> {
    if !allowed {
        return Err("ERR ID is for importing sessions and needs the setting session-import".into());
    }
    match word {
        Some(id) if (1..=IMPORTED_ID_BYTES_MAX).contains(&id.len()) => Ok(id),
        _ => Err(format!("ERR ID must be 1 to {IMPORTED_ID_BYTES_MAX} bytes long").into()),
    }
}

/// Where the pairs that begin at `start` end: at an option's name in the place of a field.
fn meta_end(request: &Request<'_>, start: usize) -> usize {
    (start..request.len())
        .step_by(2)
        .find(|index| CreateOption::of(request.word(*index)).is_some())
        .unwrap_or(request.len())
}

/// Refuses a user name that is empty or longer than configured.
pub(super) fn check_user(user: &[u8], sizes: &SizeLimits) -> Result<(), CommandError> {
    if user.is_empty() {
        return Err("ERR the user name must not be empty".into());
    }
    check_length(user.len(), sizes.user_bytes_max, "user-bytes-max")
}

/// Refuses session data that is longer than configured.
pub(super) fn check_data(data: &[u8], sizes: &SizeLimits) -> Result<(), CommandError> {
    check_length(data.len(), sizes.session_bytes_max, "session-bytes-max")
}

/// Refuses metadata that does not pair up, has a nameless field or is longer than configured.
pub(super) fn check_meta(fields: Words<'_>, sizes: &SizeLimits) -> Result<(), CommandError> {
    if fields.is_empty() || !fields.len().is_multiple_of(2) {
        return Err("ERR META must be followed by fields, each with its value".into());
    }
    if fields.pairs().any(|(field, _)| field.is_empty()) {
        return Err("ERR the name of a META field must not be empty".into());
    }
    // As the engine counts: two lengths of two bytes with each pair.
    let bytes = fields.pairs().map(|(field, value)| 4 + field.len() + value.len()).sum();
    check_length(bytes, sizes.meta_bytes_max, "meta-bytes-max")
}

fn check_length(bytes: usize, bytes_max: usize, setting: &'static str) -> Result<(), CommandError> {
    if bytes > bytes_max { Err(CommandError::TooLong(setting)) } else { Ok(()) }
}

/// Reads `[COUNT sessions] [CURSOR cursor]` behind the user: cursor and count.
pub(super) fn list_range(request: &Request<'_>) -> Result<(u64, usize), CommandError> {
    let (mut cursor, mut count) = (0, super::LIST_COUNT_DEFAULT);
    let mut index = 2;
    while index < request.len() {
        let word = request.get(index + 1).unwrap_or_default();
        if request.is(index, "count") {
            count = whole_number(word, 1, "COUNT must be a whole number of sessions")? as usize;
        } else if request.is(index, "cursor") {
            cursor = crate::command::cursor::parse(word)
                .map_err(|_| "ERR CURSOR must be what the last SESSION.LIST answered, or 0")?;
        } else {
            return Err("ERR only COUNT sessions and CURSOR cursor may follow the user".into());
        }
        index += 2;
    }
    Ok((cursor, count))
}

#[cfg(test)]
mod tests;
