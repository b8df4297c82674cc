#!/usr/bin/env bash
# The benchmarks; that of get-token with the static build beside the dynamic one, where this machine
# can build it (rustup's musl target and a musl-gcc, Debian: musl-tools).
set -euo pipefail
cd "$(dirname "$0")/.."
target="$(uname -m)-unknown-linux-musl"
if command -v musl-gcc >/dev/null && rustup target add "$target" >/dev/null 2>&1; then
  cargo build --release --locked --target "$target" --bin kubentra
  export KUBENTRA_BENCH_ALSO="static=$PWD/target/$target/release/kubentra"
else
  echo "no static build here: it needs musl-gcc and 'rustup target add $target'" >&2
fi
cargo bench --locked --bench get_token
cargo bench --locked --bench convert
