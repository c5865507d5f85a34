//! Users as registers: how a change of one reaches every node, and outlives each.
//!
//! A user that ACL SETUSER has touched is the register `acl/user/<name>`, whose value is the line of rules
//! that ACL LIST shows; an empty one stands for a user of the configuration that was deleted. The users of
//! a node are those of its configuration and its ACL file, and over them the registers. So every node of a
//! cluster should have the same file, and what was changed since goes before it.

use hallpass_engine::{Op, RegisterChange, Registers};

use super::{Acl, User, Users};
use crate::state::ServerState;

/// What the names of users' registers begin with.
const PREFIX: &[u8] = b"acl/user/";

/// Makes the users anew if registers have changed.
pub(crate) fn follow(server: &ServerState) {
    let configured = server.acl.configured.lock();
    let registers = server.engine.registers();
    let users = combine(&configured, &registers);
    Acl::install(server, users);
}

/// Changes the users of the configuration, below what registers say.
pub(crate) fn reconfigure(server: &ServerState, change: impl FnOnce(&mut Users)) {
    change(&mut server.acl.configured.lock());
    follow(server);
}

fn combine(configured: &Users, registers: &Registers) -> Users {
    let mut users = configured.clone();
    users.version = registers.version();
    for (name, rules) in registers.under(PREFIX) {
        if rules.is_empty() {
            users.remove(name);
            continue;
        }
        let user = User::parse(name, rules, false).unwrap_or_else(|error| {
            // By a later version of this program: whom it cannot understand it lets do nothing.
            let name = String::from_utf8_lossy(name);
            crate::log::line(format_args!("user {name}: {error}"));
            User::new(name.as_bytes(), false)
        });
        users.insert(user);
    }
    users
}

/// The op that gives a user these rules, if the users are still these.
pub(crate) fn set<'a>(users: &Users, user: &User) -> Op<'a> {
    op(users, vec![(name_of(&user.name).into(), Some(user.describe().into()))])
}

/// The op that deletes users, if the users are still these; its outcome counts those there were.
pub(crate) fn delete<'a>(server: &ServerState, users: &Users, names: &[&[u8]]) -> Op<'a> {
    let configured = server.acl.configured.lock();
    let mut changes: Vec<RegisterChange<'a>> = Vec::new();
    for name in names {
        let register = name_of(name);
        if users.get(name).is_some() && changes.iter().all(|(known, _)| **known != *register) {
            let value = configured.get(name).map(|_| Vec::new().into());
            changes.push((register.into(), value));
        }
    }
    op(users, changes)
}

/// The op that forgets all changes, so that the configuration counts again.
pub(crate) fn forget<'a>(registers: &Registers) -> Op<'a> {
    let changes = registers.under(PREFIX).map(|(name, _)| (name_of(name).into(), None)).collect();
    Op::Registers { seen: None, changes }
}

fn op<'a>(users: &Users, changes: Vec<RegisterChange<'a>>) -> Op<'a> {
    Op::Registers { seen: Some(users.version), changes }
}

fn name_of(user: &[u8]) -> Vec<u8> {
    [PREFIX, user].concat()
}
