// @fastify/session with connect-redis as its store, over HTTP with cookies: `fastify_session.cjs PROTOCOL PORT`.

const fastify = require("fastify");
const { RedisStore } = require("connect-redis");
const { createClient } = require("redis");
const { run } = require("./checks.cjs");
const { Door, sessionWalk } = require("./session_walk.cjs");

const [RESP, port] = process.argv.slice(2, 4).map(Number);

async function main() {
  const client = createClient({ RESP, socket: { host: "127.0.0.1", port }, commandOptions: { timeout: 60_000 } });
  await client.connect();
  const door = new Door();

  const app = fastify();
  app.register(require("@fastify/cookie"));
  app.register(require("@fastify/session"), {
    store: new RedisStore({ client, prefix: "fastify:" }),
    secret: "a secret of thirty-two characters",
    saveUninitialized: false,
    cookie: { secure: false, maxAge: 3_600_000 },
  });
  app.get("/login", async (request) => {
    await request.session.regenerate();
    request.session.set("user", request.query.user);
    if (request.query.maxAge) request.session.options({ maxAge: Number(request.query.maxAge) });
    return {};
  });
  app.get("/me", async (request) => ({ user: request.session.get("user") ?? null }));
  app.get("/visit", async (request) => {
    request.session.visits = (request.session.visits ?? 0) + 1;
    return { visits: request.session.visits };
  });
  app.get("/regenerate", async (request) => {
    await request.session.regenerate(["user"]);
    return {};
  });
  app.get("/logout", async (request) => {
    await request.session.destroy();
    return {};
  });
  app.get("/slow", async (request) => {
    await door.pass();
    request.session.set("finished", true);
    return { user: request.session.get("user") ?? null };
  });
  await app.listen({ port: 0, host: "127.0.0.1" });

  const call = (...words) => client.sendCommand(words);
  const application = { port: app.server.address().port, prefix: "fastify:", pointer: "/user", ...door };
  const { checks, needs } = sessionWalk(application, call);
  run(checks, () => client.flushAll(), { libraries: ["@fastify/session", "connect-redis", "fastify"], call, needs });
}

main();
