// Runs named checks one after another against an emptied server, prints the versions of the libraries, a line for
// each check and "N passed, N failed" at the end. Shared by the Node.js clients.

const assert = require("node:assert/strict");
const { readFileSync } = require("node:fs");
const { join } = require("node:path");

// Set and read in one pipeline: on a cluster each read waits until the write before it is on a majority's disks.
const PAIRS = Number(process.env.CLIENT_TESTS_PAIRS ?? 5_000);

async function eventually(condition) {
  const deadline = Date.now() + 10_000;
  while (!(await condition())) {
    assert(Date.now() < deadline, "waited in vain");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

// What a server may not know: the checks that need it are then left out, and said to be.
const MAY_LACK = (process.env.CLIENT_TESTS_MAY_LACK ?? "").split(" ");

async function lacks(call, command) {
  if (!MAY_LACK.includes(command)) return false;
  const [known] = await call("COMMAND", "INFO", command);
  return known === null || known === undefined;
}

// `needs` has the command that a check cannot do without, by the name of the check; `call` sends a command.
async function run(checks, empty, { libraries, call, needs = {} }) {
  for (const library of libraries) {
    const manifest = JSON.parse(readFileSync(join(process.env.NODE_PATH, library, "package.json"), "utf8"));
    console.log(`library ${manifest.name} ${manifest.version}`);
  }
  let passed = 0;
  let failed = 0;
  for (const name of Object.keys(checks)) {
    if (name === "sessions" && process.env.CLIENT_TESTS_SESSIONS === "0") continue;
    try {
      if (needs[name] && (await lacks(call, needs[name]))) {
        console.log(`left out ${name}: the server has no ${needs[name]}`);
        continue;
      }
      await empty();
      await checks[name]();
      passed += 1;
      console.log(`ok ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`not ok ${name}\n${error.stack}`);
    }
  }
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed === 0 ? 0 : 1);
}

// A map reply of a command the client does not know: an object in RESP3, a flat array in RESP2.
function asMap(reply) {
  if (!Array.isArray(reply)) return reply instanceof Map ? Object.fromEntries(reply) : { ...reply };
  const map = {};
  for (let place = 0; place < reply.length; place += 2) map[reply[place]] = reply[place + 1];
  return map;
}

// The same walk through SESSION.* for any client: `call` sends a command and returns its reply.
async function walkThroughSessions(call, user) {
  const created = asMap(
    await call("SESSION.CREATE", user, "IDLE", "60", "LIFETIME", "600", "DATA", "cart", "META", "agent", "node"),
  );
  const other = asMap(await call("SESSION.CREATE", user, "IDLE", "60", "LIFETIME", "600"));
  assert.equal(created.id.length, 43);
  assert.notEqual(created.id, other.id);
  assert.equal(await call("SESSION.VALIDATE", created.id), user);
  const session = asMap(await call("SESSION.GET", created.id));
  assert.equal(session.data, "cart");
  assert.equal(session.handle, created.handle);
  const version = String(session.version);
  assert.ok((await call("SESSION.SET", created.id, "more", "VERSION", version)) > Number(version));
  await assert.rejects(call("SESSION.SET", created.id, "x", "VERSION", version), /VERSION/);
  assert.equal(await call("SESSION.COUNT", user), 2);
  const rotated = asMap(await call("SESSION.ROTATE", created.id));
  assert.equal(await call("SESSION.VALIDATE", created.id), null);
  assert.equal(await call("SESSION.VALIDATE", rotated.id), user);
  assert.equal(await call("SESSION.REVOKEUSER", user, "EXCEPT", rotated.id), 1);
  assert.equal(await call("SESSION.REVOKE", rotated.id, other.id), 1);
  await assert.rejects(call("SESSION.SET", rotated.id, "late"), /NOSESSION/);
  assert.equal(await call("SESSION.COUNT", user), 0);
}

module.exports = { assert, eventually, PAIRS, run, walkThroughSessions };
