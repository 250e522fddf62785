#!/bin/sh
# quick.sh - the program starts, finds nothing to do and predicts at once: milliseconds, texts a second
#
#     bench/quick.sh [ROUNDS]
#
# Medians of wall-clock times. Limits: `silr --help` 10 ms; a finished run of 100,000 texts asked for
# again 1,000 ms. `silr predict` has no limit of its own here (bench/supervised.sh has the peers).
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
silr=${SILR_BUILD:-$top/build}/src/cli/silr
rounds=${1:-9}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

now() { date +%s%N; }
# median COMMAND... - microseconds
median()
{
    i=0
    while [ $i -lt "$rounds" ]; do
        start=$(now)
        "$@" >/dev/null 2>&1
        echo $((($(now) - start) / 1000))
        i=$((i + 1))
    done | sort -n | sed -n "$(((rounds + 1) / 2))p"
}
awk -v n=100000 -v seed=1 -f "$top/tests/cli/words.awk" >texts.jsonl
cat >task.yaml <<'TASK'
name: quick
classes: [sport, money]
corpus: {files: [texts.jsonl], text: text, id: id, label: label}
labelled: {count: 50}
annotator: {kind: column, column: llm}
refine: {iterations: 1, steps: 10}
TASK
"$silr" run task.yaml --out run -q >/dev/null
empty=$(median true)
help=$(median "$silr" --help)
again=$(median "$silr" run task.yaml --out run)
one=$(median "$silr" predict run texts.jsonl --threads 1)
all=$(median "$silr" predict run texts.jsonl)
awk -v e="$empty" -v h="$help" -v a="$again" -v o="$one" -v l="$all" 'BEGIN {
    printf "silr --help                          %7.1f ms (an empty command: %.1f ms; limit 10)\n", h / 1000, e / 1000
    printf "nothing to do, 100,000 texts         %7.1f ms (limit 1,000)\n", a / 1000
    printf "silr predict, 1 thread               %7.0f texts a second\n", 1e5 / o * 1e6
    printf "silr predict, all threads            %7.0f texts a second\n", 1e5 / l * 1e6
    exit !(h < 10000 && a < 1000000)
}'
