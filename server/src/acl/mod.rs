//! Access control: users, what each may do, and what was refused.
//!
//! All users are one [`Users`] value, replaced as a whole. A client holds its own [`User`] and takes the
//! new one when the settings' generation has moved, which a connection looks at before each batch anyway;
//! so a client that may do everything, as all may without a configuration, costs nothing to check. Dispatch
//! asks [`User::check`] for the others, and scripts for each command they call.
//!
//! What Redis calls selectors is left out.

mod check;
pub mod file;
pub mod log;
pub(crate) mod registers;
mod rule;
mod user;

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

pub use self::check::Denied;
pub use self::rule::{RuleError, has_spaces};
pub use self::user::{Access, DEFAULT_USER, User, hexadecimal};
use crate::client::ClientShared;
use crate::config::Config;
use crate::state::ServerState;

/// All users by name, in the order of their bytes. There is always a default user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Users {
    /// The version of the registers they are made of.
    version: u64,
    map: BTreeMap<Box<[u8]>, Arc<User>>,
}

impl Users {
    /// The default user alone, with this password.
    pub fn new(password: &str) -> Self {
        let mut user = User::unrestricted();
        user.set_password(password);
        let mut users = Self { version: 0, map: BTreeMap::new() };
        users.insert(user);
        users
    }

    /// The user of this name.
    pub fn get(&self, name: &[u8]) -> Option<&Arc<User>> {
        self.map.get(name)
    }

    /// The user of clients that have said no name.
    pub fn default_user(&self) -> &Arc<User> {
        match self.map.get(DEFAULT_USER) {
            Some(user) => user,
            None => unreachable!("the default user is never removed"),
        }
    }

    /// Adds a user, or replaces the one of this name.
    pub fn insert(&mut self, user: User) {
        self.map.insert(user.name.clone(), Arc::new(user));
    }

    /// Removes a user; whether there was one. The default user stays.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        name != DEFAULT_USER && self.map.remove(name).is_some()
    }

    /// All users in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<User>> {
        self.map.values()
    }
}

/// The users of a server.
#[derive(Debug)]
pub struct Acl {
    users: RwLock<Arc<Users>>,
    /// Those of the configuration, which registers change. Held while they are.
    configured: Mutex<Users>,
    /// ACL LOG.
    pub log: log::Log,
}

impl Acl {
    /// The default user alone, as configured.
    pub fn new(config: &Config) -> Self {
        let users = Users::new(&config.requirepass);
        Self {
            configured: Mutex::new(users.clone()),
            users: RwLock::new(Arc::new(users)),
            log: log::Log::default(),
        }
    }

    /// Sets the users that a server begins with.
    pub(crate) fn begin_with(&self, users: Users) {
        *self.configured.lock() = users.clone();
        *self.users.write() = Arc::new(users);
    }

    /// All users as they are now.
    pub fn users(&self) -> Arc<Users> {
        Arc::clone(&self.users.read())
    }

    /// Replaces the users in one step. Then clients whose user is gone are closed, and subscribers that
    /// listen to what their user may not hear any more.
    fn install(server: &ServerState, new: Users) {
        let new = Arc::new(new);
        let old = std::mem::replace(&mut *server.acl.users.write(), Arc::clone(&new));
        server.settings.announce();
        close_clients(server, &old, &new);
    }
}

/// Closes the clients that the difference concerns.
fn close_clients(server: &ServerState, old: &Users, new: &Users) {
    if old.map == new.map {
        return;
    }
    let narrowed = |name: &[u8]| {
        let user = new.get(name)?;
        let before = old.get(name).map(|user| &user.channels);
        (!user.channels.all && before != Some(&user.channels)).then_some(user)
    };
    let clients = server.clients.list();
    for client in &clients {
        if new.get(&client.names.lock().user).is_none() {
            client.kill();
        }
    }
    if new.iter().all(|user| narrowed(&user.name).is_none()) {
        return;
    }
    server.pubsub.for_each_subscription(|client: &ClientShared, name, is_pattern| {
        let user = client.names.lock().user.clone();
        if narrowed(&user).is_some_and(|user| !user.may_hear(name, is_pattern)) {
            client.kill();
        }
    });
}

#[cfg(test)]
mod tests;
