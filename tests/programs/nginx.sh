# shellcheck shell=bash
# nginx: `return 444` with and without reset_timedout_connection, a header that never ends, and a backend that is down.
serve() {
    mkdir temp
    cat >nginx.conf <<END
daemon off;
master_process off;
pid $work/pid;
error_log $work/error.log;
events {}
http {
    access_log off;
    client_body_temp_path $work/temp/body;
    proxy_temp_path $work/temp/proxy;
    fastcgi_temp_path $work/temp/fastcgi;
    uwsgi_temp_path $work/temp/uwsgi;
    scgi_temp_path $work/temp/scgi;
    client_header_timeout 1s;
    server {
        listen 127.0.0.1:8080;
        location / { return 444; }
        location /backend { proxy_pass http://127.0.0.1:81; }
    }
    server {
        listen 127.0.0.1:8081;
        reset_timedout_connection on;
        location / { return 444; }
    }
}
END
    started nginx -c "$work/nginx.conf" -e "$work/error.log"
    listens 8080
    listens 8081
}

talk() {
    local code=0
    curl -s 'http://127.0.0.1:8080/closed?token=hunter2' || code=$?
    echo "closed $code"
    code=0
    curl -s -u user:hunter2 http://127.0.0.1:8081/reset || code=$?
    echo "reset $code"
    echo "backend $(curl -s -o page -w '%{http_code}' http://127.0.0.1:8080/backend)"
    exec 4<>/dev/tcp/127.0.0.1/8081
    printf 'GET /slow HTTP/1.1\r\nHost: a.example\r\n' >&4
    cat <&4 2>&1 | grep -o 'Connection reset by peer' || true
    exec 4>&-
}
