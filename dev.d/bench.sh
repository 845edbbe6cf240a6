# shellcheck shell=bash

dev_bench() {
    need setup
    need build
    setup_base
    build_ui >&2
    # One build, so that what they share is compiled once; then by its path, since it finds the others beside it.
    cargo build --quiet --release -p gatepass-desktop -p gatepass-server -p gatepass-cli -p gatepass-bench
    "$TARGET/release/gatepass-bench" "$@"
}
