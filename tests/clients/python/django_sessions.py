"""Django's sessions and its cache in Redis, by django-redis and by Django's own backend: `django_sessions.py PROTOCOL PORT`.

Users are in a database in memory. Sessions of `cached_db` are in that database as well, so that what the cache loses
comes back: such sessions cannot be ended from Redis, and their walk has no "logout everywhere".
"""

import sys

import django
import redis
from django.conf import settings

from checks import Checks, eventually
from session_walk import SessionWalk

PROTOCOL, PORT = (int(argument) for argument in sys.argv[1:3])
LOCATION = f"redis://127.0.0.1:{PORT}/0?protocol={PROTOCOL}&socket_timeout=60"
DJANGO_REDIS = "django_redis.cache.RedisCache"
settings.configure(
    ALLOWED_HOSTS=["*"],
    CACHES={
        "default": {"BACKEND": DJANGO_REDIS, "LOCATION": LOCATION},
        "json": {
            "BACKEND": DJANGO_REDIS,
            "LOCATION": LOCATION,
            "OPTIONS": {"SERIALIZER": "django_redis.serializers.json.JSONSerializer"},
        },
        "own": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": LOCATION},
    },
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    ROOT_URLCONF=__name__,
    SECRET_KEY="secret",
    SESSION_COOKIE_AGE=3_600,
    SESSION_SAVE_EVERY_REQUEST=True,
    USE_TZ=True,
)
django.setup()

from django.contrib import auth
from django.contrib.auth.models import User
from django.core.cache import caches
from django.core.management import call_command
from django.http import JsonResponse
from django.test import Client, override_settings
from django.urls import path

check = Checks("Django", "django-redis")


def login(request):
    auth.login(request, User.objects.get(username=request.GET["user"]))
    request.session.set_expiry(int(request.GET.get("seconds", 3_600)))
    return JsonResponse({})


def me(request):
    return JsonResponse({"user": request.user.username or None})


def visit(request):
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JsonResponse({"visits": request.session["visits"]})


def regenerate(request):
    request.session.cycle_key()
    return JsonResponse({})


def logout(request):
    auth.logout(request)
    return JsonResponse({})


urlpatterns = [path(view.__name__, view) for view in (login, me, visit, regenerate, logout)]


def ask(browser, address):
    response = browser.get(address)
    assert response.status_code == 200, response.content
    return response.json()


def copy(browser):
    other = Client()
    other.cookies.load(browser.cookies.output(header="", attrs=[]))
    return other


STORES = {
    "django-redis": {"SESSION_ENGINE": "django.contrib.sessions.backends.cache", "SESSION_CACHE_ALIAS": "json"},
    "django-redis, cached_db": {"SESSION_ENGINE": "django.contrib.sessions.backends.cached_db"},
    "Django's own": {"SESSION_ENGINE": "django.contrib.sessions.backends.cache", "SESSION_CACHE_ALIAS": "own"},
}
client = redis.Redis(port=PORT, protocol=PROTOCOL, socket_timeout=60, decode_responses=True)
walk = SessionWalk(client, Client, ask, copy, ":1:django.contrib.sessions.cache*")
database_walk = SessionWalk(client, Client, ask, copy, ":1:django.contrib.sessions.cached_db*")
for store, choice in STORES.items():
    for step in SessionWalk.STEPS:
        with_choice = override_settings(**choice)(getattr(database_walk if "cached_db" in store else walk, step))
        check(lambda _, step=with_choice: step(), name=f"{store}: {step}")


@check(needs="INDEX.SET", name="django-redis: logout_everywhere")
@override_settings(**STORES["django-redis"])
def logout_everywhere(_):
    alice = User.objects.get(username="alice")
    walk.logout_everywhere(str(alice.pk), "JSON", "/_auth_user_id")


@check
def cache(_):
    default = caches["default"]
    assert default.add("key", {"a": 1}, 100) is True and default.add("key", 2) is False
    assert default.get("key") == {"a": 1} and 98 < default.ttl("key") <= 100
    default.set_many({"one": 1, "two": 2})
    assert default.get_many(["one", "two", "missing"]) == {"one": 1, "two": 2}
    assert default.touch("key", 200) is True and default.ttl("key") > 100
    assert default.has_key("key") and default.persist("key") and default.ttl("key") is None
    assert sorted(default.iter_keys("*")) == ["key", "one", "two"]
    assert default.set("short", "life", 0.02) and eventually(lambda: default.get("short") is None) is None
    assert default.delete_pattern("o*") == 1 and default.delete("two") is True
    assert default.get_or_set("made", lambda: 7) == 7
    default.clear()
    assert default.get("key") is None


@check
def own_cache(_):
    own = caches["own"]
    assert own.add("key", {"a": 1}, 100) is True and own.add("key", 2) is False
    assert own.set_many({"one": 1, "two": 2}) == []
    assert own.get_many(["one", "two", "missing"]) == {"one": 1, "two": 2}
    assert own.incr("one") == 2 and own.touch("key", 200) is True
    assert own.delete("key") is True and own.get("key") is None
    own.clear()
    assert own.get("one") is None


@check(needs="EVAL")
def cache_counts(_):
    caches["default"].set("number", 1, 100)
    assert caches["default"].incr("number") == 2 and caches["default"].ttl("number") > 98


@check(needs="EVAL")
def cache_locks(_):
    with caches["default"].lock("lock", timeout=100):
        assert caches["default"].lock("lock", timeout=100).acquire(blocking=False) is False
    assert client.keys("*lock*") == []


call_command("migrate", verbosity=0)
for name in ("alice", "bob"):
    User.objects.create_user(name)
check.run(PORT)
