#!/bin/sh
# logodds.sh - an annotator's log-odds, recalibrated, against its labels alone
#
#     bench/logodds.sh [SEEDS]          a minute or two on two cores for the 5 seeds that are the default
#
# Real: 1,500 movie-review snippets with the log-odds that a language model of 135 million parameters
# gives them ($SILR_SHARED or ../shared; skipped where absent), 50 and 100 labelled texts. A seed
# draws split, sample and folds anew. raw: the sign of the log-odds. recalibrated: the sign after the
# labelled texts have said where the zero belongs. refined: the recipe, with refine.evidence log-odds,
# sets and label. All over the pool's texts that are not in the sample.
#
# Made up: 1,000 texts with log-odds of the same kind, 40 draws of 50 labelled texts: how often the
# 95 % intervals hold the accuracy, of the recalibrated labels and of the refined ones.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
build=${SILR_BUILD:-$top/build}
shared=${SILR_SHARED:-$top/../shared}
seeds=${1:-5}
real=$shared/data/rotten_tomatoes
work=$build/bench-logodds
rows=$work/rows.tsv

mkdir -p "$work"
ninja -C "$build" bench/bench_labels tests/reliability/make_texts >"$work/ninja.log" 2>&1 || {
    cat "$work/ninja.log" >&2
    exit 1
}

# task NAME CLASSES FILE LABELS
task()
{
    cat >"$work/$1.yaml" <<YAML
name: $1
classes: [$2]
corpus: {files: [$3], text: text, id: id, label: label$4}
labelled: {count: 50}
annotator: {kind: column, log_odds: odds}
YAML
}

# A job a line: KEY TASK SEEDS [key=value]...
jobs()
{
    for evidence in log-odds sets label; do
        echo "made-up,50,$evidence made-up 40 refine.evidence=$evidence"
    done
    [ -s "$work/movies.jsonl" ] || return 0
    for count in 50 100; do
        for evidence in log-odds sets label; do
            echo "movies,$count,$evidence movies $seeds labelled.count=$count refine.evidence=$evidence"
        done
    done
}

"$build/tests/reliability/make_texts" "$work" 1000 2 silr
task made-up 'class0, class1' texts.jsonl ''
rm -f "$work/movies.jsonl" "$work"/*.rows
if [ -s "$real/smollm2_logodds.jsonl" ]; then
    gzip -dc "$real/data.jsonl.gz" | awk -F '"' '
        NR == FNR { odds[$4] = $0; sub(/.*"logodds": */, "", odds[$4]); sub(/}.*/, "", odds[$4]); next }
        $4 in odds { sub(/}[ \r]*$/, ", \"odds\": " odds[$4] "}"); print }
    ' "$real/smollm2_logodds.jsonl" - >"$work/movies.jsonl"
    task movies 'positive, negative' movies.jsonl ', label_values: {"1": positive, "-1": negative}'
else
    echo "logodds: no $real/smollm2_logodds.jsonl: the real log-odds are skipped" >&2
fi
cd "$work"
began=$(date +%s)
# The inner shell expands them:
# shellcheck disable=SC2016
jobs | OMP_NUM_THREADS=1 xargs -P "$(nproc)" -L 1 sh -c '
    key=$1 task=$2 seeds=$3
    shift 3
    "$0" "$task.yaml" "$seeds" silr "$@" | sed "s/^/$key	/" >"$key.rows"
' "$build/bench/bench_labels"
cat -- *.rows >"$rows"

echo '| texts | labelled | evidence | runs | raw | recalibrated (worst) | refined (worst) | 0.01 below recalibrated | certificate covers: recalibrated | refined | seconds a run |'
echo '|---|---|---|---|---|---|---|---|---|---|---|'
awk -F '\t' '
function f(x) { return sprintf("%.3f", x) }
{
    k = $1
    if (!(k in n)) { order[++keys] = k; worst[k] = lowest[k] = 2 }
    n[k]++; raw[k] += $6; start[k] += $16; end[k] += $7
    if ($16 < lowest[k]) lowest[k] = $16
    if ($7 < worst[k]) worst[k] = $7
    below[k] += $7 < $16 - 0.01
    covered[k] += $13; began[k] += $19; seconds[k] += $15
}
END {
    for (i = 1; i <= keys; i++) {
        k = order[i]; m = n[k]; split(k, part, ","); odds = part[3] != "label"
        printf "| %s | %s | %s | %d | %s | %s | %s (%s) | %s | %s | %d of %d | %.1f |\n", part[1], part[2], part[3], m,
            f(raw[k] / m), (odds ? f(start[k] / m) " (" f(lowest[k]) ")" : "-"), f(end[k] / m), f(worst[k]),
            (odds ? below[k] : "-"), (odds ? sprintf("%d of %d", began[k], m) : "-"), covered[k], m, seconds[k] / m
    }
}' "$rows" | sort -t '|' -k 2,2r -k 3,3n -k 4,4r
printf '\n%s runs in %s s on %s cores\n' "$(wc -l <"$rows")" "$(($(date +%s) - began))" "$(nproc)"
