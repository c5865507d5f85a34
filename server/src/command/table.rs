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
    super::session::COMMANDS,
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
    entries: Box<[Entry]>,
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
        let entries: Box<[Entry]> = rows
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
            .collect();
        let mut slots = vec![Slot::FREE; SLOTS].into_boxed_slice();
        assert!(entries.len() < SLOTS / 2, "the hash table must stay sparse");
        for (position, entry) in (1..).zip(&entries) {
            let name = Folded::of(entry.spec.name.as_bytes());
            let mut slot = name.slot();
            while slots[slot].position != 0 {
                slot = (slot + 1) % SLOTS;
            }
            slots[slot] = Slot { name, position };
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
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The command named `word`, in any case.
    #[inline]
    pub fn command(&self, word: &[u8]) -> Option<&Entry> {
        let name = Folded::of(word);
        let mut index = name.slot();
        loop {
            let slot = &self.slots[index % SLOTS];
            if slot.position == 0 {
                return None;
            }
            if slot.name == name {
                let entry = &self.entries[usize::from(slot.position) - 1];
                // GET, SET and DEL need no second look; for longer names a folded one may lie.
                if name.is_whole() || entry.spec.name.as_bytes().eq_ignore_ascii_case(word) {
                    return Some(entry);
                }
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
    name: Folded,
    /// The command's position in the entries, plus one; 0 is free.
    position: u16,
}

impl Slot {
    const FREE: Self = Self { name: Folded { first: 0, last: 0, length: 0 }, position: 0 };
}

/// A name without regard to case: its first and its last eight bytes, as numbers, and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Folded {
    first: u64,
    last: u64,
    length: usize,
}

impl Folded {
    #[inline]
    fn of(word: &[u8]) -> Self {
        let (first, last) = match *word {
            [a, b, c, d, e, f, g, h, ..] => {
                let last = word.last_chunk().map_or(0, |chunk| u64::from_le_bytes(*chunk));
                (u64::from_le_bytes([a, b, c, d, e, f, g, h]), last)
            }
            [a, b, c, d, ..] => {
                let last = word.last_chunk().map_or(0, |chunk| u32::from_le_bytes(*chunk));
                (u64::from(u32::from_le_bytes([a, b, c, d])), u64::from(last))
            }
            [a, b, c] => (u64::from_le_bytes([a, b, c, 0, 0, 0, 0, 0]), 0),
            [a, b] => (u64::from_le_bytes([a, b, 0, 0, 0, 0, 0, 0]), 0),
            [a] => (u64::from(a), 0),
            [] => (0, 0),
        };
        Self { first: first | LOWER, last: last | LOWER, length: word.len() }
    }

    /// Where to begin to look for it.
    #[inline]
    fn slot(&self) -> usize {
        let mixed = self.first.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ self.last.rotate_left(32).wrapping_mul(0xc2b2_ae3d_27d4_eb4f)
            ^ (self.length as u64).wrapping_mul(0x1656_67b1_9e37_79f9);
        (mixed >> 40) as usize % SLOTS
    }

    /// Whether words that fold to this are the same but for case: three letters, as the commands have
    /// that are used most.
    ///
    /// Setting the bit makes other signs alike, too, such as `@` and the back quote; but what
    /// becomes a letter by it has been one.
    #[inline]
    fn is_whole(&self) -> bool {
        let letter = |byte: u8| byte.is_ascii_lowercase();
        match self.first.to_le_bytes() {
            [a, b, c, _, ..] if self.length == 3 => letter(a) && letter(b) && letter(c),
            _ => false,
        }
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
        assert_eq!(found(b"", None), "?");
    }
}
