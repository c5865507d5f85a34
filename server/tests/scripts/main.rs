//! Scripts over several connections: nobody sees half of one, one that takes long keeps nobody waiting without
//! a word, and none takes more than it may. What one connection can show is in the conformance cases.

#[path = "../support/mod.rs"]
mod support;

use support::client::{Client, encode};
use support::server::Server;
use support::wait_until;

const ENDLESS: &str = "while true do end";

fn eval(client: &mut Client, script: &str) -> support::reply::Reply {
    client.call(&["EVAL", script, "0"])
}

/// Sends a script that others will be told of as busy, and waits until they are.
fn run_long(client: &mut Client, other: &mut Client, script: &str) {
    client.send(&encode(&["EVAL", script, "0"])).expect("the server reads");
    wait_until("others to be told", || {
        matches!(other.call(&["GET", "key"]), support::reply::Reply::Error(text)
            if text.starts_with("BUSY "))
    });
}

#[test]
fn nobody_sees_half_of_a_script() {
    let server = Server::start_with(&["--threads", "2"]);
    let clients: Vec<Client> = (0..4).map(|_| server.connect()).collect();
    std::thread::scope(|scope| {
        for mut client in clients {
            scope.spawn(move || {
                for _ in 0..200 {
                    let script =
                        "local n = redis.call('INCR', 'a') redis.call('SET', 'b', n) return n";
                    assert!(eval(&mut client, script).integer() > 0);
                    let both = client.run("MGET a b");
                    assert_eq!(both.items()[0].text(), both.items()[1].text());
                }
            });
        }
    });
    assert_eq!(server.connect().run("GET a").text(), "800");
}

/// On one thread too: the script steps aside for the others of its thread, and for new ones.
#[test]
fn a_long_script_is_killed() {
    for threads in ["1", "2"] {
        let server = Server::start_with(&["--threads", threads, "--busy-reply-threshold", "20"]);
        let (mut runner, mut other) = (server.connect(), server.connect());
        run_long(&mut runner, &mut other, ENDLESS);
        let mut late = server.connect();
        assert_eq!(
            late.run("PING").error(),
            "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."
        );
        assert!(late.run("SCRIPT KILL").is_ok());
        let killed = runner.read().expect("an answer");
        let text = "ERR Script killed by user with SCRIPT KILL.";
        assert!(killed.error().starts_with(text), "{killed}");
        assert!(late.run("SCRIPT KILL").error().starts_with("NOTBUSY "));
        assert!(other.run("SET key 1").is_ok());
    }
}

#[test]
fn pcall_does_not_keep_a_killed_script_alive() {
    let server = Server::start_with(&["--threads", "1", "--busy-reply-threshold", "20"]);
    for script in [
        "while true do pcall(function() while true do end end) end",
        "while true do local f = coroutine.wrap(function() while true do end end) pcall(f) end",
    ] {
        let (mut runner, mut other) = (server.connect(), server.connect());
        run_long(&mut runner, &mut other, script);
        assert!(other.run("SCRIPT KILL").is_ok());
        assert!(runner.read().expect("an answer").error().contains("killed"));
    }
}

#[test]
fn a_script_that_has_written_is_not_killed_but_the_server_stops() {
    let mut server = Server::start_with(&["--threads", "1", "--busy-reply-threshold", "20"]);
    let (mut runner, mut other) = (server.connect(), server.connect());
    run_long(&mut runner, &mut other, "redis.call('SET', 'key', 1) while true do end");
    assert!(other.run("SCRIPT KILL").error().starts_with("UNKILLABLE "));
    other.send(&encode(&["SHUTDOWN", "NOSAVE"])).expect("the server reads");
    server.wait_for_exit();
}

#[test]
fn a_transaction_with_a_long_script_is_busy_too() {
    let server = Server::start_with(&["--threads", "1", "--busy-reply-threshold", "20"]);
    let (mut runner, mut other) = (server.connect(), server.connect());
    runner.run("MULTI");
    runner.call(&["EVAL", ENDLESS, "0"]);
    runner.send(&encode(&["EXEC"])).expect("the server reads");
    wait_until(
        "others to be told",
        || matches!(other.run("GET key"), support::reply::Reply::Error(text) if text.starts_with("BUSY ")),
    );
    assert!(other.run("SCRIPT KILL").is_ok());
    assert!(runner.read().expect("an answer").items()[0].error().contains("killed"));
    assert!(runner.run("SET key 1").is_ok());
}

#[test]
fn a_script_ends_by_its_instructions_and_by_its_memory() {
    let flags = ["--script-instructions-max", "100000000", "--script-memory-max", "16mb"];
    let server = Server::start_with(&flags);
    let mut client = server.connect();
    assert!(eval(&mut client, ENDLESS).error().contains("script-instructions-max"));
    for script in [
        "local t = {} for i = 1, 1e9 do t[i] = i end",
        "return string.rep('x', 1e9)",
        "local s = 'x' while true do s = s .. s end",
        "return pcall(string.rep, 'x', 1e9) and 1 or error('no room')",
    ] {
        let reply = eval(&mut client, script);
        let text = reply.error();
        assert!(text.contains("script-memory-max") || text.contains("no room"), "{text}");
    }
    assert_eq!(eval(&mut client, "return 7").integer(), 7);
}

/// Each thread keeps its Lua: what one script could leave there, the next would find.
#[test]
fn a_script_leaves_nothing_behind() {
    let server = Server::start_with(&["--threads", "1"]);
    let mut client = server.connect();
    for script in [
        "rawset(_G, 'left', 1)",
        "rawset(string, 'left', 1)",
        "table.insert(redis, 1)",
        "setmetatable(cjson, {})",
        "getmetatable('').__index = nil",
        "left = 1",
        "string.left = 1",
        "redis.call = nil",
        "loadstring('left = 1')()",
    ] {
        let reply = eval(&mut client, script);
        assert!(reply.error().contains("readonly table"), "{script}: {reply}");
    }
    eval(&mut client, "collectgarbage('stop') cjson.encode_max_depth(1) redis.setresp(3)");
    let fine = "return {cjson.encode({{{}}}), redis[1] == nil, type(redis.call('get', 'none'))}";
    let reply = eval(&mut client, fine);
    assert_eq!(reply.items()[0].text(), "[[{}]]");
    assert_eq!(reply.items()[2].text(), "boolean");
}

#[test]
fn patterns_and_nesting_do_not_exhaust_the_stack() {
    let server = Server::start();
    let mut client = server.connect();
    let reply =
        eval(&mut client, "return string.find(string.rep('a', 1e5), string.rep('a?', 1e5))");
    assert!(reply.error().contains("pattern too complex"), "{reply}");
    let deep = "return string.find(string.rep('a', 8000), string.rep('a?', 8000))";
    assert_eq!(eval(&mut client, deep).integer(), 1);
    assert!(
        !eval(&mut client, "local f function f() return 1 + f() end return f()").error().is_empty()
    );
    eval(&mut client, "local t = {} t[1] = t return t");
    assert_eq!(eval(&mut client, "return 7").integer(), 7);
}
