# Installs what is missing on Debian 12 with git, a Rust toolchain and Node. Says what before it does.
# shellcheck shell=bash

# What compiling needs; what the desktop tests and `./dev run` without a display need; the targets.
APT_BUILD=(build-essential pkg-config libssl-dev libwebkit2gtk-4.1-dev libayatana-appindicator3-dev shellcheck)
APT_DESKTOP=(xvfb xauth imagemagick xdotool openbox webkit2gtk-driver dunst libnotify-bin gnome-keyring
    libsecret-tools dbus dbus-x11 fonts-inter procps)
APT_TARGETS=(postgresql mariadb-server openssh-server slapd ldap-utils pgbouncer nginx-light haproxy systemd prometheus
    faketime python3 python3-venv)

# Built without optimisation: they run for seconds, and installing them takes a third of the time.
TOOLS_TEST=(tauri-driver@2.1.0)
TOOLS_CHECK=(cargo-machete@0.9.1 cargo-deny@0.18.9)

setup_programs() {
    command -v cargo >/dev/null || fail "There is no Rust toolchain. Install one from https://rustup.rs and try again."
    command -v npm >/dev/null || fail "There is no Node. Install Node 20 or later and try again."
    local node
    node=$(node --version)
    node=${node#v}
    [ "${node%%.*}" -ge 20 ] || fail "Node $node is too old: install Node 20 or later and try again."
    if command -v rustup >/dev/null; then
        { cargo fmt --version && cargo clippy --version; } >/dev/null 2>&1 || rustup component add rustfmt clippy
    fi
}

setup_packages() {
    local missing=() package
    for package in "${APT_BUILD[@]}" "${APT_DESKTOP[@]}" "${APT_TARGETS[@]}"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    command -v apt-get >/dev/null ||
        fail "These packages are missing and there is no apt-get to install them: ${missing[*]}"
    local root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null ||
            fail "These packages are missing; as root run: apt-get install --no-install-recommends ${missing[*]}"
        root=(sudo)
    fi
    say "installing system packages: ${missing[*]}"
    "${root[@]}" apt-get update -qq
    # postgresql would start a cluster of its own; nobody here needs that one, nor the proxies' services.
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
    setup_quiet "${missing[@]}"
}

# Where systemd runs, Debian starts what it installs, now and at every boot: not what only tests start. What was there
# before is left as it was.
setup_quiet() {
    [ -d /run/systemd/system ] || return 0
    local package
    for package in "$@"; do
        case $package in
        nginx-light) "${root[@]}" systemctl disable --quiet --now nginx ;;
        haproxy) "${root[@]}" systemctl disable --quiet --now haproxy ;;
        mariadb-server) "${root[@]}" systemctl disable --quiet --now mariadb ;;
        openssh-server) "${root[@]}" systemctl disable --quiet --now ssh ;;
        slapd) "${root[@]}" systemctl disable --quiet --now slapd ;;
        pgbouncer) "${root[@]}" systemctl disable --quiet --now pgbouncer ;;
        # Only its promtool is used.
        prometheus) "${root[@]}" systemctl disable --quiet --now prometheus ;;
        esac
    done
}

# What the log's format is checked against by programs that are not ours: a folder of its own, where the other tools are.
# Without them those tests say that they were left out. The witness asks for a newer Python than Debian 12 has, and runs
# on that one.
PYTHON_CROSS=(pymerkle==7.0.0 rfc8785==0.1.4 cryptography==50.0.2 aics-tlog==0.2.1 aics-witness==0.1.0)

setup_python() {
    local folder=$TOOLS/python
    [ "$(cat "$folder/installed" 2>/dev/null)" = "${PYTHON_CROSS[*]}" ] && return
    say "installing into $folder: ${PYTHON_CROSS[*]}"
    rm -f "$TOOLS/python.missing"
    if python3 -m venv --clear "$folder" && "$folder/bin/pip" install --quiet --disable-pip-version-check \
        --ignore-requires-python "${PYTHON_CROSS[@]}"; then
        printf '%s' "${PYTHON_CROSS[*]}" >"$folder/installed"
    else
        say "they could not be installed (it needs python3-venv and PyPI): what is checked by them is left out"
        mkdir -p "$TOOLS"
        touch "$TOOLS/python.missing"
    fi
}

setup_cargo_tools() {
    local tool name version
    for tool in "$@"; do
        name=${tool%@*} version=${tool#*@}
        grep -qsF "\"$name $version " "$TOOLS/.crates.toml" && [ -x "$TOOLS/bin/$name" ] && continue
        say "installing $name $version into $TOOLS (about a minute)"
        CARGO_TARGET_DIR=$TOOLS/build cargo install --quiet --locked --debug --force --root "$TOOLS" \
            --version "$version" "$name"
    done
    rm -rf "$TOOLS/build"
}

setup_npm() {
    # npm writes node_modules/.package-lock.json last; older than the lock file means: not what was locked.
    [ ui/node_modules/.package-lock.json -nt ui/package-lock.json ] && return
    say "installing npm packages into ui/node_modules"
    (cd ui && npm ci --no-audit --no-fund)
    touch ui/node_modules/.package-lock.json
}

# What building and running needs: system packages, and npm's inside ui/. Nothing else outside this folder.
setup_base() {
    setup_programs
    setup_packages
    setup_npm
}

dev_setup() {
    setup_base
    setup_cargo_tools "${TOOLS_TEST[@]}" "${TOOLS_CHECK[@]}"
    setup_python
}
