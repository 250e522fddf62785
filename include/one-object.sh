#!/bin/sh
# one-object.sh LD OBJCOPY AR IN.a OUT.a - an archive of one object that shows only what silr.h marks.
set -eu
ld=$1 objcopy=$2 ar=$3 in=$4 out=$5
object=$(dirname "$out")/silr-whole.o
"$ld" -r -o "$object" --whole-archive "$in"
"$objcopy" --localize-hidden "$object"
rm -f "$out"
"$ar" rcsD "$out" "$object"
rm -f "$object"
