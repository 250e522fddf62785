#!/bin/sh
# ops.sh - the engine's operations, in GFLOP a CPU-second, beside the processor's peak, OpenBLAS and oneDNN;
# then the backward ones
#
#     bench/ops.sh [SECONDS for each figure]
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
build=${SILR_BUILD:-$top/build}
ninja -C "$build" bench/bench_ops bench/bench_ops_back >/dev/null
"$build/bench/bench_ops" "$@"
exec "$build/bench/bench_ops_back" "$@"
