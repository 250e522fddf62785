#!/bin/sh
# chat.sh - a real small model labels 1,000 movie reviews, is refined, and checks itself
#
#     ./bootstrap bench chat [TEXTS [ROUNDS [SERVER]]]      1000, 5, llama: an hour or two on two cores
#
# SERVER is one of bench/chat_servers.sh, which fetches and starts it with SmolLM2-135M-Instruct. Texts:
# rotten_tomatoes of the shared data ($SILR_SHARED or ../shared; skipped where absent). Prints what
# silr annotate says (first answers and every check), and three runs on top of the first answers: with
# their log-odds, with the labels alone, and by the paper's recipe. Answers are kept in a cache file, so
# a second call asks nothing that the first has asked.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
build=${SILR_BUILD:?set it to the build folder}
texts=${1:-1000} rounds=${2:-5} server=${3:-llama}
data=${SILR_SHARED:-$top/../shared}/data/rotten_tomatoes/data.jsonl.gz
work=$top/build/bench/chat
silr=$build/src/cli/silr

[ -s "$data" ] || {
    echo "skipped: no $data"
    exit 0
}
mkdir -p "$work"
OPENAI_BASE_URL=$("$top/bench/chat_servers.sh" start "$server")
export OPENAI_BASE_URL
trap '"$top/bench/chat_servers.sh" stop "$server"' EXIT

cat >"$work/task.yaml" <<YAML
name: chat
question: Does the writer of this movie review like the movie?
classes: [positive, negative]
corpus: {files: ["$data"], text: text, id: id, label: label, label_values: {1: positive, -1: negative}}
labelled: {count: 50}
annotator: {kind: chat, model: smollm2-135m, examples: 8, concurrency: 4, timeout: 600, cache: answers.db}
YAML

# seconds COMMAND... - runs it, then prints how long it took.
seconds()
{
    began=$(date +%s)
    "$@"
    echo "took $(($(date +%s) - began)) s"
}

rm -rf "$work/first" "$work/run-"* "$work/checks"
echo "== $texts texts: the first answers"
seconds "$silr" annotate "$work/task.yaml" --limit "$texts" --out "$work/first"
for how in evidence=log-odds evidence=label recipe=paper; do
    echo "== silr run, refine.$how"
    seconds "$silr" run "$work/task.yaml" --limit "$texts" --out "$work/run-$how" --set "refine.$how" ||
        echo "exit $?"
done
echo "== $rounds rounds of self-refinement"
seconds "$silr" annotate "$work/task.yaml" --limit "$texts" --out "$work/checks" \
    --set "annotator.self_refine=$rounds"
