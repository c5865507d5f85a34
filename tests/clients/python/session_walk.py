"""What a person does in a web application with sessions, for any application that has these routes: /login?user=NAME
(and seconds=N, how long it lives), /me, /visit (counts in the session), /regenerate and /logout."""

from checks import eventually


class SessionWalk:
    """`new_browser()` makes a browser that keeps cookies, `ask(browser, path)` gets a page's JSON, `copy(browser)` makes
    another with the same cookies, `pattern` matches the keys of sessions, `client` is a connection of the test's own."""

    def __init__(self, client, new_browser, ask, copy, pattern):
        self.client, self.new_browser, self.ask, self.copy, self.pattern = client, new_browser, ask, copy, pattern

    def logged_in(self, user, query=""):
        browser = self.new_browser()
        self.ask(browser, f"/login?user={user}{query}")
        return browser

    def user_of(self, browser):
        return self.ask(browser, "/me")["user"]

    def keys(self):
        return sorted(self.client.keys(self.pattern))

    def log_in(self):
        browser = self.new_browser()
        assert self.user_of(browser) is None
        self.ask(browser, "/login?user=alice")
        assert self.user_of(browser) == "alice"
        (key,) = self.keys()
        assert self.client.ttl(key) > 3_000

    def read(self):
        alice, bob = self.logged_in("alice"), self.logged_in("bob")
        assert [self.ask(alice, "/visit")["visits"] for _ in range(3)] == [1, 2, 3]
        assert self.ask(bob, "/visit")["visits"] == 1
        assert self.user_of(bob) == "bob"

    def touch(self):
        alice = self.logged_in("alice")
        (key,) = self.keys()
        assert self.client.expire(key, 100)
        assert self.user_of(alice) == "alice"
        assert self.client.ttl(key) > 3_000

    def regenerate(self):
        alice = self.logged_in("alice")
        thief = self.copy(alice)
        (before,) = self.keys()
        self.ask(alice, "/regenerate")
        (after,) = self.keys()
        assert after != before
        assert self.user_of(alice) == "alice" and self.user_of(thief) is None

    def log_out(self):
        alice = self.logged_in("alice")
        copy = self.copy(alice)
        self.ask(alice, "/logout")
        assert self.user_of(alice) is None and self.user_of(copy) is None
        assert not self.keys()

    def expiry(self):
        alice = self.logged_in("alice", "&seconds=2")
        (key,) = self.keys()
        assert self.client.pttl(key) <= 2_000
        eventually(lambda: not self.client.exists(key))
        assert self.user_of(alice) is None

    def logout_everywhere(self, user_id, *rule):
        """With an index rule of the test's, after `USER`; `user_id` is how the application names alice in a session."""
        name = "".join(letter for letter in self.pattern if letter.isalnum())
        self.client.execute_command("INDEX.SET", name, "KEYS", self.pattern, "USER", *rule)
        phone, laptop, bob = self.logged_in("alice"), self.logged_in("alice"), self.logged_in("bob")
        assert self.client.execute_command("SESSION.REVOKEUSER", user_id) == 2
        assert self.user_of(phone) is None and self.user_of(laptop) is None
        assert self.user_of(bob) == "bob"
        assert self.user_of(self.logged_in("alice")) == "alice"

    STEPS = ("log_in", "read", "touch", "regenerate", "log_out", "expiry")
