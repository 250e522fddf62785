#!/bin/sh
# supervised.sh - training on true labels beside fastText and scikit-learn: CPU time, accuracy
#
#     bench/supervised.sh [ROUNDS]
#
# Corpora: tasks/bbc-news/bbc.jsonl (made by ./bootstrap demo) and rotten_tomatoes of $SILR_SHARED
# or ../shared; what is absent is skipped. Peers: Debian's fasttext, and scikit-learn in a virtual
# environment of its own under the build folder. One thread each, turn about, medians.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
build=${SILR_BUILD:-$top/build}
shared=${SILR_SHARED:-$top/../shared}
rounds=${1:-5}
scratch=$build/bench-supervised

ninja -C "$build" bench/supervised >"$build/bench-supervised.log" 2>&1 || {
    cat "$build/bench-supervised.log" >&2
    exit 1
}
mkdir -p "$scratch"
if [ ! -x "$scratch/venv/bin/python" ]; then
    python3 -m venv "$scratch/venv"
    "$scratch/venv/bin/pip" install --quiet scikit-learn ||
        echo 'skipped: scikit-learn could not be installed' >&2
fi
for corpus in "$top/tasks/bbc-news/bbc.jsonl" "$shared/data/rotten_tomatoes/data.jsonl.gz"; do
    if [ -f "$corpus" ]; then
        OMP_NUM_THREADS=1 "$scratch/venv/bin/python" "$top/bench/supervised.py" \
            "$build/bench/supervised" "$corpus" "$scratch" "$rounds"
    else
        echo "skipped: no $corpus"
    fi
done
