#!/bin/sh
# qlora_ranks.sh - LoRA steps: two ranks of one thread beside one rank of two
#
#     bench/qlora_ranks.sh [ROUNDS [MODEL]]
#
# SmolLM2-135M, f32 base, 16 texts of 64 tokens, 4 steps a round, one after the other; medians of 5 rounds. Two
# ranks must be no slower: 0.97 of one at least, per CPU-second too, which counts where others use the machine.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
build=${SILR_BUILD:-$top/build}
rounds=${1:-5}
model=${2:-$top/build/bench/chat-model/SmolLM2-135M-Instruct.Q4_1.gguf}
[ -e "$model" ] || {
    echo "skipped: there is no $model (bench/chat_servers.sh prepare llama fetches it)"
    exit 0
}
ninja -C "$build" bench/bench_qlora_ranks src/dist/silr-mpi.so >/dev/null
export SILR_MPI="$build/src/dist/silr-mpi.so" OMP_WAIT_POLICY=passive
said=$(mktemp)
trap 'rm -f "$said"' EXIT

i=0
while [ $i -lt "$rounds" ]; do
    for n in 1 2; do # ranks.sh says why it is skipped, if it is
        OMP_NUM_THREADS=$((3 - n)) "$top/tests/dist/ranks.sh" "$n" "$build/bench/bench_qlora_ranks" "$model" 64 16 4 f32 >>"$said" || {
            cat "$said"
            exit 0
        }
    done
    i=$((i + 1))
done
sort "$said"
awk '
function median(key, m, i, j, t) {
    m = n[key]
    for (i = 2; i <= m; i++)
        for (j = i; j > 1 && v[key, j] < v[key, j - 1]; j--) { t = v[key, j]; v[key, j] = v[key, j - 1]; v[key, j - 1] = t }
    return m % 2 ? v[key, (m + 1) / 2] : (v[key, m / 2] + v[key, m / 2 + 1]) / 2
}
# step: 2 x 1 threads: 200.0 tokens/s, 110.0 per CPU-second
{ what = $1 $2; v[what "wall", ++n[what "wall"]] = $6; v[what "cpu", ++n[what "cpu"]] = $8 }
END {
    for (k = 1; k <= 2; k++) {
        what = k == 1 ? "step:" : "score:"
        wall = median(what "2wall") / median(what "1wall"); cpu = median(what "2cpu") / median(what "1cpu")
        printf "%-6s 2 ranks: %.2f times the tokens/s of 1 rank, %.2f per CPU-second\n", what, wall, cpu
        if (wall < 0.97 && cpu < 0.97) bad = 1
    }
    exit bad
}' "$said"
