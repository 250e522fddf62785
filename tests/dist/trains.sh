#!/bin/sh
# trains.sh SILR DUMP MODELS - a language model fine-tuned by 1, 2 and 3 ranks gives the same labels and scores, to
# rounding; killed in training, each rank once, or stopped, it goes on from its checkpoint with any number of
# ranks, and with as many as before to the same bytes.
set -eu
silr=$1 dump=$2 models=$3
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/embed/tiny.sh
. "$here/../embed/tiny.sh"
# shellcheck source=tests/dist/jobs.sh
. "$here/jobs.sh"

make_texts 600 8 >"$work/texts.jsonl"
# A gentle rate: the robust risk's sign can turn, and a fast training makes of a rounding another one.
cat >"$work/task.yaml" <<TASK
name: tiny
classes: [a, b]
corpus: {files: [texts.jsonl], text: text, id: id, label: label}
labelled: {count: 60}
annotator: {kind: column, column: llm}
classifier: {kind: qlora, model: $models/tinyllama, base: f32, checkpoint: 0.2}
refine: {recipe: paper, iterations: 1, epochs: 12, learning_rate: 0.0005}
TASK

# What there is to compare to the bit: labels, adapter, every epoch's losses.
results()
{
    cat "$work/$1/labels.jsonl" "$work/$1/classifier/adapter_model.safetensors"
    "$dump" "$work/$1/run.db" 'SELECT iteration, member, epoch, quote(train_loss), quote(validation_loss), best
        FROM epochs ORDER BY 1, 2, 3'
}

same()
{
    results "$1" >"$work/wanted"
    results "$2" >"$work/got"
    cmp -s "$work/wanted" "$work/got" || fail "$2: another result than $1"
}

# near NAME NAME - P(class a) of every text, and every loss, less than 1e-4 apart.
near()
{
    for name in "$1" "$2"; do
        sed 's/.*"label":"\(.\)","score":\([^,]*\),.*/\1 \2/' "$work/$name/labels.jsonl" |
            awk '{ print ($1 == "a" ? $2 : 1 - $2) }' >"$work/near.$name"
        "$dump" "$work/$name/run.db" 'SELECT train_loss FROM epochs UNION ALL SELECT validation_loss FROM epochs
            WHERE validation_loss IS NOT NULL' >>"$work/near.$name"
    done
    paste "$work/near.$1" "$work/near.$2" | awk '{ d = $1 - $2; if (d < 0) d = -d; if (d > most) most = d }
        END { print NR " numbers, " most " apart"; exit !(NR >= 624 && most < 1e-4) }' >"$work/apart" ||
        fail "$1 and $2: $(cat "$work/apart")"
}

for n in 1 2 3; do
    run "on$n" "$n" || fail "$n ranks"
    near on1 "on$n"
done
apart=$(cat "$work/apart")

# go_on RANK N - rank RANK of three is killed in training, and N ranks go on.
go_on()
{
    disturb "killed$1" "$work/killed$1/training.ckpt" kill_rank "$1"
    [ "$code" -eq 137 ] || [ "$code" -eq 0 ] || fail "rank $1 killed: exit code $code"
    [ "$code" -ne 137 ] || [ -f "$work/killed$1/training.ckpt" ] || fail "rank $1 killed: no checkpoint is left"
    [ "$code" -ne 137 ] || kills=$((${kills:-0} + 1))
    run "killed$1" "$2" || fail "a training with a killed rank $1 does not go on"
    [ ! -e "$work/killed$1/training.ckpt" ] || fail 'a checkpoint is left behind'
}

go_on 1 3
same on3 killed1
go_on 0 2
near on1 killed0
go_on 2 1
near on1 killed2

disturb stopped "$work/stopped/training.ckpt" stop_all
[ "$code" -eq 130 ] || [ "$code" -eq 0 ] || fail "stopped: exit code $code"
[ "$code" -ne 130 ] || grep -q 'goes on from there' "$work/said" || fail 'stopped, and not a word of how to go on'
run stopped 3 || fail 'a stopped training does not go on'
same on3 stopped

echo "1 and 3 ranks: $apart; ${kills:-0} kills; stopped: exit code $code"
