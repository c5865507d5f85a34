"""The same random commands to two servers, reply for reply: `compare.py [--pipeline N] OURS REDIS [SEED...]`, two ports.

A seed decides everything, so a difference comes again; odd ones speak RESP3. Few keys and short words make commands
meet keys of each type, bad numbers and missing keys; a fifth of the commands is drawn from the table of all that both
servers have (`table.py`). Transactions come up, and keys that end a moment later. After a difference both servers are
emptied and the walk goes on. What differs on purpose stands in `is_known` with its reason. Both servers are emptied:
use servers of your own. With a pipeline, N commands go out in one write, and a difference may be followed by others of
the same write that come of it. `--commands N` asks for about N in all, with as many seeds as that takes.
"""

import argparse
import random
import sys
import time

from table import Table
from wire import Connection

COMMANDS = 4_000
DIFFERENCES_SHOWN = 5


class Walk:
    """Draws commands."""

    def __init__(self, seed, table):
        self.random = random.Random(seed)
        self.table = table

    def one_of(self, *choices):
        return self.random.choice(choices)

    def key(self):
        return self.one_of("a", "b", "c", "d", "e")

    def value(self):
        return self.one_of(
            "", "x", "hello", "10", "-3", "3.5", "1e3", " 1", "99999999999999999999", "abc" * 30, "0", "inf", "nan",
            "\x00\xff", "y" * 70, "007", "-0", "9223372036854775807")  # fmt: skip

    def member(self):
        return self.one_of("m1", "m2", "m3", "1", "2", "3", "x", "", "10", "abc", "z" * 70)

    def number(self):
        return self.one_of("0", "1", "-1", "2", "5", "-2", "10", "-100", "abc", "", "9223372036854775807", "1.5")

    def score(self):
        return self.one_of("0", "1", "2", "3", "-1", "1.5", "2.5", "inf", "-inf", "10", "abc", "nan", "100")

    def bound(self):
        return self.one_of("", "(", "") + self.score()

    def place(self):
        return self.one_of("-", "+", "[a", "(a", "[m2", "(m2", "[z", "x", "(")

    def seconds(self):
        return self.one_of("100", "1000", "5000", "0", "-1", "abc", "100000")

    def some(self, draw, most=4):
        return [draw() for _ in range(self.random.randint(0, most))]

    def pairs(self, first, second):
        pairs = [word for _ in range(self.random.randint(0, 3)) for word in (first(), second())]
        return pairs + [first()] if self.random.random() < 0.05 else pairs

    def options(self, *options):
        taken = [option for option in options if self.random.random() < 0.4]
        return [word for option in taken for word in ([option] if isinstance(option, str) else option)]

    def command(self):
        if self.random.random() < 0.2:
            return self.table.command(self.random, self.key)
        if self.random.random() < 0.03:
            return self.one_of(["MULTI"], ["MULTI"], ["EXEC"], ["EXEC"], ["DISCARD"], ["WATCH", self.key()], ["UNWATCH"],
                ["WATCH"], ["EXEC", "x"])  # fmt: skip
        if self.random.random() < 0.02:
            # The caller sees to it that this has passed before anybody looks.
            return self.one_of(["PEXPIRE", self.key(), "1"], ["SET", self.key(), self.value(), "PX", "1"],
                ["PSETEX", self.key(), "1", self.value()])  # fmt: skip
        k, v, m, n, s, b, o = self.key, self.value, self.member, self.number, self.score, self.bound, self.options
        limit = ["LIMIT", n(), n()]
        words = self.one_of(
            ["SET", k(), v(), *o("NX", "XX", "GET", "KEEPTTL", ["EX", self.seconds()])],
            ["GET", k()], ["GETDEL", k()], ["GETSET", k(), v()], ["GETEX", k(), *o("PERSIST", ["EX", self.seconds()])],
            ["SETNX", k(), v()], ["SETEX", k(), self.seconds(), v()], ["APPEND", k(), v()], ["STRLEN", k()],
            ["GETRANGE", k(), n(), n()], ["SETRANGE", k(), self.one_of("0", "1", "5", "-1", "abc"), v()],
            [self.one_of("INCR", "DECR"), k()], [self.one_of("INCRBY", "DECRBY"), k(), n()],
            ["INCRBYFLOAT", k(), self.one_of("1", "0.5", "-2.25", "1e2")],
            ["MSET", *self.pairs(k, v)], ["MSETNX", *self.pairs(k, v)], ["MGET", *self.some(k)],
            [self.one_of("DEL", "UNLINK", "EXISTS", "TOUCH"), *self.some(k)], ["DEL", k()], ["TYPE", k()], ["PERSIST", k()],
            ["EXPIRE", k(), self.seconds(), *o("NX", "XX", "GT", "LT")], ["TTL", k()], ["EXPIRETIME", "missing"],
            ["EXPIREAT", k(), self.one_of("13569465600", "1", "abc", "0", "-5"), *o("NX", "GT")],
            [self.one_of("RENAME", "RENAMENX"), k(), k()], ["COPY", k(), k(), *o("REPLACE", ["DB", self.one_of("0", "1", "99")])],
            ["DBSIZE"], ["KEYS", self.one_of("*", "a", "[a-c]", "?", "[^a]")], ["MOVE", k(), self.one_of("0", "1", "x")],
            ["SELECT", self.one_of("0", "0", "0", "1", "16")],
            ["HSET", k(), *self.pairs(m, v)], ["HMSET", k(), *self.pairs(m, v)], ["HGET", k(), m()], ["HMGET", k(), *self.some(m)],
            [self.one_of("HGETALL", "HKEYS", "HVALS", "HLEN"), k()], ["HDEL", k(), *self.some(m)], ["HEXISTS", k(), m()],
            ["HSETNX", k(), m(), v()], ["HINCRBY", k(), m(), n()], ["HINCRBYFLOAT", k(), m(), self.one_of("1", "0.5", "abc")],
            ["SADD", k(), *self.some(m)], ["SREM", k(), *self.some(m)], [self.one_of("SMEMBERS", "SCARD"), k()],
            ["SISMEMBER", k(), m()], ["SMISMEMBER", k(), *self.some(m)], ["SMOVE", k(), k(), m()],
            [self.one_of("SINTER", "SUNION", "SDIFF"), *self.some(k)],
            [self.one_of("SINTERSTORE", "SUNIONSTORE", "SDIFFSTORE"), k(), *self.some(k)],
            ["SINTERCARD", self.one_of("1", "2", "0", "3"), k(), k(), *o(["LIMIT", n()])],
            ["ZADD", k(), *o("NX", "XX", "GT", "LT", "CH", "INCR"), *self.pairs(s, m)], ["ZSCORE", k(), m()],
            ["ZMSCORE", k(), *self.some(m)], ["ZCARD", k()], ["ZREM", k(), *self.some(m)], ["ZINCRBY", k(), s(), m()],
            ["ZCOUNT", k(), b(), b()], [self.one_of("ZRANK", "ZREVRANK"), k(), m()],
            ["ZRANGE", k(), n(), n(), *o("REV", "WITHSCORES", limit)],
            ["ZRANGE", k(), b(), b(), "BYSCORE", *o("REV", "WITHSCORES", limit)],
            # Lex ranges are specified for equal scores only, which no other command gives this key.
            ["ZADD", "lex", "0", m(), "0", m()], ["ZREM", "lex", m()], ["ZLEXCOUNT", "lex", self.place(), self.place()],
            ["ZRANGE", "lex", self.place(), self.place(), "BYLEX", *o("REV", limit)],
            [self.one_of("ZRANGEBYLEX", "ZREVRANGEBYLEX"), "lex", self.place(), self.place(), *o(limit)],
            [self.one_of("ZRANGEBYSCORE", "ZREVRANGEBYSCORE"), k(), b(), b(), *o("WITHSCORES", limit)],
            ["ZREMRANGEBYSCORE", k(), b(), b()], ["ZREMRANGEBYRANK", k(), n(), n()],
            ["ZREMRANGEBYLEX", "lex", self.place(), self.place()], [self.one_of("ZPOPMIN", "ZPOPMAX"), k(), *o(n())],
            [self.one_of("RPUSH", "LPUSH", "RPUSHX", "LPUSHX"), k(), *self.some(v)],
            [self.one_of("LPOP", "RPOP"), k(), *o(n())], ["LRANGE", k(), n(), n()], ["LLEN", k()], ["LINDEX", k(), n()],
            ["LREM", k(), n(), v()], ["LTRIM", k(), n(), n()], ["LSET", k(), self.one_of("0", "1", "-1", "9"), v()],
            ["LINSERT", k(), self.one_of("BEFORE", "AFTER", "X"), v(), v()], ["RPOPLPUSH", k(), k()],
            ["SSCAN", k(), "0"], ["HSCAN", k(), "0", *o(["MATCH", "m*"])], ["ZSCAN", k(), "0", *o(["MATCH", "m*"])],
            ["SPOP", k(), self.one_of("0", "-1", "abc", "100")], ["SRANDMEMBER", k(), "0"],
        )  # fmt: skip
        return [words[0].lower() if self.random.random() < 0.3 else words[0], *words[1:]]


