// better-auth with its Redis storage as secondary storage, over HTTP with cookies: `better_auth.cjs PROTOCOL PORT`.
// Users live in better-auth's memory, sessions in Redis only. The storage's own ioredis is version 5.

const http = require("node:http");
const { redisStorage } = require("@better-auth/redis-storage");
const { betterAuth } = require("better-auth");
const { memoryAdapter } = require("better-auth/adapters/memory");
const { toNodeHandler } = require("better-auth/node");
const { Redis } = require("ioredis-5");
const { assert, eventually, run } = require("./checks.cjs");
const { Browser } = require("./browser.cjs");

const port = Number(process.argv[3]);
const PREFIX = "better-auth:";

async function main() {
  const client = new Redis({ host: "127.0.0.1", port });
  const call = (...words) => client.call(...words);
  const storage = redisStorage({ client, keyPrefix: PREFIX });
  const database = { user: [], session: [], account: [], verification: [] };
  let sessionSeconds = 3_600;
  // A new one for each check, as the length of a session is fixed when it is made.
  let auth;
  const makeAuth = () =>
    betterAuth({
      baseURL: `http://127.0.0.1:${server.address().port}`,
      secret: "a secret of thirty-two characters",
      database: memoryAdapter(database),
      secondaryStorage: storage,
      emailAndPassword: { enabled: true, password: { hash: async (word) => word, verify: async ({ hash, password }) => hash === password } },
      session: { expiresIn: sessionSeconds, updateAge: 0 },
      rateLimit: { enabled: false },
      telemetry: { enabled: false },
      logger: { disabled: true },
    });
  const server = http.createServer((request, response) => toNodeHandler(auth)(request, response));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

  const body = (name) => ({ email: `${name}@example.org`, password: "a good password", name });
  const post = (browser, path, content = {}) => browser.ask(`/api/auth${path}`, { method: "POST", body: content });
  async function loggedIn(name) {
    const browser = new Browser(server.address().port);
    const known = database.user.some(({ email }) => email === body(name).email);
    await post(browser, known ? "/sign-in/email" : "/sign-up/email", body(name));
    return browser;
  }
  const session = async (browser) => (await browser.ask("/api/auth/get-session")) ?? null;
  const nameOf = async (browser) => (await session(browser))?.user.name ?? null;
  const keyOf = async (browser) => PREFIX + (await session(browser)).session.token;

  const checks = {
    async logIn() {
      assert.equal(await nameOf(new Browser(server.address().port)), null);
      const alice = await loggedIn("alice");
      assert.equal(await nameOf(alice), "alice");
      assert.ok((await client.ttl(await keyOf(alice))) > 3_000);
      assert.equal(database.session.length, 0);
    },

    async read() {
      const [alice, bob] = [await loggedIn("alice"), await loggedIn("bob")];
      assert.equal(await nameOf(bob), "bob");
      assert.equal(await nameOf(alice), "alice");
      const sessions = await alice.ask("/api/auth/list-sessions");
      assert.equal(sessions.length, 1);
    },

    async touch() {
      const alice = await loggedIn("alice");
      const key = await keyOf(alice);
      assert.equal(await client.expire(key, 100), 1);
      assert.equal(await nameOf(alice), "alice");
      await eventually(async () => (await client.ttl(key)) > 3_000);
    },

    // better-auth has no call of that name: signing in again makes a new session, and the old one is revoked.
    async regenerate() {
      const alice = await loggedIn("alice");
      const thief = alice.copy();
      const before = await keyOf(alice);
      await post(alice, "/sign-in/email", body("alice"));
      await post(alice, "/revoke-other-sessions");
      assert.notEqual(await keyOf(alice), before);
      assert.equal(await nameOf(alice), "alice");
      assert.equal(await nameOf(thief), null);
    },

    async logOut() {
      const alice = await loggedIn("alice");
      const copy = alice.copy();
      const key = await keyOf(alice);
      await post(alice, "/sign-out");
      assert.equal(await client.exists(key), 0);
      assert.equal(await nameOf(copy), null);
    },

    async expiry() {
      sessionSeconds = 2;
      auth = makeAuth();
      const alice = await loggedIn("alice");
      const key = await keyOf(alice);
      await eventually(async () => (await client.exists(key)) === 0);
      assert.equal(await nameOf(alice), null);
    },

    async storage() {
      await storage.set("a", "1", 100);
      await storage.set("b", "2");
      assert.deepEqual((await storage.listKeys()).sort(), ["a", "b"]);
      assert.equal(await storage.getAndDelete("a"), "1");
      assert.equal(await storage.get("a"), null);
      await storage.clear();
      assert.deepEqual(await storage.listKeys(), []);
    },

    async storageCounts() {
      assert.equal(await storage.increment("count", 100), 1);
      assert.equal(await storage.increment("count", 100), 2);
      assert.ok((await client.ttl(`${PREFIX}count`)) > 98);
    },

    async logoutEverywhere() {
      await call("INDEX.SET", "betterauth", "KEYS", `${PREFIX}*`, "USER", "JSON", "/session/userId");
      const [phone, laptop, bob] = [await loggedIn("alice"), await loggedIn("alice"), await loggedIn("bob")];
      const { id } = (await session(phone)).user;
      assert.equal(await call("SESSION.REVOKEUSER", id), 2);
      assert.equal(await nameOf(phone), null);
      assert.equal(await nameOf(laptop), null);
      assert.equal(await nameOf(bob), "bob");
      assert.equal(await nameOf(await loggedIn("alice")), "alice");
    },
  };
  const empty = async () => {
    await client.flushall();
    for (const table of Object.values(database)) table.length = 0;
    sessionSeconds = 3_600;
    auth = makeAuth();
  };
  const needs = { logoutEverywhere: "INDEX.SET", storageCounts: "EVAL" };
  run(checks, empty, { libraries: ["better-auth", "@better-auth/redis-storage", "ioredis-5"], call, needs });
}

main();
