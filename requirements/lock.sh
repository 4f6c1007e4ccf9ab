#!/usr/bin/env bash
# Rewrites every lock from pyproject.toml, hashes included: requirements/lock.sh
# Torch and all that hangs on it stay out: a hashed lock of torch pins gigabytes of CUDA and lacks the CPU wheel's hash.
set -euo pipefail
cd "$(dirname "$0")"
uv=${UV:-uv}
whole=$(mktemp)
trap 'rm -f "$whole"' EXIT
"$uv" pip compile ../pyproject.toml --all-extras --python-version 3.11 --no-header --no-annotate -q -o "$whole"
left_out=$(grep -oE '^(nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+|torch|triton|setuptools)==' "$whole" | tr -d = | grep -v '^nvidia-ml-py$' | sed 's/^/--no-emit-package /')
lock() { # lock NAME [--extra NAME]: one file an extra, all of them at the versions of the whole
  name=$1; shift
  # shellcheck disable=SC2086
  "$uv" pip compile ../pyproject.toml "$@" -c "$whole" --python-version 3.11 --generate-hashes --no-annotate \
    --custom-compile-command "requirements/lock.sh" $left_out -q -o "$name.txt"
}
lock base
for extra in grpc worker optimize demo reports dev; do lock "$extra" --extra "$extra"; done
