# shellcheck shell=bash
# Redis: a client too many, and CLIENT KILL.
serve() {
    started redis-server --port 6390 --bind 127.0.0.1 --save '' --maxclients 2 --requirepass hunter2
    listens 6390
}

talk() {
    exec 4<>/dev/tcp/127.0.0.1/6390 5<>/dev/tcp/127.0.0.1/6390
    printf '*2\r\n$4\r\nAUTH\r\n$7\r\nhunter2\r\n' >&4
    read -r answer <&4
    echo "authenticated ${answer%$'\r'}"
    exec 6<>/dev/tcp/127.0.0.1/6390
    read -r answer <&6
    echo "too many ${answer%$'\r'}"
    exec 6>&-
    printf '*4\r\n$6\r\nCLIENT\r\n$4\r\nKILL\r\n$6\r\nSKIPME\r\n$3\r\nyes\r\n' >&4
    read -r answer <&4
    echo "killed ${answer%$'\r'}"
    cat <&5
    exec 4>&- 5>&-
}
