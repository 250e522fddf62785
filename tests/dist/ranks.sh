#!/bin/sh
# ranks.sh N COMMAND... - runs a command as N ranks on this machine, also as root, also in a container.
#
# Skipped (77) where there is no mpirun. N 1: without it, as a program on its own. What hangs is ended
# after five minutes, and counts as failed.
set -eu
n=$1
shift
if [ "$n" -eq 1 ]; then
    SILR_MPI=0 exec "$@"
fi
command -v mpirun >/dev/null || {
    echo 'skipped: there is no mpirun (Debian: openmpi-bin)'
    exit 77
}
[ "${SILR_MPI_BUILT:-yes}" = yes ] || {
    echo 'skipped: silr was built without MPI (Debian: libopenmpi-dev)'
    exit 77
}
# Root is asked twice by Open MPI. Ranks share processors here, more ranks than there are is meant; and
# nothing is to be said of copying between processes where a container forbids it.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_btl_vader_single_copy_mechanism=none
export CMOCKA_TEST_ABORT=1 # a rank that fails ends the job: the others would wait for it
export OMP_WAIT_POLICY=passive
# MPI keeps some of its memory to the end; what silr keeps shows in the tests of one rank.
export ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0"
exec mpirun -n "$n" --oversubscribe --bind-to none --timeout 300 "$@"
