# shellcheck shell=bash
# Runs CASE.sh on a loopback of its own, and captures it: harness.sh CASE DIRECTORY. The case defines `serve`, which starts its
# servers and waits until they listen, and `talk`, which prints what the programs themselves say of each connection.
set -eu
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
case=$1 work=$2
cd "$work"
ip link set lo up

# started COMMAND…: a program in the background, which is ended at the end.
running=()
started() {
    "$@" >>log 2>&1 </dev/null &
    running+=($!)
}
end() {
    kill "${running[@]}" 2>/dev/null || true
    wait || true
}
trap end EXIT

# listens PORT: waits until something accepts connections there.
listens() {
    local nth
    for nth in {1..600}; do
        if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then return; fi
        # Half-written pipes are never readable: nothing but the time ends this.
        read -rt 0.05 <>never || true
    done
    echo "nothing listens on port $1" >&2
    exit 1
}
mkfifo never said

# shellcheck source=/dev/null
. "$here/$case.sh"
serve
tcpdump -i lo -B 65536 -s 400 -U --immediate-mode -w capture.pcap tcp 2>said &
capture=$!
while read -r line; do
    if [[ $line == *listening* ]]; then break; fi
done <said
talk
# The last packets are in the file once one after them is.
(exec 3<>/dev/tcp/127.0.0.1/9) 2>/dev/null || true
until [[ -n $(tcpdump -r capture.pcap 'tcp src port 9' 2>/dev/null) ]]; do read -rt 0.05 <>never || true; done
kill -INT "$capture"
wait "$capture" || true
