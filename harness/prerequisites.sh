# Sourced by the scripts beside it: sees that a Swift 6 compiler and the system libraries are there, and installs the libraries where it can.

hyperconform_prerequisites() {
    if ! command -v swift >/dev/null 2>&1; then
        echo "Swift is not installed or not in PATH: see https://www.swift.org/install (version 6.2 or newer)." >&2
        return 3
    fi
    local version
    version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9]*\)\.\([0-9]*\).*/\1 \2/p' | head -n 1)
    # shellcheck disable=SC2086 # two numbers
    set -- $version
    if [ "${1:-0}" -lt 6 ] || { [ "${1:-0}" -eq 6 ] && [ "${2:-0}" -lt 2 ]; }; then
        echo "Swift 6.2 or newer is needed; this is ${1:-?}.${2:-?}." >&2
        return 3
    fi

    local missing=""
    if ! command -v pkg-config >/dev/null 2>&1; then
        missing="pkg-config libsodium-dev libpcap-dev"
    else
        pkg-config --exists libsodium || missing="libsodium-dev"
        pkg-config --exists libpcap || missing="$missing libpcap-dev"
    fi
    [ -n "$missing" ] || return 0

    local as=""
    if [ "$(id -u)" -ne 0 ]; then
        if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then as="sudo -n"; else as="none"; fi
    fi
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "The headers of libsodium and libpcap, and pkg-config, are needed. There is no apt-get here to install them with;" >&2
        echo "take your system's own packages (Fedora: libsodium-devel libpcap-devel pkgconf; macOS: brew install libsodium libpcap pkg-config)." >&2
        return 3
    fi
    if [ "$as" = none ]; then
        echo "Missing: $missing. Install with: sudo apt-get update && sudo apt-get install -y $missing" >&2
        return 3
    fi
    echo "Installing with apt-get: $missing" >&2
    # shellcheck disable=SC2086 # words on purpose
    if ! { $as apt-get update -qq && DEBIAN_FRONTEND=noninteractive $as apt-get install -y -qq $missing; } >&2; then
        echo "apt-get could not install: $missing. Is there a network?" >&2
        return 3
    fi
}
