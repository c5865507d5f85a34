"""Draws requests for any command both servers know, from what COMMAND says of it: how many words, which are keys.

Mostly nonsense, then: commands with the wrong number of words, options where there are none, numbers for keys. What
a server says to nonsense is where two servers differ.
"""

# Not drawn, and why.
LEFT_OUT = {
    "it ends the connection or the server, or makes it wait": (
        "quit shutdown monitor sync psync replconf replicaof slaveof failover debug wait client|kill client|pause"
        " client|unpause client|reply client|unblock client|no-evict client|no-touch subscribe psubscribe ssubscribe"
        " unsubscribe punsubscribe sunsubscribe hello auth blpop brpop blmove blmpop bzpopmin bzpopmax bzmpop brpoplpush"
        " script|kill swapdb flushall flushdb reset"
    ),
    "its reply is about the server, the time or chance": (
        "info time lastsave randomkey client|id client|info client|list memory|usage memory|stats memory|doctor"
        " memory|malloc-stats memory|purge object|freq object|idletime object|encoding slowlog|get slowlog|len latency|latest"
        " latency|doctor latency|histogram latency|history latency|graph lolwut command|count command|list command|info"
        " command|docs command cluster|info cluster|nodes role config|get config|set config|rewrite config|resetstat"
        " save bgsave bgrewriteaof spop srandmember hrandfield zrandmember scan dump restore restore-asking"
        " publish spublish pubsub|channels pubsub|numsub pubsub|numpat pubsub|shardchannels pubsub|shardnumsub acl|genpass"
        " acl|log acl|list acl|getuser acl|cat acl|setuser acl|deluser acl|users acl|load acl|save acl|whoami acl|dryrun"
        " eval evalsha eval_ro evalsha_ro script|load script|flush script|exists script|debug"
    ),
    "its text lists what this version has": (
        "client|help config|help object|help memory|help slowlog|help latency|help command|help pubsub|help script|help"
        " acl|help cluster|help xinfo|help xgroup|help function|help module|help"
    ),
    "it moves to another database or protocol, which the other generator does": "select client|tracking client|caching",
}
WORDS = (
    "0 1 -1 2 3 10 -100 7000 abc 1.5 inf nan ( [a - + (1 9223372036854775807 m1 m2 x NX XX GT LT CH INCR EX PX EXAT PXAT"
    " KEEPTTL GET WITHSCORES WITHVALUES LIMIT COUNT MATCH REV BYSCORE BYLEX LEFT RIGHT BEFORE AFTER REPLACE DB PERSIST"
    " AGGREGATE WEIGHTS STORE * m* ABSTTL RANK MAXLEN MIN MAX 100000"
).split() + ["", "\x00\xff", "y" * 70]


class Table:
    """The commands two servers have in common."""

    def __init__(self, ours, redis):
        left_out = {name for names in LEFT_OUT.values() for name in names.split()}
        shapes = [dict(shapes_of(connection.call(["COMMAND"]))) for connection in (ours, redis)]
        self.names = sorted(name for name in shapes[0] if name in shapes[1] and name not in left_out)
        self.shapes = shapes[1]
        # What one of them lacks is asked as well: for its error, which both word alike.
        self.unknown = ["nosuchcommand", "client|nosuch", "config|nosuch", "object|nosuch", "pubsub|nosuch"]

    def command(self, random, key):
        if random.random() < 0.02:
            return random.choice(self.unknown).split("|") + random.choices(WORDS, k=random.randint(0, 3))
        name = random.choice(self.names)
        arity, first, last, step = self.shapes[name]
        words = name.split("|")
        length = abs(arity) + (random.choice((0, 0, 1, 1, 2, 3, 4)) if arity < 0 else 0)
        if random.random() < 0.05:
            length = max(len(words), length + random.choice((-1, 1)))
        last = length - 1 if last < 0 else last
        keys = set(range(first, last + 1, max(step, 1))) if first > 0 else set()
        while len(words) < length:
            words.append(key() if len(words) in keys else random.choice(WORDS))
        return words


def shapes_of(commands):
    for entry in commands[1]:
        fields = entry[1]
        subcommands = fields[9][1] if len(fields) > 9 else []
        if subcommands:
            yield from shapes_of(("*", subcommands))
        else:
            numbers = [int(fields[index][1]) for index in (1, 3, 4, 5)]
            yield fields[0][1].lower(), numbers
