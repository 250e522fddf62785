#!/bin/sh
# million.sh - a run over 1,000,000 short texts against one over 10,000: time a text, peak memory
#
#     bench/million.sh [TEXTS]          about four minutes on two cores
#
# The texts are grown from real ones: movie-review snippets of $SILR_SHARED (or ../shared), each
# repeated with other words of another snippet of the same class behind it and a running number; the
# annotator's column is the truth with every fourth label wrong. Also the share of the time that
# reading the JSONL takes (the whole of `silr doctor`).
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
build=${SILR_BUILD:-$top/build}
shared=${SILR_SHARED:-$top/../shared}
large=${1:-1000000}
small=10000
silr=$build/src/cli/silr
source=$shared/data/rotten_tomatoes/data.jsonl.gz
work=$(mktemp -d "${TMPDIR:-/tmp}/silr-million-XXXXXX")
trap 'rm -rf "$work"' EXIT

if [ ! -f "$source" ]; then
    echo "skipped: no $source"
    exit 0
fi
command -v /usr/bin/time >/dev/null || { echo 'million: needs the program time (apt-get install time)' >&2; exit 1; }

# grow COUNT NAME - NAME.jsonl and NAME.yaml
grow()
{
    gzip -dc "$source" | awk -v want="$1" '
        match($0, /"text": ".*", "label": /) {
            text[n] = substr($0, RSTART + 9, RLENGTH - 9 - 12)
            label[n] = substr($0, RSTART + RLENGTH) + 0
            n++
        }
        END {
            srand(1)
            for (i = 0; i < want; i++) {
                a = i % n
                do b = int(rand() * n); while (label[b] != label[a])
                words = split(text[b], w, " ")
                from = int(rand() * words) + 1
                tail = w[from] " " w[from < words ? from + 1 : 1]
                llm = rand() < 0.25 ? -label[a] : label[a]
                printf "{\"id\": %d, \"text\": \"%s %s %d\", \"label\": %d, \"llm\": %d}\n", i, text[a], tail, i, label[a], llm
            }
        }' >"$work/$2.jsonl"
    cat >"$work/$2.yaml" <<YAML
name: $2
classes: [positive, negative]
corpus: {files: [$2.jsonl], text: text, id: id, label: label}
annotator: {kind: column, column: llm}
YAML
}

# timed COMMAND... - wall seconds and peak KiB
timed()
{
    /usr/bin/time -f '%e %M' -o "$work/time" "$@" >/dev/null 2>"$work/log" || {
        cat "$work/log" >&2
        exit 1
    }
    cat "$work/time"
}

grow "$small" small
grow "$large" large
read -r small_s _ <<EOT
$(timed "$silr" run "$work/small.yaml" --out "$work/small")
EOT
read -r read_s _ <<EOT
$(timed "$silr" doctor "$work/large.yaml")
EOT
read -r large_s large_k <<EOT
$(timed "$silr" run "$work/large.yaml" --out "$work/large")
EOT
awk -v s="$small_s" -v ns="$small" -v l="$large_s" -v nl="$large" -v k="$large_k" -v r="$read_s" 'BEGIN {
    printf "%d texts: %.1f s; %d texts: %.1f s\n", ns, s, nl, l
    printf "time a text, large against small: %.2f (at most 1.3)\n", (l / nl) / (s / ns)
    printf "peak memory: %.2f GiB (under 2)\n", k / 1048576
    printf "reading and checking the JSONL: %.1f s, %.0f %% of the run\n", r, 100 * r / l
}'
