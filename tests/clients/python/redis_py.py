"""redis-py as a program uses it, in RESP2 or RESP3: `redis_py.py PROTOCOL PORT PORT_WITH_PASSWORD`.

The password is "secret".
"""

import os
import sys
import threading

import redis

from checks import SESSIONS, Checks, eventually, raises

PROTOCOL, PORT, PASSWORD_PORT = (int(argument) for argument in sys.argv[1:4])
# Set and read in one pipeline: on a cluster each read waits until the write before it is on a majority's disks.
PAIRS = int(os.environ.get("CLIENT_TESTS_PAIRS", "5000"))
check = Checks("redis")


def connect(**options):
    # After the default of 5 s, short for a busy test machine, a command is sent again, and RPUSH would push twice.
    defaults = {"decode_responses": True, "socket_timeout": 60}
    return redis.Redis(port=PORT, protocol=PROTOCOL, **{**defaults, **options})


@check
def handshake(r):
    assert r.ping() is True
    assert r.echo("hello") == "hello"
    named = connect(client_name="py-test")
    assert named.client_getname() == "py-test"
    assert named.client_id() > 0
    assert any(client["name"] == "py-test" for client in r.client_list())
    info = r.info()
    assert info["role"] == "master" and info["redis_version"].startswith("7.")
    assert r.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    assert r.time()[0] > 1_600_000_000


@check
def strings(r):
    assert r.get("missing") is None
    assert r.set("key", "value") is True
    assert r.get("key") == "value"
    assert r["key"] == "value"
    assert r.strlen("key") == 5
    assert r.append("key", "!") == 6
    assert r.getrange("key", 0, 2) == "val"
    assert r.setrange("key", 5, "?") == 6
    assert r.mset({"a": 1, "b": 2}) is True
    assert r.mget("a", "b", "missing") == ["1", "2", None]
    assert r.msetnx({"a": 1, "c": 2}) is False
    assert r.incr("counter", 5) == 5
    assert r.decr("counter") == 4
    assert r.incrbyfloat("counter", 0.5) == 4.5
    assert r.getset("key", "new") == "value?"
    assert r.getdel("key") == "new"
    assert r.setnx("key", "x") is True and r.setnx("key", "y") is False


@check
def set_options(r):
    assert r.set("key", "1", nx=True) is True
    assert r.set("key", "2", nx=True) is None
    assert r.set("key", "2", xx=True) is True
    assert r.set("missing", "2", xx=True) is None
    assert r.set("key", "3", get=True) == "2"
    assert r.set("key", "4", ex=100) is True and 98 < r.ttl("key") <= 100
    assert r.set("key", "5", keepttl=True) is True and r.ttl("key") > 0
    assert r.set("key", "6", px=100_000) is True and 90_000 < r.pttl("key") <= 100_000
    assert r.set("key", "7", exat=13_569_465_600) is True and r.expiretime("key") == 13_569_465_600
    assert r.set("key", "8", pxat=13_569_465_600_000) is True
    assert r.getex("key", persist=True) == "8" and r.ttl("key") == -1
    assert r.execute_command("SETEX", "key", 100, "9") is True


@check
def hashes(r):
    assert r.hset("h", mapping={"a": 1, "b": 2}) == 2
    assert r.hget("h", "a") == "1"
    assert r.hmget("h", "a", "x") == ["1", None]
    assert r.hgetall("h") == {"a": "1", "b": "2"}
    assert r.hgetall("missing") == {}
    assert r.hincrby("h", "a", 4) == 5
    assert r.hincrbyfloat("h", "b", 0.5) == 2.5
    assert sorted(r.hkeys("h")) == ["a", "b"] and sorted(r.hvals("h")) == ["2.5", "5"]
    assert r.hexists("h", "a") and r.hlen("h") == 2 and r.hdel("h", "a", "x") == 1
    assert r.hsetnx("h", "b", 1) in (0, False)


@check
def sets(r):
    assert r.sadd("s", "a", "b", "c") == 3
    assert set(r.smembers("s")) == {"a", "b", "c"}
    assert r.sismember("s", "a") and not r.sismember("s", "x")
    assert r.scard("s") == 3 and r.srem("s", "c", "x") == 1
    r.sadd("t", "b", "d")
    assert set(r.sinter("s", "t")) == {"b"}
    assert set(r.sunion("s", "t")) == {"a", "b", "d"}
    assert set(r.sdiff("s", "t")) == {"a"}
    assert r.srandmember("s") in ("a", "b")
    assert r.spop("s") in ("a", "b") and r.scard("s") == 1


