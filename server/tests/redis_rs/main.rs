//! The `redis` crate as a Rust program uses it, in RESP2 and RESP3: against a server of the test's own, and
//! against the leader and a follower of a cluster of three.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]
#![allow(clippy::disallowed_types, reason = "the crate's own replies come as standard maps")]

#[path = "../support/mod.rs"]
mod support;

use redis::{
    Commands, Connection, ErrorKind, ExistenceCheck, Expiry, RedisError, RedisResult,
    ServerErrorKind, SetExpiry, SetOptions, Value,
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use support::cluster::Cluster;
use support::server::{Server, is_hallpass};
use support::wait_until;

/// Runs `check` in both protocols on a new server, and on two nodes of a cluster, emptied before. There in RESP3
/// only: what a node's part is has nothing to do with how replies are written.
fn everywhere(check: impl Fn(&mut Connection)) {
    for protocol in ["resp2", "resp3"] {
        let server = Server::start();
        check(&mut connect(server.address(), protocol));
    }
    if !is_hallpass() {
        return;
    }
    let cluster = shared_cluster();
    let mut cluster = cluster.lock().unwrap_or_else(PoisonError::into_inner);
    for number in [cluster.leader(), cluster.follower()] {
        let mut connection = connect(cluster.server(number).address(), "resp3");
        redis::cmd("FLUSHALL").exec(&mut connection).unwrap();
        check(&mut connection);
    }
}

/// The cluster that tests share, one after the other. It ends with the last test that holds it: nothing
/// would stop the processes of a static.
fn shared_cluster() -> Arc<Mutex<Cluster>> {
    static SHARED: Mutex<Weak<Mutex<Cluster>>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let cluster = Arc::new(Mutex::new(Cluster::start(3)));
        *shared = Arc::downgrade(&cluster);
        cluster
    })
}

fn connect(address: SocketAddr, protocol: &str) -> Connection {
    let client = redis::Client::open(format!("redis://{address}/?protocol={protocol}")).unwrap();
    client.get_connection().unwrap()
}

/// The error of a command that must fail.
#[track_caller]
fn refused<T: std::fmt::Debug>(result: RedisResult<T>) -> RedisError {
    result.expect_err("the server refuses")
}

#[test]
fn strings_and_options() {
    everywhere(|connection| {
        assert_eq!(connection.get::<_, Option<String>>("missing").unwrap(), None);
        connection.set::<_, _, ()>("key", "value").unwrap();
        assert_eq!(connection.get::<_, String>("key").unwrap(), "value");
        let only_new = SetOptions::default().conditional_set(ExistenceCheck::NX);
        assert!(!connection.set_options::<_, _, bool>("key", "new", only_new).unwrap());
        let exchange = SetOptions::default()
            .conditional_set(ExistenceCheck::XX)
            .with_expiration(SetExpiry::EX(100))
            .get(true);
        let old: String = connection.set_options("key", "changed", exchange).unwrap();
        assert_eq!(old, "value");
        assert!((98..=100).contains(&connection.ttl::<_, i64>("key").unwrap()));
        let keep = SetOptions::default().with_expiration(SetExpiry::KEEPTTL);
        connection.set_options::<_, _, ()>("key", "kept", keep).unwrap();
        assert!(connection.ttl::<_, i64>("key").unwrap() > 0);
        let read: String = connection.get_ex("key", Expiry::PERSIST).unwrap();
        assert_eq!((read.as_str(), connection.ttl::<_, i64>("key").unwrap()), ("kept", -1));
        assert_eq!(connection.get_del::<_, String>("key").unwrap(), "kept");
        connection.mset::<_, _, ()>(&[("a", 1), ("b", 2)]).unwrap();
        let values: Vec<Option<i64>> = connection.mget(&["a", "missing", "b"]).unwrap();
        assert_eq!(values, [Some(1), None, Some(2)]);
        assert_eq!(connection.incr::<_, _, i64>("a", 41).unwrap(), 42);
        assert_eq!(connection.append::<_, _, usize>("a", "!").unwrap(), 3);
    });
}

