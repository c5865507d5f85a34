//! CONFIG REWRITE: brings the file up to date with what CONFIG SET changed, and leaves the rest alone.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;

use super::settings::{Kind, SETTINGS, Setting};
use super::{Config, file};

/// Writes the settings that differ from what the file says into the file, in place of the old one.
pub fn rewrite(path: &Path, config: &Config) -> io::Result<()> {
    let old = std::fs::read_to_string(path)?;
    let mut from_file = Config::default();
    file::read(path, &mut from_file).map_err(io::Error::other)?;
    let new = updated(&old, &from_file, config);
    // A crash leaves the old file or the new one, never half of one.
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = path.with_file_name(name);
    let mut output = std::fs::File::create(&temporary)?;
    output.write_all(new.as_bytes())?;
    output.sync_all()?;
    std::fs::rename(&temporary, path)
}

/// `text` with the lines of all settings replaced whose value in `config` is not that in `from_file`;
/// settings without a line get one at the top.
fn updated(text: &str, from_file: &Config, config: &Config) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut added = Vec::new();
    let changed = SETTINGS
        .iter()
        .filter(|setting| setting.mutable && setting.show(from_file) != setting.show(config));
    for setting in changed {
        let line = format!("{} = {}", setting.name, as_toml(setting, config));
        let is_own = |old: &&mut String| {
            old.split_once('=').is_some_and(|(key, _)| key.trim().trim_matches('"') == setting.name)
        };
        match lines.iter_mut().find(is_own) {
            Some(old) => *old = line,
            None => added.push(line),
        }
    }
    added.extend(lines);
    added.join("\n") + "\n"
}

fn as_toml(setting: &Setting, config: &Config) -> String {
    let value = setting.show(config);
    match setting.kind {
        Kind::Number(..) | Kind::Signed(..) => value,
        Kind::Boolean(_) => if value == "yes" { "true" } else { "false" }.to_owned(),
        // A size may be larger than a TOML integer, so it is text like the others.
        _ => toml_text(&value),
    }
}

fn toml_text(value: &str) -> String {
    let mut text = String::from("\"");
    for letter in value.chars() {
        match letter {
            '"' | '\\' => text.extend(['\\', letter]),
            letter if letter.is_control() => {
                // Writing to a String cannot fail.
                let _ = write!(text, "\\u{:04x}", u32::from(letter));
            }
            letter => text.push(letter),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_settings_are_written_and_the_rest_stays() {
        let text = "# ours\nport = 7000\ntimeout = 5 # seconds\n";
        let from_file = Config { port: 7000, timeout: 5, ..Config::default() };
        let config = Config {
            timeout: 9,
            requirepass: "a\"b\n".into(),
            maxmemory: 1 << 20,
            ..from_file.clone()
        };
        let new = updated(text, &from_file, &config);
        assert_eq!(
            new,
            "requirepass = \"a\\\"b\\u000a\"\nmaxmemory = \"1048576\"\n# ours\nport = 7000\ntimeout = 9\n"
        );
        let mut read = Config::default();
        file::parse(&new, "test", &mut read).unwrap();
        assert_eq!(read, config);
    }
}
