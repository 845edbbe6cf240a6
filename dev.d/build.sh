# shellcheck shell=bash

build_ui() {
    # The desktop embeds ui/dist; it is made again only when something it is made of is newer.
    if [ -f ui/dist/index.html ] && [ -f ui/dist/.built ] &&
        [ -z "$(find ui/src ui/index.html ui/package-lock.json ui/vite.config.ts -newer ui/dist/.built -print -quit)" ]; then
        return
    fi
    (cd ui && npm run --silent build)
    touch ui/dist/.built
}

# Every crate with its tests, in one feature set, so that check, test and run share what was compiled.
build_rust() {
    cargo build --workspace --all-targets
}

dev_build() {
    need setup
    setup_base
    stage "build the window" build_ui
    stage "build the crates" build_rust
}
