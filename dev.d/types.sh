# shellcheck shell=bash

TYPES=ui/src/lib/generated

# ts-rs writes a type's file in a test of its own, named export_bindings_*.
types_into() {
    TS_RS_EXPORT_DIR=$1 cargo test --quiet --workspace --lib -- export_bindings >/dev/null
}

dev_types() {
    local fresh
    fresh=$(mktemp -d)
    types_into "$fresh"
    rm -rf "$TYPES"
    mkdir -p "$TYPES"
    cp -r "$fresh/." "$TYPES/"
    rm -rf "$fresh"
}

types_are_current() {
    local fresh
    fresh=$(mktemp -d)
    types_into "$fresh"
    diff -r "$TYPES" "$fresh" || {
        rm -rf "$fresh"
        echo "$TYPES is not what the Rust types say; run ./dev types and commit the result." >&2
        return 1
    }
    rm -rf "$fresh"
}
