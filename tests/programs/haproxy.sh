# shellcheck shell=bash
# HAProxy: a health check, a rejected connection, and backends that are down, silent, or close instead of answering.
serve() {
    cat >haproxy.cfg <<'END'
defaults
    mode http
    timeout connect 1s
    timeout client 10s
    timeout server 10s
    retries 0
listen checked
    bind 127.0.0.1:8081
    option httpchk GET /health
    server a 127.0.0.1:8090 check inter 300ms
listen rejecting
    mode tcp
    bind 127.0.0.1:8082
    tcp-request inspect-delay 10s
    tcp-request content reject if { req.len gt 0 }
frontend broken
    bind 127.0.0.1:8083
    default_backend down
backend down
    server b 127.0.0.1:81
listen silent
    mode tcp
    timeout connect 2s
    bind 127.0.0.1:8086
    server c 127.0.0.1:8091
listen closing
    mode tcp
    bind 127.0.0.1:8087
    server d 127.0.0.1:8092
END
    # A full accept queue drops SYNs: one connection more than the backlog of 0 fits.
    cat >backends.py <<'END'
import socket
full = socket.create_server(("127.0.0.1", 8091), backlog=0)
filler = socket.create_connection(("127.0.0.1", 8091))
closing = socket.create_server(("127.0.0.1", 8092))
while True:
    connection, _ = closing.accept()
    connection.recv(65536)
    connection.close()
END
    started python3 backends.py
    listens 8092
    cat >health.py <<'END'
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        try:
            self.rfile.read(1)
            print("end", flush=True)
        except ConnectionResetError:
            open("reset", "w").close()
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", 8090), Handler).serve_forever()
END
    started python3 health.py
    listens 8090
    started haproxy -f haproxy.cfg
    listens 8081
}

talk() {
    local code=0
    rm -f reset
    until [[ -e reset ]]; do read -rt 0.05 <>never || true; done
    echo "a check was reset"
    curl -s http://127.0.0.1:8082/rejected || code=$?
    echo "rejected $code"
    code=0
    curl -s http://127.0.0.1:8086/silent || code=$?
    echo "silent $code"
    code=0
    curl -s http://127.0.0.1:8087/closing || code=$?
    echo "closing $code"
    echo "broken $(curl -s -o page -w '%{http_code}' http://127.0.0.1:8083/broken)"
}
