# shellcheck shell=bash

# Nodes, databases and devices as in the tests, again and again.
dev_soak() {
    need setup
    setup_base
    # One build, so that what they share is compiled once; the workload finds the nodes' program beside it.
    cargo build --quiet -p gatepass-server -p gatepass-tests --bin gatepass-server --bin soak
    "$TARGET/debug/soak" "$@"
}