#[test]
fn hashes_sets_sorted_sets_and_lists() {
    everywhere(|connection| {
        connection.hset_multiple::<_, _, _, ()>("hash", &[("a", 1), ("b", 2)]).unwrap();
        let hash: BTreeMap<String, i64> = connection.hgetall("hash").unwrap();
        assert_eq!(hash, BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]));
        assert_eq!(connection.hincr::<_, _, _, i64>("hash", "a", 4).unwrap(), 5);
        assert!(connection.hexists::<_, _, bool>("hash", "a").unwrap());
        assert_eq!(connection.hdel::<_, _, usize>("hash", &["a", "x"]).unwrap(), 1);

        assert_eq!(connection.sadd::<_, _, usize>("set", &["a", "b", "c"]).unwrap(), 3);
        let members: BTreeSet<String> = connection.smembers("set").unwrap();
        assert_eq!(members.len(), 3);
        assert!(connection.sismember::<_, _, bool>("set", "a").unwrap());
        connection.sadd::<_, _, ()>("other", &["b", "x"]).unwrap();
        assert_eq!(connection.sinter::<_, Vec<String>>(&["set", "other"]).unwrap(), ["b"]);

        connection.zadd_multiple::<_, _, _, ()>("zset", &[(1.5, "a"), (2.0, "b")]).unwrap();
        let pairs: Vec<(String, f64)> = connection.zrange_withscores("zset", 0, -1).unwrap();
        assert_eq!(pairs, [("a".to_owned(), 1.5), ("b".to_owned(), 2.0)]);
        assert_eq!(connection.zscore::<_, _, Option<f64>>("zset", "missing").unwrap(), None);
        assert_eq!(
            connection.zrangebyscore::<_, _, _, Vec<String>>("zset", "(1.5", "+inf").unwrap(),
            ["b"]
        );

        connection.rpush::<_, _, ()>("list", &["a", "b", "c"]).unwrap();
        assert_eq!(connection.lrange::<_, Vec<String>>("list", 0, -1).unwrap(), ["a", "b", "c"]);
        assert_eq!(
            connection.lpop::<_, Option<String>>("list", None).unwrap().as_deref(),
            Some("a")
        );
        assert_eq!(connection.lrem::<_, _, usize>("list", 0, "c").unwrap(), 1);
    });
}

#[test]
fn keys_and_time() {
    everywhere(|connection| {
        connection.set_ex::<_, _, ()>("key", "value", 100).unwrap();
        assert!(connection.persist::<_, bool>("key").unwrap());
        assert!(connection.expire::<_, bool>("key", 50).unwrap());
        connection.rename::<_, _, ()>("key", "other").unwrap();
        assert!(connection.exists::<_, bool>("other").unwrap());
        assert!(connection.pexpire::<_, bool>("other", 20).unwrap());
        wait_until("expiry", || !connection.exists::<_, bool>("other").unwrap());
        assert_eq!(connection.del::<_, usize>(&["other", "key"]).unwrap(), 0);
    });
}

#[test]
fn iterators_see_each_element_once() {
    everywhere(|connection| {
        let names: BTreeSet<String> = (0..1_000).map(|number| format!("key:{number}")).collect();
        let mut pipeline = redis::pipe();
        for name in &names {
            pipeline
                .set(name, "x")
                .ignore()
                .hset("hash", name, "y")
                .ignore()
                .sadd("set", name)
                .ignore();
        }
        pipeline.query::<()>(connection).unwrap();
        let scanned = connection.scan_match::<_, String>("key:*").unwrap();
        assert_eq!(scanned.map(Result::unwrap).collect::<BTreeSet<_>>(), names);
        let fields = connection.hscan::<_, (String, String)>("hash").unwrap();
        assert_eq!(fields.map(|pair| pair.unwrap().0).collect::<BTreeSet<_>>(), names);
        let members = connection.sscan::<_, String>("set").unwrap();
        assert_eq!(members.map(Result::unwrap).collect::<BTreeSet<_>>(), names);
    });
}

#[test]
fn pipelines_binary_and_large_values() {
    everywhere(|connection| {
        let mut pipeline = redis::pipe();
        for number in 0..5_000 {
            pipeline.set(number, number).ignore().get(number);
        }
        let values: Vec<i64> = pipeline.query(connection).unwrap();
        assert_eq!(values, (0..5_000).collect::<Vec<_>>());
        let everything: Vec<u8> = (0..=255).collect();
        connection.set::<_, _, ()>(&everything, &everything).unwrap();
        assert_eq!(connection.get::<_, Vec<u8>>(&everything).unwrap(), everything);
        let large = "0123456789abcdef".repeat(500_000);
        connection.set::<_, _, ()>("large", &large).unwrap();
        assert!(connection.get::<_, String>("large").unwrap() == large, "changed on its way");
    });
}

