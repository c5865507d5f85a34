//! Rules: the words of ACL SETUSER and of the ACL file, each of which changes a user.
//!
//! The language is that of Redis 7.2, its order of evaluation and its errors included. Left out are
//! selectors, which are refused.

use super::user::{Access, Commands, KeyPattern, PasswordHash, User, hash_password};
use crate::command::spec::Categories;
use crate::command::table::{Entry, table};

/// What is wrong with a rule, in Redis' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// There is no such command or category.
    #[error("Unknown command or category name in ACL")]
    Unknown,
    /// It is no rule.
    #[error("Syntax error")]
    Syntax,
    /// The user has all keys already.
    #[error(
        "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have \
         any effect. Try 'resetkeys' to start with an empty list of patterns"
    )]
    AllKeys,
    /// The user has all channels already.
    #[error(
        "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not \
         have any effect. Try 'resetchannels' to start with an empty list of channels"
    )]
    AllChannels,
    /// The user has no such password.
    #[error("The password you are trying to remove from the user does not exist")]
    NoSuchPassword,
    /// It is no hash of a password.
    #[error(
        "The password hash must be exactly 64 characters and contain only lowercase hexadecimal \
         characters"
    )]
    Hash,
    /// A first argument cannot be allowed of a subcommand.
    #[error("Allowing first-arg of a subcommand is not supported")]
    FirstArgument,
    /// Redis' second kind of rights.
    #[error("selectors are not supported by this server: give the user one set of rules")]
    Selector,
}

impl User {
    /// Applies one rule; `all_channels` is what a new user begins with.
    pub fn apply(&mut self, rule: &[u8], all_channels: bool) -> Result<(), RuleError> {
        let Some((mark, rest)) = rule.split_first() else { return Ok(()) };
        match &*rule.to_ascii_lowercase() {
            b"on" => self.enabled = true,
            b"off" => self.enabled = false,
            b"skip-sanitize-payload" => self.skips_sanitizing = true,
            b"sanitize-payload" => self.skips_sanitizing = false,
            b"nopass" => (self.any_password, self.passwords) = (true, Vec::new()),
            b"resetpass" => (self.any_password, self.passwords) = (false, Vec::new()),
            b"reset" => *self = Self::new(&self.name, all_channels),
            // There are none to clear.
            b"clearselectors" => {}
            b"allkeys" | b"~*" => (self.keys.all, self.keys.patterns) = (true, Vec::new()),
            b"resetkeys" => (self.keys.all, self.keys.patterns) = (false, Vec::new()),
            b"allchannels" | b"&*" => {
                (self.channels.all, self.channels.patterns) = (true, Vec::new());
            }
            b"resetchannels" => (self.channels.all, self.channels.patterns) = (false, Vec::new()),
            b"allcommands" | b"+@all" => self.commands.set_all(true),
            b"nocommands" | b"-@all" => self.commands.set_all(false),
            _ => return self.apply_marked(*mark, rest),
        }
        Ok(())
    }

    fn apply_marked(&mut self, mark: u8, rest: &[u8]) -> Result<(), RuleError> {
        match mark {
            b'>' => self.add_password(hash_password(rest)),
            b'#' => self.add_password(parse_hash(rest)?),
            b'<' => self.remove_password(hash_password(rest))?,
            b'!' => self.remove_password(parse_hash(rest)?)?,
            b'~' => self.add_keys(Access::BOTH, rest)?,
            b'%' => {
                let (access, pattern) = parse_access(rest)?;
                self.add_keys(access, pattern)?;
            }
            b'&' => self.add_channels(rest)?,
            b'(' => return Err(RuleError::Selector),
            b'+' | b'-' => {
                let (allows, name) = (mark == b'+', std::str::from_utf8(rest));
                let name = name.map_err(|_| RuleError::Unknown)?.to_ascii_lowercase();
                match name.strip_prefix('@') {
                    Some(category) => self.commands.set_category(category, allows)?,
                    None => self.commands.set_named(&name, allows)?,
                }
            }
            _ => return Err(RuleError::Syntax),
        }
        Ok(())
    }

    fn add_password(&mut self, hash: PasswordHash) {
        if !self.passwords.contains(&hash) {
            self.passwords.push(hash);
        }
        self.any_password = false;
    }

    fn remove_password(&mut self, hash: PasswordHash) -> Result<(), RuleError> {
        let at = self.passwords.iter().position(|password| *password == hash);
        self.passwords.remove(at.ok_or(RuleError::NoSuchPassword)?);
        Ok(())
    }

