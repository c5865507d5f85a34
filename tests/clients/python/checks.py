"""Runs checks one after another against an emptied server; prints the versions of the libraries, a line for each check
and "N passed, N failed" at the end. Shared by the Python programs."""

import os
import sys
import time
import traceback
from importlib.metadata import version

import redis

# With 0 the checks of SESSION.* are left out, which is how the rest is checked against Redis.
SESSIONS = os.environ.get("CLIENT_TESTS_SESSIONS", "1") != "0"
# What a server may not know: the checks that need it are then left out, and said to be.
MAY_LACK = os.environ.get("CLIENT_TESTS_MAY_LACK", "").split()


def eventually(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def raises(kind, text, call):
    try:
        result = call()
    except kind as error:
        assert text in str(error), f"{error!r} without {text!r}"
    else:
        raise AssertionError(f"{kind.__name__} expected, got {result!r}")


def lacks(client, need):
    """Whether the server may lack a command, or a setting in small letters, and does."""
    if need not in MAY_LACK:
        return False
    if need.islower():
        return not client.config_get(need)
    return client.execute_command("COMMAND INFO", need) in ([None], {}, {need: None}, {need.lower(): None})


class Checks:
    """The checks of one program, each added by decorating a function with `@check` or `@check(needs=COMMAND)`."""

    def __init__(self, *libraries):
        self.libraries = libraries
        self.functions = []

    def __call__(self, function=None, *, needs=None, name=None):
        if function is None:
            return lambda function: self(function, needs=needs, name=name)
        self.functions.append((name or function.__name__, function, needs))
        return function

    def run(self, port, make_argument=lambda client: client):
        """Empties the server before each check, which gets what `make_argument` makes."""
        for library in self.libraries:
            print(f"library {library} {version(library)}")
        passed = failed = 0
        for name, function, needs in self.functions:
            try:
                client = redis.Redis(port=port, socket_timeout=60)
                if needs and lacks(client, needs):
                    print(f"left out {name}: the server has no {needs}")
                    continue
                client.flushall()
                function(make_argument(client))
                passed += 1
                print(f"ok {name}")
            except Exception:
                failed += 1
                print(f"not ok {name}")
                traceback.print_exc(file=sys.stdout)
        print(f"{passed} passed, {failed} failed")
        sys.exit(1 if failed else 0)
