# shellcheck shell=bash

TOOLS_FUZZ=(cargo-fuzz@0.13.2)

# Each target for so long, one after the other; what it found that is new stays in fuzz/corpus, as little of it as covers
# the same.
dev_fuzz() {
    need setup
    setup_programs
    cargo +nightly --version >/dev/null 2>&1 ||
        fail "Fuzzing takes a nightly Rust: rustup toolchain install nightly --profile minimal"
    setup_cargo_tools "${TOOLS_FUZZ[@]}"
    local seconds=60 targets=() target
    [ $# -gt 0 ] && case $1 in *[!0-9]*) targets=("$1") && shift ;; esac
    [ $# -gt 0 ] && seconds=$1
    cd fuzz || exit
    if [ ${#targets[@]} -eq 0 ]; then
        mapfile -t targets < <(cargo +nightly fuzz list)
    fi
    for target in "${targets[@]}"; do
        mkdir -p "corpus/$target"
        stage "fuzz $target for $seconds s" \
            cargo +nightly fuzz run "$target" "corpus/$target" -- \
            -max_total_time="$seconds" -max_len=65536 -rss_limit_mb=2048 -print_final_stats=1
        stage "minimise $target" cargo +nightly fuzz cmin "$target" "corpus/$target"
    done
    stage_summary
}
