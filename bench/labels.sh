#!/bin/sh
# labels.sh - what silr does to real labels, beside the baselines: the tables of docs/labels.md
#
#     bench/labels.sh [SEEDS]           20 minutes on two cores for the 5 seeds that are the default
#
# 19 columns of real labels in $SILR_SHARED (or ../shared), 50 labelled texts, classifier ngram:
# recipe silr, recipe paper, the paper's loop with PN and with UU, the 50 labels alone, and full
# supervision; then three corpora of more than two classes. Skips what is absent. Rows of all runs
# are kept in labels.tsv in the build folder.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
build=${SILR_BUILD:-$top/build}
shared=${SILR_SHARED:-$top/../shared}
seeds=${1:-5}
ways=silr,paper,pn,uu,fifty,full
rows=$build/labels.tsv
threads=$(nproc)

ninja -C "$build" bench/bench_labels >"$build/bench-labels.log" 2>&1 || {
    cat "$build/bench-labels.log" >&2
    exit 1
}

# A job a line: TASK SEEDS WAYS [key=value]; `worker` runs one.
jobs()
{
    [ ! -s "$top/tasks/bbc-news/bbc.jsonl" ] ||
        echo "tasks/bbc-news/task.yaml 3 silr,paper,pn,full"
    [ -d "$shared/data" ] || return 0
    echo "tests/tasks/trec.yaml 3 silr,paper,pn,full"
    for column in llm_gpt4_zs llm_chatgpt_zs; do
        echo "tests/tasks/fomc.yaml 3 silr,paper,pn,full annotator.column=$column"
    done
    while read -r task columns; do
        for column in $columns; do
            echo "tests/tasks/$task.yaml $seeds $ways annotator.column=$column"
        done
    done <<'PAIRS'
babe llm_mixtral_8x7b_zs llm_openchat_zs llm_llama_13b_zs llm_flan_t5_large_zs llm_mistral_7b_8shot llm_gpt_3_5_zs llm_gpt_4_8cot
numclaim llm_chatgpt35_zero_simple llm_chatgpt35_few_simple llm_llama70b_zero_complex llm_llama70b_few_simple llm_llama70b_few_complex
xstest llm_gpt4_judge weak_string_match
liar2 llm_gpt_4o llm_gpt_4o_mini
css_misinfo llm_chatgpt llm_flan_ul2
css_power llm_chatgpt
PAIRS
}

[ -d "$shared/data" ] || echo "labels: no $shared/data: the real LLM labels are skipped" >&2
cd "$top"
began=$(date +%s)
: >"$rows"
jobs | OMP_NUM_THREADS=1 xargs -P "$threads" -L 1 "$build/bench/bench_labels" >"$rows"

awk -F '\t' -v OFS=' | ' '
function f(x) { return sprintf("%.3f", x) }
function d(x) { return sprintf("%+.3f", x) }
{
    many = $1 == "bbc-news" || $1 == "trec" || $1 == "fomc"
    key = $1 " " $2; way = $3; k = key SUBSEP way
    if (!(key in seen)) { seen[key] = 1; order[++keys] = key; multi[key] = many }
    gain = $6 - $5
    n[k]++; before[k] += $5; after[k] += $6; sum[k] += gain; square[k] += gain * gain
    bal[k] += $8 - $7; test[k] += $9; all[k] += $13
    if (!(k in worst) || gain < worst[k]) worst[k] = gain
    if (!many) {
        runs[way]++; bad[way] += gain < -0.01
        if ($12 != "-") { certified[way]++; covered[way] += $12 }
    }
    seconds[way] += $14
}
function row(key, way,   k, m, v) {
    k = key SUBSEP way; m = n[k]; v = square[k] / m - (sum[k] / m) ^ 2
    print "| " key, way, f(before[k] / m), f(after[k] / m), d(sum[k] / m), sprintf("%.3f", v > 0 ? sqrt(v) : 0),
          d(worst[k]), d(bal[k] / m), (test[k] > 0 ? f(test[k] / m) : "-"), f(all[k] / m) " |"
}
END {
    w = split("silr paper pn uu fifty full", ways, " ")
    print "Two classes, mean over the 19 columns:\n"
    print "| way | mean gain | worst column | runs below -0.01 | balanced gain | test accuracy | certificate covers | seconds a run |"
    print "|---|---|---|---|---|---|---|---|"
    for (i = 1; i <= w; i++) {
        way = ways[i]; pairs = g = b = t = 0; low = 9
        for (j = 1; j <= keys; j++) {
            k = order[j] SUBSEP way
            if (multi[order[j]] || !(k in n)) continue
            pairs++; m = sum[k] / n[k]; g += m; b += bal[k] / n[k]; t += test[k] / n[k]
            if (m < low) low = m
        }
        if (pairs)
            print "| " way, d(g / pairs), d(low), sprintf("%d of %d (%.1f %%)", bad[way], runs[way], 100 * bad[way] / runs[way]),
                  d(b / pairs), f(t / pairs), (certified[way] ? sprintf("%.1f %%", 100 * covered[way] / certified[way]) : "-"),
                  sprintf("%.1f", seconds[way] / runs[way]) " |"
    }
    print "\nEach column (before, after: accuracy of the labels of unlabelled texts; all: of all texts of the pool):\n"
    print "| column | way | before | after | gain | sd | worst run | balanced gain | test | all |"
    print "|---|---|---|---|---|---|---|---|---|---|"
    for (j = 1; j <= keys; j++)
        for (i = 1; i <= w; i++)
            if ((order[j] SUBSEP ways[i]) in n) row(order[j], ways[i])
}' "$rows"
printf '\n%s runs in %s s on %s cores\n' "$(wc -l <"$rows")" "$(($(date +%s) - began))" "$threads"
