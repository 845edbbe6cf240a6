# shellcheck shell=bash

check_shell() {
    shellcheck -x dev dev.d/*.sh .ci/run packaging/ssh/gatepass-host
}

dev_check() {
    need setup
    need build
    need types
    setup_base
    setup_cargo_tools "${TOOLS_CHECK[@]}"
    stage "shellcheck" check_shell
    stage "cargo fmt" cargo fmt --all --check
    stage "cargo deny" cargo deny --log-level error check bans licenses sources
    stage "cargo machete" cargo machete --with-metadata
    stage "build the window" build_ui
    stage "eslint" npm --prefix ui run --silent lint
    stage "svelte-check" npm --prefix ui run --silent check
    stage "cargo clippy" cargo clippy --quiet --workspace --all-targets -- -D warnings
    stage "build the crates" build_rust
    stage "types are current" types_are_current
    stage "dependency direction" cargo test --quiet --workspace --test architecture
    stage_summary
}
