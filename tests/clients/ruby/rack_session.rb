# Rack's sessions in Redis by redis-rack over the gem redis, with cookies: `rack_session.rb PORT`.
# Sessions are written as JSON, by the option `serializer` of redis-store. Prints a line for each check and
# "N passed, N failed" at the end.

require "json"
require "rack"
require "redis-rack"
require "redis/rack/version"

PORT = Integer(ARGV[0])
CLIENT = Redis.new(port: PORT)
MAY_LACK = ENV.fetch("CLIENT_TESTS_MAY_LACK", "").split
PREFIX = "rack:session:"

def lacks?(command)
  MAY_LACK.include?(command) && CLIENT.call(["COMMAND", "INFO", command]).first.nil?
end

def verify(condition, what)
  raise what unless condition
end

def eventually
  deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 10
  until yield
    verify Process.clock_gettime(Process::CLOCK_MONOTONIC) < deadline, "waited in vain"
    sleep 0.005
  end
end

PAGES = lambda do |env|
  request = Rack::Request.new(env)
  session = request.session
  reply =
    case request.path
    when "/login"
      session["user"] = request.params["user"]
      session.options[:expire_after] = Integer(request.params["seconds"]) if request.params["seconds"]
      {}
    when "/me" then { user: session["user"] }
    when "/visit" then { visits: session["visits"] = (session["visits"] || 0) + 1 }
    when "/regenerate"
      # A session that nobody has read is empty after it.
      session["user"]
      session.options[:renew] = true
      {}
    when "/logout"
      session.destroy
      {}
    end
  [200, { "Content-Type" => "application/json" }, [JSON.generate(reply)]]
end
STORE = { host: "127.0.0.1", port: PORT, namespace: "rack:session", serializer: JSON }
APPLICATION = Rack::Session::Redis.new(PAGES, redis_server: STORE, expire_after: 3_600)

# A browser as far as sessions go.
class Browser
  attr_accessor :cookie

  def ask(path)
    headers = cookie ? { "HTTP_COOKIE" => cookie } : {}
    response = Rack::MockRequest.new(APPLICATION).get(path, headers)
    verify response.ok?, response.body
    set = response.headers["Set-Cookie"]
    self.cookie = set[/\A[^;]*/] if set
    JSON.parse(response.body)
  end

  def user
    ask("/me")["user"]
  end
end

def logged_in(user, query = "")
  Browser.new.tap { |browser| browser.ask("/login?user=#{user}#{query}") }
end

def keys
  CLIENT.keys("#{PREFIX}*").sort
end

CHECKS = {
  "log_in" => lambda do
    browser = Browser.new
    verify browser.user.nil?, "a stranger has a user"
    browser = logged_in("alice")
    verify browser.user == "alice", "nobody is logged in"
    verify CLIENT.ttl(keys.first) > 3_000, "no time to live"
  end,
  "read" => lambda do
    alice, bob = logged_in("alice"), logged_in("bob")
    verify (1..3).map { alice.ask("/visit")["visits"] } == [1, 2, 3], "a visit is missing"
    verify bob.ask("/visit")["visits"] == 1 && bob.user == "bob", "bob's session is not his"
  end,
  "touch" => lambda do
    alice = logged_in("alice")
    CLIENT.expire(keys.first, 100)
    verify alice.user == "alice", "nobody is logged in"
    verify CLIENT.ttl(keys.first) > 3_000, "not touched"
  end,
  "regenerate" => lambda do
    alice = logged_in("alice")
    thief = alice.clone
    before = keys
    alice.ask("/regenerate")
    verify keys.size == 1 && keys != before, "the same id"
    verify alice.user == "alice" && thief.user.nil?, "the old id is still good"
  end,
  "log_out" => lambda do
    alice = logged_in("alice")
    copy = alice.clone
    alice.ask("/logout")
    verify alice.user.nil? && copy.user.nil?, "still logged in"
  end,
  "expiry" => lambda do
    alice = logged_in("alice", "&seconds=2")
    key = keys.first
    verify CLIENT.pttl(key) <= 2_000, "lives too long"
    eventually { !CLIENT.exists?(key) }
    verify alice.user.nil?, "still logged in"
  end,
  "gem: strings and transactions" => lambda do
    verify CLIENT.set("key", "value", ex: 100, nx: true) == true, "not set"
    verify CLIENT.set("key", "value", nx: true) == false, "set twice"
    replies = CLIENT.pipelined { |pipe| pipe.get("key"); pipe.ttl("key"); pipe.mget("key", "missing") }
    verify replies.values_at(0, 2) == ["value", ["value", nil]], replies.inspect
    replies = CLIENT.multi { |transaction| transaction.incr("number"); transaction.hset("h", "a", "1") }
    verify replies == [1, 1] && CLIENT.hgetall("h") == { "a" => "1" }, replies.inspect
    late = CLIENT.watch("number") do
      Redis.new(port: PORT).incr("number")
      CLIENT.multi { |transaction| transaction.set("number", 7) }
    end
    verify late.nil? && CLIENT.get("number") == "2", "a late write went through"
    verify CLIENT.scan_each(match: "k*").to_a == ["key"], "not found by a scan"
  end,
  "gem: publish and subscribe" => lambda do
    heard = []
    subscriber = Redis.new(port: PORT)
    subscriber.subscribe("news") do |on|
      on.subscribe { CLIENT.publish("news", "one") }
      on.message do |channel, message|
        heard << [channel, message]
        subscriber.unsubscribe
      end
    end
    verify heard == [["news", "one"]], heard.inspect
  end,
  "logout_everywhere" => lambda do
    CLIENT.call(["INDEX.SET", "rack", "KEYS", "#{PREFIX}*", "USER", "JSON", "/user"])
    phone, laptop, bob = logged_in("alice"), logged_in("alice"), logged_in("bob")
    verify CLIENT.call(["SESSION.REVOKEUSER", "alice"]) == 2, "not two sessions ended"
    verify phone.user.nil? && laptop.user.nil?, "alice is still logged in"
    verify bob.user == "bob", "bob is not"
    verify logged_in("alice").user == "alice", "alice cannot log in again"
  end,
}.freeze
NEEDS = { "logout_everywhere" => "INDEX.SET" }.freeze

puts "library redis-rack #{Redis::Rack::VERSION} (Debian)"
puts "library redis #{Redis::VERSION} (Debian)"
passed = failed = 0
CHECKS.each do |name, check|
  if NEEDS[name] && lacks?(NEEDS[name])
    puts "left out #{name}: the server has no #{NEEDS[name]}"
    next
  end
  begin
    CLIENT.flushall
    check.call
    passed += 1
    puts "ok #{name}"
  rescue StandardError => e
    failed += 1
    puts "not ok #{name}", e.full_message(highlight: false)
  end
end
puts "#{passed} passed, #{failed} failed"
exit(failed.zero?)
