#!/bin/sh
# ends.sh RANKS.SH TEST_DIST - a rank that fails or dies ends the job on all ranks, and says why.
set -u
ranks=$1 program=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail()
{
    echo "ends: $1"
    cat "$work/out"
    exit 1
}

"$ranks" 3 "$program" fail >"$work/out" 2>&1
code=$?
[ "$code" -ne 77 ] || { cat "$work/out"; exit 77; }
[ "$code" -eq 1 ] || fail "a failing rank: exit code $code, not 1"
grep -q '^rank 1: the disk is full' "$work/out" || fail 'nobody says why it failed'

"$ranks" 3 "$program" kill >"$work/out" 2>&1
code=$?
[ "$code" -ne 0 ] || fail 'a rank was killed, and the job has exit code 0'
! grep -q 'came to an end' "$work/out" || fail 'a sum without one of the ranks'
grep -q 'rank 1' "$work/out" || fail 'nobody says which rank it was'
