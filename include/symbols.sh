#!/bin/sh
# symbols.sh SILR.H LIST MAP - the functions of the public header, a line each, and as a version script.
#
# -fvisibility=hidden alone leaves a few names in sight: functions that gcc compiles once a
# processor (target_clones), and the locks of OpenMP's named critical sections.
set -eu
sed -n 's/^SILR_API [^(]*[ *]\(silr_[a-z_]*\)(.*/\1/p' "$1" | LC_ALL=C sort >"$2"
{
    echo '{ global:'
    sed 's/.*/    &;/' "$2"
    echo '  local: *; };'
} >"$3"
