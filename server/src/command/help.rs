//! The texts of the HELP subcommands, in Redis' frame.

use crate::resp::reply::Reply;

/// Writes the help of container `name`: a first line, `lines`, and the line about HELP itself.
pub(super) fn write(reply: &mut Reply<'_>, name: &str, lines: &[&str]) {
    reply.array(lines.len() + 3);
    reply.simple(&format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for line in lines {
        reply.simple(line);
    }
    reply.simple("HELP");
    reply.simple("    Prints this help.");
}
