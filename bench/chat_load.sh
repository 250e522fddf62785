#!/bin/sh
# chat_load.sh - asking as fast as a server of 100 ms and 64 slots can answer, on how much CPU and memory
#
#     ./bootstrap bench chat_load [TEXTS [MEMORY_TEXTS]]     20000 and 100000; about a minute and a half
#
# The test server on this machine answers each request after 100 ms and works on 64 at a time: 640
# answers a second is what a client can get. First TEXTS texts against that, with log-probabilities and
# 20 alternatives a token; the same with a cache file, in which every request is claimed before it goes
# out; then MEMORY_TEXTS texts against a server without latency, for the memory. Its own CPU time is
# silr's alone, reading the corpus and writing run.db included.
set -eu

texts=${1:-20000} many=${2:-100000}
build=${SILR_BUILD:?set it to the build folder}
silr=$build/src/cli/silr
work=$(mktemp -d)
server=
trap 'kill $server 2>/dev/null; rm -rf "$work"' EXIT

ninja -C "$build" tests/server/chat_server >"$work/ninja.log" 2>&1 || {
    cat "$work/ninja.log" >&2
    exit 1
}

# serve OPTION... - starts the server, sets $url.
serve()
{
    [ -z "$server" ] || kill "$server"
    : >"$work/port"
    "$build/tests/server/chat_server" --classes positive,negative "$@" >"$work/port" &
    server=$!
    while [ ! -s "$work/port" ]; do sleep 0.1; done
    url=http://127.0.0.1:$(cat "$work/port")/v1
}

corpus() # N
{
    awk -v n="$1" 'BEGIN { for (i = 0; i < n; i++)
        printf "{\"id\":\"t%d\",\"text\":\"text number %d of many that a model shall label, and not the shortest\",\"old\":\"positive\"}\n", i, i }'
}

# ask N NAME [SETTING] - annotates N texts; wall seconds, CPU seconds and peak KiB in $work/NAME.
ask()
{
    corpus "$1" >"$work/texts.jsonl"
    cat >"$work/task.yaml" <<YAML
name: load
classes: [positive, negative]
corpus: {files: [texts.jsonl], text: text, id: id}
labelled: none
annotator: {kind: chat, model: m, url: "$url", auth: none, concurrency: 64${3:+, $3}}
YAML
    /usr/bin/time -f '%e %U %S %M' -o "$work/$2" "$silr" annotate "$work/task.yaml" --out "$work/run-$2" -q \
        >"$work/$2.out"
    grep -q "^answers: $1" "$work/$2.out" || {
        cat "$work/$2.out"
        exit 1
    }
}

command -v /usr/bin/time >/dev/null || {
    echo 'skipped: /usr/bin/time is not there (package time)'
    exit 0
}
serve --latency 100 --slots 64
ask "$texts" fast
awk -v n="$texts" '{ printf "%d texts, 100 ms, 64 slots: %.0f answers a second, %.1f %% of the ideal 640; %.3f ms of CPU an answer\n",
    n, n / $1, n / $1 / 6.4, ($2 + $3) * 1000 / n }' "$work/fast"
ask "$texts" shared "cache: cache.db"
awk -v n="$texts" '{ printf "the same through a cache file: %.0f answers a second; %.3f ms of CPU an answer\n",
    n / $1, ($2 + $3) * 1000 / n }' "$work/shared"
serve
ask "$many" many
awk -v n="$many" '{ printf "%d texts, no latency: %.0f answers a second, %.3f ms of CPU an answer, peak memory %.0f MiB\n",
    n, n / $1, ($2 + $3) * 1000 / n, $4 / 1024 }' "$work/many"
# What grows with the texts is the corpus; answers leave nothing behind: a column that gives the labels
# without a single request peaks at the same.
sed -i 's/^annotator: .*/annotator: {kind: column, column: old}/' "$work/task.yaml"
/usr/bin/time -f '%M' -o "$work/column" "$silr" annotate "$work/task.yaml" --out "$work/run-column" -q >/dev/null
awk -v n="$many" '{ printf "the same %d texts labelled by a column, nothing asked: peak memory %.0f MiB\n", n, $1 / 1024 }' "$work/column"
awk -v n="$texts" '{ printf "%d texts, asked: peak memory %.0f MiB\n", n, $4 / 1024 }' "$work/fast"
