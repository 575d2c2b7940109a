# shellcheck shell=bash
# sshd: a connection more than MaxStartups allows.
serve() {
    ssh-keygen -q -t ed25519 -N '' -f key
    printf '%s\n' 'ListenAddress 127.0.0.1:2222' "HostKey $work/key" 'PidFile none' 'UsePAM no' 'MaxStartups 1:100:1' >sshd_config
    started "$(command -v sshd)" -D -e -f "$work/sshd_config"
    listens 2222
}

talk() {
    local line=''
    # The connection of `listens` may still count.
    until [[ $line == SSH-* ]]; do
        exec 4<>/dev/tcp/127.0.0.1/2222
        read -r line <&4 || true
    done
    ssh -F none -p 2222 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null user@127.0.0.1 true 2>&1 |
        grep -o 'kex_exchange_identification: [A-Za-z: ]*'
    exec 4>&-
}
