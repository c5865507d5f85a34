"""Spring Session's commands, in its order, over a raw socket: `spring_session.py PORT`.

Java libraries are not installed for these tests. This replays what RedisSessionRepository ("basic") and
RedisIndexedSessionRepository ("indexed") of Spring Session 3 send through Lettuce, in RESP3, with values as Java
serialises them.
"""

import socket
import sys
import time
import uuid

from checks import Checks, eventually

PORT = int(sys.argv[1])
check = Checks()
NAMESPACE = "spring:session:"
PRINCIPAL = "org.springframework.session.FindByIndexNameSessionRepository.PRINCIPAL_NAME_INDEX_NAME"
EXPIRATIONS = NAMESPACE + "sessions:expirations"
EVENTS = "spring:session:event:0:created:"
SECONDS = 1_800


class Failure(Exception):
    """An error reply."""


class Connection:
    """One of Lettuce's: the handshake, then a command and its reply; pushes are kept apart."""

    def __init__(self, name):
        self.stream = socket.create_connection(("127.0.0.1", PORT), timeout=30).makefile("rwb")
        self.pushes = []
        hello = self.call("HELLO", "3", "SETNAME", name)
        assert (hello["proto"], hello["server"], hello["mode"]) == (3, "redis", "standalone"), hello
        try:
            self.call("CLIENT", "SETINFO", "lib-name", "Lettuce")
        except Failure:
            pass  # Lettuce goes on without it, as on Redis before 7.2.

    def call(self, *words):
        words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        self.stream.write(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
        self.stream.flush()
        while True:
            kind, reply = self.read()
            if kind != b">":
                break
            self.pushes.append(reply)
            # Subscriptions are answered by pushes only.
            if reply[0].endswith("subscribe"):
                return reply
        if kind == b"-":
            raise Failure(reply)
        return reply

    def read(self):
        line = self.stream.readline()
        assert line.endswith(b"\r\n"), "the server closed the connection"
        kind, rest = line[:1], line[1:-2]
        if kind in b"+-":
            return kind, rest.decode()
        if kind in b":,":
            return kind, int(rest) if kind == b":" else float(rest)
        if kind == b"_":
            return kind, None
        if kind == b"$":
            value = self.stream.read(int(rest) + 2)[:-2]
            try:
                return kind, value.decode()
            except UnicodeDecodeError:
                return kind, value
        if kind == b"%":
            pairs = [(self.read()[1], self.read()[1]) for _ in range(int(rest))]
            return kind, dict(pairs)
        assert kind in b"*~>", line
        return kind, [self.read()[1] for _ in range(int(rest))]

    def next_push(self):
        if not self.pushes:
            kind, reply = self.read()
            assert kind == b">", (kind, reply)
            return reply
        return self.pushes.pop(0)


def java_string(text):
    return b"\xac\xed\x00\x05t" + len(text.encode()).to_bytes(2, "big") + text.encode()


def java_number(kind, size, number):
    """A `java.lang.Long` or `java.lang.Integer`."""
    name, uid, letter = {
        "Long": (b"java.lang.Long", "3b8be490cc8f23df", b"J"),
        "Integer": (b"java.lang.Integer", "12e2a0a4f7818738", b"I"),
    }[kind]
    return (
        b"\xac\xed\x00\x05sr" + len(name).to_bytes(2, "big") + name + bytes.fromhex(uid)
        + b"\x02\x00\x01" + letter + b"\x00\x05valuexr\x00\x10java.lang.Number"
        + bytes.fromhex("86ac951d0b94e08b") + b"\x02\x00\x00xp" + number.to_bytes(size, "big")
    )  # fmt: skip


def now_millis():
    return int(time.time() * 1_000)


class Basic:
    """RedisSessionRepository."""

    def __init__(self):
        self.redis = Connection("basic")

    def key(self, session_id):
        return f"{NAMESPACE}sessions:{session_id}"

    def create(self, user, seconds=SECONDS):
        session_id = str(uuid.uuid4())
        now = now_millis()
        self.save_delta(session_id, {
            "creationTime": java_number("Long", 8, now),
            "lastAccessedTime": java_number("Long", 8, now),
            "maxInactiveInterval": java_number("Integer", 4, seconds),
            f"sessionAttr:{PRINCIPAL}": java_string(user),
        }, seconds)  # fmt: skip
        return session_id

    def save_delta(self, session_id, delta, seconds=SECONDS):
        words = [word for pair in delta.items() for word in pair]
        assert self.redis.call("HMSET", self.key(session_id), *words) == "OK"
        assert self.redis.call("PEXPIREAT", self.key(session_id), now_millis() + seconds * 1_000) == 1

    def find(self, session_id):
        return self.redis.call("HGETALL", self.key(session_id)) or None

    def user(self, session_id):
        session = self.find(session_id)
        return session and session[f"sessionAttr:{PRINCIPAL}"]

    def touch(self, session_id):
        assert self.redis.call("EXISTS", self.key(session_id)) == 1, "Session was invalidated"
        self.save_delta(session_id, {"lastAccessedTime": java_number("Long", 8, now_millis())})

    def change_id(self, session_id):
        new_id = str(uuid.uuid4())
        assert self.redis.call("EXISTS", self.key(session_id)) == 1, "Session was invalidated"
        assert self.redis.call("RENAME", self.key(session_id), self.key(new_id)) == "OK"
        self.save_delta(new_id, {"lastAccessedTime": java_number("Long", 8, now_millis())})
        return new_id

    def delete(self, session_id):
        assert self.redis.call("DEL", self.key(session_id)) == 1


class Indexed(Basic):
    """RedisIndexedSessionRepository, whose expiry key's end becomes an event."""

    def expires_key(self, session_id):
        return f"{NAMESPACE}sessions:expires:{session_id}"

    def principal_key(self, user):
        return f"{NAMESPACE}index:{PRINCIPAL}:{user}"

    def minute_key(self, millis):
        return f"{NAMESPACE}expirations:{(millis // 60_000 + 1) * 60_000}"

    def create(self, user, seconds=SECONDS):
        session_id = super().create(user, seconds)
        assert self.redis.call("SADD", self.principal_key(user), java_string(session_id)) == 1
        self.redis.call("PUBLISH", EVENTS + session_id, b"\xac\xed\x00\x05")
        return session_id

    def save_delta(self, session_id, delta, seconds=SECONDS):
        call = self.redis.call
        words = [word for pair in delta.items() for word in pair]
        assert call("HMSET", self.key(session_id), *words) == "OK"
        minute = self.minute_key(now_millis() + seconds * 1_000)
        call("SADD", minute, java_string(f"expires:{session_id}"))
        assert call("PEXPIRE", minute, (seconds + 300) * 1_000) == 1
        # The other store of expiries, a sorted set.
        call("ZADD", EXPIRATIONS, now_millis() + seconds * 1_000, java_string(session_id))
        if seconds == 0:
            call("DEL", self.expires_key(session_id))
        else:
            call("APPEND", self.expires_key(session_id), "")
            assert call("PEXPIRE", self.expires_key(session_id), seconds * 1_000) == 1
        assert call("PEXPIRE", self.key(session_id), (seconds + 300) * 1_000) == 1

    def of_principal(self, user):
        return self.redis.call("SMEMBERS", self.principal_key(user))

    def change_id(self, session_id):
        new_id = str(uuid.uuid4())
        user = self.user(session_id)[7:].decode()
        assert self.redis.call("RENAME", self.key(session_id), self.key(new_id)) == "OK"
        assert self.redis.call("RENAME", self.expires_key(session_id), self.expires_key(new_id)) == "OK"
        assert self.redis.call("SREM", self.principal_key(user), java_string(session_id)) == 1
        assert self.redis.call("SADD", self.principal_key(user), java_string(new_id)) == 1
        self.redis.call("ZREM", EXPIRATIONS, java_string(session_id))
        self.save_delta(new_id, {"lastAccessedTime": java_number("Long", 8, now_millis())})
        return new_id

    def delete(self, session_id):
        user = self.user(session_id)[7:].decode()
        assert self.redis.call("SREM", self.principal_key(user), java_string(session_id)) == 1
        assert self.redis.call("ZREM", EXPIRATIONS, java_string(session_id)) == 1
        assert self.redis.call("DEL", self.expires_key(session_id)) == 1
        self.save_delta(session_id, {"maxInactiveInterval": java_number("Integer", 4, 0)}, 0)

    def clean_up(self, up_to_millis):
        """Touches the keys whose time is over, so that their end is noticed."""
        for member in self.redis.call("ZREVRANGEBYSCORE", EXPIRATIONS, up_to_millis, "0", "LIMIT", "0", "100"):
            session_id = member[7:].decode()
            if self.redis.call("EXISTS", self.expires_key(session_id)) == 0:
                self.redis.call("ZREM", EXPIRATIONS, member)


class Listener:
    """What the application hears of sessions; the server is told to say it as Spring Session does at its start."""

    def __enter__(self):
        self.redis = Connection("listener")
        self.before = self.redis.call("CONFIG", "GET", "notify-keyspace-events")["notify-keyspace-events"]
        flags = self.before
        flags += "E" if "E" not in flags else ""
        flags += "".join(flag for flag in "gx" if "A" not in flags and flag not in flags)
        if flags != self.before:
            assert self.redis.call("CONFIG", "SET", "notify-keyspace-events", flags) == "OK"
        # Each subscription is confirmed before anything is done that it should tell.
        for channel in ("__keyevent@0__:del", "__keyevent@0__:expired"):
            assert self.redis.call("SUBSCRIBE", channel)[:2] == ["subscribe", channel]
        assert self.redis.call("PSUBSCRIBE", EVENTS + "*")[:2] == ["psubscribe", EVENTS + "*"]
        return self

    def __exit__(self, *_):
        self.redis.call("CONFIG", "SET", "notify-keyspace-events", self.before)

    def waits_for(self, *event):
        while self.redis.next_push()[-len(event) :] != list(event):
            pass


def walk(prefix, make):
    def step(function):
        check(lambda _: function(make()), name=f"{prefix}: {function.__name__}")

    @step
    def log_in(repository):
        assert repository.find("none") is None
        session_id = repository.create("alice")
        assert repository.user(session_id) == java_string("alice")
        assert 3_000_000 > repository.redis.call("PTTL", repository.key(session_id)) > 1_700_000

    @step
    def touch(repository):
        session_id = repository.create("alice")
        repository.redis.call("PEXPIRE", repository.key(session_id), 60_000)
        repository.touch(session_id)
        assert repository.redis.call("PTTL", repository.key(session_id)) > 1_700_000

    @step
    def regenerate(repository):
        session_id = repository.create("alice")
        new_id = repository.change_id(session_id)
        assert repository.find(session_id) is None and repository.user(new_id) == java_string("alice")
        try:
            repository.redis.call("RENAME", repository.key(session_id), repository.key(new_id))
            raise AssertionError("a session that is gone was renamed")
        except Failure as failure:
            # Looked for in this very form.
            assert str(failure) == "ERR no such key"


walk("basic", Basic)
walk("indexed", Indexed)


@check(name="basic: log_out")
def _(_):
    basic = Basic()
    session_id = basic.create("alice")
    basic.delete(session_id)
    assert basic.find(session_id) is None


@check(name="basic: expiry")
def _(_):
    basic = Basic()
    session_id = basic.create("alice", 2)
    eventually(lambda: basic.find(session_id) is None)


@check(name="indexed: find_by_principal")
def _(_):
    indexed = Indexed()
    ids = {indexed.create("alice"), indexed.create("alice")}
    indexed.create("bob")
    assert set(indexed.of_principal("alice")) == {java_string(session_id) for session_id in ids}


@check(name="indexed: created_event")
def _(_):
    indexed, listener = Indexed(), Connection("listener")
    listener.call("PSUBSCRIBE", EVENTS + "*")
    session_id = indexed.create("alice")
    while listener.next_push()[:3] != ["pmessage", EVENTS + "*", EVENTS + session_id]:
        pass


@check(name="indexed: deleted_event", needs="notify-keyspace-events")
def _(_):
    with Listener() as listener:
        indexed = Indexed()
        session_id = indexed.create("alice")
        indexed.delete(session_id)
        listener.waits_for("__keyevent@0__:del", indexed.expires_key(session_id))
        assert indexed.of_principal("alice") == []
        # For those who ask what it was: it lives on for five minutes.
        assert indexed.user(session_id) == java_string("alice")


@check(name="indexed: expired_event", needs="notify-keyspace-events")
def _(_):
    with Listener() as listener:
        indexed = Indexed()
        session_id = indexed.create("alice", 2)
        eventually(lambda: indexed.redis.call("EXISTS", indexed.expires_key(session_id)) == 0)
        listener.waits_for("__keyevent@0__:expired", indexed.expires_key(session_id))
        indexed.clean_up(now_millis())
        assert indexed.redis.call("ZCARD", EXPIRATIONS) == 0


def set_rule(repository):
    field = f"sessionAttr:{PRINCIPAL}"
    repository.redis.call("INDEX.SET", "spring", "KEYS", NAMESPACE + "sessions:*", "USER", "FIELD", field, "DECODE", "java-string")


for name, make in (("basic", Basic), ("indexed", Indexed)):

    @check(name=f"{name}: logout_everywhere", needs="INDEX.SET")
    def _(_, make=make):
        repository = make()
        set_rule(repository)
        phone, laptop, bob = repository.create("alice"), repository.create("alice"), repository.create("bob")
        assert repository.redis.call("SESSION.REVOKEUSER", "alice") == 2
        assert repository.find(phone) is None and repository.find(laptop) is None
        assert repository.user(bob) == java_string("bob")
        assert repository.user(repository.create("alice")) == java_string("alice")


@check(name="indexed: late_save_stays_out", needs="INDEX.SET")
def _(_):
    indexed = Indexed()
    set_rule(indexed)
    session_id = indexed.create("alice")
    assert indexed.redis.call("SESSION.REVOKEUSER", "alice") == 1
    # A request that began before ends now: it saves what changed, without a look whether the session is still there.
    indexed.redis.call("HMSET", indexed.key(session_id), "lastAccessedTime", java_number("Long", 8, now_millis()))
    assert indexed.find(session_id) is None


print("library spring-session 3 (its commands, replayed)")
check.run(PORT)
