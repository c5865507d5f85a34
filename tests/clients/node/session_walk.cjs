// What a person does in a web application with sessions, for any application that has these routes: /login?user=NAME
// (and maxAge=MILLISECONDS), /me, /visit (counts in the session), /regenerate, /logout, and /slow (loads the session,
// waits for `application.release()`, writes).

const { assert, eventually } = require("./checks.cjs");
const { Browser } = require("./browser.cjs");

const PLAIN = process.env.CLIENT_TESTS_SESSIONS === "0";

// `application`: port, prefix of its keys, pointer to the user in a stored value, entered() and release() of /slow.
// `call` sends a command of the test's own.
function sessionWalk(application, call) {
  const ruleName = application.prefix.replace(/\W/g, "");

  async function loggedIn(user, query = "") {
    const browser = new Browser(application.port);
    await browser.ask(`/login?user=${user}${query}`);
    return browser;
  }
  const userOf = async (browser) => (await browser.ask("/me")).user;
  const storedKeys = async () => (await call("KEYS", `${application.prefix}*`)).map(String).sort();
  const setRule = () =>
    call("INDEX.SET", ruleName, "KEYS", `${application.prefix}*`, "USER", "JSON", application.pointer);

  const checks = {
    async logIn() {
      const browser = new Browser(application.port);
      assert.equal(await userOf(browser), null);
      await browser.ask("/login?user=alice");
      assert.equal(await userOf(browser), "alice");
      const keys = await storedKeys();
      assert.equal(keys.length, 1);
      assert.ok((await call("TTL", keys[0])) > 3_000);
    },

    async read() {
      const [alice, bob] = [await loggedIn("alice"), await loggedIn("bob")];
      for (const visits of [1, 2, 3]) assert.equal((await alice.ask("/visit")).visits, visits);
      assert.equal((await bob.ask("/visit")).visits, 1);
      assert.equal(await userOf(bob), "bob");
      const forged = alice.copy();
      for (const [name, value] of forged.cookies) forged.cookies.set(name, value.slice(0, -3) + "xxx");
      assert.equal(await userOf(forged), null);
    },

    async touch() {
      const alice = await loggedIn("alice");
      const [key] = await storedKeys();
      assert.equal(await call("EXPIRE", key, "100"), 1);
      assert.equal(await userOf(alice), "alice");
      await eventually(async () => (await call("TTL", key)) > 3_000);
    },

    async regenerate() {
      const alice = await loggedIn("alice");
      const thief = alice.copy();
      const [before] = await storedKeys();
      await alice.ask("/regenerate");
      const after = await storedKeys();
      assert.equal(after.length, 1);
      assert.notEqual(after[0], before);
      assert.equal(await userOf(alice), "alice");
      assert.equal(await userOf(thief), null);
    },

    async logOut() {
      const alice = await loggedIn("alice");
      const copy = alice.copy();
      await alice.ask("/logout");
      assert.equal(await userOf(alice), null);
      assert.equal(await userOf(copy), null);
      assert.deepEqual(await storedKeys(), []);
    },

    async expiry() {
      const alice = await loggedIn("alice", "&maxAge=2000");
      const key = (await storedKeys())[0];
      const copy = alice.copy();
      assert.ok((await call("PTTL", key)) <= 2_000);
      await eventually(async () => (await call("EXISTS", key)) === 0);
      assert.equal(await userOf(copy), null);
    },

    async logoutEverywhere() {
      await setRule();
      const [phone, laptop, bob] = [await loggedIn("alice"), await loggedIn("alice"), await loggedIn("bob")];
      assert.equal(await call("SESSION.REVOKEUSER", "alice"), 2);
      assert.equal(await userOf(phone), null);
      assert.equal(await userOf(laptop), null);
      assert.equal(await userOf(bob), "bob");
      assert.equal(await userOf(await loggedIn("alice")), "alice");
    },
  };
  const needs = { logoutEverywhere: "INDEX.SET" };

  if (application.release) {
    // A request that was under way when its user was logged out everywhere saves the session when it ends.
    const lateSave = async (logOutEverywhere) => {
      const alice = await loggedIn("alice");
      const slow = alice.ask("/slow");
      await application.entered();
      await logOutEverywhere();
      assert.equal(await userOf(alice.copy()), null);
      application.release();
      assert.equal((await slow).user, "alice");
      return userOf(alice);
    };
    if (PLAIN) {
      checks.lateSaveBringsTheSessionBack = async () => {
        const remove = async () => call("DEL", ...(await storedKeys()));
        assert.equal(await lateSave(remove), "alice");
      };
    } else {
      checks.lateSaveStaysOut = async () => {
        await setRule();
        const revoke = async () => assert.equal(await call("SESSION.REVOKEUSER", "alice"), 1);
        assert.equal(await lateSave(revoke), null);
        assert.deepEqual(await storedKeys(), []);
      };
      needs.lateSaveStaysOut = "INDEX.SET";
    }
  }
  return { checks, needs };
}

// A door that requests wait at until the test opens it, and that tells when one has come.
class Door {
  constructor() {
    this.close();
  }

  close() {
    this.arrived = new Promise((resolve) => (this.arrive = resolve));
    this.opened = new Promise((resolve) => (this.open = resolve));
  }

  // For the request.
  pass() {
    this.arrive();
    return this.opened;
  }

  // For the test: the request is waiting. Then the request goes on, and the door is closed for the next.
  entered = () => this.arrived;
  release = () => {
    this.open();
    this.close();
  };
}

module.exports = { Door, sessionWalk };
