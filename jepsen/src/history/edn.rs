//! Histories as EDN, the notation that Jepsen's own tools (Knossos, Elle) read. Written only.

use std::fmt::Write as _;
use std::io::Write;

use anyhow::Result;
use serde_json::Value;

use super::{History, NEMESIS, Op, Process};

/// Writes a history, one map a line.
pub fn write(history: &History, output: &mut impl Write) -> Result<()> {
    for op in &history.ops {
        writeln!(output, "{}", line(op))?;
    }
    Ok(())
}

fn line(op: &Op) -> String {
    let process = match op.process {
        NEMESIS => ":nemesis".to_owned(),
        Process::Client(number) => number.to_string(),
    };
    let kind = format!("{:?}", op.kind).to_lowercase();
    let mut line = format!(
        "{{:index {}, :time {}, :process {process}, :type :{kind}, :f :{}, :value ",
        op.index, op.time, op.f
    );
    value(&op.value, &mut line);
    // Writing to a string cannot fail.
    let _written = write!(line, ", :node {}", op.node);
    if let Some(error) = &op.error {
        line.push_str(", :error ");
        value(&Value::String(error.clone()), &mut line);
    }
    line.push('}');
    line
}

fn value(value_of: &Value, out: &mut String) {
    match value_of {
        Value::Null => out.push_str("nil"),
        Value::Array(items) => {
            out.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push(' ');
                }
                value(item, out);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            out.push('{');
            for (place, (name, field)) in fields.iter().enumerate() {
                if place > 0 {
                    out.push_str(", ");
                }
                out.push(':');
                out.push_str(name);
                out.push(' ');
                value(field, out);
            }
            out.push('}');
        }
        // Strings, numbers and booleans are written alike in both; JSON's \u escapes are EDN's.
        other => out.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;

    #[test]
    fn a_line_is_a_map_with_keywords() {
        let op = Op {
            index: 7,
            time: 12,
            process: Process::Client(3),
            kind: Kind::Info,
            f: "save".into(),
            value: serde_json::json!(["k", null, {"data": "a\"b", "live": true}]),
            node: 2,
            error: Some("timed out".into()),
        };
        let expected = "{:index 7, :time 12, :process 3, :type :info, :f :save, \
                        :value [\"k\" nil {:data \"a\\\"b\", :live true}], :node 2, :error \"timed out\"}";
        assert_eq!(line(&op), expected);
        assert!(line(&Op { process: NEMESIS, ..op }).contains(":process :nemesis"));
    }
}
