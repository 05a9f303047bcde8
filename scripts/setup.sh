#!/usr/bin/env bash
# Installs what is missing, and only that: for `make demo`, `make lint`, `make test` or `make bench-peers`.
#
#   scripts/setup.sh demo    a C compiler, OpenSSL's headers, Rust
#   scripts/setup.sh lint    the same, and the tools of the checks
#   scripts/setup.sh test    the same, and Java, Maven, Apache Kafka, Prometheus, Python clients, valgrind
#   scripts/setup.sh peers   as for the demo, and Java's compiler, Maven, Apache Kafka, Spark
#
# System packages come by apt-get (as root, or through sudo), Rust by rustup, the rest goes to
# .cache/ in this directory. A second run finds everything there and installs nothing.
set -euo pipefail

cd "$(dirname "$0")/.."
root=$PWD
cache=$root/.cache
purpose=${1:-}
PATH=$HOME/.cargo/bin:$PATH

say() { printf 'setup: %s\n' "$*"; }
fail() {
  printf 'setup: %s\n' "$@" >&2
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

is() { # is PURPOSE...: whether it is one of these
  [[ " $* " == *" $purpose "* ]]
}

# --- system packages -------------------------------------------------------------------------

missing=()
need() { # need PACKAGE COMMAND...: the package is missing when the command fails
  local package=$1
  shift
  "$@" >/dev/null 2>&1 || missing+=("$package")
}

java_version() {
  "${JAVA:-java}" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p'
}

java_is_17() {
  local version
  version=$(java_version)
  [ "${version:-0}" -ge 17 ]
}

# Spark 3.5 is documented for Java 17 and earlier. From 24 on Java has no security manager, and Hadoop's
# client, which Spark is built on, asks for it.
java_is_for_spark() {
  local version
  version=$(java_version)
  [ "${version:-0}" -ge 17 ] && [ "$version" -lt 24 ] && have javac
}

# Releases differ in which Java they have.
java_package() { # java_package jre|jdk VERSION...: the first of these versions that there is
  local kind=$1 version
  shift
  for version in "$@"; do
    if [[ $(apt-cache policy "openjdk-$version-$kind-headless") == *"Candidate: "[0-9]* ]]; then
      printf 'openjdk-%s-%s-headless\n' "$version" "$kind"
      return
    fi
  done
  printf 'default-%s-headless\n' "$kind"
}

find_missing() {
  missing=()
  # rdkafka compiles librdkafka with its own configure script, which wants a C++ compiler and perl
  # too, and links OpenSSL; aws-lc needs no more than the C compiler.
  need gcc have cc
  need g++ have c++
  need libc6-dev test -e /usr/include/stdio.h
  need make have make
  need perl have perl
  need pkg-config have pkg-config
  need libssl-dev pkg-config --exists openssl
  need curl have curl
  need ca-certificates test -e /etc/ssl/certs/ca-certificates.crt
  if is lint test; then
    need git have git
    need python3-venv python3 -c 'import venv, ensurepip'
  fi
  if is test; then
    need openssl have openssl
    need java java_is_17
    need valgrind have valgrind
  fi
  if is peers; then
    need jdk java_is_for_spark
  fi
  if is test peers; then
    need maven have mvn
  fi
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  else
    sudo "$@"
  fi
}

install_packages() {
  find_missing
  [ ${#missing[@]} -gt 0 ] || return 0
  have apt-get || fail "this system has no apt-get; please install by its own means: ${missing[*]}"
  local names=("${missing[@]/#java/openjdk-17-jre-headless}")
  names=("${names[@]/#jdk/openjdk-17-jdk-headless}")
  [ "$(id -u)" = 0 ] || have sudo ||
    fail "neither root nor sudo; ask someone to run:" "  apt-get install ${names[*]}"
  say "fetching the list of packages"
  as_root apt-get update -qq
  local packages=() package
  for package in "${missing[@]}"; do
    case $package in
      java) package=$(java_package jre 21 17 25) ;;
      jdk) package=$(java_package jdk 17 21) ;;
    esac
    packages+=("$package")
  done
  say "installing ${packages[*]}"
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${packages[@]}" >"$cache/apt.log" 2>&1 ||
    fail "apt-get failed; the end of $cache/apt.log:" "$(tail -n 20 "$cache/apt.log")"
  find_missing
  [ ${#missing[@]} = 0 ] || fail "installed, but still not usable: ${missing[*]}"
}

# --- Rust ------------------------------------------------------------------------------------

install_rust() {
  local wanted version
  wanted=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
  if ! have cargo; then
    say "installing Rust by rustup"
    curl --proto '=https' --tlsv1.2 -sSf --retry 2 https://sh.rustup.rs -o "$cache/rustup-init.sh" ||
      fail "https://sh.rustup.rs cannot be reached; please install Rust $wanted with rustfmt and clippy" \
        "by other means (https://www.rust-lang.org/tools/install, or the package rustup) and run this again"
    sh "$cache/rustup-init.sh" -y -q --profile minimal --default-toolchain none --no-modify-path
  fi
  if have rustup; then
    # With the toolchain file in this directory, `rustc` would install it too, but without a word.
    [[ $(rustup toolchain list) == *"$wanted"* ]] || {
      say "installing the Rust toolchain $wanted"
      rustup toolchain install "$wanted" --profile minimal --component rustfmt --component clippy
    }
  else
    version=$(rustc --version | sed 's/rustc \([0-9.]*\).*/\1/')
    [ "$(printf '%s\n%s\n' "$wanted" "$version" | sort -V | head -n 1)" = "$wanted" ] ||
      fail "found Rust $version and no rustup; please install Rust $wanted or later (https://rustup.rs)"
  fi
}

# --- into .cache -----------------------------------------------------------------------------

# done_for STAMP FILE...: whether STAMP was made from these very files.
done_for() {
  local stamp=$1
  shift
  [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(cat "$@" | cksum)" ]
}

install_tools() {
  local stamp=$cache/venv/.done lists=(tests/python/requirements.txt scripts/requirements.txt)
  done_for "$stamp" "${lists[@]}" && return
  say "installing Python clients and the tools of the checks to .cache/venv"
  rm -rf "$cache/venv"
  python3 -m venv "$cache/venv"
  "$cache/venv/bin/pip" install --quiet --disable-pip-version-check \
    -r "${lists[0]}" -r "${lists[1]}"
  cat "${lists[@]}" | cksum >"$stamp"
}

# copy_jars POM DIRECTORY: what the file names and what that needs, from Maven Central.
copy_jars() {
  local pom=$1 directory=$2
  rm -rf "$directory"
  mkdir -p "$directory"
  mvn -q -B -f "$pom" -Dmaven.repo.local="$cache/maven" dependency:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$directory/libs" >"$cache/mvn.log" 2>&1 ||
    fail "Maven failed; the end of $cache/mvn.log:" "$(tail -n 20 "$cache/mvn.log")"
  rm -rf "$cache/maven"
  cksum <"$pom" >"$directory/.done"
}

install_kafka() {
  done_for "$cache/kafka/.done" tests/kafka/pom.xml && return
  say "fetching Apache Kafka (55 MB) to .cache/kafka"
  copy_jars tests/kafka/pom.xml "$cache/kafka"
}

install_spark() {
  done_for "$cache/spark/.done" benches/peers/spark/pom.xml && return
  say "fetching Apache Spark and Microsoft's Java SDK (240 MB) to .cache/spark"
  copy_jars benches/peers/spark/pom.xml "$cache/spark"
}

# Of Debian's package the two programs alone: installed, it would run a Prometheus on this machine.
install_prometheus() {
  local to=$cache/prometheus
  [ -x "$to/prometheus" ] && [ -x "$to/promtool" ] && return
  say "fetching Prometheus (19 MB) to .cache/prometheus"
  rm -rf "$to"
  mkdir -p "$to"
  # Joined by &&: before || the shell does not end at the first that fails.
  {
    { fetch_prometheus || { as_root apt-get update -qq && fetch_prometheus; }; } &&
      dpkg-deb -x "$to"/prometheus_*.deb "$to/package" &&
      mv "$to/package/usr/bin/prometheus" "$to/package/usr/bin/promtool" "$to" &&
      rm -rf "$to/package" "$to"/prometheus_*.deb
  } >"$cache/prometheus.log" 2>&1 ||
    fail "Prometheus cannot be had; the end of $cache/prometheus.log:" "$(tail -n 20 "$cache/prometheus.log")"
}

fetch_prometheus() { (cd "$cache/prometheus" && apt-get download -qq prometheus); }

case $purpose in
  demo | lint | test | peers) ;;
  *) fail "usage: scripts/setup.sh demo|lint|test|peers" ;;
esac
mkdir -p "$cache"
install_packages
install_rust
if is lint test; then install_tools; fi
if is test peers; then install_kafka; fi
if is test; then install_prometheus; fi
if is peers; then install_spark; fi
say "ready for 'make ${purpose/#peers/bench-peers}'"
