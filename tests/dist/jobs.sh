# shellcheck shell=sh disable=SC2154,SC2034 # what the scripts set, and what they read
# jobs.sh - whole runs on several ranks, and what can happen to them: to be read by scripts that have set
# silr and here (this folder). The task is $work/task.yaml; skipped where there is no mpirun.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_WAIT_POLICY=passive
"$here/ranks.sh" 2 true || exit 77

fail()
{
    echo "${0##*/}: $1" >&2
    [ ! -f "$work/said" ] || tail -n 20 "$work/said" >&2
    exit 1
}

# run NAME RANKS [OPTION...]
run()
{
    name=$1 n=$2
    shift 2
    "$here/ranks.sh" "$n" "$silr" run "$work/task.yaml" --out "$work/$name" --force "$@" >"$work/out" 2>"$work/said"
}

# children PID - the processes that it has started, oldest first: of mpirun, the ranks.
children()
{
    grep -l "^PPid:[[:space:]]*$1\$" /proc/[0-9]*/status 2>/dev/null | sed 's/[^0-9]//g' | sort -n
}

# disturb NAME FILE COMMAND [ARGUMENT] - a run on three ranks; as soon as FILE is there, COMMAND is done to
# mpirun. Sets code. A run that is over by then is none the worse for it: what it left must be right.
disturb()
{
    "$here/ranks.sh" 3 "$silr" run "$work/task.yaml" --out "$work/$1" --force >"$work/out" 2>"$work/said" &
    job=$!
    # FILE may be a pattern:
    # shellcheck disable=SC2086
    while [ -d "/proc/$job" ] && ! ls $2 >/dev/null 2>&1; do sleep 0.02; done
    "$3" "$job" "${4:-}" || true
    code=0
    wait "$job" || code=$?
}

# kill_rank PID N
kill_rank()
{
    victim=$(children "$1" | sed -n "$(($2 + 1))p")
    [ -z "$victim" ] || kill -9 "$victim" 2>/dev/null || true
}

stop_all()
{
    kill -USR1 "$1" 2>/dev/null || true
}
