# shellcheck shell=bash

dev_bench() {
    need setup
    need build
    setup_base
    build_ui >&2
    cargo build --quiet --release -p gatepass-desktop -p gatepass-server -p gatepass-cli
    cargo run --quiet --release -p gatepass-bench -- "$@"
}
