// ioredis as a program uses it, in RESP2 or RESP3: `ioredis.cjs PROTOCOL PORT PORT_WITH_PASSWORD`.

const { Redis, ReplyError } = require("ioredis");
const { assert, eventually, PAIRS, run, walkThroughSessions } = require("./checks.cjs");

const [protocol, port, passwordPort] = process.argv.slice(2, 5).map(Number);

function connect(options = {}) {
  const client = new Redis({ host: "127.0.0.1", port, protocol, retryStrategy: null, ...options });
  client.on("error", () => {}); // Failures come as rejected promises too.
  return client;
}

const r = connect();
const checks = {
  async handshake() {
    assert.equal(await r.ping(), "PONG");
    assert.equal(await r.echo("hello"), "hello");
    const named = connect({ connectionName: "ioredis-test" });
    assert.equal(await named.client("GETNAME"), "ioredis-test");
    assert.ok((await named.client("ID")) > 0);
    assert.match(await r.info("server"), /redis_version:7\./);
    await named.quit();
  },

  async strings() {
    assert.equal(await r.get("missing"), null);
    assert.equal(await r.set("key", "value"), "OK");
    assert.equal(await r.get("key"), "value");
    assert.equal(await r.append("key", "!"), 6);
    assert.equal(await r.mset({ a: 1, b: 2 }), "OK");
    assert.deepEqual(await r.mget("a", "b", "missing"), ["1", "2", null]);
    assert.equal(await r.incrby("counter", 5), 5);
    assert.equal(await r.incrbyfloat("counter", 0.5), "5.5");
    assert.equal(await r.getdel("key"), "value!");
    assert.equal(await r.setnx("key", "x"), 1);
  },

  async setOptions() {
    assert.equal(await r.set("key", "1", "NX"), "OK");
    assert.equal(await r.set("key", "2", "NX"), null);
    assert.equal(await r.set("key", "2", "EX", 100, "XX"), "OK");
    assert.equal(await r.set("key", "3", "GET"), "2");
    assert.equal(await r.set("key", "4", "PX", 100_000, "XX", "GET"), "3");
    assert.ok((await r.pttl("key")) > 90_000);
    assert.equal(await r.set("key", "5", "KEEPTTL"), "OK");
    assert.ok((await r.ttl("key")) > 90);
    assert.equal(await r.set("key", "6", "EXAT", 13_569_465_600), "OK");
    assert.equal(await r.expiretime("key"), 13_569_465_600);
    assert.equal(await r.getex("key", "PERSIST"), "6");
    assert.equal(await r.setex("key", 100, "7"), "OK");
  },

  async hashes() {
    assert.equal(await r.hset("h", { a: 1, b: 2 }), 2);
    assert.equal(await r.hget("h", "a"), "1");
    assert.deepEqual(await r.hmget("h", "a", "x"), ["1", null]);
    assert.deepEqual({ ...(await r.hgetall("h")) }, { a: "1", b: "2" });
    assert.equal(await r.hincrby("h", "a", 4), 5);
    assert.equal(await r.hdel("h", "a", "x"), 1);
    assert.equal(await r.hlen("h"), 1);
  },

  async sets() {
    assert.equal(await r.sadd("s", "a", "b", "c"), 3);
    assert.deepEqual([...(await r.smembers("s"))].sort(), ["a", "b", "c"]);
    assert.equal(Number(await r.sismember("s", "a")), 1);
    assert.equal(await r.srem("s", "c"), 1);
    await r.sadd("t", "b", "d");
    assert.deepEqual([...(await r.sinter("s", "t"))], ["b"]);
    assert.deepEqual([...(await r.sunion("s", "t"))].sort(), ["a", "b", "d"]);
    assert.equal(await r.scard("s"), 2);
  },

  async sortedSets() {
    assert.equal(await r.zadd("z", 1, "a", 2.5, "b"), 2);
    assert.equal(Number(await r.zscore("z", "b")), 2.5);
    assert.deepEqual(await r.zrange("z", 0, -1), ["a", "b"]);
    const pairs = (await r.zrange("z", 0, -1, "WITHSCORES")).flat();
    assert.deepEqual(pairs.map(String), ["a", "1", "b", "2.5"]);
    assert.deepEqual(await r.zrevrangebyscore("z", "+inf", "(1", "LIMIT", 0, 1), ["b"]);
    assert.equal(Number(await r.zincrby("z", 2, "a")), 3);
    assert.equal(await r.zremrangebyscore("z", "-inf", 2.5), 1);
    assert.equal(await r.zcard("z"), 1);
  },

  async lists() {
    assert.equal(await r.rpush("l", "a", "b", "c"), 3);
    assert.deepEqual(await r.lrange("l", 0, -1), ["a", "b", "c"]);
    assert.equal(await r.lpop("l"), "a");
    assert.equal(await r.rpop("l"), "c");
    assert.equal(await r.llen("l"), 1);
  },

  async keys() {
    await r.mset("a", 1, "b", 2);
    assert.equal(await r.exists("a", "b", "x"), 2);
    assert.equal(await r.type("a"), "string");
    assert.equal(await r.expire("a", 100), 1);
    assert.equal(await r.expire("a", 50, "GT"), 0);
    assert.equal(await r.persist("a"), 1);
    assert.equal(await r.rename("a", "c"), "OK");
    assert.equal(await r.unlink("b", "x"), 1);
    assert.equal(await r.del("c"), 1);
    await r.set("short", "life", "PX", 20);
    await eventually(async () => (await r.get("short")) === null);
  },

  async scan() {
    const names = Array.from({ length: 1_000 }, (_, number) => `key:${number}`);
    await r.mset(Object.fromEntries(names.map((name) => [name, "x"])));
    await r.hset("h", Object.fromEntries(names.map((name) => [name, "x"])));
    const found = new Set();
    for await (const some of r.scanStream({ match: "key:*", count: 100 })) for (const key of some) found.add(key);
    assert.equal(found.size, 1_000);
    const fields = new Set();
    for await (const some of r.hscanStream("h")) for (let place = 0; place < some.length; place += 2) fields.add(some[place]);
    assert.equal(fields.size, 1_000);
  },

  async pipelines() {
    const pipeline = r.pipeline();
    for (let number = 0; number < PAIRS; number += 1) pipeline.set(`key:${number}`, number).get(`key:${number}`);
    const replies = await pipeline.exec();
    for (let number = 0; number < PAIRS; number += 1) assert.deepEqual(replies[2 * number + 1], [null, String(number)]);
    const mixed = await r.pipeline().set("a", "text").incr("a").get("a").exec();
    assert.ok(mixed[1][0] instanceof ReplyError);
    assert.equal(mixed[2][1], "text");
  },

  async transactions() {
    assert.deepEqual(await r.multi().set("a", 1).incr("a").get("a").exec(), [[null, "OK"], [null, 2], [null, "2"]]);
    const mixed = await r.multi().set("a", "text").incr("a").get("a").exec();
    assert.ok(mixed[1][0] instanceof ReplyError);
    assert.equal(mixed[2][1], "text");
    await r.watch("a");
    await r.set("a", "changed");
    assert.equal(await r.multi().set("a", "late").exec(), null);
    assert.equal(await r.get("a"), "changed");
    await r.multi({ pipeline: false });
    assert.equal(await r.set("a", 1), "QUEUED");
    assert.equal(await r.discard(), "OK");
  },

  async publishSubscribe() {
    const heard = [];
    const listener = connect();
    listener.on("message", (channel, message) => heard.push([channel, message]));
    listener.on("pmessage", (pattern, channel, message) => heard.push([pattern, channel, message]));
    assert.equal(await listener.subscribe("news", "more"), 2);
    assert.equal(await listener.psubscribe("user:*"), 3);
    assert.equal(await r.publish("news", "one"), 1);
    assert.equal(await r.publish("user:7", "two"), 1);
    assert.equal(await r.publish("nobody", "three"), 0);
    await eventually(() => heard.length === 2);
    assert.deepEqual(heard.sort(), [["news", "one"], ["user:*", "user:7", "two"]]);
    assert.deepEqual((await r.pubsub("CHANNELS")).sort(), ["more", "news"]);
    assert.equal(await listener.unsubscribe("news", "more"), 1);
    assert.equal(await listener.punsubscribe("user:*"), 0);
    assert.equal(await r.publish("news", "four"), 0);
    assert.equal(await listener.ping(), "PONG");
    await listener.quit();
  },

  async largeValues() {
    const value = "0123456789abcdef".repeat(500_000);
    assert.equal(await r.set("large", value), "OK");
    assert.ok((await r.get("large")) === value);
  },

  async binary() {
    const everything = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    assert.equal(await r.set(everything, everything), "OK");
    assert.deepEqual(await r.getBuffer(everything), everything);
    assert.equal(await r.hset("h", everything, everything), 1);
    assert.deepEqual(await r.hgetBuffer("h", everything), everything);
  },

  async errors() {
    await r.set("key", "text");
    const is = (text) => (error) => error instanceof ReplyError && error.message.includes(text);
    await assert.rejects(r.lpush("key", "a"), is("WRONGTYPE Operation against a key"));
    await assert.rejects(r.incr("key"), is("not an integer"));
    await assert.rejects(r.rename("missing", "x"), is("no such key"));
    await assert.rejects(r.call("NONSENSE"), is("unknown command 'NONSENSE'"));
  },

  async auth() {
    const options = { port: passwordPort, maxRetriesPerRequest: 0, enableReadyCheck: false };
    const stranger = connect(options);
    await assert.rejects(stranger.get("key"), /NOAUTH/);
    stranger.disconnect();
    const right = connect({ ...options, password: "secret" });
    assert.equal(await right.set("key", "value"), "OK");
    right.disconnect();
    const named = connect({ ...options, username: "default", password: "secret", enableReadyCheck: true });
    assert.equal(await named.get("key"), "value");
    named.disconnect();
  },

  async select() {
    const other = connect({ db: 3 });
    await r.set("key", "zero");
    assert.equal(await other.get("key"), null);
    await other.set("key", "three");
    assert.equal(await r.get("key"), "zero");
    other.disconnect();
  },

  sessions: () => walkThroughSessions((...words) => r.call(...words), "ioredis-user"),
};

run(checks, () => r.flushall(), { libraries: ["ioredis"], call: (...words) => r.call(...words) });
