#!/usr/bin/env bash
# Runs the checks one after the other, prints how long each took, and fails at the end if one did.
#
#   scripts/check.sh lint    form and rules
#   scripts/check.sh test    the same, then every test
#
# An executable scripts/check-NAME.sh is a stage of its own in both.
set -uo pipefail

cd "$(dirname "$0")/.." || exit 1
PATH=$HOME/.cargo/bin:$PWD/.cache/venv/bin:$PATH
export STREAMPROC_PYTHON=$PWD/.cache/venv/bin/python

stages=() failed=0
stage() { # stage NAME COMMAND...
  local name=$1 start=$SECONDS result=ok
  shift
  printf '\n== %s\n' "$name"
  "$@" || {
    result=FAILED
    failed=$((failed + 1))
  }
  stages+=("$(printf '%5d s  %-6s  %s' $((SECONDS - start)) "$result" "$name")")
}

documentation() { RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --locked --no-deps --document-private-items --quiet; }

dependencies() {
  local checks=(bans licenses sources) database=https://github.com/RustSec/advisory-db
  if curl -sSfIL --max-time 10 "$database" >/dev/null 2>&1; then
    checks+=(advisories)
  else
    echo "advisories are left out: $database cannot be reached"
  fi
  cargo deny --locked --log-level error check --hide-inclusion-graph "${checks[@]}"
}

shell_scripts() {
  local files
  # Every tracked or new file whose first line names a shell.
  mapfile -t files < <(git ls-files --cached --others --exclude-standard | while read -r file; do
    head -n 1 "$file" 2>/dev/null | grep -aqE '^#!.*\b(ba)?sh\b' && printf '%s\n' "$file"
  done)
  shellcheck --severity=style "${files[@]}" && echo "${#files[@]} scripts"
}

# The tests get a directory of their own for temporary files; their guards empty it, and end every
# process, as soon as a test binary is gone (tests/support/guard.rs).
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

tests() { TMPDIR=$scratch cargo test --locked --no-fail-fast; }

# The tests are tested: with each of the defects that src/core/mutant.rs has to offer in the service, they fail.
mutants() { TMPDIR=$scratch cargo test --locked --no-fail-fast --features mutants --test chaos --test simulation -- mutants; }

# The core alone, compiled as a release is; valgrind counts what an event takes (docs/adr/0020).
instructions() { cargo run --locked --release --quiet --package streamproc-instructions; }

nothing_left() {
  local left process
  for _ in $(seq 50); do
    left=$(find "$scratch" -mindepth 1 -maxdepth 1)
    # The words come by a pipe, or grep would find itself.
    # shellcheck disable=SC2062 # files, not a pattern
    for process in $(printf '%s\n' "$scratch" "${CARGO_TARGET_DIR:-$PWD/target}/debug/streamproc" |
      grep -lsaF --file=- /proc/[0-9]*/cmdline); do
      left+=" ${process%/cmdline}: $(tr '\0' ' ' 2>/dev/null <"$process")"
    done
    [ -n "$left" ] || return 0
    sleep 0.2
  done
  printf 'left behind:\n%s\n' "$left"
  return 1
}

case ${1:-} in
  lint | test) ;;
  *)
    echo "usage: scripts/check.sh lint|test" >&2
    exit 2
    ;;
esac
stage "formatting" cargo fmt --all --check
stage "clippy" cargo clippy --locked --all-targets -- -D warnings
# With the package that counts instructions; it has no tests.
stage "clippy, as the production image is built" cargo clippy --locked --workspace --no-default-features -- -D warnings
stage "documentation" documentation
stage "dependencies: licences, sources, advisories" dependencies
stage "shell scripts" shell_scripts
for script in scripts/check-*.sh; do
  if [ -x "$script" ]; then stage "$script" "$script"; fi
done
if [ "$1" = test ]; then
  stage "instructions an event, beside the committed ones" instructions
  stage "tests" tests
  stage "the tests find each defect that is put into the service" mutants
  stage "nothing is left running or lying about" nothing_left
fi

printf '\n== stages\n'
printf '%s\n' "${stages[@]}"
if [ "$failed" -gt 0 ]; then
  printf '%d of %d stages failed\n' "$failed" "${#stages[@]}"
  exit 1
fi
printf 'all %d stages passed in %d s\n' "${#stages[@]}" "$SECONDS"
