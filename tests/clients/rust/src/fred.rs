//! fred as a program uses it, in RESP3.

use std::collections::HashMap;

use fred::prelude::*;

use crate::checks::{Checks, call, config, eventually};

pub(crate) async fn run(checks: &mut Checks, port: u16) {
    checks.library("fred");
    let client = checks.client.clone();
    checks.check("strings", strings(client.clone())).await;
    checks.check("hashes", hashes(client.clone())).await;
    checks.check("pipelines", pipelines(client.clone())).await;
    checks.check("transactions", transactions(client.clone())).await;
    checks.check("publish_subscribe", publish_subscribe(client.clone(), port)).await;
    checks.check("errors", errors(client)).await;
}

async fn strings(client: Client) {
    let missing: Option<String> = client.get("missing").await.expect("a reply");
    assert_eq!(missing, None);
    let set: Option<String> = client
        .set("key", "one", Some(Expiration::EX(100)), Some(SetOptions::NX), false)
        .await
        .expect("set");
    assert_eq!(set.as_deref(), Some("OK"));
    let again: Option<String> =
        client.set("key", "two", None, Some(SetOptions::NX), false).await.expect("a reply");
    assert_eq!(again, None);
    let old: String =
        client.set("key", "two", Some(Expiration::PX(50_000)), None, true).await.expect("set");
    assert_eq!(old, "one");
    let left: i64 = client.ttl("key").await.expect("a number");
    assert!((1..=50).contains(&left));
    let end = 13_569_465_600;
    let () = client
        .set("key", "three", Some(Expiration::EXAT(end)), Some(SetOptions::XX), false)
        .await
        .expect("set");
    let left: i64 = client.ttl("key").await.expect("a number");
    assert!(left > 100_000);
    let () = client.set("short", "life", Some(Expiration::PX(20)), None, false).await.expect("set");
    eventually(|| async {
        client.get::<Option<String>, _>("short").await.expect("a reply").is_none()
    })
    .await;
    let gone: i64 = client.del(vec!["key", "missing"]).await.expect("a number");
    assert_eq!(gone, 1);
}

async fn hashes(client: Client) {
    let fields = HashMap::from([("user", "alice"), ("visits", "1")]);
    let added: i64 = client.hset("h", fields).await.expect("set");
    assert_eq!(added, 2);
    let visits: i64 = client.hincrby("h", "visits", 2).await.expect("a number");
    assert_eq!(visits, 3);
    let all: HashMap<String, String> = client.hgetall("h").await.expect("a map");
    assert_eq!(
        all,
        HashMap::from([("user".into(), "alice".into()), ("visits".into(), "3".into())])
    );
    let some: Vec<Option<String>> =
        client.hmget("h", vec!["user", "missing"]).await.expect("a list");
    assert_eq!(some, [Some("alice".into()), None]);
}

async fn pipelines(client: Client) {
    let pipeline = client.pipeline();
    for number in 0..500 {
        let key = format!("key:{number}");
        let () = pipeline.set(&key, number, None, None, false).await.expect("queued");
        let () = pipeline.get(&key).await.expect("queued");
    }
    let replies: Vec<Value> = pipeline.all().await.expect("replies");
    let read: Vec<i64> = replies.chunks(2).filter_map(|pair| pair[1].as_i64()).collect();
    assert_eq!(read, (0..500).collect::<Vec<_>>());
}

async fn transactions(client: Client) {
    let transaction = client.multi();
    let () = transaction.set("a", 1, None, None, false).await.expect("queued");
    let () = transaction.incr("a").await.expect("queued");
    let () = transaction.get("a").await.expect("queued");
    let replies: (String, i64, i64) = transaction.exec(true).await.expect("replies");
    assert_eq!(replies, ("OK".into(), 2, 2));
}

async fn publish_subscribe(client: Client, port: u16) {
    let subscriber =
        Builder::from_config(config(port)).build_subscriber_client().expect("a client");
    subscriber.init().await.expect("a connection");
    let mut messages = subscriber.message_rx();
    let () = subscriber.subscribe("news").await.expect("subscribed");
    // fred goes on before the server has confirmed it, so the first messages may have no reader.
    let publish =
        || async { client.publish::<i64, _, _>("news", "one").await.expect("a number") == 1 };
    eventually(publish).await;
    let message = messages.recv().await.expect("a message");
    assert_eq!((&*message.channel, message.value.as_str().as_deref()), ("news", Some("one")));
    let () = subscriber.quit().await.expect("closed");
}

async fn errors(client: Client) {
    let () = client.set("key", "text", None, None, false).await.expect("set");
    let failure = client.incr::<i64, _>("key").await.expect_err("text is no number");
    assert!(failure.details().contains("not an integer"), "{failure}");
    let failure =
        client.hget::<Option<String>, _, _>("key", "f").await.expect_err("a string is no hash");
    assert!(failure.details().contains("WRONGTYPE"), "{failure}");
    assert_eq!(call(&client, &["ECHO", "hello"]).await.as_str().as_deref(), Some("hello"));
}
