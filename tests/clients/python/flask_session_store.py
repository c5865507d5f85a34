"""Flask-Session in Redis, with its two ways to write a session down: `flask_session_store.py PROTOCOL PORT`."""

import sys
from datetime import timedelta

import flask
import redis
from flask_session import Session

from checks import Checks
from session_walk import SessionWalk

PROTOCOL, PORT = (int(argument) for argument in sys.argv[1:3])
check = Checks("Flask-Session", "Flask")


def make_application(serialization):
    app = flask.Flask("application")
    app.config.update(
        SESSION_TYPE="redis",
        SESSION_REDIS=redis.Redis(port=PORT, protocol=PROTOCOL, socket_timeout=60),
        SESSION_SERIALIZATION_FORMAT=serialization,
        SESSION_KEY_PREFIX=f"flask-{serialization}:",
        PERMANENT_SESSION_LIFETIME=timedelta(hours=1),
    )
    Session(app)

    @app.get("/login")
    def login():
        flask.session["user"] = flask.request.args["user"]
        app.permanent_session_lifetime = timedelta(seconds=int(flask.request.args.get("seconds", 3_600)))
        return {}

    @app.get("/me")
    def me():
        return {"user": flask.session.get("user")}

    @app.get("/visit")
    def visit():
        flask.session["visits"] = flask.session.get("visits", 0) + 1
        return {"visits": flask.session["visits"]}

    @app.get("/regenerate")
    def regenerate():
        app.session_interface.regenerate(flask.session)
        return {}

    @app.get("/logout")
    def logout():
        flask.session.clear()
        return {}

    return app


def walk_with(serialization):
    app = make_application(serialization)

    def ask(browser, path):
        response = browser.get(path)
        assert response.status_code == 200, response.text
        return response.json

    def copy(browser):
        other = app.test_client()
        other.set_cookie("session", browser.get_cookie("session").value)
        return other

    client = redis.Redis(port=PORT, protocol=PROTOCOL, socket_timeout=60, decode_responses=True)
    return SessionWalk(client, app.test_client, ask, copy, f"flask-{serialization}:*")


WALKS = {serialization: walk_with(serialization) for serialization in ("msgpack", "json")}
for serialization, walk in WALKS.items():
    for step in SessionWalk.STEPS:
        check(lambda _, step=getattr(walk, step): step(), name=f"{serialization}: {step}")
check(
    lambda _: WALKS["json"].logout_everywhere("alice", "JSON", "/user"), needs="INDEX.SET", name="json: logout_everywhere"
)
check.run(PORT)
