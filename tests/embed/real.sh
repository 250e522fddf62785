#!/bin/sh
# real.sh SILR BERT - a run on the vectors of a real, if tiny, model: killed while it embeds and while
# it refines it ends with the bytes of a run that was left alone; so it does with any number of threads;
# predict says of the same texts what the run said, and will not do so with another model.
set -eu
# shellcheck source=tests/embed/tiny.sh
. "$(dirname "$0")/tiny.sh"
silr=$1 bert=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
OMP_WAIT_POLICY=passive
export OMP_WAIT_POLICY

fail()
{
    echo "real: $1" >&2
    exit 1
}

make_bert "$bert" "$work/bert"
make_texts 1500 >"$work/texts.jsonl"
cat >"$work/task.yaml" <<'TASK'
name: tiny
classes: [a, b]
corpus: {files: [texts.jsonl], text: text, id: id, label: label}
labelled: {count: 40}
annotator: {kind: column, column: llm}
classifier: {kind: frozen, model: bert}
refine: {steps: 60, iterations: 2}
TASK

run()
{
    "$silr" run "$work/task.yaml" -q --out "$work/$1" --threads "$2" >/dev/null
}

same()
{
    for file in labels.jsonl classifier/frozen.silr; do
        cmp -s "$work/whole/$file" "$work/$1/$file" || fail "$1: $file is another one"
    done
}

run whole 1
run two 2
same two
run four 4
same four

# Killed a little later each time, until nothing is left to be killed.
kills=0
while :; do
    "$silr" run "$work/task.yaml" -q --out "$work/killed" --threads 1 >/dev/null 2>&1 &
    child=$!
    (sleep "$((kills / 5)).$((kills % 5 * 2 + 1))" && kill -9 "$child" 2>/dev/null) &
    killer=$!
    wait "$child" 2>/dev/null && break
    wait "$killer" 2>/dev/null || true
    kills=$((kills + 1))
    [ "$kills" -lt 15 ] || break
done
wait
run killed 2
same killed

# The same answers for the same texts: of those in the test part, the classifier's own are kept where
# the annotator said nothing; so ask twice and compare the two, and both with one text at a time.
"$silr" predict "$work/whole" "$work/texts.jsonl" --threads 2 >"$work/many" 2>/dev/null
[ "$(wc -l <"$work/many")" -eq 1500 ] || fail "predict left texts out"
head -n 20 "$work/texts.jsonl" | while read -r line; do
    echo "$line" | "$silr" predict "$work/whole" --threads 1
done >"$work/single"
head -n 20 "$work/many" | cmp -s - "$work/single" || fail "predict depends on the other texts"

# A copy of the classifier beside the model works anywhere; with another model it says so.
mkdir "$work/away"
cp -r "$work/whole/classifier" "$work/away/classifier"
mv "$work/bert" "$work/away/classifier/bert"
"$silr" predict "$work/away" "$work/texts.jsonl" >"$work/again" 2>/dev/null || fail "the copy does not predict"
cmp -s "$work/many" "$work/again" || fail "the copy predicts otherwise"
mv "$work/away/classifier/bert" "$work/moved"
code=0
"$silr" predict "$work/away" "$work/texts.jsonl" >/dev/null 2>"$work/said" || code=$?
{ [ "$code" -eq 3 ] && grep -q -- '--model' "$work/said"; } || fail "a missing encoder is not said"
"$silr" predict "$work/away" "$work/texts.jsonl" --model "$work/moved" 2>/dev/null | cmp -s - "$work/many" ||
    fail "--model is not heard"
sed -i 's/"layer_norm_eps": 1e-12/"layer_norm_eps": 1e-5/' "$work/moved/config.json"
code=0
"$silr" predict "$work/away" "$work/texts.jsonl" --model "$work/moved" >/dev/null 2>"$work/said" || code=$?
{ [ "$code" -eq 3 ] && grep -q 'is not the encoder' "$work/said"; } || fail "a changed encoder is not said"
echo "$kills kills, the same bytes"
