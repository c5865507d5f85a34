//! The command line: flags become settings, through the same rows as everything else.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::{Arg, Parser};

use super::settings::{Kind, SETTINGS, Setting};
use super::{Config, ConfigError, file};

/// What the command line asks for.
#[derive(Debug)]
pub enum Invocation {
    /// Serve with this configuration.
    Serve(Box<Config>),
    /// Print this text and end.
    Print(String),
}

/// Reads the arguments behind the program's name, and the file that `--config` names.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, ConfigError> {
    let mut parser = Parser::from_args(arguments);
    let mut path: Option<PathBuf> = None;
    let mut given: Vec<(&'static Setting, String)> = Vec::new();
    let wrong = |error: lexopt::Error| ConfigError::Flag(error.to_string());
    while let Some(argument) = parser.next().map_err(wrong)? {
        match argument {
            Arg::Long("help") | Arg::Short('h') => return Ok(Invocation::Print(help())),
            Arg::Long("version") | Arg::Short('V') => {
                return Ok(Invocation::Print(
                    concat!("hallpass ", env!("CARGO_PKG_VERSION"), "\n").into(),
                ));
            }
            Arg::Long("config") => path = Some(parser.value().map_err(wrong)?.into()),
            Arg::Long(name) => match Setting::find(name).filter(|setting| is_flag(setting)) {
                Some(setting) => {
                    let value = parser.value().map_err(wrong)?;
                    let text = value.into_string().map_err(|value| {
                        ConfigError::Flag(format!(
                            "--{}: '{}' is not text",
                            setting.name,
                            value.display()
                        ))
                    })?;
                    given.push((setting, text));
                }
                None => {
                    return Err(ConfigError::Flag(unknown(&format!("--{name}"), name, "--")));
                }
            },
            other => return Err(wrong(other.unexpected())),
        }
    }
    let mut config = Config::default();
    if let Some(path) = path {
        file::read(&path, &mut config)?;
    }
    for (setting, text) in given {
        setting.set(&mut config, &text).map_err(|message| ConfigError::Value {
            place: format!("--{} {text}", setting.name),
            message,
        })?;
    }
    config.check()?;
    Ok(Invocation::Serve(Box::new(config)))
}

/// Says that `shown` does not exist, and which name comes closest.
pub(super) fn unknown(shown: &str, name: &str, prefix: &str) -> String {
    let closest = SETTINGS
        .iter()
        .filter(|setting| is_flag(setting))
        .map(|setting| (distance(setting.name.as_bytes(), name.as_bytes()), setting.name))
        .min();
    match closest {
        // Beyond half of its letters wrong, a guess is no help.
        Some((edits, closest)) if edits <= name.len() / 2 => {
            format!("there is no {shown}; did you mean {prefix}{closest}?")
        }
        _ => format!("there is no {shown}"),
    }
}

/// Whether a setting can be set at all.
pub(super) fn is_flag(setting: &Setting) -> bool {
    !matches!(setting.kind, Kind::Shown)
}

/// How many letters have to be changed, added or taken away to make `a` of `b` (Levenshtein).
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replace = diagonal + usize::from(!from.eq_ignore_ascii_case(to));
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// The text of `--help`, from the table.
fn help() -> String {
    let mut lines = vec![
        "Hallpass: a session store that speaks the Redis protocol.\n".to_owned(),
        "Usage: hallpass-server [--config FILE] [FLAG VALUE]...\n".to_owned(),
    ];
    let mut line = |left: &str, right: &str| lines.push(format!("  {left:<42} {right}"));
    line("--config FILE", "TOML file with the keys below, without the dashes");
    for setting in SETTINGS.iter().filter(|setting| is_flag(setting)) {
        let left = format!("--{} {}", setting.name, setting.value_name);
        let default = if setting.default.is_empty() {
            String::new()
        } else {
            format!(" [{}]", setting.default)
        };
        line(&left, &format!("{}{default}", setting.doc));
    }
    line("-h, --help", "print this");
    line("-V, --version", "print the version");
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Invocation, String> {
        parse(arguments.iter().map(OsString::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn flags_set_what_the_table_says() {
        let Ok(Invocation::Serve(config)) = parsed(&["--port", "7000", "--maxmemory=1gb"]) else {
            panic!("refused")
        };
        assert_eq!((config.port, config.maxmemory), (7000, 1 << 30));
    }

    #[test]
    fn bad_flags_are_one_clear_line() {
        for (arguments, expected) in [
            (
                &["--prot", "1"][..],
                "there is no --prot; did you mean --port?; --help lists the flags",
            ),
            (&["--port"], "missing argument for option '--port'; --help lists the flags"),
            (&["--port", "x"], "--port x: argument couldn't be parsed into an integer"),
            (&["--shards", "3"], "shards: argument must be a power of two"),
            (&["--databases", "1"], "there is no --databases; --help lists the flags"),
        ] {
            assert_eq!(parsed(arguments).unwrap_err(), expected);
        }
    }

    #[test]
    fn help_lists_every_flag() {
        let Ok(Invocation::Print(text)) = parsed(&["--help"]) else { panic!("no help") };
        for setting in SETTINGS.iter().filter(|setting| is_flag(setting)) {
            assert!(text.contains(&format!("--{} ", setting.name)), "{}", setting.name);
        }
    }
}
