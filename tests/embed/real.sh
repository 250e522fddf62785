#!/bin/sh
# real.sh SILR BERT - a run on the vectors of a real, if tiny, model: killed while it embeds and while
# it refines it ends with the bytes of a run that was left alone; so it does with any number of threads;
# predict says of the same texts what the run said, and will not do so with another model.
set -eu
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

# The model, with a vocabulary of 96 words.
mkdir "$work/bert"
cp "$bert/config.json" "$bert/model.safetensors" "$work/bert"
awk 'BEGIN {
    printf "{\"version\":\"1.0\",\"added_tokens\":["
    split("[PAD] [UNK] [CLS] [SEP] [MASK]", s, " ")
    for (i = 1; i <= 5; i++)
        printf "%s{\"id\":%d,\"content\":\"%s\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":true}", (i > 1 ? "," : ""), i - 1, s[i]
    printf "],\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true,\"strip_accents\":null,\"lowercase\":true},\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},"
    printf "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"[CLS]\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"SpecialToken\":{\"id\":\"[SEP]\",\"type_id\":0}}],\"pair\":[{\"SpecialToken\":{\"id\":\"[CLS]\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"SpecialToken\":{\"id\":\"[SEP]\",\"type_id\":0}},{\"Sequence\":{\"id\":\"B\",\"type_id\":1}},{\"SpecialToken\":{\"id\":\"[SEP]\",\"type_id\":1}}],"
    printf "\"special_tokens\":{\"[CLS]\":{\"id\":\"[CLS]\",\"ids\":[2],\"tokens\":[\"[CLS]\"]},\"[SEP]\":{\"id\":\"[SEP]\",\"ids\":[3],\"tokens\":[\"[SEP]\"]}}},"
    printf "\"decoder\":{\"type\":\"WordPiece\",\"prefix\":\"##\",\"cleanup\":true},\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":100,\"vocab\":{"
    for (i = 1; i <= 5; i++) printf "\"%s\":%d,", s[i], i - 1
    for (i = 5; i < 96; i++) printf "\"w%d\":%d%s", i, i, (i < 95 ? "," : "")
    print "}}}"
}' >"$work/bert/tokenizer.json"

# Two topics with words of their own; the first labels err on every fifth text.
awk 'BEGIN {
    srand(3)
    for (i = 0; i < 1500; i++) {
        y = rand() < 0.5
        text = ""
        n = 4 + int(rand() * 20)
        for (w = 0; w < n; w++) text = text " w" (rand() < 0.5 ? 5 + 45 * y + int(rand() * 45) : 5 + int(rand() * 91))
        says = i % 5 ? y : 1 - y
        printf "{\"id\":\"t%d\",\"text\":\"%s\",\"label\":\"%s\",\"llm\":\"%s\"}\n", i, text, (y ? "b" : "a"), (says ? "b" : "a")
    }
}' >"$work/texts.jsonl"
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
[ "$code" -eq 3 ] && grep -q -- '--model' "$work/said" || fail "a missing encoder is not said"
"$silr" predict "$work/away" "$work/texts.jsonl" --model "$work/moved" 2>/dev/null | cmp -s - "$work/many" ||
    fail "--model is not heard"
sed -i 's/"layer_norm_eps": 1e-12/"layer_norm_eps": 1e-5/' "$work/moved/config.json"
code=0
"$silr" predict "$work/away" "$work/texts.jsonl" --model "$work/moved" >/dev/null 2>"$work/said" || code=$?
[ "$code" -eq 3 ] && grep -q 'is not the encoder' "$work/said" || fail "a changed encoder is not said"
echo "$kills kills, the same bytes"
