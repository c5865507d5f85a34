//! MULTI, EXEC, DISCARD, WATCH, UNWATCH. What they do is in [`crate::dispatch`], because a transaction
//! is a client's requests dispatched later.

use super::spec::{Categories, CommandSpec, Flags, KeyPositions, Run, Transacting};

const FREE: Flags = Flags::NOSCRIPT.with(Flags::LOADING).with(Flags::STALE);
const OPEN: Flags = FREE.with(Flags::FAST).with(Flags::ALLOW_BUSY);

/// What the rows have in common.
const ROW: CommandSpec = CommandSpec {
    flags: OPEN,
    categories: Categories::TRANSACTION,
    group: "transactions",
    reply: "OK",
    ..CommandSpec::ROW
};

/// The rows of this family.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "discard",
        summary: "Discards a transaction.",
        since: "2.0.0",
        complexity: "O(N), when N is the number of queued commands",
        run: Run::Transaction(Transacting::Discard),
        ..ROW
    },
    CommandSpec {
        name: "exec",
        flags: FREE.with(Flags::SKIP_SLOWLOG),
        summary: "Executes all commands in a transaction.",
        since: "1.2.0",
        complexity: "Depends on commands in the transaction",
        reply: "Array of the commands' replies, or null when a watched key has changed",
        difference: "In a cluster a watched key that changes while EXEC is on its way through the log, and has \
                     its old value and deadline again when EXEC is applied, counts as unchanged.",
        run: Run::Transaction(Transacting::Exec),
        ..ROW
    },
    CommandSpec {
        name: "multi",
        summary: "Starts a transaction.",
        since: "1.2.0",
        run: Run::Transaction(Transacting::Multi),
        ..ROW
    },
    CommandSpec {
        name: "unwatch",
        summary: "Forgets about watched keys of a transaction.",
        since: "2.2.0",
        run: Run::Transaction(Transacting::Unwatch),
        ..ROW
    },
    CommandSpec {
        name: "watch",
        arity: -2,
        keys: KeyPositions::ALL,
        syntax: "key [key ...]",
        summary: "Monitors changes to keys to determine the execution of a transaction.",
        since: "2.2.0",
        complexity: "O(1) for every key.",
        run: Run::Transaction(Transacting::Watch),
        ..ROW
    },
];
