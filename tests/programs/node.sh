# shellcheck shell=bash
# Node: destroy() and resetAndDestroy() of the socket of a request.
serve() {
    cat >server.js <<'END'
const http = require('http');
http.createServer((request, response) => {
  if (request.url === '/destroyed') request.socket.destroy();
  else if (request.url === '/reset') request.socket.resetAndDestroy();
  else response.end('ok');
}).listen(8084, '127.0.0.1');
END
    started node server.js
    listens 8084
}

talk() {
    local code
    for name in destroyed reset answered; do
        code=0
        curl -s -o page -H 'Cookie: session=hunter2' "http://127.0.0.1:8084/$name" || code=$?
        echo "$name $code"
    done
}
