# Tries Gatepass on this machine. All state is in .gatepass/run; Ctrl-C ends everything it started.
# shellcheck shell=bash

RUN=$GATEPASS_ROOT/.gatepass/run
STARTED=() # process ids, in the order of their start

# start NAME COMMAND…: in the background, its output in logs/NAME.log; ends with this shell even when that is killed.
start() {
    local name=$1
    shift
    setpriv --pdeathsig TERM -- "$@" >"$RUN/logs/$name.log" 2>&1 </dev/null &
    STARTED+=($!)
}

stop_all() {
    local at pid signal
    trap - EXIT INT TERM HUP
    say "stopping"
    for ((at = ${#STARTED[@]} - 1; at >= 0; at--)); do
        pid=${STARTED[at]}
        # To PostgreSQL, TERM means to wait for everybody to leave.
        signal=TERM
        [ "$pid" != "${POSTGRES_PID:-}" ] || signal=INT
        kill -s $signal "$pid" 2>/dev/null || continue
        for _ in {1..100}; do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.05
        done
        kill -KILL "$pid" 2>/dev/null || true
    done
    wait
}

# await SECONDS WHAT COMMAND…: until the command succeeds.
await() {
    local until=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $until ] || fail "$what did not come up; see $RUN/logs"
        sleep 0.1
    done
}

free_port() {
    node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => {
        console.log(s.address().port); s.close(); })'
}

# A file's content, made once by a command.
kept() {
    local file=$RUN/$1
    shift
    [ -s "$file" ] || "$@" >"$file"
    cat "$file"
}

random_password() { head -c 18 /dev/urandom | base64; }

# --- PostgreSQL: the target -------------------------------------------------------------------------------------

pg_bin() { # the newest of Debian's
    local dirs=(/usr/lib/postgresql/*/bin)
    printf '%s\n' "${dirs[@]}" | sort -V | tail -n 1
}

# PostgreSQL refuses to run as root; then it runs as the system's user postgres, which may pass through folders that
# are closed to it, since a clone often lies in root's own home.
AS_POSTGRES=()
if [ "$(id -u)" -eq 0 ]; then
    AS_POSTGRES=(setpriv --reuid=postgres --regid=postgres --clear-groups --inh-caps=+dac_read_search
        --ambient-caps=+dac_read_search --pdeathsig INT --)
fi

psql_super() {
    PGOPTIONS="-c client_min_messages=warning" "$PG_BIN/psql" -XAtq -v ON_ERROR_STOP=1 -h "$PG_DIR" -p "$PG_PORT" -U postgres "$@"
}

start_postgres() {
    PG_BIN=$(pg_bin)
    PG_DIR=$RUN/postgres
    PG_PORT=$(kept pg-port free_port)
    mkdir -p "$PG_DIR"
    [ "$(id -u)" -ne 0 ] || chown postgres: "$PG_DIR"
    if [ ! -f "$RUN/postgres.made" ]; then
        rm -rf "${PG_DIR:?}/data"
        "${AS_POSTGRES[@]}" "$PG_BIN/initdb" -D "$PG_DIR/data" -U postgres -E UTF8 --locale=C -A trust \
            >"$RUN/logs/initdb.log" 2>&1 || fail "initdb failed; see $RUN/logs/initdb.log"
        # The superuser by the socket only; over TCP everybody needs a password.
        printf '%s\n' 'local all postgres trust' 'host all all 127.0.0.1/32 scram-sha-256' >"$PG_DIR/data/pg_hba.conf"
    fi
    start postgres "${AS_POSTGRES[@]}" "$PG_BIN/postgres" -D "$PG_DIR/data" -p "$PG_PORT" -k "$PG_DIR" \
        -c listen_addresses=127.0.0.1 -c unix_socket_permissions=0777
    POSTGRES_PID=${STARTED[-1]}
    await 30 PostgreSQL psql_super -d postgres -c 'SELECT 1'
    if [ ! -f "$RUN/postgres.made" ]; then
        psql_super -d postgres -c 'DROP DATABASE IF EXISTS orders' -c 'CREATE DATABASE orders'
        psql_super -d orders -f dev.d/orders.sql >/dev/null
        psql_super -d orders -v admin=gatepass_admin -v groups=orders_reader,orders_writer \
            -f docs/connectors/postgres-admin.sql >/dev/null
        # By standard input, so that it stands in no argument list.
        printf "ALTER ROLE gatepass_admin PASSWORD '%s';\n" "$(kept secrets/orders-pg random_password)" |
            psql_super -d orders
        touch "$RUN/postgres.made"
    fi
}

# --- the server and its people ----------------------------------------------------------------------------------

start_server() {
    local port
    port=$(kept server-port free_port)
    sed -e "s|@LISTEN@|127.0.0.1:$port|" -e "s|@PG@|127.0.0.1:$PG_PORT|" dev.d/gatepass.toml >"$RUN/gatepass.toml"
    "$TARGET/debug/gatepass-server" check --config "$RUN/gatepass.toml" >"$RUN/logs/check.log" 2>&1 ||
        fail "$(cat "$RUN/logs/check.log")"
    start server "$TARGET/debug/gatepass-server" serve --config "$RUN/gatepass.toml"
    SERVER_PID=${STARTED[-1]}
    await 30 gatepass-server grep -q '^listening on' "$RUN/logs/server.log"
}

# join HANDLE NAME GROUPS: enrols this person's device once.
join() {
    [ -f "$RUN/joined-$1" ] && return
    local link
    link=$("$TARGET/debug/gatepass-server" invite --config "$RUN/gatepass.toml" --person "$1" --name "$2" \
        --groups "$3" --json | node -p 'JSON.parse(require("fs").readFileSync(0, "utf8")).link')
    "$RUN/as" "$1" join "$link" >/dev/null
    touch "$RUN/joined-$1"
}

write_as() {
    {
        cat <<'SH'
#!/bin/sh
# as HANDLE COMMAND…: gatepass, as one of the people of ./dev run.
person=$1
shift
SH
        local name
        for name in GATEPASS_HOME GATEPASS_KEYSTORE DBUS_SESSION_BUS_ADDRESS XDG_RUNTIME_DIR; do
            [ -z "${!name:-}" ] || printf 'export %s=%q\n' "$name" "${!name}"
        done
        # shellcheck disable=SC2016  # expanded when `as` runs
        printf 'exec %q --profile "$person" "$@"\n' "$TARGET/debug/gatepass"
    } >"$RUN/as"
    chmod 700 "$RUN/as"
}

# --- the session ------------------------------------------------------------------------------------------------

VIRTUAL=

# show_at PID X: on the virtual screen, the windows stand side by side.
show_at() {
    local window
    window=$(timeout 30 xdotool search --all --sync --onlyvisible --pid "$1" --name Gatepass | head -n 1) ||
        fail "the window did not come up; see $RUN/logs"
    xdotool windowmove "$window" "$2" 20
}

start_session() {
    export GATEPASS_HOME=$RUN/home
    if [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
        if ! bus_has org.freedesktop.secrets; then
            say "no keyring answers in this session: keys go to files in $GATEPASS_HOME (GATEPASS_KEYSTORE=file)"
            export GATEPASS_KEYSTORE=file
        else
            say "keys go to the keyring of this session; ./dev run --fresh removes them"
        fi
        return
    fi
    VIRTUAL=yes
    say "no display: using a virtual one; its picture is $RUN/screen.png, made anew every second"
    start session "$TARGET/debug/session" "$RUN/s" "$RUN/screen.png"
    await 30 "the virtual session" grep -q '^$' "$RUN/logs/session.log"
    local line
    while IFS= read -r line && [ -n "$line" ]; do
        eval "export $line"
    done <"$RUN/logs/session.log"
    export GATEPASS_HOME=$RUN/home
}

# Whether a name of the session bus is taken or can be.
bus_has() {
    local ask=(dbus-send --session --print-reply --dest=org.freedesktop.DBus /) bus=org.freedesktop.DBus
    "${ask[@]}" $bus.NameHasOwner "string:$1" 2>/dev/null | grep -q 'boolean true' ||
        "${ask[@]}" $bus.StartServiceByName "string:$1" uint32:0 >/dev/null 2>&1
}

# Removes the state, and the keys from the keyring where they lie in that of the person who tries it.
start_over() {
    [ ! -f "$RUN/lock" ] || flock -n "$RUN/lock" true || fail "./dev run is running; end it first."
    if [ -f "$RUN/home/home-id" ] && [ -n "${DBUS_SESSION_BUS_ADDRESS:-}" ] && bus_has org.freedesktop.secrets; then
        local person
        for person in tomas noor mara; do
            timeout 10 secret-tool clear service gatepass username "$person@$(cat "$RUN/home/home-id")" || true
        done
    fi
    rm -rf "$RUN"
}

dev_run() {
    case ${1:-} in
    --fresh) start_over ;;
    "") ;;
    *) fail "./dev run [--fresh]" ;;
    esac
    need build
    dev_build
    run_here
}

# Everything from the built programs on.
run_here() {
    umask 022
    mkdir -p "$RUN/logs" "$RUN/secrets"
    chmod 700 "$RUN/secrets"
    exec {LOCK}>"$RUN/lock"
    flock -n "$LOCK" || fail "./dev run is running already."
    trap 'stop_all; exit 130' INT TERM HUP
    trap stop_all EXIT
    local from=$SECONDS
    start_session
    write_as
    start_postgres
    start_server
    join tomas "Tomás Rivera" backend
    join noor "Noor Haddad" dba
    join mara "Mara Okafor" oncall
    local person person_at=0
    for person in tomas mara; do
        start "desktop-$person" "$TARGET/debug/gatepass-desktop" --profile "$person"
        [ -z "$VIRTUAL" ] || show_at "${STARTED[-1]}" $((person_at++ * 1150 + 20))
    done
    say "up in $((SECONDS - from)) s"
    cat <<TEXT

Two windows are open, each with an icon in the tray:
  tomas   asks: "Request access…" in the tray, orders-db, Read and write
  mara    is on call, and one of the two who must approve
The other approver, noor, works at the command line:
  $RUN/as noor requests --to-review
  $RUN/as noor approve R-1

Server, database and logs are in $RUN. Ctrl-C ends everything; ./dev run --fresh starts over.
TEXT
    # Until a window's app, the server or PostgreSQL ends by itself, or Ctrl-C.
    wait -n "$POSTGRES_PID" "$SERVER_PID" || true
    fail "PostgreSQL or the server ended by itself; see $RUN/logs"
}
