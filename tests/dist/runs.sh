#!/bin/sh
# runs.sh SILR DUMP MODELS - whole runs on 1, 2, 3 and 4 ranks end with the same bytes, also when a rank is
# killed, also when they are stopped, and gone on with by another number of ranks.
#
# A language model on every rank gives the first labels, an encoder on every rank the vectors.
set -eu
silr=$1 dump=$2 models=$3
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/embed/tiny.sh
. "$here/../embed/tiny.sh"
# shellcheck source=tests/dist/jobs.sh
. "$here/jobs.sh"

make_bert "$models/tinybert" "$work/bert"
make_texts 900 8 >"$work/texts.jsonl"
cat >"$work/task.yaml" <<TASK
name: tiny
classes: [a, b]
corpus: {files: [texts.jsonl], text: text, id: id, label: label, label_values: {a: b, b: a}}
labelled: {count: 60}
annotator: {kind: local, model: $models/tinyllama, prompt: "{text}\nA:", talk: none}
classifier: {kind: frozen, model: bert}
refine: {steps: 20, iterations: 1}
TASK
# The labels are turned round because this model, whose weights are random, prefers the other word.

# What there is to compare: labels, vectors, classifier, every answer of the language model to the bit.
results()
{
    cat "$work/$1/labels.jsonl" "$work/$1"/embeddings/* "$work/$1/classifier/frozen.silr"
    "$dump" "$work/$1/run.db" 'SELECT source, doc, label, quote(confidence), quote(logp), quote(reason)
        FROM annotations ORDER BY source, doc'
}

same()
{
    results "$1" >"$work/got"
    cmp -s "$work/wanted" "$work/got" || fail "$1: another result than that of one rank"
}

run one 1 || fail 'one rank'
results one >"$work/wanted"
"$dump" "$work/one/run.db" 'SELECT count(*), min(length(logp)) FROM annotations WHERE source = 0' >"$work/count"
grep -q '^900 8$' "$work/count" || fail "not every text was read by the language model: $(cat "$work/count")"
for n in 2 3 4; do
    run "on$n" "$n" || fail "$n ranks"
    same "on$n"
    grep -q "\"ranks\":$n," "$work/on$n/manifest.json" || fail "the manifest does not say $n ranks"
    [ "$(grep -c '^report:' "$work/out")" -eq 1 ] || fail 'not only rank 0 speaks'
done

# Killed while the language model reads, while vectors are made, each of the ranks once; then gone on
# with by two, by one.
for rank in 1 0; do
    for file in run.db 'embeddings/*.vectors'; do
        disturb "killed$rank" "$work/killed$rank/$file" kill_rank "$rank"
        [ "$code" -eq 137 ] || [ "$code" -eq 0 ] || fail "rank $rank killed: exit code $code"
        [ "$code" -ne 137 ] || kills=$((${kills:-0} + 1))
    done
    run "killed$rank" "$((1 + rank))" || fail "a run with a killed rank $rank does not go on"
    same "killed$rank"
done

# Stopped by the signal that mpirun hands on: saved, 130.
for file in run.db 'embeddings/*.vectors'; do
    disturb stopped "$work/stopped/$file" stop_all
    [ "$code" -eq 130 ] || [ "$code" -eq 0 ] || fail "stopped: exit code $code"
    [ "$code" -ne 130 ] || grep -q 'goes on from there' "$work/said" || fail 'stopped, and not a word of how to go on'
    [ "$code" -ne 130 ] || stops=$((${stops:-0} + 1))
done
run stopped 2 || fail 'a stopped run does not go on'
same stopped

echo "the same bytes on 1, 2, 3 and 4 ranks; ${kills:-0} kills, ${stops:-0} stops"