#[test]
fn transactions() {
    everywhere(|connection| {
        let mut pipeline = redis::pipe();
        pipeline.atomic().set("a", 1).ignore().incr("a", 1).get("a");
        assert_eq!(pipeline.query::<(i64, i64)>(connection).unwrap(), (2, 2));
        redis::cmd("WATCH").arg("a").query::<()>(connection).unwrap();
        connection.set::<_, _, ()>("a", 3).unwrap();
        assert_eq!(pipeline.query::<Option<(i64, i64)>>(connection).unwrap(), None);
        let doubled: (i64,) = redis::transaction(connection, &["a"], |connection, pipeline| {
            let now: i64 = connection.get("a")?;
            pipeline.set("a", 2 * now).ignore().get("a").query(connection)
        })
        .unwrap();
        assert_eq!(doubled, (6,));
    });
}

#[test]
fn errors_are_typed() {
    everywhere(|connection| {
        connection.set::<_, _, ()>("key", "text").unwrap();
        let error = refused(connection.lpush::<_, _, ()>("key", "a"));
        assert_eq!(error.code(), Some("WRONGTYPE"));
        let error = refused(connection.incr::<_, _, ()>("key", 1));
        assert_eq!(error.kind(), ErrorKind::Server(ServerErrorKind::ResponseError));
        assert_eq!(error.detail(), Some("value is not an integer or out of range"));
        let error = refused(redis::cmd("NONSENSE").query::<Value>(connection));
        assert!(error.to_string().contains("unknown command 'NONSENSE'"), "{error}");
    });
}

#[test]
fn passwords_and_databases() {
    let server = Server::start_with(&["--requirepass", "secret"]);
    for protocol in ["resp2", "resp3"] {
        let url = |login: &str| format!("redis://{login}{}/?protocol={protocol}", server.address());
        let open = |login: &str| redis::Client::open(url(login)).unwrap().get_connection();
        let stranger = open("").and_then(|mut connection| connection.get::<_, Value>("key"));
        assert!(refused(stranger).to_string().to_lowercase().contains("auth"));
        assert!(open(":wrong@").is_err());
        open("default:secret@").unwrap().set::<_, _, ()>("key", "value").unwrap();
        let mut connection = open(":secret@").unwrap();
        assert_eq!(connection.get::<_, String>("key").unwrap(), "value");
        redis::cmd("SELECT").arg(3).exec(&mut connection).unwrap();
        assert_eq!(connection.get::<_, Option<String>>("key").unwrap(), None);
    }
}

#[test]
fn sessions() {
    if !is_hallpass() {
        return;
    }
    everywhere(|connection| {
        let mut session = |name: &str, arguments: &[&str]| {
            redis::cmd(&format!("SESSION.{name}")).arg(arguments).query::<Value>(connection)
        };
        let id_of = |reply: Value| {
            let map: BTreeMap<String, Value> = redis::from_redis_value(reply).unwrap();
            redis::from_redis_value::<String>(map["id"].clone()).unwrap()
        };
        let first =
            id_of(session("CREATE", &["alice", "IDLE", "60", "META", "agent", "rust"]).unwrap());
        let second = id_of(session("CREATE", &["alice", "LIFETIME", "600"]).unwrap());
        let user = session("VALIDATE", &[&first]).unwrap();
        assert_eq!(redis::from_redis_value::<String>(user).unwrap(), "alice");
        assert_eq!(session("SET", &[&first, "data", "VERSION", "1"]).unwrap(), Value::Int(2));
        let error = refused(session("SET", &[&first, "data", "VERSION", "1"]));
        assert_eq!(error.code(), Some("VERSION"));
        let rotated = id_of(session("ROTATE", &[&first]).unwrap());
        assert_eq!(session("VALIDATE", &[&first]).unwrap(), Value::Nil);
        assert_eq!(session("REVOKEUSER", &["alice", "EXCEPT", &rotated]).unwrap(), Value::Int(1));
        assert_eq!(session("VALIDATE", &[&second]).unwrap(), Value::Nil);
        assert_eq!(session("REVOKE", &[&rotated]).unwrap(), Value::Int(1));
        assert_eq!(refused(session("SET", &[&rotated, "late"])).code(), Some("NOSESSION"));
    });
}
