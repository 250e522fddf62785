#!/bin/sh
# cli.sh SILR HUB_SERVER - silr models against a hub on loopback: what it prints, and its exit codes.
set -eu
silr=$(realpath "$1") hub_server=$(realpath "$2")
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$work"' EXIT
cd "$work"
unset http_proxy https_proxy ALL_PROXY HF_HOME HUGGINGFACE_HUB_CACHE HF_HUB_OFFLINE TRANSFORMERS_OFFLINE HF_TOKEN
HF_HUB_CACHE=$work/cache
export HF_HUB_CACHE

# expect CODE WORDS COMMAND... - its exit code, and words in what it prints.
expect()
{
    code=$1 words=$2 got=0
    shift 2
    "$@" >out 2>err </dev/null || got=$?
    if [ "$got" -ne "$code" ] || ! cat out err | grep -qF -e "$words"; then
        echo "cli.sh: $*: exit code $got, not $code; or \"$words\" is missing:"
        cat out err
        exit 1
    fi
}

mkdir -p model/1_Pooling
echo '{"model_type": "none"}' >model/config.json
echo '{}' >model/tokenizer.json
echo '{}' >model/1_Pooling/config.json
echo 'of no use' >model/pytorch_model.bin
head -c 200000 /dev/zero | tr '\0' 'x' >model/model.safetensors
mkfifo hold
"$hub_server" model acme/tiny <hold >url &
server=$!
exec 3>hold
while [ ! -s url ]; do
    kill -0 "$server" || exit 1
    sleep 0.02
done
HF_ENDPOINT=$(cat url)
snapshot=cache/models--acme--tiny/snapshots/5555555555555555555555555555555555555555
export HF_ENDPOINT

expect 0 "no models in $work/cache" "$silr" models list
expect 3 'silr models fetch acme/tiny' "$silr" models check acme/tiny
expect 5 'HF_HUB_OFFLINE' env HF_HUB_OFFLINE=1 "$silr" models fetch acme/tiny
expect 3 'no such model' "$silr" models fetch acme/other
expect 3 'is no name of a model' "$silr" models fetch ../tiny
expect 3 'no file matches --include' "$silr" models fetch acme/tiny --include '*.gguf'
expect 0 "$work/$snapshot" \
    "$silr" models fetch acme/tiny
[ "$(cat out)" = "$work/$snapshot" ]
grep -qF '4 files, 200.0 kB' err
cmp model/model.safetensors "$snapshot"/model.safetensors
[ ! -e "$snapshot/pytorch_model.bin" ]
expect 0 '"fetched": 0' "$silr" models fetch acme/tiny --json
expect 0 'acme/tiny' "$silr" models list
grep -qF 'main' out
expect 0 '"complete": true' "$silr" models list --json
# It is no model that silr could run (its weights are letters); but its files are what the hub gave.
expect 3 'verified' "$silr" models check acme/tiny
expect 3 '"right": true' "$silr" models check acme/tiny --json
echo x >>"$snapshot/tokenizer.json"
expect 3 'WRONG' "$silr" models check acme/tiny
expect 0 '"fetched": 3' "$silr" models fetch acme/tiny --json
exec 3>&-
wait "$server" || true
server=
echo 'cli.sh: all as expected'
