# Sourced: cargo for bare-metal targets, by the way that this machine offers.
#
#     bare_metal_way TARGET            prints `rustup` where the toolchain has the target's library,
#                                      `debian` where Debian's compiler can build it, else fails
#     bare_metal_cargo TARGET COMMAND… runs a cargo command for the target that way
#
# shellcheck shell=bash

# What Debian 12 needs to build the library of any target from source.
# shellcheck disable=SC2034 # Used by tests/setup.
DEBIAN_PAIR=(rustc-web cargo-web rust-web-src rust-web-clippy)
# Oldest compiler 1.x that the project builds with: `rust-version` in Cargo.toml. Debian 12 has a
# newer one among its security updates only.
OLDEST_RUST=89
# Where what is built for bare metal shares `core`.
BARE_METAL_BUILDS=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/target/bare-metal

bare_metal_way() {
    local library
    library=$(rustc --print target-libdir --target "$1" 2>/dev/null || true)
    if [ -n "$library" ] && compgen -G "$library/libcore-*.rlib" >/dev/null; then
        echo rustup
    elif [ -x /usr/bin/rustc ] && [ -x /usr/bin/cargo ] && [ -x /usr/bin/cargo-clippy ] &&
        [ "$(/usr/bin/rustc --version | sed -E 's/^rustc 1\.([0-9]+).*/\1/')" -ge $OLDEST_RUST ] &&
        [ -d "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library/core" ]; then
        echo debian
    else
        echo "no library for target $1: run \`rustup target add $1\`, or tests/setup" >&2
        return 1
    fi
}

bare_metal_cargo() {
    local target=$1 command=$2 way linker variable
    shift 2
    way=$(bare_metal_way "$target") || return 1
    if [ "$way" = rustup ]; then
        cargo "$command" --target "$target" "$@"
        return
    fi
    # Debian's compiler comes without a linker for bare metal; rustup's toolchain has one.
    linker=$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin/rust-lld
    variable=CARGO_TARGET_$(tr 'a-z.-' 'A-Z__' <<<"$target")_LINKER
    local cargo=(/usr/bin/cargo)
    [ "$command" = clippy ] && cargo=(/usr/bin/cargo-clippy)
    # RUSTC_BOOTSTRAP lets a stable compiler build its own library. Only `core` is built, a crate
    # that allocates would not compile; once for all packages of the same profile, since what is made
    # on the way to a package's own target folder lies in one folder (from cargo 1.91 on).
    env CARGO=/usr/bin/cargo RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 "$variable=$linker" \
        CARGO_BUILD_BUILD_DIR="$BARE_METAL_BUILDS" "${cargo[@]}" "$command" -Zbuild-std=core --target "$target" "$@"
}
