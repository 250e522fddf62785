#!/bin/sh
# example.sh PROGRAM - runs the example of docs/guide.md on a small task.
#
# Every field of the labels.jsonl and metrics.json that it leaves must be named in docs/reference.md.
set -eu
program=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
awk -v n=300 -v seed=1 -f "$here/../cli/words.awk" >texts.jsonl
cat >task.yaml <<EOF
name: topics
classes: [sport, money]
corpus: {files: [texts.jsonl], text: text, id: id, label: label}
labelled: {count: 50}
annotator: {kind: column, column: llm}
EOF
head -n 5 texts.jsonl | sed 's/.*"text": *"//; s/".*//' >new.txt
OMP_WAIT_POLICY=passive "$program" task.yaml run <new.txt >out
[ "$(grep -c -E '^(sport|money)	[01]\.[0-9]{4}	' out)" -eq 5 ] || {
    echo "example: five labelled lines were expected:"
    cat out
    exit 1
}

for file in labels.jsonl metrics.json; do
    grep -o '"[a-z_0-9]*":' "run/$file" | tr -d '":' | sort -u >fields
    [ "$(wc -l <fields)" -gt 5 ]
    while read -r field; do
        grep -q -e "\`$field\`" -e "\"$field\"" "$here/../../docs/reference.md" || {
            echo "example: docs/reference.md does not explain $field of $file"
            exit 1
        }
    done <fields
done
