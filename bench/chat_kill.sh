#!/bin/sh
# chat_kill.sh - kills an annotation at random instants: nothing is asked twice, nothing is lost
#
#     ./bootstrap bench chat_kill [KILLS [TEXTS]]     50 and 2000; about two minutes
#
# The test server answers after 50 ms and writes down every request when it comes. An annotation is
# killed (SIGKILL) at random instants and begun again with the same command until it is done. The
# server may have seen at most the texts plus what was in flight at each kill, which it counts itself;
# the labels must be those of an annotation that was never killed.
set -eu

kills=${1:-50} texts=${2:-2000}
build=${SILR_BUILD:?set it to the build folder}
silr=$build/src/cli/silr
work=$(mktemp -d)
server=
trap 'kill $server 2>/dev/null; rm -rf "$work"' EXIT

ninja -C "$build" tests/server/chat_server >"$work/ninja.log" 2>&1 || {
    cat "$work/ninja.log" >&2
    exit 1
}
"$build/tests/server/chat_server" --classes positive,negative --latency 50 --log "$work/log" >"$work/port" &
server=$!
while [ ! -s "$work/port" ]; do sleep 0.1; done
url=http://127.0.0.1:$(cat "$work/port")/v1

awk -v n="$texts" 'BEGIN { for (i = 0; i < n; i++)
    printf "{\"id\":\"t%d\",\"text\":\"text number %d\"}\n", i, i }' >"$work/texts.jsonl"
cat >"$work/task.yaml" <<YAML
name: kill
classes: [positive, negative]
corpus: {files: [texts.jsonl], text: text, id: id}
labelled: none
annotator: {kind: chat, model: m, url: "$url", auth: none, concurrency: 32}
YAML

# labels FOLDER - every document's label, from its database.
labels()
{
    "$silr" annotate "$work/task.yaml" --out "$1" --json -q >/dev/null
    sqlite3 "$1/run.db" 'SELECT doc, label, failed, confidence FROM annotations WHERE source = 0 ORDER BY doc' 2>/dev/null ||
        python3 -c 'import sqlite3, sys
for row in sqlite3.connect(sys.argv[1]).execute("SELECT doc, label, failed, confidence FROM annotations WHERE source = 0 ORDER BY doc"): print(*row, sep="|")' "$1/run.db"
}

seen() # requests that the server has written down
{
    wc -l <"$work/log"
}

answered() # documents that run.db knows
{
    "$silr" annotate "$work/task.yaml" --out "$work/run" --dry-run --json -q 2>/dev/null |
        sed -n 's/.*"answered":\([0-9]*\).*/\1/p'
}

state=20261124
random() # N - from a seeded sequence
{
    state=$(((state * 1103515245 + 12345) & 2147483647))
    value=$(((state / 65536) % $1))
}

: >"$work/log"
done_kills=0 flying=0
while [ "$done_kills" -lt "$kills" ]; do
    "$silr" annotate "$work/task.yaml" --out "$work/run" -q >/dev/null 2>&1 &
    pid=$!
    random 180
    sleep "0.$(printf '%03d' $((value + 40)))"
    kill -9 "$pid" 2>/dev/null || break
    wait "$pid" 2>/dev/null || true
    done_kills=$((done_kills + 1))
    sleep 0.1 # what was on its way to the server has been written down
    flying=$(($(seen) - $(answered))) # all that was ever asked and is not in run.db
done
labels "$work/run" >"$work/killed"
total=$(seen)
labels "$work/whole" >"$work/unbroken"
cmp "$work/killed" "$work/unbroken"
lines=$(wc -l <"$work/killed")
failed=$(awk -F '|' '$2 < 0' "$work/killed" | wc -l)
echo "$done_kills kills over $texts texts: $lines labels, $failed without an answer, equal to an unbroken run's"
echo "the server saw $total requests: $texts texts and $((total - texts)) repeated; in flight at the kills: $flying"
[ "$lines" -eq "$texts" ] && [ "$failed" -eq 0 ] && [ $((total - texts)) -le "$flying" ]
