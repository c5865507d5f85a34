//! The session stores of Rust programs against a server: `hallpass-client-tests fred|tower|actix PORT`.
//!
//! Prints the versions of the libraries, a line for each check, and "N passed, N failed" at the end. Each check is
//! awaited as a task of its own, so that a panic fails it and no other.

mod actix;
mod checks;
mod fred;
mod tower;
mod walk;

use checks::Checks;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let library = arguments.next().expect("a library");
    let port = arguments.next().expect("a port").parse().expect("a number");
    // actix-web's servers want its own runtime, which is one of Tokio on this thread.
    let all_passed = actix_web::rt::System::new().block_on(async move {
        let mut checks = Checks::new(port).await;
        match library.as_str() {
            "fred" => fred::run(&mut checks, port).await,
            "tower" => tower::run(&mut checks, port).await,
            "actix" => actix::run(&mut checks, port).await,
            _ => panic!("no library is called {library}"),
        }
        checks.finish()
    });
    std::process::exit(i32::from(!all_passed));
}
