# shellcheck shell=bash

dev_tour() {
    need build
    dev_build
    setup_cargo_tools "${TOOLS_TEST[@]}"
    stage "tour" cargo run --quiet -p gatepass-tests --bin tour -- "$@"
    say "pictures are in docs/pictures"
}
