//! What a person does in a web application with sessions, for any application that has these routes: /login/NAME, /me,
//! /visit (counts in the session), /regenerate and /logout, each answered in plain text.

use fred::prelude::*;

use crate::checks::{Checks, call, eventually};

/// An answer: its body, and the cookie it sets, as `name=value`.
pub(crate) struct Reply {
    pub(crate) body: String,
    pub(crate) cookie: Option<String>,
}

pub(crate) trait Application: Clone + 'static {
    async fn ask(&self, path: &str, cookie: Option<&str>) -> Reply;
}

/// A browser as far as sessions go.
#[derive(Clone)]
struct Browser<A> {
    application: A,
    cookie: Option<String>,
}

impl<A: Application> Browser<A> {
    async fn logged_in(application: &A, user: &str) -> Self {
        let mut browser = Self { application: application.clone(), cookie: None };
        browser.ask(&format!("/login/{user}")).await;
        browser
    }

    async fn ask(&mut self, path: &str) -> String {
        let reply = self.application.ask(path, self.cookie.as_deref()).await;
        if let Some(cookie) = reply.cookie {
            self.cookie = Some(cookie);
        }
        reply.body
    }

    /// Whose session it is; nobody's is "-".
    async fn user(&mut self) -> String {
        self.ask("/me").await
    }
}

async fn keys(client: &Client) -> Vec<String> {
    let keys = call(client, &["KEYS", "*"]).await.into_array();
    keys.into_iter().filter_map(|key| key.into_string()).collect()
}

async fn seconds_left(client: &Client) -> i64 {
    let names = keys(client).await;
    assert_eq!(names.len(), 1, "one session is stored");
    call(client, &["TTL", &names[0]]).await.as_i64().expect("a number")
}

/// `application` keeps sessions for an hour, `brief` for three seconds; `rule` is what an index rule says after USER, and
/// `user` how alice is called then.
pub(crate) async fn run<A: Application>(
    checks: &mut Checks,
    application: A,
    brief: A,
    rule: &'static [&'static str],
    user: &'static str,
) {
    let (client, app) = (checks.client.clone(), application.clone());
    checks
        .check("log_in", async move {
            let mut stranger = Browser { application: app.clone(), cookie: None };
            assert_eq!(stranger.user().await, "-");
            assert_eq!(Browser::logged_in(&app, "alice").await.user().await, "alice");
            assert!(seconds_left(&client).await > 3_000);
        })
        .await;

    let app = application.clone();
    checks
        .check("read", async move {
            let (mut alice, mut bob) =
                (Browser::logged_in(&app, "alice").await, Browser::logged_in(&app, "bob").await);
            for visits in ["1", "2", "3"] {
                assert_eq!(alice.ask("/visit").await, visits);
            }
            assert_eq!(bob.ask("/visit").await, "1");
            assert_eq!(bob.user().await, "bob");
        })
        .await;

    let (client, app) = (checks.client.clone(), application.clone());
    checks
        .check("touch", async move {
            let mut alice = Browser::logged_in(&app, "alice").await;
            call(&client, &["EXPIRE", &keys(&client).await[0], "100"]).await;
            assert_eq!(alice.user().await, "alice");
            assert!(seconds_left(&client).await > 3_000);
        })
        .await;

    let (client, app) = (checks.client.clone(), application.clone());
    checks
        .check("regenerate", async move {
            let mut alice = Browser::logged_in(&app, "alice").await;
            let mut thief = alice.clone();
            let before = keys(&client).await;
            alice.ask("/regenerate").await;
            let after = keys(&client).await;
            assert!(after.len() == 1 && after != before);
            assert_eq!(alice.user().await, "alice");
            assert_eq!(thief.user().await, "-");
        })
        .await;

    let (client, app) = (checks.client.clone(), application.clone());
    checks
        .check("log_out", async move {
            let mut alice = Browser::logged_in(&app, "alice").await;
            let mut copy = alice.clone();
            alice.ask("/logout").await;
            assert_eq!(copy.user().await, "-");
            assert!(keys(&client).await.is_empty());
        })
        .await;

    let client = checks.client.clone();
    checks
        .check("expiry", async move {
            let mut alice = Browser::logged_in(&brief, "alice").await;
            assert!(seconds_left(&client).await <= 3);
            eventually(|| async { keys(&client).await.is_empty() }).await;
            assert_eq!(alice.user().await, "-");
        })
        .await;

    let (client, app) = (checks.client.clone(), application);
    checks
        .check_with("INDEX.SET", "logout_everywhere", async move {
            // The libraries' keys have no prefix, so the rule is for all of them, and ends with the check.
            call(&client, &[&["INDEX.SET", "rust", "KEYS", "*", "USER"], rule].concat()).await;
            let mut phone = Browser::logged_in(&app, "alice").await;
            let mut laptop = Browser::logged_in(&app, "alice").await;
            let mut bob = Browser::logged_in(&app, "bob").await;
            assert_eq!(call(&client, &["SESSION.REVOKEUSER", user]).await.as_i64(), Some(2));
            assert_eq!((phone.user().await, laptop.user().await), ("-".into(), "-".into()));
            assert_eq!(bob.user().await, "bob");
            assert_eq!(Browser::logged_in(&app, "alice").await.user().await, "alice");
            call(&client, &["INDEX.DEL", "rust"]).await;
        })
        .await;
}
