# debian.sh  Sourced by what fetches packages of other Debian suites, which are unpacked beside the machine's own and never installed.
# The mirror is the one that this machine's own apt is configured with. Wants a scratch folder, `state`.

keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# Every repository that apt knows and that has a component `main`, but for security updates.
repositories() {
  apt-get indextargets --no-release-info --format '$(COMPONENT) $(REPO_URI)' 'Identifier: Packages' 2>/dev/null |
    awk '$1 == "main" && $2 !~ /security/ && !seen[$2]++ { print $2 }'
}

# apt with a state of its own: the machine's lists and sources stay as they are.
private_apt() {
  "$1" -qq -o Dir::Etc::sourcelist="$state/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$state/lists" \
    -o Dir::Cache="$state/cache" -o APT::Get::List-Cleanup=0 -o APT::Sandbox::User="$(id -un)" \
    -o Acquire::Languages=none -o Acquire::Retries=2 -o Acquire::http::Timeout=20 "${@:2}"
}

# use_suite REPOSITORY SUITE  Have private_apt know a suite of a repository, and nothing else.
use_suite() {
  mkdir -p "$state"/{lists/partial,cache/archives/partial,files}
  echo "deb [signed-by=$keyring] $1 $2 main" > "$state/sources.list"
  private_apt apt-get -o APT::Update::Error-Mode=any update
}

# unpack_packages FOLDER PACKAGE...  Download packages of that suite, and unpack them.
unpack_packages() {
  local folder=$1 package; shift
  (cd "$state/files" && rm -f -- *.deb && private_apt apt-get download "$@" >/dev/null) || return 1
  for package in "$state"/files/*.deb; do dpkg-deb -x "$package" "$folder" || return 1; done
}

# have_packages ROOT  Unless complete() says that ROOT has them, unpack `packages` there: those of the first of `suites` that are complete.
have_packages() {
  local tool repository suite
  complete "$1" && return
  for tool in apt-get dpkg-deb flock; do command -v "$tool" >/dev/null || fail "$tool is needed to fetch it and is not on this machine"; done
  [ -r "$keyring" ] || fail "Debian's archive keyring is needed to fetch it ($keyring, package debian-archive-keyring)"
  mkdir -p "${1%/*}"
  exec 9> "$1.lock"
  flock -w 300 9 || fail "another run has held $1.lock for five minutes"
  complete "$1" && return  # by the run that held the lock
  state=$(mktemp -d "$1.XXXXXX")
  trap 'rm -rf "$state"' EXIT
  for repository in $(repositories); do
    for suite in "${suites[@]}"; do
      rm -rf "$state/root"; mkdir -p "$state/root"
      if { use_suite "$repository" "$suite" && unpack_packages "$state/root" "${packages[@]}" && complete "$state/root"; } 2>> "$state/log"; then
        rm -rf "$1"; mv "$state/root" "$1"
        return
      fi
    done
  done
  fail "no registry that apt is configured with serves it (suites ${suites[*]}): $(grep -m1 '^E: ' "$state/log" || true)"
}
