#!/bin/sh
# check.sh SOURCE BUILD PREFIX VERSION CC... - installs into a scratch folder and uses it as a stranger would.
#
# Both libraries show exactly the functions of silr.h; a program written against the installed
# header, found through pkg-config, compiles, links with either, and runs.
set -eu
source=$1 build=$2 prefix=$3 version=$4
shift 4
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

fail()
{
    echo "install: $1" >&2
    exit 1
}

meson install -C "$build" --no-rebuild --quiet --destdir "$stage" >/dev/null
so=$(find "$stage$prefix" -name libsilr.so)
a=$(find "$stage$prefix" -name libsilr.a)
pc=$(find "$stage$prefix" -name silr.pc)
for file in "$so" "$a" "$pc" "$stage$prefix/include/silr.h"; do
    [ -f "$file" ] || fail "libsilr.so, libsilr.a, silr.pc or silr.h is not installed"
done
libdir=$(dirname "$so")

# What is shown, against what silr.h promises. Sanitizers and compilers add names of their own (__*).
sed -n 's/^SILR_API [^(]*[ *]\(silr_[a-z_]*\)(.*/\1/p' "$source/include/silr.h" | LC_ALL=C sort >"$stage/promised"
nm -D --defined-only --format=posix "$so" | cut -d' ' -f1 | grep -v '^__' | LC_ALL=C sort >"$stage/so"
nm -g --defined-only --format=posix "$a" | sed '/:$/d' | cut -d' ' -f1 | grep -v '^__' | LC_ALL=C sort >"$stage/a"
[ -s "$stage/promised" ] || fail "no function found in silr.h"
for kind in so a; do
    diff "$stage/promised" "$stage/$kind" >"$stage/diff" ||
        fail "libsilr.$kind and silr.h differ (< promised, > shown):
$(cat "$stage/diff")"
done

# The program finds the plugin that was installed with it, wherever the whole was moved to.
if [ -n "$(find "$stage$prefix" -name silr-mpi.so)" ]; then
    env -u SILR_MPI "$stage$prefix/bin/silr" doctor >"$stage/doctor" || fail "silr doctor fails"
    grep -q "^  mpi .*$stage" "$stage/doctor" || fail "the plugin for MPI is not found: $(grep '^  mpi' "$stage/doctor")"
fi

readelf -d "$so" | grep -q 'SONAME.*libsilr\.so\.0' || fail "libsilr.so has no soname libsilr.so.0"

# The stranger's program. His paths start in the scratch folder, so pkg-config's prefix does too.
# The words of flags are meant to be split:
# shellcheck disable=SC2046,SC2086
compile_and_run()
{
    PKG_CONFIG_PATH=$(dirname "$pc") pkg-config --define-variable=prefix="$stage$prefix" $2 silr >"$stage/flags"
    flags=$(cat "$stage/flags")
    [ "$1" = so ] || flags=$(printf '%s' "$flags" | sed 's/-lsilr/-l:libsilr.a/')
    shift 2
    "$@" -Wall -Wextra -Werror -DEXPECTED_VERSION="\"$version\"" "$source/tests/install/stranger.c" -o "$stage/stranger" $flags
    LD_LIBRARY_PATH=$libdir "$stage/stranger"
}
compile_and_run so '--cflags --libs' "$@" || fail "a program against libsilr.so does not work"
compile_and_run a '--cflags --libs --static' "$@" || fail "a program against libsilr.a does not work"
echo "install: $(wc -l <"$stage/promised") functions, shown by both libraries and nothing else"