# Redis gives the elements of these in the order of a hash table when there are many or long ones.
UNORDERED = {"SMEMBERS", "SINTER", "SUNION", "SDIFF", "KEYS", "SSCAN", "SPOP", "HGETALL", "HKEYS", "HVALS", "HSCAN", "ZSCAN"}


def comparable(name, reply):
    kind, content = reply
    if name in ("TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME") and kind == ":" and int(content) > 0:
        # The two clocks of the two servers, and a moment between the two requests.
        return (kind, round(int(content) / (50 if name.endswith("TTL") and name[0] == "T" else 50_000)))
    if name == "DBSIZE":
        # Both count keys that have ended until they are reclaimed, each in its own time.
        return kind
    if not isinstance(content, list):
        return score(reply) if name.startswith("Z") else reply
    items = [comparable(name, item) for item in content]
    return (kind, sorted(items, key=repr) if name in UNORDERED else items)


def score(reply):
    """Redis 7.0 prints seventeen digits of a score, 7.2 the fewest that name it."""
    try:
        return (reply[0], float(reply[1])) if reply[0] in "$," else reply
    except ValueError:
        return reply


def is_known(words, ours, redis):
    name, texts = words[0].upper(), (ours[1], redis[1])
    return (
        # A bad time is refused before the key is looked at (docs/commands.md).
        name == "GETEX" and ours[0] == "-" and ours[1].startswith(("ERR invalid expire", "ERR value is not"))
        # Of small numbers Redis keeps one object for all keys.
        or words[1:2] == ["refcount"] and ours[0] == redis[0] == ":"
        # 7.2 takes a command without arguments, 7.0 does not.
        or [word.lower() for word in words[:2]] == ["command", "getkeys"] and len(words) == 3
        # WITHSCORE is of 7.2.
        or name in ("ZRANK", "ZREVRANK") and len(words) == 4 and "ERR wrong number" in texts[1]
    )