@check
def sorted_sets(r):
    assert r.zadd("z", {"a": 1, "b": 2.5, "c": 3}) == 3
    assert r.zscore("z", "b") == 2.5
    assert r.zscore("z", "missing") is None
    assert r.zrange("z", 0, -1) == ["a", "b", "c"]
    assert [tuple(pair) for pair in r.zrange("z", 0, 0, withscores=True)] == [("a", 1.0)]
    assert r.zrangebyscore("z", "(1", "+inf", start=0, num=1) == ["b"]
    assert r.zrevrangebyscore("z", "+inf", "-inf") == ["c", "b", "a"]
    assert r.zcount("z", 2, 3) == 2 and r.zcard("z") == 3
    assert r.zincrby("z", 2, "a") == 3.0
    assert r.zadd("z", {"a": 0}, gt=True, ch=True) == 0
    assert r.zremrangebyscore("z", "-inf", 2.5) == 1 and r.zrem("z", "a") == 1


@check
def lists(r):
    assert r.rpush("l", "a", "b", "c") == 3
    assert r.lpush("l", "z") == 4
    assert r.lrange("l", 0, -1) == ["z", "a", "b", "c"]
    assert r.lindex("l", -1) == "c" and r.llen("l") == 4
    assert r.lrem("l", 0, "a") == 1 and r.ltrim("l", 0, 1) is True
    assert r.lpop("l") == "z" and r.rpop("l") == "b" and r.lpop("l") is None


@check
def keys(r):
    r.mset({"a": 1, "b": 2})
    assert r.exists("a", "b", "x") == 2 and r.type("a") == "string"
    assert r.expire("a", 100) is True and r.expire("x", 100) is False
    assert r.expire("a", 50, gt=True) is False and r.pexpire("a", 100_000) is True
    assert r.persist("a") is True and r.ttl("a") == -1 and r.ttl("x") == -2
    assert r.rename("a", "c") is True and r.get("c") == "1"
    assert sorted(r.keys("*")) == ["b", "c"] and r.dbsize() == 2
    assert r.unlink("b", "x") == 1 and r.delete("c") == 1
    assert r.set("short", "life", px=20)
    eventually(lambda: r.get("short") is None)
    assert r.object("encoding", "short") is None


@check
def scan(r):
    with r.pipeline(transaction=False) as pipe:
        for number in range(1_000):
            pipe.set(f"key:{number}", number)
            pipe.hset("h", f"field:{number}", number)
            pipe.sadd("s", f"member:{number}")
            pipe.zadd("z", {f"member:{number}": number})
        pipe.execute()
    assert set(r.scan_iter("key:*", count=100)) == {f"key:{n}" for n in range(1_000)}
    assert list(r.scan_iter(_type="hash")) == ["h"]
    assert dict(r.hscan_iter("h")) == {f"field:{n}": str(n) for n in range(1_000)}
    assert set(r.sscan_iter("s", match="member:9*")) == {f"member:{n}" for n in range(1_000) if str(n)[0] == "9"}
    assert dict(r.zscan_iter("z")) == {f"member:{n}": float(n) for n in range(1_000)}


@check
def pipelines(r):
    with r.pipeline(transaction=False) as pipe:
        for number in range(PAIRS):
            pipe.set(f"key:{number}", number).get(f"key:{number}")
        replies = pipe.execute()
    assert replies[1::2] == [str(number) for number in range(PAIRS)]
    with r.pipeline(transaction=False) as pipe:
        replies = pipe.set("a", "text").incr("a").get("a").execute(raise_on_error=False)
    assert replies[0] is True and isinstance(replies[1], redis.ResponseError) and replies[2] == "text"


