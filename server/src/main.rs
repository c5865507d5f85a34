//! The binary: reads the command line, starts a server, waits for a signal, stops it.

use std::process::ExitCode;

use hallpass_server::Server;
use hallpass_server::config::Config;
use hallpass_server::config::arguments::{Invocation, parse};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

/// The exit code for a bad flag, file or value, a port in use, or a disk that is full or fails.
const EXIT_FAILURE: u8 = 2;

fn main() -> ExitCode {
    let config = match parse(std::env::args_os().skip(1)) {
        Ok(Invocation::Serve(config)) => *config,
        Ok(Invocation::Print(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(error) => return refuse(&error),
    };
    match serve(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(&*error),
    }
}

fn refuse(error: &(impl std::fmt::Display + ?Sized)) -> ExitCode {
    eprintln!("hallpass-server: {error}");
    ExitCode::from(EXIT_FAILURE)
}

fn serve(config: Config) -> Result<(), Box<dyn std::error::Error>> {
    // Signals are asked for before the ports open: whoever sees the server can stop it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _guard = runtime.enter();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    raise_descriptor_limit();
    let server = Server::start(config)?;
    greet(&server);
    let reason = runtime.block_on(async {
        loop {
            tokio::select! {
                _ = terminate.recv() => break "SIGTERM",
                _ = interrupt.recv() => break "SIGINT",
                () = server.state().shutdown.wait() => break "SHUTDOWN",
                _ = hangup.recv() => reload(&server),
            }
        }
    });
    let state = std::sync::Arc::clone(server.state());
    let reason = if state.failure.get().is_some() { "the cluster cannot go on" } else { reason };
    hallpass_server::log::line(format_args!("stopping: {reason}"));
    server.shutdown();
    hallpass_server::log::line(format_args!("stopped"));
    match state.failure.get() {
        Some(failure) => Err(failure.clone().into()),
        None => Ok(()),
    }
}

/// SIGHUP: certificates that were renewed in place.
fn reload(server: &Server) {
    match server.reload_certificates() {
        Ok(()) => hallpass_server::log::line(format_args!("SIGHUP: certificates were read again")),
        Err(error) => {
            hallpass_server::log::line(format_args!("SIGHUP: all stays as it was: {error}"));
        }
    }
}

/// Takes as many open files as the system lets this process have: the usual 1024 would turn clients away
/// long before `maxclients` does. The system's own maximum stays; a refusal leaves all as it was.
fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        hallpass_server::log::line(format_args!("the limit of open files stays: {error}"));
    }
}

/// Three lines to try.
fn greet(server: &Server) {
    let mut places: Vec<String> = server.addresses().iter().map(ToString::to_string).collect();
    places.extend(server.tls_addresses().iter().map(|address| format!("{address} (TLS)")));
    places.extend(server.unix_socket().map(|path| path.display().to_string()));
    hallpass_server::log::line(format_args!(
        "hallpass {} listens on {}",
        env!("CARGO_PKG_VERSION"),
        places.join(" ")
    ));
    let way = match (server.addresses(), server.unix_socket(), server.tls_addresses()) {
        ([address, ..], ..) => format!("-p {}", address.port()),
        (_, Some(path), _) => format!("-s {}", path.display()),
        (_, _, [address, ..]) => format!("--tls -p {}", address.port()),
        _ => return,
    };
    println!("Try:  redis-cli {way} PING");
    println!("      redis-cli {way} SESSION.CREATE alice IDLE 1800 LIFETIME 86400");
    println!("      redis-cli {way} SESSION.LIST alice      (README.md has the whole tour)");
}
