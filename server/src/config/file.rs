//! The configuration file: TOML with the settings' names as keys.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::acl::{User, has_spaces};

use super::arguments::{is_flag, unknown};
use super::settings::Setting;
use super::{Config, ConfigError, index};

/// Reads a file into `config`. Errors name file and line.
pub fn read(path: &Path, config: &mut Config) -> Result<(), ConfigError> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: shown.clone(), source })?;
    parse(&text, &shown, config)?;
    config.file = Some(path.to_owned());
    Ok(())
}

pub(super) fn parse(text: &str, path: &str, config: &mut Config) -> Result<(), ConfigError> {
    let wrong = |at: usize, message: String| {
        let line = text[..at].matches('\n').count() + 1;
        ConfigError::Value { place: format!("{path}:{line}"), message }
    };
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        wrong(at, error.message().replace('\n', ", "))
    })?;
    for (key, value) in table.get_ref() {
        let name: &str = key.get_ref();
        if name == "index" {
            let rules = index::rules(value.get_ref());
            config.index = rules.map_err(|message| wrong(value.span().start, message))?;
            continue;
        }
        if name == "user" {
            read_users(value, config).map_err(|(at, message)| wrong(at, message))?;
            continue;
        }
        let Some(setting) = Setting::find(name).filter(|setting| is_flag(setting)) else {
            return Err(wrong(key.span().start, unknown(&format!("setting '{name}'"), name, "")));
        };
        let at = value.span().start;
        let value = plain(value.get_ref())
            .ok_or_else(|| wrong(at, format!("{name}: a number, yes or no, or text is needed")))?;
        setting.set(config, &value).map_err(|message| wrong(at, format!("{name}: {message}")))?;
    }
    Ok(())
}

/// Reads the tables `[[user]]`; an error comes with its place.
fn read_users(value: &Spanned<DeValue<'_>>, config: &mut Config) -> Result<(), (usize, String)> {
    let at = value.span().start;
    let DeValue::Array(tables) = value.get_ref() else {
        return Err((at, "user: a table [[user]] is needed".to_owned()));
    };
    for table in tables {
        let at = table.span().start;
        let DeValue::Table(fields) = table.get_ref() else {
            return Err((at, "user: a table [[user]] is needed".to_owned()));
        };
        let (mut name, mut rules) = (None, String::new());
        for (key, value) in fields {
            let text = plain(value.get_ref());
            let text = text.ok_or((value.span().start, "user: text is needed".to_owned()))?;
            match &**key.get_ref() {
                "name" => name = Some(text),
                "rules" => rules = text,
                other => return Err((key.span().start, format!("user: there is no '{other}'"))),
            }
        }
        let name = name.ok_or((at, "user: a name is needed".to_owned()))?;
        if has_spaces(name.as_bytes()) || config.users.iter().any(|(known, _)| *known == name) {
            return Err((at, format!("user: the name '{name}' is taken or has spaces")));
        }
        User::parse(name.as_bytes(), rules.as_bytes(), false)
            .map_err(|error| (at, format!("user {name}: {error}")))?;
        config.users.push((name, rules));
    }
    Ok(())
}

/// A value as a flag would give it; an array of texts as its words.
fn plain(value: &DeValue<'_>) -> Option<String> {
    Some(match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).ok()?.to_string()
        }
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Array(values) => {
            let words: Option<Vec<String>> =
                values.iter().map(|value| plain(value.get_ref())).collect();
            words?.join(" ")
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Config, String> {
        let mut config = Config::default();
        parse(text, "h.toml", &mut config).map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[test]
    fn keys_are_the_settings_names() {
        let config = parsed(
            "port = 7_000\nmaxmemory = \"64mb\"\nsession-import = true\nbind = [\"::1\", \"127.0.0.1\"]\n",
        )
        .unwrap();
        assert_eq!((config.port, config.maxmemory), (7000, 64 << 20));
        assert!(config.session_import);
        assert_eq!(config.bind, "::1 127.0.0.1");
    }

    #[test]
    fn rules_are_tables() {
        let config = parsed(concat!(
            "port = 1\n[[index]]\nkeys = \"sess:*\"\nuser = { json = \"/passport/user\" }\n",
            "[[index]]\nname = \"spring\"\nkeys = \"spring:*\"\nresurrection-fence = 500\n",
            "fence-reply = \"error\"\nuser = { hash-field = \"p\", decode = [\"java-string\"] }\n",
        ));
        let rules = config.unwrap().index;
        assert_eq!(rules[0].name, b"sess:*");
        assert_eq!(rules[0].source.pointer.as_deref(), Some(&b"/passport/user"[..]));
        assert_eq!((rules[1].name.as_slice(), rules[1].fence_millis), (&b"spring"[..], 500));
        assert_eq!(rules[1].source.decoders, [hallpass_engine::Decoder::JavaString]);
        for (text, expected) in [
            ("[[index]]\nkeys = \"a\"\n", "index: a rule needs a user"),
            ("[[index]]\nkeys = 5\n", "index: 'keys' is no part of a rule, or not such a value"),
            ("[[index]]\nkeys = \"\"\nuser = { value = true }\n", "index: a rule has a name"),
        ] {
            let error = parsed(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn users_stand_in_tables() {
        let users = |text: &str| parsed(text).map(|config| config.users);
        let alice = ("alice".to_owned(), "on >a ~a:* +@read".to_owned());
        let text = "port = 1\n[[user]]\nname = \"alice\"\nrules = \"on >a ~a:* +@read\"\n";
        assert_eq!(users(text), Ok(vec![alice.clone()]));
        let text = "[[user]]\nname = \"alice\"\nrules = [\"on\", \">a\", \"~a:*\", \"+@read\"]\n";
        assert_eq!(users(text), Ok(vec![alice]));
        let unknown = "[[user]]\nname = \"a\"\nrules = \"+nope\"\n";
        let error = "h.toml:1: user a: Unknown command or category name in ACL";
        assert_eq!(users(unknown), Err(error.to_owned()));
    }

    #[test]
    fn errors_name_the_line() {
        for (text, expected) in [
            (
                "port = 1\nmaxmemry = 1\n",
                "h.toml:2: there is no setting 'maxmemry'; did you mean maxmemory?",
            ),
            ("\n\nport = \"x\"", "h.toml:3: port: argument couldn't be parsed into an integer"),
            ("port = 1.5", "h.toml:1: port: a number, yes or no, or text is needed"),
            ("[port]\n", "h.toml:1: port: a number, yes or no, or text is needed"),
        ] {
            assert_eq!(parsed(text).unwrap_err(), expected);
        }
        assert!(parsed("port = \nbind = 1").unwrap_err().starts_with("h.toml:1: "));
    }
}
