#!/bin/sh
# qlora.sh - LoRA steps beside transformers + PEFT, and the labels that come of them
#
#     ./bootstrap bench qlora [ROUNDS]           right, and fast: 3 rounds, half an hour, 3 GB to fetch once
#     ./bootstrap bench qlora labels [TEXTS]     labels on real corpora, by iteration: 400 texts each, hours
#
# Right: 20 steps of SmolLM2-135M from one adapter, losses beside PEFT's. Fast: a step at 64 and at 512 tokens,
# batch 16, f32 and 4-bit base, the peers one after the other in every round, medians compared; scoring beside a
# plain forward pass; real texts of two corpora beside the reference recipe, which pads all of them to 512.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
build=${SILR_BUILD:?set it to the build folder}
data=${SILR_SHARED:-$top/../shared}/data
here=$top/build/bench
work=$here/qlora
venv=$here/engine-venv
peers=$top/bench/qlora_peers.py
gguf=$here/chat-model/SmolLM2-135M-Instruct.Q4_1.gguf

[ -d "$data" ] || {
    echo "skipped: no $data"
    exit 0
}
mkdir -p "$work"
"$top/bench/chat_servers.sh" prepare llama
ninja -C "$build" bench/bench_qlora src/cli/silr >"$work/ninja.log" 2>&1 || {
    cat "$work/ninja.log" >&2
    exit 1
}

# --- labels -------------------------------------------------------------------------------------

# row NAME RECIPE KIND - the accuracies of labels by iteration, and of the classifier in the end.
row()
{
    "${PYTHON:-python3}" - "$work/run-$1-$2-$3/metrics.json" "$@" <<'PY'
import json, sys
m = json.load(open(sys.argv[1]))
it = [f"{i['label']['accuracy']:.3f}" for i in m["iterations"]]
test = m["final"].get("test") or m["iterations"][-1]["test"]
secs = sum(i["seconds"] or 0 for i in m["iterations"])
print(f"| {sys.argv[2]} | {sys.argv[3]} | {sys.argv[4]} | {' -> '.join(it)} | {m['final']['label']['accuracy']:.3f} | {test['accuracy']:.3f} | {secs:.0f} s |", flush=True)
PY
}

labels()
{
    texts=$1
    minilm=$here/minilm
    echo "| corpus | recipe | classifier | labels by iteration | in the end | on the test part | time |"
    echo "| --- | --- | --- | --- | --- | --- | --- |"
    for corpus in numclaim babe rotten; do
        case $corpus in
        numclaim)
            file=$data/numclaim_llm/data.jsonl question="Does the sentence make a claim in numbers?"
            annotator="{kind: column, column: llm_chatgpt35_zero_simple, values: {1: positive, -1: negative}}"
            ;;
        babe)
            file=$data/babe_llm/data.jsonl.gz question="Is the sentence slanted?"
            annotator="{kind: column, column: llm_openchat_zs, values: {1: positive, -1: negative}}"
            ;;
        rotten)
            file=$data/rotten_tomatoes/data.jsonl.gz question="Does the writer of this movie review like the movie?"
            annotator="{kind: local, model: \"$gguf\"}"
            ;;
        esac
        for recipe in paper silr; do
            for kind in ngram frozen qlora; do
                case $kind in
                ngram) classifier="{kind: ngram}" ;;
                frozen) classifier="{kind: frozen, model: \"$minilm\"}" ;;
                qlora) classifier="{kind: qlora, model: \"$gguf\"}" ;;
                esac
                {
                    printf 'name: %s\nquestion: %s\nclasses: [positive, negative]\n' "$corpus" "$question"
                    printf 'corpus: {files: ["%s"], text: text, id: id, label: label, ' "$file"
                    printf 'label_values: {1: positive, -1: negative}}\n'
                    printf 'labelled: {count: 50}\nannotator: %s\nclassifier: %s\n' "$annotator" "$classifier"
                    printf 'refine: {recipe: %s}\nlimit: %s\n' "$recipe" "$texts"
                } >"$work/$corpus-$recipe-$kind.yaml"
                "$build/src/cli/silr" run "$work/$corpus-$recipe-$kind.yaml" --out "$work/run-$corpus-$recipe-$kind" \
                    -q >"$work/$corpus-$recipe-$kind.log" 2>&1 || {
                    echo "| $corpus | $recipe | $kind | $(tail -n 1 "$work/$corpus-$recipe-$kind.log") | | | |"
                    continue
                }
                row "$corpus" "$recipe" "$kind"
            done
        done
    done
}

