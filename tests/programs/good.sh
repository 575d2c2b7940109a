# shellcheck shell=bash
# 504 connections that end well: keepalive, close, long poll, half-close, WebSocket, both ends at once, upload.
serve() {
    # shellcheck disable=SC2154
    started python3 "$here/good.py" serve
    listens 8095
}

talk() { python3 "$here/good.py" talk; }