def moment(words):
    """Milliseconds after which the key of a request may have ended, when they are few."""
    if words[0].upper() not in ("PEXPIRE", "PSETEX", "SET", "GETEX"):
        return 0
    return max((int(word) for word in words[2:] if word.isdigit() and int(word) <= 10), default=0)


def wait_out(clocks, milliseconds):
    """Waits until what was to end in so many milliseconds has ended at both servers, by their own clocks."""
    for clock in clocks:
        clock.call(["SET", "clock", "", "PX", str(milliseconds)])
    deadline = time.monotonic() + 10
    while any(clock.call(["EXISTS", "clock"]) != (":", "0") for clock in clocks):
        assert time.monotonic() < deadline, "a key does not end"


class Replies:
    """What one connection answers, made comparable. EXEC's reply is that of the commands queued before."""

    def __init__(self, connection):
        self.connection, self.queued = connection, []

    def read(self, name):
        reply = self.connection.read()
        if reply == ("+", "QUEUED"):
            self.queued.append(name)
        elif name in ("EXEC", "DISCARD"):
            queued, self.queued = self.queued, []
            if reply[0] == "*" and len(reply[1]) == len(queued):
                return ("*", [comparable(*pair) for pair in zip(queued, reply[1])])
        return comparable(name, reply)


def walk(ports, seed, pipeline):
    """Whether the two agreed on every command of a seed."""
    clocks = [Connection(port, 2) for port in ports]
    for clock in clocks:
        # A database the walk does not go to.
        clock.call(["SELECT", "15"])
    connections = [Connection(port, 2 + seed % 2) for port in ports]
    steps, different = Walk(seed, Table(*connections)), 0
    replies = [Replies(connection) for connection in connections]
    history, owed = [], 0
    for _ in range(COMMANDS // pipeline):
        requests = [steps.command() for _ in range(pipeline)]
        for connection in connections:
            connection.send(requests)
        disagreed = False
        for words in requests:
            name = words[0].upper()
            ours, redis = (reply.read(name) for reply in replies)
            history.append(words)
            if repr(ours).replace("nan", "0") == repr(redis).replace("nan", "0"):
                continue
            disagreed = True
            if is_known(words, ours, redis):
                continue
            different += 1
            if different <= DIFFERENCES_SHOWN:
                touching = [past for past in history[:-1] if set(past[1:]) & set(words[1:2])]
                print(f"seed {seed}: {words}\n  ours  {ours}\n  redis {redis}\n  after {touching[-4:]}")
        # What was queued begins to end with EXEC.
        owed = max(owed, *map(moment, requests))
        if owed > 0 and not any(reply.queued for reply in replies):
            wait_out(clocks, owed)
            owed = 0
        if disagreed:
            for connection in connections:
                connection.begin_anew()
    return different == 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pipeline", type=int, default=1)
    parser.add_argument("--commands", type=int)
    parser.add_argument("ports", type=int, nargs=2)
    parser.add_argument("seeds", type=int, nargs="*")
    arguments = parser.parse_args()
    seeds = range(1, arguments.commands // COMMANDS + 2) if arguments.commands else arguments.seeds or range(1, 5)
    passed = [walk(arguments.ports, seed, arguments.pipeline) for seed in seeds]
    print(f"{sum(passed)} passed, {len(passed) - sum(passed)} failed")
    sys.exit(0 if all(passed) else 1)


main()
