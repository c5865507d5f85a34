//! tower-sessions with its Redis store, as the middleware of an axum application; each request goes through the
//! whole application, only not over a socket.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Path;
use axum::http::{Request, StatusCode, header};
use axum::routing::get;
use tower::ServiceExt;
use tower_sessions::cookie::time::Duration;
use tower_sessions::{Expiry, Session, SessionManagerLayer};
use tower_sessions_redis_store::RedisStore;
use tower_sessions_redis_store::fred::prelude::*;

use crate::checks::{Checks, config};
use crate::walk::{self, Application, Reply};

#[derive(Clone)]
struct Axum(Router);

async fn login(session: Session, Path(user): Path<String>) {
    session.insert("user", user).await.expect("stored");
}

async fn me(session: Session) -> String {
    session.get("user").await.expect("loaded").unwrap_or_else(|| "-".into())
}

async fn visit(session: Session) -> String {
    let visits: u32 = session.get("visits").await.expect("loaded").unwrap_or(0) + 1;
    session.insert("visits", visits).await.expect("stored");
    visits.to_string()
}

async fn application(port: u16, seconds: i64) -> Axum {
    let pool = Pool::new(config(port), None, None, None, 2).expect("a pool");
    pool.init().await.expect("connections");
    let sessions = SessionManagerLayer::new(RedisStore::new(pool))
        .with_secure(false)
        .with_always_save(true)
        .with_expiry(Expiry::OnInactivity(Duration::seconds(seconds)));
    let router = Router::new()
        .route("/login/{user}", get(login))
        .route("/me", get(me))
        .route("/visit", get(visit))
        .route(
            "/regenerate",
            get(async |session: Session| session.cycle_id().await.expect("a new id")),
        )
        .route("/logout", get(async |session: Session| session.flush().await.expect("gone")))
        .layer(sessions);
    Axum(router)
}

impl Application for Axum {
    async fn ask(&self, path: &str, cookie: Option<&str>) -> Reply {
        let mut request = Request::get(path);
        if let Some(cookie) = cookie {
            request = request.header(header::COOKIE, cookie);
        }
        let response = self
            .0
            .clone()
            .oneshot(request.body(Body::empty()).expect("a request"))
            .await
            .expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        let cookie = response.headers().get(header::SET_COOKIE).map(|set| {
            let set = set.to_str().expect("text");
            set.split(';').next().unwrap_or_default().to_owned()
        });
        let body = to_bytes(response.into_body(), 1 << 20).await.expect("a body");
        Reply { body: String::from_utf8_lossy(&body).into_owned(), cookie }
    }
}

pub(crate) async fn run(checks: &mut Checks, port: u16) {
    for library in ["tower-sessions", "tower-sessions-redis-store", "axum"] {
        checks.library(library);
    }
    let (hour, brief) = (application(port, 3_600).await, application(port, 3).await);
    // A stored session is a list: its id, what is in it, when it ends.
    let rule = &["JSON", "/1/user", "DECODE", "msgpack"];
    walk::run(checks, hour, brief, rule, "alice").await;
}
