//! actix-session with its Redis store, as the middleware of an actix-web server, over HTTP.

use actix_session::config::{PersistentSession, TtlExtensionPolicy};
use actix_session::storage::RedisSessionStore;
use actix_session::{Session, SessionMiddleware};
use actix_web::cookie::Key;
use actix_web::cookie::time::Duration;
use actix_web::{App, HttpServer, web};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::checks::Checks;
use crate::walk::{self, Application, Reply};

#[derive(Clone)]
struct Actix {
    port: u16,
}

async fn login(session: Session, user: web::Path<String>) -> String {
    session.insert("user", user.into_inner()).expect("written down");
    String::new()
}

async fn me(session: Session) -> String {
    session.get("user").expect("readable").unwrap_or_else(|| "-".into())
}

async fn visit(session: Session) -> String {
    let visits: u32 = session.get("visits").expect("readable").unwrap_or(0) + 1;
    session.insert("visits", visits).expect("written down");
    visits.to_string()
}

async fn regenerate(session: Session) -> String {
    session.renew();
    String::new()
}

async fn logout(session: Session) -> String {
    session.purge();
    String::new()
}

async fn application(redis_port: u16, seconds: i64) -> Actix {
    let store =
        RedisSessionStore::new(format!("redis://127.0.0.1:{redis_port}")).await.expect("a store");
    let server = HttpServer::new(move || {
        let lifecycle = PersistentSession::default()
            .session_ttl(Duration::seconds(seconds))
            .session_ttl_extension_policy(TtlExtensionPolicy::OnEveryRequest);
        let sessions = SessionMiddleware::builder(store.clone(), Key::from(&[7; 64]))
            .cookie_secure(false)
            .session_lifecycle(lifecycle)
            .build();
        App::new()
            .wrap(sessions)
            .route("/login/{user}", web::get().to(login))
            .route("/me", web::get().to(me))
            .route("/visit", web::get().to(visit))
            .route("/regenerate", web::get().to(regenerate))
            .route("/logout", web::get().to(logout))
    });
    let server = server.workers(1).disable_signals().bind(("127.0.0.1", 0)).expect("a port");
    let port = server.addrs()[0].port();
    actix_web::rt::spawn(server.run());
    Actix { port }
}

impl Application for Actix {
    async fn ask(&self, path: &str, cookie: Option<&str>) -> Reply {
        let mut connection =
            TcpStream::connect(("127.0.0.1", self.port)).await.expect("a connection");
        let cookie = cookie.map_or(String::new(), |cookie| format!("Cookie: {cookie}\r\n"));
        let request = format!("GET {path} HTTP/1.0\r\n{cookie}\r\n");
        connection.write_all(request.as_bytes()).await.expect("sent");
        let mut response = String::new();
        connection.read_to_string(&mut response).await.expect("an answer");
        let (head, body) = response.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.lines().next().unwrap_or_default().ends_with(" 200 OK"), "{response}");
        let cookie = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            let set = name.eq_ignore_ascii_case("set-cookie").then_some(value)?;
            set.split(';').next().map(str::to_owned)
        });
        Reply { body: body.to_owned(), cookie }
    }
}

pub(crate) async fn run(checks: &mut Checks, port: u16) {
    for library in ["actix-session", "actix-web"] {
        checks.library(library);
    }
    let (hour, brief) = (application(port, 3_600).await, application(port, 3).await);
    // Each value of a session is JSON inside of JSON, so that the user's name has its quotation marks.
    walk::run(checks, hour, brief, &["JSON", "/user"], "\"alice\"").await;
}
