#!/bin/sh
# agree.sh - is Dawid-Skene better than the majority on real annotators, and when not?
#
#     bench/agree.sh [CHOICES]        half a minute on one core for 40, the default
#
# Columns of language models' labels in $SILR_SHARED (or ../shared): named choices of columns of
# babe_llm, of like and of unlike quality, and CHOICES random ones of 3 to 7 columns from five
# corpora (at most 5 of fomc_llm_multiclass, which has no more). Skips what is absent.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
build=${SILR_BUILD:-$top/build}
data=${SILR_SHARED:-$top/../shared}/data
choices=${1:-40}
bench=$build/bench/bench_agree
rows=$build/agree.tsv
ninja -C "$build" bench/bench_agree >"$build/bench-agree.log" 2>&1 || {
    cat "$build/bench-agree.log" >&2
    exit 1
}

echo "Seconds, annotators independent:"
for size in "1000000 5 2" "1000000 7 3" "1000000 20 2" "200000 20 6"; do
    # shellcheck disable=SC2086
    "$bench" --simulate $size
done
[ -d "$data" ] || {
    echo "agree: no $data: the real labels are skipped" >&2
    exit 0
}

head='| best | mean | majority | D-S | D-S, 50 known | 50, ten times | best of the 50 | alpha | doubts |'
rule='|---|---|---|---|---|---|---|---|---|'
if [ -f "$data/babe_llm/data.jsonl.gz" ]; then
    printf '\nbabe_llm, named choices:\n\n| columns %s\n|---%s\n' "$head" "$rule"
    while read -r name columns; do
        "$bench" "$data/babe_llm/data.jsonl.gz" "$columns" | awk -F '\t' -v name="$name" -v OFS=' | ' \
            '{ print "| " name, $1, $2, $3, $5, $6, $7, $8, $16, $13 " |" }'
    done <<'SETS'
three-strong llm_gpt_4_8cot,llm_gpt_3_5_8cot,llm_mixtral_8x7b_8cot
three-mixed llm_gpt_4_8cot,llm_flan_ul2_zs,llm_llama_7b_zs
three-weak llm_falcon_7b_zs,llm_flan_t5_large_zs,llm_llama_7b_zs
one-model-three-prompts llm_mistral_7b_zs,llm_mistral_7b_8shot,llm_mistral_7b_8cot
five-zero-shot llm_gpt_4_zs,llm_zephyr_zs,llm_mistral_7b_zs,llm_llama_13b_zs,llm_falcon_7b_zs
five-8cot llm_gpt_3_5_8cot,llm_llama_13b_8cot,llm_zephyr_8cot,llm_openchat_8cot,llm_mistral_7b_8cot
one-good-four-weak llm_gpt_4_8cot,llm_flan_t5_base_zs,llm_falcon_7b_zs,llm_llama_7b_zs,llm_flan_t5_large_zs
three-good-two-one-sided llm_gpt_3_5_zs,llm_zephyr_zs,llm_flan_ul2_8shot,llm_mixtral_8x7b_zs,llm_openchat_zs
seven-zero-shot llm_gpt_3_5_zs,llm_zephyr_zs,llm_mistral_7b_zs,llm_llama_13b_zs,llm_flan_ul2_zs,llm_openchat_zs,llm_flan_t5_xl_zs
seven-8shot llm_gpt_4_8shot,llm_gpt_3_5_8shot,llm_zephyr_8shot,llm_mixtral_8x7b_8shot,llm_llama_7b_8shot,llm_flan_ul2_8shot,llm_openchat_8shot
SETS
fi

: >"$rows"
for corpus in babe_llm css_misinfo_llm css_power_llm numclaim_llm fomc_llm_multiclass; do
    for size in 3 4 5 6 7; do
        file=$data/$corpus/data.jsonl
        [ -f "$file" ] || file=$file.gz
        [ -f "$file" ] || continue
        case $corpus$size in fomc*[67]) continue ;; esac
        "$bench" "$file" "$size" "$choices" | sed "s/^/$corpus	$size	/" >>"$rows"
    done
done
LC_ALL=C awk -F '\t' -v OFS=' | ' '
function f(x) { return sprintf("%.3f", x) }
function d(x) { return sprintf("%+.3f", x) }
# Columns in the order of the alphabet, so that a choice drawn twice counts once.
function choice(list,   c, m, i, j, swap) {
    m = split(list, c, ",")
    for (i = 2; i <= m; i++)
        for (j = i; j > 1 && c[j] < c[j - 1]; j--) { swap = c[j]; c[j] = c[j - 1]; c[j - 1] = swap }
    list = ""
    for (i = 1; i <= m; i++) list = list "," c[i]
    return list
}
{
    key = $1 ", " $2
    if ((key, choice($19)) in had) next
    had[key, choice($19)] = 1
    if (!(key in n)) order[++keys] = key
    n[key]++
    for (i = 3; i <= 14; i++) sum[key, i] += $i
    ds = $7 - $5; known = $9 - $5
    worse[key] += ds < -0.01; helped[key] += known < -0.01
    if (!(key in low) || ds < low[key]) low[key] = ds
    if (!(key in klow) || known < klow[key]) klow[key] = known
    b = ($2 == 3 ? "3" : "4 to 7") " annotators, alpha " ($18 < 0.05 ? "below" : "above") " 0.05"
    bn[b]++; bds[b] += ds; bworse[b] += ds < -0.01; bk[b] += known; bkw[b] += known < -0.01
    if (!(b in blow) || ds < blow[b]) blow[b] = ds
}
END {
    print "\nRandom choices: corpus and size, means, and where Dawid-Skene loses more than .01 to the majority:\n"
    print "| corpus, columns | best | mean | majority | D-S | 50 known | 50, ten times | best of the 50 | D-S loses | by up to | ten times loses | by up to | accuracy of annotators off by | 50 known | ten times |"
    print "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
    for (j = 1; j <= keys; j++) {
        k = order[j]; m = n[k]
        print "| " k, f(sum[k, 3] / m), f(sum[k, 4] / m), f(sum[k, 5] / m), f(sum[k, 7] / m), f(sum[k, 8] / m),
              f(sum[k, 9] / m), f(sum[k, 10] / m), worse[k] " of " m, d(low[k]), helped[k] " of " m, d(klow[k]),
              f(sum[k, 11] / m), f(sum[k, 12] / m), f(sum[k, 13] / m) " |"
    }
    print "\n| | choices | D-S - majority | loses .01 | by up to | ten times - majority | loses .01 |"
    print "|---|---|---|---|---|---|---|"
    for (b in bn)
        print "| " b, bn[b], d(bds[b] / bn[b]), bworse[b], d(blow[b]), d(bk[b] / bn[b]), bkw[b] " |"
}' "$rows"
