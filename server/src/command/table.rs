//! The table of all commands: lookup by name, in any case, without allocating.
//!
//! The rows stand in the families' files. Here they get an index (for counters), their full name
//! (`client|setname`) and a place in an open hash table that is built once and then only read.

use std::sync::LazyLock;

use super::spec::CommandSpec;

/// All families, in the order COMMAND lists them.
pub static FAMILIES: &[&[CommandSpec]] = &[
    super::connection::COMMANDS,
    super::client::COMMANDS,
    super::acl::COMMANDS,
    super::catalog::COMMANDS,
    super::settings::COMMANDS,
    super::admin::COMMANDS,
    super::memory::COMMANDS,
    super::slow_log::COMMANDS,
    super::latency::COMMANDS,
    super::info::COMMANDS,
    super::string::COMMANDS,
    super::key::COMMANDS,
    super::hash::COMMANDS,
    super::set::COMMANDS,
    super::zset::COMMANDS,
    super::list::COMMANDS,
    super::pubsub::COMMANDS,
    super::transaction::COMMANDS,
    super::script::COMMANDS,
    super::session::COMMANDS,
    super::index::COMMANDS,
    super::cluster::COMMANDS,
];

/// Slots of the hash table: a power of two, several times the number of commands.
const SLOTS: usize = 1024;

/// A command with what the table adds to its row.
#[derive(Debug)]
pub struct Entry {
    /// The row.
    pub spec: &'static CommandSpec,
    /// `get`, or `client|setname` for a subcommand.
    pub full_name: Box<str>,
    /// Its place among all commands and subcommands, containers included.
    pub index: usize,
    /// Its subcommands.
    pub subcommands: Box<[Entry]>,
}

/// What a request's first words name.
#[derive(Clone, Copy, Debug)]
pub enum Found {
    /// This command or subcommand.
    Command(&'static Entry),
    /// This container, which has no subcommand of that name.
    UnknownSubcommand(&'static Entry),
    /// Nothing.
    Unknown,
}

/// All commands.
#[derive(Debug)]
pub struct Table {
    entries: &'static [Entry],
    /// Where names hash to.
    slots: Box<[Slot]>,
    count: usize,
}

static TABLE: LazyLock<Table> = LazyLock::new(Table::build);

/// The table. Keep the reference: each call passes a once-only check.
pub fn table() -> &'static Table {
    &TABLE
}

impl Table {
    fn build() -> Self {
        let mut count = 0;
        let mut next_index = || {
            count += 1;
            count - 1
        };
        let rows = FAMILIES.iter().flat_map(|family| family.iter());
        // Made once and kept for the life of the process, as the table is.
        let entries: &[Entry] = rows
            .map(|spec| {
                let index = next_index();
                let subcommands = spec
                    .subcommands
                    .iter()
                    .map(|sub| Entry {
                        spec: sub,
                        full_name: format!("{}|{}", spec.name, sub.name).into(),
                        index: next_index(),
                        subcommands: Box::new([]),
                    })
                    .collect();
                Entry { spec, full_name: spec.name.into(), index, subcommands }
            })
            .collect::<Vec<_>>()
            .leak();
        let mut slots = vec![Slot::FREE; SLOTS].into_boxed_slice();
        assert!(entries.len() < SLOTS / 2, "the hash table must stay sparse");
        for entry in entries {
            let mut slot = Ends::of(entry.spec.name.as_bytes()).slot();
            while slots[slot].entry.is_some() {
                slot = (slot + 1) % SLOTS;
            }
            slots[slot] = Slot::of(entry);
        }
        Self { entries, slots, count }
    }

    /// How many commands and subcommands there are: the range of [`Entry::index`].
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All commands; subcommands are in their container's entry.
    pub fn entries(&self) -> &'static [Entry] {
        self.entries
    }

    /// The command named `word`, in any case.
    #[inline]
    pub fn command(&self, word: &[u8]) -> Option<&'static Entry> {
        let ends = Ends::of(word);
        let mut index = ends.slot();
        loop {
            let slot = &self.slots[index % SLOTS];
            let entry = slot.entry?;
            if slot.is(word, ends) {
                return Some(entry);
            }
            index += 1;
        }
    }

    /// The command or subcommand that a request begins with; `second` is its second word.
    #[inline]
    pub fn find(&'static self, first: &[u8], second: Option<&[u8]>) -> Found {
        let Some(entry) = self.command(first) else { return Found::Unknown };
        if entry.subcommands.is_empty() {
            return Found::Command(entry);
        }
        let Some(second) = second else { return Found::Command(entry) };
        entry.subcommand(second).map_or(Found::UnknownSubcommand(entry), Found::Command)
    }

    /// The command or subcommand with this [`Entry::index`].
    pub fn by_index(&self, index: usize) -> Option<&Entry> {
        let all =
            self.entries.iter().flat_map(|entry| std::iter::once(entry).chain(&entry.subcommands));
        all.into_iter().nth(index)
    }

    /// The command or subcommand of a full name such as `client|list`, in any case.
    pub fn by_full_name(&self, name: &[u8]) -> Option<&Entry> {
        match name.iter().position(|byte| *byte == b'|') {
            None => self.command(name),
            Some(bar) => self.command(&name[..bar])?.subcommand(&name[bar + 1..]),
        }
    }
}

