# shellcheck shell=bash

test_rust() {
    # One test binary after the other; --no-fail-fast so that one run tells everything.
    cargo test --workspace --no-fail-fast
}

test_ui() {
    npm --prefix ui run --silent test
}

dev_test() {
    need setup
    need build
    setup_base
    setup_cargo_tools "${TOOLS_TEST[@]}"
    setup_python
    [ $# -gt 0 ] || set -- ui rust
    stage "build the window" build_ui
    local part
    for part in "$@"; do
        case $part in
        ui) stage "ui: vitest" test_ui ;;
        rust)
            stage "build the crates" build_rust
            stage "crates, and end to end in real windows" test_rust
            ;;
        *) fail "./dev test knows ui and rust, not $part" ;;
        esac
    done
    stage_summary
}
