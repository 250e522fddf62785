#!/bin/sh
# kill.sh - kills runs at random instants: every resumed run must end with the unbroken one's bytes
#
#     ./bootstrap bench kill [KILLS [CASE...]]
#
# Two classes, three classes and the paper's recipe in turn, and a tiny fine-tuned model by both recipes
# (cases two, three, paper, tuned, tuned-paper), which leaves a checkpoint after every step. A run is killed (SIGKILL) up to five
# times at instants drawn from the time that an unbroken run takes, begun again each time with the
# same command, and then left alone. labels.jsonl, classifier/ and metrics.json (but for the time
# taken) are compared byte by byte. Prints the count, and fails if one run differs.
set -eu

kills=${1:-200}
[ $# -eq 0 ] || shift
cases=${*:-two three paper tuned tuned-paper}
top=$(cd "$(dirname "$0")/.." && pwd)
build=${SILR_BUILD:?set it to the build folder}
silr=$build/src/cli/silr
make_texts=$build/tests/reliability/make_texts
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=2 OMP_WAIT_POLICY=passive # a busy machine must not wait busily

now_ms()
{
    date +%s%3N
}

# random N - a whole number from 0 to N-1, from a seeded sequence kept in $state.
state=20250212
random()
{
    state=$(((state * 1103515245 + 12345) & 2147483647))
    value=$(((state / 65536) % $1)) # the low bits of this generator are poor; drop them
}

# same A B - the outcomes of two runs are equal.
same()
{
    cmp "$1/labels.jsonl" "$2/labels.jsonl" && diff -r "$1/classifier" "$2/classifier" || return 1
    for run in "$1" "$2"; do
        sed 's/"seconds": *[-+.0-9e]*/"seconds": 0/g' "$run/metrics.json" >"$run.metrics"
    done
    cmp "$1.metrics" "$2.metrics"
}

# finish RUN TASK - lets a run come to its end, and wants it to.
finish()
{
    "$silr" run "$2" --out "$1" -q >"$work/log" 2>&1 || {
        echo "kill: a resumed run failed:" >&2
        cat "$work/log" >&2
        exit 1
    }
}

begin_case()
{
    case " $cases " in *" $1 "*) ;; *) return 0 ;; esac
    "$make_texts" "$work/$1" "$2" "$3" "$4"
    case $1 in tuned*)
        echo "classifier: {kind: qlora, model: $top/tests/engine/data/tinyllama, checkpoint: 0.001}" >>"$work/$1/task.yaml"
        sed -i 's/^refine: {\(.*\)}/refine: {\1, epochs: 2, iterations: 2, learning_rate: 0.01}/' "$work/$1/task.yaml"
        ;;
    esac
    start=$(now_ms)
    finish "$work/$1/unbroken" "$work/$1/task.yaml"
    echo $(($(now_ms) - start + 5)) >"$work/$1/time"
}

begin_case two 300 2 silr
begin_case three 240 3 silr
begin_case paper 200 2 paper
begin_case tuned 120 2 silr
begin_case tuned-paper 120 2 paper

killed=0 runs=0 differ=0
while [ "$killed" -lt "$kills" ]; do
    for case in $cases; do
        task=$work/$case/task.yaml
        run=$work/$case/run
        time=$(cat "$work/$case/time")
        rm -rf "$run"
        random 5
        attempts=$((value + 1))
        while [ "$attempts" -gt 0 ] && [ "$killed" -lt "$kills" ]; do
            random "$time"
            status=0
            timeout --foreground -s KILL "$(printf '%d.%03d' $((value / 1000)) $((value % 1000 + 1)))" \
                "$silr" run "$task" --out "$run" -q >"$work/log" 2>&1 || status=$?
            case $status in
            137) killed=$((killed + 1)) ;;
            0 | 124) ;; # it was quicker than the shot, or just as quick
            *)
                echo "kill: a run that was begun again failed ($status):" >&2
                cat "$work/log" >&2
                exit 1
                ;;
            esac
            attempts=$((attempts - 1))
        done
        finish "$run" "$task"
        runs=$((runs + 1))
        same "$work/$case/unbroken" "$run" || differ=$((differ + 1))
    done
done
echo "kill: $killed kills in $runs runs; $((runs - differ)) ended with the bytes of the unbroken run, $differ did not"
[ "$differ" -eq 0 ]