if [ "${1:-}" = labels ]; then
    labels "${2:-400}"
    exit 0
fi

# --- right and fast -----------------------------------------------------------------------------

if [ ! -f "$venv/peft" ]; then
    echo 'qlora: fetching the peers (3 GB on disk)' >&2
    [ -d "$venv" ] || /usr/bin/python3 -m venv "$venv"
    "$venv/bin/pip" install -q --no-cache-dir torch transformers gguf peft bitsandbytes
    touch "$venv/peft"
fi
rounds=${1:-3}
export OMP_NUM_THREADS="${THREADS:-2}" OMP_WAIT_POLICY=passive TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1

echo '== 20 steps from one adapter'
rm -rf "$work/trace"
"$build/bench/bench_qlora" "$gguf" trace "$work/trace" 20 >"$work/losses"
"$venv/bin/python" "$peers" trace "$gguf" "$work/trace" "$work/losses" 2>/dev/null

rm -f "$work"/*.out
for round in $(seq "$rounds"); do
    for tokens in 64 512; do
        steps=4
        [ "$tokens" = 64 ] || steps=1
        for kind in f32 nf4; do
            "$build/bench/bench_qlora" "$gguf" "$tokens" 16 "$steps" "$kind" >>"$work/silr-$tokens-$kind.out"
            # one round of the peer at 512 takes minutes: with a 4-bit base once is enough
            [ "$tokens-$kind" = 512-nf4 ] && [ "$round" -gt 1 ] && continue
            "$venv/bin/python" "$peers" speed "$gguf" "$tokens" 16 "$steps" "$kind" >>"$work/peft-$tokens-$kind.out" 2>>"$work/errors.log"
        done
    done
done
"$venv/bin/python" - "$work" <<'PY'
import re, statistics, sys
work = sys.argv[1]
def rates(name, what):
    rows = [re.findall(r"([0-9.]+) tokens/s, ([0-9.]+) per CPU-second(?:, peak ([0-9.]+))?", l) for l in open(f"{work}/{name}.out") if l.startswith(what)]
    rows = [r[0] for r in rows]
    return statistics.median(float(r[0]) for r in rows), statistics.median(float(r[1]) for r in rows), rows[-1][2]
for tokens in (64, 512):
    for kind in ("f32", "nf4"):
        o, p = rates(f"silr-{tokens}-{kind}", "step"), rates(f"peft-{tokens}-{kind}", "peft")
        s, f = rates(f"silr-{tokens}-{kind}", "score"), rates(f"silr-{tokens}-{kind}", "forward")
        print(f"step, {tokens} tokens, {kind}: silr {o[0]:.0f} tokens/s ({o[1]:.0f} a CPU-second), peak {o[2]} GiB; PEFT {p[0]:.0f} ({p[1]:.0f}), {p[2]} GiB: {o[0]/p[0]:.2f} x, {o[1]/p[1]:.2f} x a CPU-second; scoring {s[1]/f[1]:.2f} of a forward pass")
PY

echo '== real texts, beside padding to 512'
for corpus in liar2_llm rotten_tomatoes; do
    "$venv/bin/python" - "$data/$corpus" "$work/$corpus.txt" <<'PY'
import glob, gzip, json, sys
path = sorted(glob.glob(sys.argv[1] + "/data.jsonl*"))[0]
op = gzip.open if path.endswith("gz") else open
with op(path, "rt") as f, open(sys.argv[2], "w") as out:
    for i, line in zip(range(160), f):
        out.write(" ".join(json.loads(line)["text"].split()) + "\n")
PY
    lengths=$("$venv/bin/python" - "$gguf" "$work/$corpus.txt" <<'PY'
import os, sys
from transformers import AutoTokenizer
folder, name = os.path.split(sys.argv[1])
tok = AutoTokenizer.from_pretrained(folder, gguf_file=name)
print(",".join(str(max(1, len(tok(l.rstrip("\n"))["input_ids"]))) for l in list(open(sys.argv[2]))[:64]))
PY
    ) 2>/dev/null
    ours=$("$build/bench/bench_qlora" "$gguf" "$lengths" 16 8 f32 | head -n 1)
    mean=$(echo "$lengths" | tr ',' '\n' | awk '{s += $1} END {print s / NR}')
    theirs=$("$venv/bin/python" "$peers" padded "$gguf" "$work/$corpus.txt" 32 2>/dev/null)
    echo "$corpus: silr $ours (texts of $mean tokens); $theirs"
done
