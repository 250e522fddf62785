#!/bin/sh
# cases.sh SILR JSON-CHECKER [CASE...] - drives the built program, case by case.
#
# A case is a file in cases/. Its lines say what to do, in order, in a folder of its own:
#
#   # text           a comment
#   @file NAME       the lines up to the next @ are written to NAME
#   @run COMMAND     a shell line; "silr" is the program. What follows is about this command:
#   @exit N          its exit code (0 where nothing is said)
#   @out TEXT        a line of standard output contains TEXT
#   @err TEXT        a line of standard error contains TEXT
#   @no-out TEXT     no line of standard output contains TEXT (@no-err alike)
#   @stdout          the lines up to the next @ are exactly standard output
#   @lines N         standard error has N lines
#   @skip WHY        with exit code 77 the rest of the case is skipped
#   @json            standard output is one JSON value (@jsonl: one a line)
#
# Prints the failures, then one line with the counts.
silr=$1
json=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
top=$(mktemp -d) || exit 1
trap 'rm -rf "$top"' EXIT
mkdir "$top/bin" && ln -s "$(cd "$(dirname "$silr")" && pwd)/$(basename "$silr")" "$top/bin/silr"
case $json in /*) ;; *) json=$PWD/$json ;; esac
PATH=$top/bin:$PATH
export PATH
OMP_WAIT_POLICY=passive # several programs share few processors here: do not spin
export OMP_WAIT_POLICY
unset NO_COLOR
passed=0 failed=0

complain()
{
    bad=1
    printf '%s:%s: %s\n' "$name" "$number" "$1"
    printf '    command: %s\n    exit code %s; standard output, then standard error:\n' "$command" "$code"
    head -n 8 "$work/.out" | cut -c 1-300 | sed 's/^/    | /'
    head -n 8 "$work/.err" | cut -c 1-300 | sed 's/^/    ! /'
}

# An exit code that nobody spoke of must be 0.
settle()
{
    [ -z "$command" ] || [ "$spoken" = 1 ] || [ "$code" -eq 0 ] || complain "exit code $code"
    [ -z "$collect" ] || [ "$collect" != "$work/.expected" ] || cmp -s "$work/.expected" "$work/.out" ||
        complain "standard output is not as expected"
    collect=
}

# Cases use $here for what lies beside this script.
export here

run_case()
{
    name=$(basename "$1" .case)
    work=$top/$name
    mkdir -p "$work"
    : >"$work/.out" && : >"$work/.err"
    bad=0 number=0 command='' code=0 spoken=1 collect=''
    while IFS= read -r line || [ -n "$line" ]; do
        number=$((number + 1))
        rest=${line#* }
        case $line in
        @file*) settle; collect=$work/$rest; mkdir -p "$(dirname "$collect")"; : >"$collect" ;;
        @stdout) settle; collect=$work/.expected; : >"$collect" ;;
        @run*)
            settle
            command=$rest spoken=0 code=0
            (cd "$work" && eval "$command") >"$work/.out" 2>"$work/.err" </dev/null || code=$?
            ;;
        @exit*) spoken=1; [ "$code" -eq "$rest" ] || complain "exit code $code, not $rest" ;;
        @out*) grep -qF -e "$rest" "$work/.out" || complain "standard output lacks: $rest" ;;
        @err*) grep -qF -e "$rest" "$work/.err" || complain "standard error lacks: $rest" ;;
        @no-out*) ! grep -qF -e "$rest" "$work/.out" || complain "standard output has: $rest" ;;
        @no-err*) ! grep -qF -e "$rest" "$work/.err" || complain "standard error has: $rest" ;;
        @skip*)
            spoken=1
            [ "$code" -ne 77 ] || { echo "$name: skipped: $rest"; collect=; break; }
            [ "$code" -eq 0 ] || complain "exit code $code"
            ;;
        @lines*) [ "$(wc -l <"$work/.err")" -eq "$rest" ] || complain "standard error has $(wc -l <"$work/.err") lines, not $rest" ;;
        @jsonl) "$json" -l <"$work/.out" || complain "not JSON lines" ;;
        @json) "$json" <"$work/.out" || complain "not JSON" ;;
        *) [ -z "$collect" ] || printf '%s\n' "$line" >>"$collect" ;;
        esac
    done <"$1"
    settle
    rm -rf "$work"
    if [ "$bad" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

[ $# -gt 0 ] || set -- "$here"/cases/*.case
for file; do
    run_case "$file"
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
