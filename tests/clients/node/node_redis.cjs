// node-redis as a program uses it, in RESP2 or RESP3: `node_redis.cjs PROTOCOL PORT PORT_WITH_PASSWORD`.

const { WatchError, createClient, RESP_TYPES, ErrorReply } = require("redis");
const { assert, eventually, PAIRS, run, walkThroughSessions } = require("./checks.cjs");

const [RESP, port, passwordPort] = process.argv.slice(2, 5).map(Number);

async function connect(options = {}) {
  const client = createClient({
    RESP,
    socket: { host: "127.0.0.1", port, reconnectStrategy: false },
    commandOptions: { timeout: 60_000 }, // The default of 5 s is short for a busy test machine.
    ...options,
  });
  client.on("error", () => {}); // Failures come as rejected promises too.
  await client.connect();
  return client;
}

const behindPassword = (more) => ({
  socket: { host: "127.0.0.1", port: passwordPort, reconnectStrategy: false },
  ...more,
});

let r;
const checks = {
  async handshake() {
    assert.equal(await r.ping(), "PONG");
    assert.equal(await r.echo("hello"), "hello");
    const named = await connect({ name: "node-test" });
    assert.equal(await named.clientGetName(), "node-test");
    assert.ok((await named.clientId()) > 0);
    assert.match(await r.info("server"), /redis_version:7\./);
    assert.deepEqual({ ...(await r.configGet("maxmemory-policy")) }, { "maxmemory-policy": "noeviction" });
    await named.close();
  },

  async strings() {
    assert.equal(await r.get("missing"), null);
    assert.equal(await r.set("key", "value"), "OK");
    assert.equal(await r.get("key"), "value");
    assert.equal(await r.strLen("key"), 5);
    assert.equal(await r.append("key", "!"), 6);
    assert.equal(await r.getRange("key", 0, 2), "val");
    assert.equal(await r.mSet({ a: "1", b: "2" }), "OK");
    assert.deepEqual(await r.mGet(["a", "b", "missing"]), ["1", "2", null]);
    assert.equal(await r.incrBy("counter", 5), 5);
    assert.equal(await r.decr("counter"), 4);
    assert.equal(await r.incrByFloat("counter", 0.5), "4.5");
    assert.equal(await r.getDel("key"), "value!");
    assert.equal(await r.setNX("key", "x"), 1);
  },

  async setOptions() {
    assert.equal(await r.set("key", "1", { condition: "NX" }), "OK");
    assert.equal(await r.set("key", "2", { condition: "NX" }), null);
    assert.equal(await r.set("key", "2", { condition: "XX" }), "OK");
    assert.equal(await r.set("key", "3", { GET: true }), "2");
    assert.equal(await r.set("key", "4", { expiration: { type: "EX", value: 100 } }), "OK");
    assert.ok((await r.ttl("key")) > 98);
    assert.equal(await r.set("key", "5", { expiration: "KEEPTTL" }), "OK");
    assert.ok((await r.ttl("key")) > 90);
    assert.equal(await r.set("key", "6", { expiration: { type: "PXAT", value: 13_569_465_600_000 } }), "OK");
    assert.equal(await r.expireTime("key"), 13_569_465_600);
    assert.equal(await r.getEx("key", { type: "PERSIST" }), "6");
    assert.equal(await r.ttl("key"), -1);
    assert.equal(await r.setEx("key", 100, "7"), "OK");
  },

  async hashes() {
    assert.equal(await r.hSet("h", { a: "1", b: "2" }), 2);
    assert.equal(await r.hGet("h", "a"), "1");
    assert.deepEqual(await r.hmGet("h", ["a", "x"]), ["1", null]);
    assert.deepEqual({ ...(await r.hGetAll("h")) }, { a: "1", b: "2" });
    assert.equal(await r.hIncrBy("h", "a", 4), 5);
    assert.deepEqual((await r.hKeys("h")).sort(), ["a", "b"]);
    assert.equal(await r.hExists("h", "a"), 1);
    assert.equal(await r.hDel("h", ["a", "x"]), 1);
    assert.equal(await r.hLen("h"), 1);
  },

  async sets() {
    assert.equal(await r.sAdd("s", ["a", "b", "c"]), 3);
    assert.deepEqual([...(await r.sMembers("s"))].sort(), ["a", "b", "c"]);
    assert.equal(await r.sIsMember("s", "a"), 1);
    assert.equal(await r.sRem("s", "c"), 1);
    await r.sAdd("t", ["b", "d"]);
    assert.deepEqual([...(await r.sInter(["s", "t"]))], ["b"]);
    assert.deepEqual([...(await r.sUnion(["s", "t"]))].sort(), ["a", "b", "d"]);
    assert.deepEqual([...(await r.sDiff(["s", "t"]))], ["a"]);
    assert.equal(await r.sCard("s"), 2);
  },

  async sortedSets() {
    assert.equal(await r.zAdd("z", [{ score: 1, value: "a" }, { score: 2.5, value: "b" }]), 2);
    assert.equal(await r.zScore("z", "b"), 2.5);
    assert.equal(await r.zScore("z", "missing"), null);
    assert.deepEqual(await r.zRange("z", 0, -1), ["a", "b"]);
    const pairs = await r.zRangeWithScores("z", 0, -1);
    assert.deepEqual(pairs.map(({ value, score }) => [value, score]), [["a", 1], ["b", 2.5]]);
    assert.deepEqual(await r.zRangeByScore("z", "(1", "+inf"), ["b"]);
    assert.equal(await r.zIncrBy("z", 2, "a"), 3);
    assert.equal(await r.zCount("z", 2, 3), 2);
    assert.equal(await r.zRemRangeByScore("z", "-inf", 2.5), 1);
    assert.equal(await r.zCard("z"), 1);
  },

  async lists() {
    assert.equal(await r.rPush("l", ["a", "b", "c"]), 3);
    assert.equal(await r.lPush("l", "z"), 4);
    assert.deepEqual(await r.lRange("l", 0, -1), ["z", "a", "b", "c"]);
    assert.equal(await r.lRem("l", 0, "a"), 1);
    assert.equal(await r.lTrim("l", 0, 1), "OK");
    assert.equal(await r.lPop("l"), "z");
    assert.equal(await r.rPop("l"), "b");
    assert.equal(await r.lPop("l"), null);
    assert.equal(await r.lLen("l"), 0);
  },

  async keys() {
    await r.mSet({ a: "1", b: "2" });
    assert.equal(await r.exists(["a", "b", "x"]), 2);
    assert.equal(await r.type("a"), "string");
    assert.equal(await r.expire("a", 100), 1);
    assert.equal(await r.expire("a", 50, "GT"), 0);
    assert.equal(await r.persist("a"), 1);
    assert.equal(await r.ttl("a"), -1);
    assert.equal(await r.rename("a", "c"), "OK");
    assert.deepEqual((await r.keys("*")).sort(), ["b", "c"]);
    assert.equal(await r.unlink(["b", "x"]), 1);
    assert.equal(await r.del("c"), 1);
    await r.set("short", "life", { expiration: { type: "PX", value: 20 } });
    await eventually(async () => (await r.get("short")) === null);
  },

  async scan() {
    const names = Array.from({ length: 1_000 }, (_, number) => `key:${number}`);
    await Promise.all(names.map((name) => r.set(name, "x")));
    await r.hSet("h", Object.fromEntries(names.map((name) => [name, "x"])));
    await r.sAdd("s", names);
    const found = new Set();
    for await (const some of r.scanIterator({ MATCH: "key:*", COUNT: 100 })) for (const key of some) found.add(key);
    assert.equal(found.size, 1_000);
    let hashes = [];
    for await (const some of r.scanIterator({ TYPE: "hash" })) hashes = hashes.concat(some);
    assert.deepEqual(hashes, ["h"]);
    const fields = new Set();
    for await (const some of r.hScanIterator("h")) for (const { field } of some) fields.add(field);
    assert.equal(fields.size, 1_000);
    const members = new Set();
    for await (const some of r.sScanIterator("s")) for (const member of some) members.add(member);
    assert.equal(members.size, 1_000);
  },

  async pipelines() {
    const replies = await Promise.all(
      Array.from({ length: PAIRS }, (_, number) => [r.set(`key:${number}`, String(number)), r.get(`key:${number}`)]).flat(),
    );
    for (let number = 0; number < PAIRS; number += 1) assert.equal(replies[2 * number + 1], String(number));
  },

  async transactions() {
    const replies = await r.multi().set("a", "1").incr("a").get("a").hSet("h", "f", "1").hGetAll("h").exec();
    assert.deepEqual(replies.slice(0, 4), ["OK", 2, "2", 1]);
    assert.deepEqual({ ...replies[4] }, { f: "1" });
    await r.watch("a");
    await r.set("a", "changed");
    await assert.rejects(r.multi().set("a", "late").exec(), WatchError);
    assert.equal(await r.get("a"), "changed");
  },

  async publishSubscribe() {
    const heard = [];
    const listener = await connect();
    await listener.subscribe("news", (message, channel) => heard.push([channel, message]));
    await listener.pSubscribe("user:*", (message, channel) => heard.push([channel, message]));
    assert.equal(await r.publish("news", "one"), 1);
    assert.equal(await r.publish("user:7", "two"), 1);
    assert.equal(await r.publish("nobody", "three"), 0);
    await eventually(() => heard.length === 2);
    assert.deepEqual(heard.sort(), [["news", "one"], ["user:7", "two"]]);
    assert.deepEqual(await r.pubSubChannels(), ["news"]);
    await listener.unsubscribe("news");
    await eventually(async () => (await r.publish("news", "four")) === 0);
    await listener.pUnsubscribe("user:*");
    assert.equal(String(await listener.ping()), "PONG");
    await listener.close();
  },

  async largeValues() {
    const value = "0123456789abcdef".repeat(500_000);
    assert.equal(await r.set("large", value), "OK");
    assert.ok((await r.get("large")) === value);
  },

  async binary() {
    const everything = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    const raw = r.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
    assert.equal(await r.set(everything, everything), "OK");
    assert.deepEqual(await raw.get(everything), everything);
    assert.equal(await r.hSet("h", everything, everything), 1);
    assert.deepEqual(await raw.hGet("h", everything), everything);
    assert.equal(await r.set("empty", ""), "OK");
    assert.equal(await r.get("empty"), "");
  },

  async errors() {
    await r.set("key", "text");
    const is = (text) => (error) => error instanceof ErrorReply && error.message.includes(text);
    await assert.rejects(r.lPush("key", "a"), is("WRONGTYPE Operation against a key"));
    await assert.rejects(r.incr("key"), is("not an integer"));
    await assert.rejects(r.rename("missing", "x"), is("no such key"));
    await assert.rejects(r.sendCommand(["NONSENSE"]), is("unknown command 'NONSENSE'"));
    await assert.rejects(r.sendCommand(["GET"]), is("wrong number of arguments"));
  },

  async auth() {
    await assert.rejects(connect(behindPassword({})).then((client) => client.get("key")), /NOAUTH/);
    await assert.rejects(connect(behindPassword({ password: "wrong" })), /WRONGPASS/);
    const right = await connect(behindPassword({ password: "secret" }));
    assert.equal(await right.set("key", "value"), "OK");
    await right.close();
    const named = await connect(behindPassword({ username: "default", password: "secret" }));
    assert.equal(await named.get("key"), "value");
    await named.close();
  },

  async select() {
    const other = await connect({ database: 3 });
    await r.set("key", "zero");
    assert.equal(await other.get("key"), null);
    await other.set("key", "three");
    assert.equal(await r.get("key"), "zero");
    await other.select(0);
    assert.equal(await other.get("key"), "zero");
    await other.close();
  },

  sessions: () => walkThroughSessions((...words) => r.sendCommand(words), "node-redis-user"),
};

connect().then((client) => {
  r = client;
  return run(checks, () => r.flushAll(), { libraries: ["redis"], call: (...words) => r.sendCommand(words) });
});
