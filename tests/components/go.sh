# go.sh  Sourced by what builds a program from Go modules, pinned there; the sums are checked by Go itself.
# The program names its `version` and writes its go.mod (go_mod) and, if it is not a package of a module, its source (main_go).

cache=${COMPONENTS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/perflens}
name=${0##*/}

fail() { echo "$name: $*" >&2; exit 1; }
main_go() { :; }

# go_program PACKAGE LINKER_FLAGS  Build it once for each version and source; prints the path of the binary.
go_program() {
  local binary build tool
  binary=$cache/$name-$({ echo "${version:?}"; main_go; } | sha256sum | cut -c 1-12)/$name
  if ! [ -x "$binary" ]; then
    for tool in go flock timeout; do command -v "$tool" >/dev/null || fail "$tool is needed to build it and is not on this machine"; done
    mkdir -p "$cache"
    exec 9> "$cache/$name.lock"
    flock -w 1800 9 || fail "another run has held $cache/$name.lock for half an hour"
  fi
  if ! [ -x "$binary" ]; then  # nor by the run that held the lock
    build=$(mktemp -d "$cache/$name.XXXXXX")
    # shellcheck disable=SC2064  # the folder of now
    trap "rm -rf '$build'" EXIT
    go_mod > "$build/go.mod" || fail "its modules cannot be had here"
    [ -z "$(main_go)" ] || main_go > "$build/main.go"
    (cd "$build" && timeout 1800 go build -mod=mod -trimpath -ldflags="-s -w ${2:-}" -o "$name" "$1") > "$build/log" 2>&1 ||
      fail "it cannot be built here: $(grep -v '^go: \(downloading\|finding\|added\)' "$build/log" | tail -n 1)"
    mkdir -p "${binary%/*}"
    mv "$build/$name" "$binary"
  fi
  echo "$binary"
}
