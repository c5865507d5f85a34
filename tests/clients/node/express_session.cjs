// express-session with connect-redis behind express, over HTTP with cookies: `express_session.cjs PROTOCOL PORT`.

const express = require("express");
const session = require("express-session");
const { RedisStore } = require("connect-redis");
const { createClient } = require("redis");
const { assert, run } = require("./checks.cjs");
const { Door, sessionWalk } = require("./session_walk.cjs");

const [RESP, port] = process.argv.slice(2, 4).map(Number);

async function main() {
  const client = createClient({ RESP, socket: { host: "127.0.0.1", port }, commandOptions: { timeout: 60_000 } });
  await client.connect();
  const store = new RedisStore({ client });
  const door = new Door();

  const app = express();
  app.use(session({ store, secret: "secret", resave: false, saveUninitialized: false, cookie: { maxAge: 3_600_000 } }));
  app.get("/login", (request, response, next) => {
    request.session.regenerate((error) => {
      if (error) return next(error);
      request.session.user = request.query.user;
      if (request.query.maxAge) request.session.cookie.maxAge = Number(request.query.maxAge);
      response.json({});
    });
  });
  app.get("/me", (request, response) => response.json({ user: request.session.user ?? null }));
  app.get("/visit", (request, response) => {
    request.session.visits = (request.session.visits ?? 0) + 1;
    response.json({ visits: request.session.visits });
  });
  app.get("/regenerate", (request, response, next) => {
    const { user } = request.session;
    request.session.regenerate((error) => {
      if (error) return next(error);
      request.session.user = user;
      response.json({});
    });
  });
  app.get("/logout", (request, response, next) =>
    request.session.destroy((error) => (error ? next(error) : response.json({}))),
  );
  app.get("/slow", async (request, response) => {
    await door.pass();
    request.session.finished = true;
    response.json({ user: request.session.user ?? null });
  });

  const server = app.listen(0, "127.0.0.1", () => {
    const call = (...words) => client.sendCommand(words);
    const application = { port: server.address().port, prefix: "sess:", pointer: "/user", ...door };
    const { checks, needs } = sessionWalk(application, call);

    checks.storeListsSessions = async () => {
      const saved = { cookie: {}, user: "alice" };
      for (const id of ["one", "two"]) await store.set(id, saved);
      assert.deepEqual((await store.ids()).sort(), ["one", "two"]);
      assert.equal(await store.length(), 2);
      assert.deepEqual((await store.all()).map(({ user }) => user), ["alice", "alice"]);
      await store.clear();
      assert.equal(await store.length(), 0);
    };
    run(checks, () => client.flushAll(), { libraries: ["express-session", "connect-redis", "express"], call, needs });
  });
}

main();
