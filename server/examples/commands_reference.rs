//! Prints the reference page of all commands: `docs/commands.md`.

fn main() {
    print!("{}", hallpass_server::command::reference::page());
}
