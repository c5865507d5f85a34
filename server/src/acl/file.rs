//! The ACL file: a line `user <name> <rules>` for each user.
//!
//! A file is read as a whole or not at all, and replaced as a whole: after a crash there is the old one or
//! the new one. Comments are refused, as in Redis: they would be lost with the next ACL SAVE.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;

use super::{DEFAULT_USER, User, Users, has_spaces};
use crate::config::Config;

/// Reads the users of the file that the settings name. A file without a default user leaves it as
/// `requirepass` has it. The error is one line, in Redis' words, which names each bad line.
pub fn load(config: &Config) -> Result<Users, String> {
    let path = &config.aclfile;
    let text = std::fs::read(path)
        .map_err(|error| format!("Error loading ACLs, opening file '{path}': {error}"))?;
    parse(&text, path, config)
}

/// Reads the lines of a file that is called `path` in errors.
fn parse(text: &[u8], path: &str, config: &Config) -> Result<Users, String> {
    let mut users = Users::new(&config.requirepass);
    let mut names: Vec<&[u8]> = Vec::new();
    let mut errors = String::new();
    for (at, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let number = at + 1;
        // Writing to a String cannot fail.
        let mut wrong = |text: std::fmt::Arguments<'_>| {
            let _ = errors.write_fmt(text);
        };
        let mut words = line.split(|byte| *byte == b' ').map(<[u8]>::trim_ascii);
        let (first, name) = (words.next(), words.next());
        let Some(name) = name.filter(|_| first == Some(b"user")) else {
            wrong(format_args!(
                "{path}:{number} should start with user keyword followed by the username. "
            ));
            continue;
        };
        let shown = String::from_utf8_lossy(name);
        if has_spaces(name) {
            wrong(format_args!(
                "'{path}:{number}: username '{shown}' contains invalid characters. "
            ));
            continue;
        }
        if names.contains(&name) {
            wrong(format_args!("WARNING: Duplicate user '{shown}' found on line {number}. "));
            continue;
        }
        names.push(name);
        let mut user = User::new(name, config.acl_allows_channels());
        for rule in words {
            if let Err(error) = user.apply(rule, config.acl_allows_channels()) {
                wrong(format_args!("{path}:{number}: {error}. "));
            }
        }
        users.insert(user);
    }
    if errors.is_empty() {
        return Ok(users);
    }
    errors.push_str(
        "WARNING: ACL errors detected, no change to the previously active ACL rules was performed",
    );
    Err(errors)
}

/// Writes the users in place of what the file held.
pub fn save(path: &str, users: &Users) -> io::Result<()> {
    let mut text = Vec::new();
    for user in users.iter() {
        text.extend_from_slice(&[b"user ", &*user.name, b" ", &user.describe(), b"\n"].concat());
    }
    let path = Path::new(path);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = path.with_file_name(name);
    let mut file = std::fs::File::create(&temporary)?;
    file.write_all(&text)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    // The new name has to be on disk as well.
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    std::fs::File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

/// The users that the settings describe.
pub fn configured(config: &Config) -> Result<Users, String> {
    let mut users =
        if config.aclfile.is_empty() { Users::new(&config.requirepass) } else { load(config)? };
    for (name, rules) in &config.users {
        let name = name.as_bytes();
        let user = User::parse(name, rules.as_bytes(), config.acl_allows_channels());
        users.insert(
            user.map_err(|error| format!("user {}: {error}", String::from_utf8_lossy(name)))?,
        );
    }
    debug_assert!(users.get(DEFAULT_USER).is_some());
    Ok(users)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_line_is_named_and_nothing_is_read() {
        let config = Config::default();
        let read = |text: &str| parse(text.as_bytes(), "users.acl", &config);
        let users = read("user alice on nopass ~a* +get\r\n\n  user bob off\n").unwrap();
        assert_eq!(users.iter().len(), 3, "with the default user");
        let tail = "WARNING: ACL errors detected, no change to the previously active ACL rules was performed";
        for (text, error) in [
            ("user a on\nuser b +nope\n", "users.acl:2: Unknown command or category name in ACL. "),
            ("# ours\n", "users.acl:1 should start with user keyword followed by the username. "),
            ("user a\nuser a\n", "WARNING: Duplicate user 'a' found on line 2. "),
        ] {
            assert_eq!(read(text).unwrap_err(), format!("{error}{tail}"));
        }
    }
}
