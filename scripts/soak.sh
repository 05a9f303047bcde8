#!/usr/bin/env bash
# Runs one scenario of tests/chaos for long, and prints what it came to.
#
#   scripts/soak.sh everything 30    the scenario's name, and minutes
#   scripts/soak.sh list             the names
set -euo pipefail

cd "$(dirname "$0")/.."
PATH=$HOME/.cargo/bin:$PATH
export STREAMPROC_PYTHON=$PWD/.cache/venv/bin/python

scenarios() { cargo test --locked --test chaos -- --list 2>/dev/null | sed -n 's/: test$//p'; }

scenario=${1:-everything} minutes=${2:-30}
if [ "$scenario" = list ]; then
  scenarios | sed 's/.*:://'
  exit
fi
name=$(scenarios | grep -x "[a-z_]*::$scenario") || {
  echo "there is no scenario $scenario; 'scripts/soak.sh list' names them" >&2
  exit 2
}
STREAMPROC_SOAK_MINUTES=$minutes cargo test --locked --test chaos -- --nocapture --include-ignored --exact "$name"
