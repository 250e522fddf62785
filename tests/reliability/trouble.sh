#!/bin/sh
# trouble.sh BUILD - a full disk, folders that may not be written, files that cannot be read.
#
# Each must be told in one clear line with the right exit code, and the run must go on afterwards
# and end as if nothing had happened.
set -eu
export OMP_NUM_THREADS=1
build=$1
silr=$build/src/cli/silr
work=$(mktemp -d)
mounted=
clean_up()
{
    [ -z "$mounted" ] || umount "$mounted" || true
    chmod -R u+w "$work"
    rm -rf "$work"
}
trap clean_up EXIT

fail()
{
    echo "trouble: $1" >&2
    [ ! -f "$work/err" ] || sed 's/^/    /' "$work/err" >&2
    exit 1
}

# expect CODE WORDS COMMAND... - it ends with that code, and says something that matches WORDS.
expect()
{
    code=$1 words=$2
    shift 2
    status=0
    "$@" >"$work/out" 2>"$work/err" || status=$?
    echo "$status" | grep -qx "$code" || fail "exit code $status instead of $code: $*"
    grep -qiE "$words" "$work/err" || fail "no word of '$words': $*"
    ! grep -qiE 'sanitizer|runtime error' "$work/err" || fail "the sanitizer speaks: $*"
}

same_labels()
{
    cmp "$work/unbroken/labels.jsonl" "$1/labels.jsonl" || fail "other labels after $2"
}

"$build/tests/reliability/make_texts" "$work" 150 2 silr
task=$work/task.yaml
"$silr" run "$task" --out "$work/unbroken" -q >/dev/null 2>"$work/err" || fail 'the unbroken run'

# Files may not grow beyond a limit: 1, 16, 300 blocks of 512 bytes, as when the disk is full.
for blocks in 1 16 300; do
    run=$work/limit-$blocks
    status=0
    (
        trap '' XFSZ
        ulimit -f "$blocks"
        exec "$silr" run "$task" --out "$run" -q
    ) >"$work/out" 2>"$work/err" || status=$?
    if [ "$status" -ne 0 ]; then
        [ "$status" -eq 1 ] || fail "exit code $status instead of 1 with files limited to $blocks blocks"
        [ "$(grep -c . "$work/err")" -eq 1 ] || fail "not one line with files limited to $blocks blocks"
    fi
    "$silr" run "$task" --out "$run" -q >/dev/null 2>"$work/err" || fail "going on after a limit of $blocks blocks"
    same_labels "$run" "a limit of $blocks blocks"
done
echo 'file size limit: clear errors, runs go on'

# A disk of 256 KiB, where one may mount one.
mkdir "$work/disk"
if mount -t tmpfs -o size=256k tmpfs "$work/disk" 2>/dev/null; then
    mounted=$work/disk
    expect 1 'space|full|disk' "$silr" run "$task" --out "$work/disk/run" -q
    mount -o remount,size=64m "$work/disk"
    "$silr" run "$task" --out "$work/disk/run" -q >/dev/null 2>"$work/err" || fail 'going on after a full disk'
    same_labels "$work/disk/run" 'a full disk'
    echo 'full disk: clear error, the run goes on'
else
    echo 'full disk: skipped, a file system cannot be mounted here'
fi

# /proc takes no folders from anyone, root included; a file is no folder either.
expect 1 '/proc' "$silr" run "$task" --out /proc/silr-run -q
: >"$work/file"
expect '[13]' 'file' "$silr" run "$task" --out "$work/file/run" -q
if [ "$(id -u)" -ne 0 ]; then
    mkdir "$work/closed"
    chmod a-w "$work/closed"
    expect 1 'closed' "$silr" run "$task" --out "$work/closed/run" -q
fi
echo 'unwritable folder: clear errors'

# Reading fails: /proc/self/mem cannot be read from its start.
sed 's|texts.jsonl|/proc/self/mem|; s|text: text|format: jsonl, text: text|' "$task" >"$work/unreadable.yaml"
expect '[13]' 'mem' "$silr" run "$work/unreadable.yaml" --out "$work/unreadable" -q
echo 'read error: clear error'
