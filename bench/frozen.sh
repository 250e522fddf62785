#!/bin/sh
# frozen.sh - labels given, refined on n-grams, refined on an encoder's vectors: the table of
# docs/which-classifier.md
#
#     bench/frozen.sh MODEL [SEEDS [WAYS]]      MODEL: folder of an encoder, such as all-MiniLM-L6-v2
#
# Every corpus of $SILR_SHARED (or ../shared) that has labels by a model or rules, 50 labelled texts,
# recipe silr; ways: ngram, frozen, both (vectors and n-grams), mlp. Skips what is absent. Vectors are
# made once, in the build folder; rows of all runs are kept in frozen.tsv there.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
build=${SILR_BUILD:-$top/build}
shared=${SILR_SHARED:-$top/../shared}
model=${1:?the folder of an encoder}
seeds=${2:-3}
ways=${3:-ngram,frozen,both,mlp}
rows=$build/frozen.tsv
threads=$(nproc)

[ -e "$model" ] || { echo "frozen: no $model: skipped" >&2; exit 0; }
[ -d "$shared/data" ] || { echo "frozen: no $shared/data: skipped" >&2; exit 0; }
model=$(cd "$model" && pwd)
ninja -C "$build" bench/bench_labels >"$build/bench-frozen.log" 2>&1 || {
    cat "$build/bench-frozen.log" >&2
    exit 1
}

# TASK FILE COLUMNS
tasks()
{
    cat <<'TASKS'
babe babe_llm/data.jsonl.gz llm_mixtral_8x7b_zs llm_openchat_zs llm_llama_13b_zs llm_flan_t5_large_zs llm_mistral_7b_8shot llm_gpt_3_5_zs llm_gpt_4_8cot
numclaim numclaim_llm/data.jsonl llm_chatgpt35_zero_simple llm_chatgpt35_few_simple llm_llama70b_zero_complex llm_llama70b_few_simple llm_llama70b_few_complex
xstest safety_xstest_llm/data.jsonl.gz llm_gpt4_judge weak_string_match
liar2 liar2_llm/data.jsonl llm_gpt_4o llm_gpt_4o_mini
css_misinfo css_misinfo_llm/data.jsonl llm_chatgpt llm_flan_ul2
css_power css_power_llm/data.jsonl llm_chatgpt
fomc fomc_llm_multiclass/data.jsonl llm_gpt4_zs llm_chatgpt_zs
trec trec_multiclass/data.jsonl -
TASKS
}

# What a way sets.
settings()
{
    case $1 in
    ngram) echo classifier.kind=ngram ;;
    frozen) echo classifier.head=linear ;;
    both) echo classifier.ngrams=true ;;
    mlp) echo classifier.head=mlp ;;
    esac
}

# A job a line: WAY TASK SEEDS silr KEY=VALUE...
jobs()
{
    tasks | while read -r task file columns; do
        for column in $columns; do
            for way in $(echo "$ways" | tr , ' '); do
                set -- "corpus.files=$shared/data/$file" "$(settings "$way")"
                [ "$column" = - ] || set -- "$@" "annotator.column=$column"
                [ "$way" = ngram ] ||
                    set -- "$@" classifier.kind=frozen "classifier.model=$model" "classifier.cache=$build/vectors"
                echo "$way tests/tasks/$task.yaml $seeds silr $*"
            done
        done
    done
}

cd "$top"
: >"$rows"
# shellcheck disable=SC2016 # the inner shell expands
jobs | OMP_NUM_THREADS=1 BUILD=$build xargs -P "$threads" -L 1 sh -c \
    'way=$0; "$BUILD/bench/bench_labels" "$@" | sed "s/^/$way	/"' >>"$rows"

awk -F '\t' -v ways="$ways" '
function f(x) { return sprintf("%.3f", x) }
{
    corpus = $2; key = $2 " " $3; way = $1; k = key SUBSEP way
    if (!(key in seen)) { seen[key] = 1; order[++keys] = key; of[key] = corpus }
    if (!(corpus in had)) { had[corpus] = 1; corpora[++nc] = corpus }
    n[k]++; before[key] = before[key] + $6; count[key]++; after[k] += $7; test[k] += $10
    gain = $7 - $6; runs[way]++; bad[way] += gain < -0.01; seconds[way] += $15
    if (!(k in worst) || gain < worst[k]) worst[k] = gain
}
END {
    w = split(ways, way, ",")
    head = "| corpus, labels | labels given"; line = "|---|---"
    for (i = 1; i <= w; i++) { head = head " | " way[i]; line = line "|---" }
    for (i = 1; i <= w; i++) { head = head " | test, " way[i]; line = line "|---" }
    print head " |\n" line "|"
    for (j = 1; j <= keys; j++) {
        key = order[j]; text = "| " key " | " f(before[key] / count[key])
        for (i = 1; i <= w; i++) { k = key SUBSEP way[i]; text = text " | " (n[k] ? f(after[k] / n[k]) : "-") }
        for (i = 1; i <= w; i++) { k = key SUBSEP way[i]; text = text " | " (n[k] ? f(test[k] / n[k]) : "-") }
        print text " |"
    }
    print "\n| way | mean gain | worst column | runs below -0.01 | mean test accuracy | seconds a run |\n|---|---|---|---|---|---|"
    for (i = 1; i <= w; i++) {
        g = t = m = 0; low = 9
        for (j = 1; j <= keys; j++) {
            key = order[j]; k = key SUBSEP way[i]
            if (!n[k]) continue
            d = after[k] / n[k] - before[key] / count[key]
            g += d; t += test[k] / n[k]; m++
            if (d < low) low = d
        }
        if (m) print "| " way[i] " | " sprintf("%+.3f", g / m) " | " sprintf("%+.3f", low) " | " bad[way[i]] " of " runs[way[i]] " | " f(t / m) " | " sprintf("%.1f", seconds[way[i]] / runs[way[i]]) " |"
    }
}' "$rows"
