"""Raw RESP to one server, with the type of every reply kept."""

import socket


class Connection:
    def __init__(self, port, protocol):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.replies = self.socket.makefile("rb")
        self.call(["FLUSHALL"])
        if protocol == 3:
            self.call(["HELLO", "3"])

    def call(self, words):
        self.send([words])
        return self.read()

    def send(self, requests):
        self.socket.sendall(b"".join(encode(words) for words in requests))

    def read(self):
        line = self.replies.readline()
        kind, rest = line[:1].decode(), line[1:-2].decode("latin1")
        if kind in "+-:,#(_":
            return (kind, rest)
        if kind in "$=":
            size = int(rest)
            return ("$nil", "") if size < 0 else (kind, self.replies.read(size + 2)[:-2].decode("latin1"))
        size = int(rest) * (2 if kind == "%" else 1)
        return ("*nil", "") if size < 0 else (kind, [self.read() for _ in range(size)])

    def begin_anew(self):
        """Leaves whatever a transaction or a script would go on with, and empties the server."""
        for words in (["DISCARD"], ["UNWATCH"], ["SELECT", "0"], ["FLUSHALL"]):
            self.call(words)


def encode(words):
    words = [word.encode("latin1") for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