impl Entry {
    /// The subcommand named `word`, in any case.
    pub fn subcommand(&self, word: &[u8]) -> Option<&Entry> {
        self.subcommands.iter().find(|sub| sub.spec.name.as_bytes().eq_ignore_ascii_case(word))
    }
}

/// The bit that tells upper from lower case, in all bytes.
const LOWER: u64 = 0x2020_2020_2020_2020;

/// A place in the hash table.
#[derive(Clone, Copy, Debug)]
struct Slot {
    name: Ends,
    /// The bits that make no difference: of each letter the one that tells its case.
    either: Ends,
    length: usize,
    /// The command, unless the place is free.
    entry: Option<&'static Entry>,
}

impl Slot {
    const FREE: Self = {
        let none = Ends { first: 0, last: 0 };
        Self { name: none, either: none, length: 0, entry: None }
    };

    fn of(entry: &'static Entry) -> Self {
        let name = entry.spec.name.as_bytes();
        let cases: Box<[u8]> =
            name.iter().map(|byte| if byte.is_ascii_lowercase() { 0x20 } else { 0 }).collect();
        Self {
            name: Ends::of(name),
            either: Ends::of(&cases),
            length: name.len(),
            entry: Some(entry),
        }
    }

    /// Whether `word` with these ends is the name, in any case.
    #[inline]
    fn is(&self, word: &[u8], ends: Ends) -> bool {
        let first = (ends.first ^ self.name.first) & !self.either.first;
        let last = (ends.last ^ self.name.last) & !self.either.last;
        if (first | last) != 0 || word.len() != self.length {
            return false;
        }
        // Of a long name, the middle lies between its ends.
        word.len() <= Ends::WHOLE_BYTES_MAX
            || self.entry.is_some_and(|entry| entry.spec.name.as_bytes().eq_ignore_ascii_case(word))
    }
}

/// The first and the last eight bytes of a word, as numbers; of a shorter one what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ends {
    first: u64,
    last: u64,
}

impl Ends {
    /// Words of up to this many bytes are all ends.
    const WHOLE_BYTES_MAX: usize = 16;

    #[inline]
    fn of(word: &[u8]) -> Self {
        if let (Some(first), Some(last)) = (word.first_chunk(), word.last_chunk()) {
            return Self { first: u64::from_le_bytes(*first), last: u64::from_le_bytes(*last) };
        }
        if let (Some(first), Some(last)) = (word.first_chunk(), word.last_chunk()) {
            let number = |half: &[u8; 4]| u64::from(u32::from_le_bytes(*half));
            return Self { first: number(first), last: number(last) };
        }
        let first = match *word {
            [a, b, c, ..] => u64::from_le_bytes([a, b, c, 0, 0, 0, 0, 0]),
            [a, b] => u64::from_le_bytes([a, b, 0, 0, 0, 0, 0, 0]),
            [a] => u64::from(a),
            [] => 0,
        };
        Self { first, last: 0 }
    }

    /// Where to begin to look for a name, whatever its case.
    #[inline]
    fn slot(self) -> usize {
        let mixed = (self.first | LOWER) ^ (self.last | LOWER).rotate_left(19);
        (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize % SLOTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_in_any_case_and_documented() {
        for entry in table().entries() {
            let name = entry.spec.name;
            assert_eq!(name, name.to_ascii_lowercase());
            let upper = name.to_ascii_uppercase();
            let found = table().command(upper.as_bytes()).map(|found| found.index);
            assert_eq!(found, Some(entry.index), "{name}");
            for documented in std::iter::once(entry).chain(&entry.subcommands) {
                let spec = documented.spec;
                assert!(!spec.summary.is_empty(), "{} has no summary", documented.full_name);
                assert!(!spec.group.is_empty(), "{} has no group", documented.full_name);
                assert!(spec.arity != 0, "{} has no arity", documented.full_name);
                assert!(
                    !spec.reply.is_empty() || !spec.subcommands.is_empty(),
                    "{} has no reply",
                    documented.full_name
                );
            }
        }
    }

    #[test]
    fn containers_find_their_subcommands() {
        let found = |first: &[u8], second: Option<&[u8]>| match table().find(first, second) {
            Found::Command(entry) => entry.full_name.to_string(),
            Found::UnknownSubcommand(entry) => format!("{}|?", entry.full_name),
            Found::Unknown => "?".to_string(),
        };
        assert_eq!(found(b"CLIENT", Some(b"SetName")), "client|setname");
        assert_eq!(found(b"client", Some(b"nonsense")), "client|?");
        assert_eq!(found(b"client", None), "client");
        assert_eq!(found(b"gett", None), "?");
        // Case is the letters' only: a bit that makes an upper case letter lower makes a full stop of
        // a control character.
        assert_eq!(found(b"session.get", None), "session.get");
        assert_eq!(found(b"session\x0eget", None), "?");
        assert_eq!(found(b"SESSION.revokeUSER", None), "session.revokeuser");
        assert_eq!(found(b"session.rXvokeuser", None), "?");
        assert_eq!(found(b"", None), "?");
    }
}
