"""Connections that end well: good.py serve, or good.py talk, which prints how many it has made."""

import concurrent.futures
import socket
import sys
import threading
import time

ADDRESS = ("127.0.0.1", 8095)
GET = b"GET /%s HTTP/1.1\r\nHost: good.example\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
UPGRADE = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
# A text frame and a close frame with status 1000 (RFC 6455, 5.2 and 5.5.1), of a server and, masked with zeros, of a client.
TEXT, CLOSE = b"\x81\x02hi", b"\x88\x02\x03\xe8"
MASKED_TEXT, MASKED_CLOSE = b"\x81\x82\x00\x00\x00\x00hi", b"\x88\x82\x00\x00\x00\x00\x03\xe8"
UPLOAD = 200_000


def until(connection, end):
    data = b""
    while not data.endswith(end):
        # What follows belongs to the body.
        more = connection.recv(1)
        if not more:
            return data
        data += more
    return data


def exactly(connection, length):
    data = b""
    while len(data) < length:
        more = connection.recv(length - len(data))
        assert more, "the other end closed early"
        data += more
    return data


def answer(connection):
    with connection:
        connection.settimeout(60)
        while True:
            request = until(connection, b"\r\n\r\n")
            if not request:
                return
            kind = request.split()[1]
            if kind == b"/poll":
                time.sleep(0.2)
            if kind == b"/upload":
                exactly(connection, UPLOAD)
            if kind == b"/half":
                assert connection.recv(1) == b""
            if kind == b"/socket":
                connection.sendall(UPGRADE)
                exactly(connection, len(MASKED_TEXT))
                connection.sendall(TEXT)
                exactly(connection, len(MASKED_CLOSE))
                connection.sendall(CLOSE)
                return
            connection.sendall(OK)
            if kind in (b"/close", b"/half"):
                return
            if kind == b"/both":
                # The client closes when it has this byte, and so does this end.
                connection.sendall(b".")
                return


def serve():
    with socket.create_server(ADDRESS, backlog=128) as listener:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=answer, args=(connection,), daemon=True).start()


def talk(nth):
    kind = (b"keep", b"close", b"poll", b"half", b"socket", b"both", b"upload")[nth % 7]
    with socket.create_connection(ADDRESS, timeout=60) as connection:
        for _ in range(3 if kind == b"keep" else 1):
            connection.sendall(GET % kind)
            if kind == b"upload":
                connection.sendall(b"x" * UPLOAD)
            if kind == b"half":
                connection.shutdown(socket.SHUT_WR)
            if kind == b"socket":
                exactly(connection, len(UPGRADE))
                connection.sendall(MASKED_TEXT)
                exactly(connection, len(TEXT))
                connection.sendall(MASKED_CLOSE)
                exactly(connection, len(CLOSE))
            else:
                exactly(connection, len(OK))
        if kind == b"both":
            exactly(connection, 1)
        if kind in (b"close", b"half", b"socket"):
            assert connection.recv(1) == b""


if sys.argv[1] == "serve":
    serve()
else:
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        print("made", len(list(pool.map(talk, range(504)))))
