#!/bin/sh
# one-object.sh LD OBJCOPY AR IN.a LIST OUT.a - an archive of one object that shows only what LIST names.
set -eu
ld=$1 objcopy=$2 ar=$3 in=$4 list=$5 out=$6
object=$(dirname "$out")/silr-whole.o
"$ld" -r -d -o "$object" --whole-archive "$in"
"$objcopy" --keep-global-symbols="$list" "$object"
rm -f "$out"
"$ar" rcsD "$out" "$object"
rm -f "$object"