    fn add_keys(&mut self, access: Access, pattern: &[u8]) -> Result<(), RuleError> {
        if self.keys.all {
            return Err(RuleError::AllKeys);
        }
        if has_spaces(pattern) {
            return Err(RuleError::Syntax);
        }
        match self.keys.patterns.iter_mut().find(|known| *known.pattern == *pattern) {
            Some(known) => {
                known.access.reads |= access.reads;
                known.access.writes |= access.writes;
            }
            None => self.keys.patterns.push(KeyPattern { pattern: pattern.into(), access }),
        }
        Ok(())
    }

    fn add_channels(&mut self, pattern: &[u8]) -> Result<(), RuleError> {
        if self.channels.all {
            return Err(RuleError::AllChannels);
        }
        if has_spaces(pattern) {
            return Err(RuleError::Syntax);
        }
        if !self.channels.patterns.iter().any(|known| **known == *pattern) {
            self.channels.patterns.push(pattern.into());
        }
        Ok(())
    }
}

impl Commands {
    /// Allows all commands, those of later versions included, or none.
    pub(super) fn set_all(&mut self, allows: bool) {
        *self = Self::none();
        (self.all, self.begins_with_all) = (allows, allows);
        if allows {
            self.allowed.fill(u64::MAX);
        }
    }

    /// Allows or forbids a command with its subcommands; `name` may be `config|get`.
    fn set_named(&mut self, name: &str, allows: bool) -> Result<(), RuleError> {
        let entry = table().by_full_name(name.as_bytes());
        if let Some(entry) = entry {
            self.set(entry, allows);
            self.note(name, allows);
            return Ok(());
        }
        let (command, argument) = name.rsplit_once('|').ok_or(RuleError::Unknown)?;
        let entry = table().by_full_name(command.as_bytes()).ok_or(RuleError::Unknown)?;
        match () {
            () if !allows => Err(RuleError::Unknown),
            () if command.contains('|') => Err(RuleError::FirstArgument),
            () if argument.is_empty() => Err(RuleError::Syntax),
            () if !entry.subcommands.is_empty() => Err(RuleError::Unknown),
            () => {
                let rule = (entry.index, argument.as_bytes().into());
                if !self.first_arguments.contains(&rule) {
                    self.first_arguments.push(rule);
                }
                self.note(name, true);
                Ok(())
            }
        }
    }

    fn set_category(&mut self, name: &str, allows: bool) -> Result<(), RuleError> {
        let category = Categories::find(name).ok_or(RuleError::Unknown)?;
        self.note(&format!("@{name}"), allows);
        for entry in table().entries() {
            if entry.spec.categories_all().has(category) {
                self.set(entry, allows);
            }
            for subcommand in &entry.subcommands {
                if subcommand.spec.categories_all().has(category) {
                    self.set(subcommand, allows);
                }
            }
        }
        Ok(())
    }

    fn set(&mut self, entry: &Entry, allows: bool) {
        for entry in std::iter::once(entry).chain(&entry.subcommands) {
            if let Some(word) = self.allowed.get_mut(entry.index / 64) {
                let bit = 1 << (entry.index % 64);
                *word = if allows { *word | bit } else { *word & !bit };
            }
            self.first_arguments.retain(|(index, _)| *index != entry.index);
        }
        self.all &= allows;
    }

    /// Remembers a rule in place of those that it makes void: about the same, or about a part of it.
    fn note(&mut self, name: &str, allows: bool) {
        self.rules.retain(|rule| {
            // Behind its sign.
            let about = rule.get(1..).unwrap_or_default();
            about.strip_prefix(name).is_none_or(|rest| !rest.is_empty() && !rest.starts_with('|'))
        });
        let sign = if allows { '+' } else { '-' };
        self.rules.push(format!("{sign}{name}").into());
    }
}

/// Whether a name or pattern could not stand in a line of a file.
pub fn has_spaces(bytes: &[u8]) -> bool {
    bytes.iter().any(|byte| byte.is_ascii_whitespace() || matches!(byte, 0 | 0x0b))
}

fn parse_hash(digits: &[u8]) -> Result<PasswordHash, RuleError> {
    let mut hash = PasswordHash::default();
    if digits.len() != 2 * hash.len() {
        return Err(RuleError::Hash);
    }
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(RuleError::Hash),
    };
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        let &[high, low] = pair else { return Err(RuleError::Hash) };
        *byte = value(high)? << 4 | value(low)?;
    }
    Ok(hash)
}

/// Reads `R~pattern`, `W~pattern` or `RW~pattern`.
fn parse_access(rest: &[u8]) -> Result<(Access, &[u8]), RuleError> {
    let mut access = Access::NONE;
    for (at, letter) in rest.iter().enumerate() {
        match letter.to_ascii_uppercase() {
            b'R' if !access.reads => access.reads = true,
            b'W' if !access.writes => access.writes = true,
            b'~' if access != Access::NONE => return Ok((access, &rest[at + 1..])),
            _ => break,
        }
    }
    Err(RuleError::Syntax)
}

#[cfg(test)]
mod tests;
