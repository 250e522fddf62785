#!/bin/sh
# secrets.sh SILR CHAT_SERVER - the key goes to the configured host and nowhere else: not into a file,
# a message, an argument or a core, not with a redirect, not to a host whose certificate is nobody's.
set -eu
silr=$1 server=$2
work=$(mktemp -d)
pids=
# Each word of pids is one process:
# shellcheck disable=SC2086
trap 'kill $pids 2>/dev/null || true; rm -rf "$work"' EXIT
key='sk-THE/secret+key_0123456789'
export OPENAI_API_KEY="$key"
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy ALL_PROXY SSL_CERT_FILE SSL_CERT_DIR OPENAI_BASE_URL
passed=0 failed=0

check() # WHAT COMMAND...
{
    what=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $what"
    fi
}

serve() # NAME OPTION... - its port in $port
{
    name=$1
    shift
    "$server" --classes positive,negative "$@" >"$work/port-$name" 2>/dev/null &
    pids="$pids $!"
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        [ -s "$work/port-$name" ] && break
        sleep 0.1
    done
    port=$(cat "$work/port-$name")
}

ask() # NAME URL OPTION... - annotates; everything it says and leaves goes below $work/left
{
    name=$1 url=$2
    shift 2
    mkdir -p "$work/left/$name"
    code=0
    "$silr" annotate "$work/task.yaml" --out "$work/left/$name/run" --set "annotator.url=$url" -v "$@" \
        >"$work/left/$name/out" 2>"$work/left/$name/err" || code=$?
}

exits() # CODE - that of the last ask
{
    [ "$code" -eq "$1" ] || {
        echo "exit $code, not $1: $(tail -n 2 "$work/left/$name/err")"
        false
    }
}

# The key as it is, as JSON and as a URL may spell it.
clean()
{
    ! grep -rlaF -e "$key" -e 'secret+key_0123456789' -e 'sk-THE\/secret' -e 'sk-THE%2Fsecret' "$work/left"
}

says() # WORDS
{
    grep -qF "$1" "$work/left/$name/err"
}

i=0
while [ $i -lt 40 ]; do
    echo "{\"id\":\"t$i\",\"text\":\"text number $i\"}"
    i=$((i + 1))
done >"$work/texts.jsonl"
cat >"$work/task.yaml" <<'YAML'
name: secrets
classes: [positive, negative]
corpus: {files: [texts.jsonl], text: text, id: id}
labelled: none
annotator: {kind: chat, model: m, retries: 2, timeout: 3, cache: answers.db}
YAML

serve good --key "$key" --echo-key --fault 500=0.2 --fault 400=0.1
ask good "http://127.0.0.1:$port/v1"
check 'a run with errors that echo the key' exits 4
cp "$work/answers.db" "$work/left/"

serve other --key sk-another --echo-key
ask wrong "http://127.0.0.1:$port/v1"
check 'a key that is refused' exits 5
check 'says which it is' says 'the key'

serve target --key "$key" --log "$work/target.log"
target=$port
serve redirect --fault redirect=1 --redirect-to "http://localhost:$target/v1/chat/completions"
ask redirected "http://127.0.0.1:$port/v1" --set annotator.max_time=3
check 'a redirect is not followed' test "$code" -ne 0
check 'and the other host sees nothing' test ! -s "$work/target.log"

# A process that knows a key may not be dumped: whatever ulimit says.
serve slow --key "$key" --latency 3000
# shellcheck disable=SC3045 # where a shell knows no -c there is nothing to switch on
ulimit -c unlimited 2>/dev/null || true
"$silr" annotate "$work/task.yaml" --out "$work/left/core" --set "annotator.url=http://127.0.0.1:$port/v1" -q \
    >"$work/left/core.out" 2>&1 &
pid=$!
sleep 0.7
check 'no core file may be written' grep -q 'Max core file size *0 *0' "/proc/$pid/limits"
check 'the key is no argument' sh -c "! tr '\\0' '\\n' </proc/$pid/cmdline | grep -qF 'sk-THE'"
kill -SEGV "$pid" 2>/dev/null || true
wait "$pid" 2>/dev/null || true

check 'the key is nowhere' clean
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