@check
def transactions(r):
    with r.pipeline() as pipe:
        assert pipe.set("a", 1).incr("a").get("a").hset("h", "f", "1").hgetall("h").execute() == [True, 2, "2", 1, {"f": "1"}]
        assert pipe.execute() == []
        pipe.set("a", "text").incr("a").get("a")
        replies = pipe.execute(raise_on_error=False)
        assert replies[0] is True and isinstance(replies[1], redis.ResponseError) and replies[2] == "text"
    with r.pipeline() as pipe:
        pipe.watch("a")
        assert pipe.get("a") == "text"
        r.set("a", "other")
        pipe.multi()
        pipe.set("a", "late")
        try:
            pipe.execute()
            raise AssertionError("a late write went through")
        except redis.WatchError:
            pass
    assert r.get("a") == "other"
    r.transaction(lambda pipe: (pipe.multi(), pipe.append("a", "!")), "a")
    assert r.get("a") == "other!"


@check
def publish_subscribe(r):
    with r.pubsub() as listener:
        listener.subscribe("news", "more")
        listener.psubscribe("user:*")
        heard = []

        def hear(count):
            eventually(lambda: heard.append(listener.get_message(timeout=0.1)) or len(list(filter(None, heard))) == count)
            return [(message["type"], message["pattern"], message["channel"], message["data"]) for message in filter(None, heard)]

        assert sorted(hear(3), key=lambda message: message[3]) == [
            ("subscribe", None, "news", 1),
            ("subscribe", None, "more", 2),
            ("psubscribe", None, "user:*", 3),
        ]
        heard.clear()
        assert r.publish("news", "one") == 1
        assert r.publish("user:7", "two") == 1
        assert r.publish("nobody", "three") == 0
        # On different nodes of a cluster two channels have no order.
        assert sorted(hear(2)) == [("message", None, "news", "one"), ("pmessage", "user:*", "user:7", "two")]
        assert sorted(r.pubsub_channels()) == ["more", "news"]
        assert r.pubsub_numpat() == 1
        assert dict(r.pubsub_numsub("news", "nobody")) == {"news": 1, "nobody": 0}
        listener.unsubscribe()
        listener.punsubscribe()
        eventually(lambda: r.publish("news", "four") == 0)


@check(needs="EVAL")
def scripts(r):
    swap = r.register_script("local old = redis.call('GET', KEYS[1]) redis.call('SET', KEYS[1], ARGV[1]) return old")
    r.set("key", "one")
    # The first call finds no script by its hash, loads it and tries again.
    assert swap(keys=["key"], args=["two"]) == "one"
    assert swap(keys=["key"], args=["three"]) == "two" and r.get("key") == "three"
    assert r.script_exists(swap.sha) == [True]
    raises(redis.ResponseError, "WRONGTYPE", lambda: r.eval("return redis.call('LPUSH', KEYS[1], 'x')", 1, "key"))
    with r.pipeline() as pipe:
        swap(keys=["key"], args=["four"], client=pipe)
        assert pipe.get("key").execute() == ["three", "four"]


