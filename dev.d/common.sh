# Shared by the parts of ./dev; sourced, never run.
# shellcheck shell=bash

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }

fail() {
    printf '\033[31m%s\033[0m\n' "$*" >&2
    exit 1
}

# A part of ./dev by name: `need build` makes dev_build available.
need() {
    # shellcheck source=/dev/null
    . "$GATEPASS_ROOT/dev.d/$1.sh"
}

# Clones on one machine share what `cargo install` made.
TOOLS=${XDG_CACHE_HOME:-$HOME/.cache}/gatepass/tools
export PATH="$TOOLS/bin:$PATH"

# Where cargo puts what it builds.
export TARGET=${CARGO_TARGET_DIR:-$GATEPASS_ROOT/target}
# No incremental data in CI, where nothing is built twice.
[ -n "${CI:-}" ] && export CARGO_INCREMENTAL=0
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto}

# stage NAME COMMAND…: runs it, says how long it took, and remembers that for stage_summary.
STAGES=()
stage() {
    local name=$1 from=$SECONDS
    shift
    say "$name"
    "$@" || fail "$name: failed after $((SECONDS - from)) s"
    STAGES+=("$(printf '%5d s  %s' $((SECONDS - from)) "$name")")
}

stage_summary() {
    printf '%s\n' "${STAGES[@]}" >&2
}
