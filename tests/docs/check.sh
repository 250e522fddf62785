#!/bin/sh
# check.sh SOURCE SILR FACTS [--write] - the documents say what the program says.
#
# A block of a document that quotes the program stands between two marks:
#
#     <!-- quoted: help run -->  ...  <!-- end -->
#
# help COMMAND is the command's --help; knobs and schema come from FACTS; file NAME is a file of the
# source. This script makes every such block anew and compares. With --write it writes the documents:
# after a change of the program, run
#
#     sh tests/docs/check.sh . build/src/cli/silr build/tests/docs/facts --write
#
# It also follows every link between the documents.
set -eu
source=$1 silr=$2 facts=$3 write=${4:-}
failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail()
{
    echo "docs: $1"
    failed=1
}

# quote KIND ARGUMENT - the text of a block, in a fence but for tables.
quote()
{
    case $1 in
    help)
        echo '```'
        # The settings that `run --help` ends with stand in the tables.
        "$silr" "$2" --help | sed '/^Settings (in the task file/,$d' | sed '${/^$/d;}'
        echo '```'
        ;;
    knobs) "$facts" knobs ;;
    schema)
        echo '```sql'
        "$facts" schema
        echo '```'
        ;;
    file)
        echo "\`\`\`${2##*.}"
        cat "$source/$2"
        echo '```'
        ;;
    *) return 1 ;;
    esac
}

# Prints document $1 with all its blocks made anew.
renew()
{
    inside=0
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in
        '<!-- end -->') inside=0 ;;
        esac
        [ "$inside" -eq 1 ] || printf '%s\n' "$line"
        case $line in
        '<!-- quoted: '*)
            inside=1
            words=${line#<!-- quoted: }
            words=${words% -->}
            kind=${words%% *}
            quote "$kind" "${words#* }" || return 1
            ;;
        esac
    done <"$1"
}

for document in "$source"/README.md "$source"/docs/*.md; do
    name=${document#"$source"/}
    renew "$document" >"$work/new" || fail "$name: a block could not be made"
    if [ "$write" = --write ]; then
        cmp -s "$document" "$work/new" || cp "$work/new" "$document"
    elif ! diff -u "$document" "$work/new" >"$work/diff"; then
        fail "$name does not say what the program says; tests/docs/check.sh tells how to write it anew:"
        head -n 40 "$work/diff"
    fi
    # [text](path) and [text](path#part); addresses of the web are left alone.
    grep -o ']([^)]*)' "$document" | sed 's/^](//; s/)$//; s/#.*//' | sort -u >"$work/links" || true
    while read -r link; do
        case $link in http*://* | '') continue ;; esac
        [ -e "$(dirname "$document")/$link" ] || fail "$name: the link $link leads nowhere"
    done <"$work/links"
done
[ "$failed" -eq 0 ] || exit 1
echo 'docs: every quotation is exact, every link leads somewhere'