@check(needs="EVAL")
def locks(r):
    lock = r.lock("lock", timeout=100)
    assert lock.acquire(blocking=False) and lock.owned() and lock.locked()
    assert r.lock("lock", timeout=100).acquire(blocking=False) is False
    assert lock.extend(100) and r.pttl("lock") > 150_000
    assert lock.reacquire() and r.pttl("lock") <= 100_000
    lock.release()
    assert r.get("lock") is None
    raises(redis.exceptions.LockError, "", lock.release)
    # Two threads that add one to the same number, in turns.
    r.set("number", 0)

    def add():
        for _ in range(10):
            with r.lock("lock", timeout=100, sleep=0.001):
                r.set("number", int(r.get("number")) + 1)

    threads = [threading.Thread(target=add) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert r.get("number") == "20"


@check(needs="notify-keyspace-events")
def keyspace_notifications(r):
    before = r.config_get("notify-keyspace-events")["notify-keyspace-events"]
    try:
        assert r.config_set("notify-keyspace-events", "KEA") is True
        with r.pubsub(ignore_subscribe_messages=True) as listener:
            listener.psubscribe("__keyevent@0__:*")
            eventually(lambda: r.pubsub_numpat() == 1)
            heard = []
            hears = lambda *event: lambda: event in heard or heard.append(
                (lambda message: message and (message["channel"].split(":")[1], message["data"]))(listener.get_message(timeout=0.1))
            )
            r.set("key", "value")
            eventually(hears("set", "key"))
            r.delete("key")
            eventually(hears("del", "key"))
            r.set("key", "value", px=20)
            eventually(hears("expired", "key"))
    finally:
        r.config_set("notify-keyspace-events", before)


@check
def large_values(r):
    value = "0123456789abcdef" * 500_000
    assert r.set("large", value) and r.get("large") == value
    assert r.rpush("l", value) == 1 and r.lrange("l", 0, -1) == [value]


@check
def binary(_):
    raw = connect(decode_responses=False)
    everything = bytes(range(256))
    assert raw.set(everything, everything[::-1]) and raw.get(everything) == everything[::-1]
    assert raw.hset("h", everything, b"\r\n") == 1 and raw.hgetall("h") == {everything: b"\r\n"}
    assert set(raw.scan_iter()) == {everything, b"h"}
    assert raw.set("empty", b"") and raw.get("empty") == b""


@check
def errors(r):
    r.set("key", "text")
    raises(redis.ResponseError, "WRONGTYPE Operation against a key", lambda: r.lpush("key", "a"))
    raises(redis.ResponseError, "not an integer", lambda: r.incr("key"))
    raises(redis.ResponseError, "no such key", lambda: r.rename("missing", "x"))
    raises(redis.ResponseError, "unknown command 'NONSENSE'", lambda: r.execute_command("NONSENSE"))
    raises(redis.ResponseError, "wrong number of arguments", lambda: r.execute_command("GET"))
    raises(redis.ResponseError, "syntax error", lambda: r.execute_command("SET", "a", "b", "FOO"))


@check
def auth(_):
    raises(redis.AuthenticationError, "", lambda: redis.Redis(port=PASSWORD_PORT, protocol=PROTOCOL).ping())
    wrong = redis.Redis(port=PASSWORD_PORT, protocol=PROTOCOL, password="wrong")
    raises(redis.AuthenticationError, "invalid username-password pair", wrong.ping)
    right = redis.Redis(port=PASSWORD_PORT, protocol=PROTOCOL, password="secret", decode_responses=True)
    assert right.set("key", "value") and right.get("key") == "value"
    named = redis.Redis(port=PASSWORD_PORT, protocol=PROTOCOL, username="default", password="secret")
    assert named.ping()
    from_url = redis.from_url(f"redis://:secret@127.0.0.1:{PASSWORD_PORT}/1", protocol=PROTOCOL)
    assert from_url.get("key") is None


@check
def select(r):
    other = connect(db=3)
    assert r.set("key", "zero") and other.get("key") is None
    assert other.set("key", "three") and r.get("key") == "zero"
    assert other.flushdb() is True and r.dbsize() == 1
    raises(redis.ResponseError, "DB index is out of range", lambda: connect(db=99).ping())


def as_map(reply):
    return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2]))


def sessions(r):
    do = r.execute_command
    created = as_map(do("SESSION.CREATE", "py-user", "IDLE", 60, "LIFETIME", 600, "DATA", "cart", "META", "agent", "py"))
    other = as_map(do("SESSION.CREATE", "py-user", "IDLE", 60, "LIFETIME", 600))
    assert len(created["id"]) == 43 and created["id"] != other["id"]
    assert do("SESSION.VALIDATE", created["id"]) == "py-user"
    session = as_map(do("SESSION.GET", created["id"]))
    assert session["data"] == "cart" and session["handle"] == created["handle"]
    assert do("SESSION.SET", created["id"], "more", "VERSION", session["version"]) > session["version"]
    raises(redis.ResponseError, "VERSION", lambda: do("SESSION.SET", created["id"], "x", "VERSION", session["version"]))
    assert do("SESSION.COUNT", "py-user") == 2
    rotated = as_map(do("SESSION.ROTATE", created["id"]))
    assert do("SESSION.VALIDATE", created["id"]) is None
    assert do("SESSION.VALIDATE", rotated["id"]) == "py-user"
    assert do("SESSION.REVOKEUSER", "py-user", "EXCEPT", rotated["id"]) == 1
    assert do("SESSION.REVOKE", rotated["id"], other["id"]) == 1
    raises(redis.ResponseError, "NOSESSION", lambda: do("SESSION.SET", rotated["id"], "late"))
    assert do("SESSION.COUNT", "py-user") == 0


if SESSIONS:
    check(sessions)
check.run(PORT, lambda _: connect())
