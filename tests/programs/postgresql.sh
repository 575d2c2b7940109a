# shellcheck shell=bash
# PostgreSQL: a backend that an administrator terminates while its client is idle.
serve() {
    LC_ALL=C initdb ${PG_SHARE:+-L "$PG_SHARE"} -D data -A trust -U user --no-sync >>log 2>&1
    started postgres -D data -c listen_addresses=127.0.0.1 -c port=5433 -c unix_socket_directories= -c fsync=off
    local nth
    for nth in {1..600}; do
        if ask 'select 1' >>log 2>&1; then return; fi
        read -rt 0.05 <>never || true
    done
    exit 1
}

ask() {
    PGSSLMODE=disable PGGSSENCMODE=disable psql -h 127.0.0.1 -p 5433 -U user -d postgres -Atc "$1"
}

talk() {
    mkfifo commands
    PGSSLMODE=disable PGGSSENCMODE=disable psql -h 127.0.0.1 -p 5433 -U user -d postgres -At <commands >said.by.psql 2>&1 &
    local client=$!
    exec 5>commands
    echo "select 'is connected';" >&5
    until grep -q 'is connected' said.by.psql; do read -rt 0.05 <>never || true; done
    ask "select 'terminated ' || pg_terminate_backend(pid, 10000) from pg_stat_activity
        where pid <> pg_backend_pid() and backend_type = 'client backend'"
    echo "select 'hunter2';" >&5
    exec 5>&-
    wait "$client" || true
    grep -o 'server closed the connection unexpectedly' said.by.psql
}
