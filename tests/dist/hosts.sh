#!/bin/sh
# hosts.sh SILR TEST_DIST MODELS - ranks on two machines that share nothing but a cable.
#
# The machines are network namespaces with host names of their own, so that MPI must start a daemon on each
# and send everything over TCP. That needs root and the right to make namespaces; else it is skipped (77).
set -eu
export ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0" # as in ranks.sh: MPI keeps some memory to the end
silr=$1 test_dist=$2 models=$3
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/embed/tiny.sh
. "$here/../embed/tiny.sh"

skip()
{
    echo "skipped: $1"
    exit 77
}

"$here/ranks.sh" 2 true || exit 77
[ "$(id -u)" -eq 0 ] || skip 'only root makes network namespaces'
command -v ip >/dev/null || skip 'there is no ip (Debian: iproute2)'
tag=silr$$
work=$(mktemp -d)
trap 'for h in head a b; do ip netns del $tag$h 2>/dev/null || true; done; rm -rf "$work"' EXIT
ip netns add "${tag}head" 2>/dev/null || skip 'no network namespace can be made here'
ip netns exec "${tag}head" unshare -u -m true 2>/dev/null || skip 'no host can be given a name here'

fail()
{
    echo "hosts: $1" >&2
    tail -n 20 "$work/said" >&2
    exit 1
}

# Where mpirun is: a switch to which both machines are connected.
ip -n "${tag}head" link add switch type bridge 2>/dev/null || skip 'no bridge can be made here'
ip -n "${tag}head" addr add 10.213.7.1/24 dev switch
ip -n "${tag}head" link set switch up
ip -n "${tag}head" link set lo up
n=2
for h in a b; do
    ip netns add "$tag$h"
    ip -n "${tag}head" link add "to$h" type veth peer name eth0 netns "$tag$h"
    ip -n "${tag}head" link set "to$h" master switch up
    ip -n "$tag$h" addr add "10.213.7.$n/24" dev eth0
    ip -n "$tag$h" link set eth0 up
    ip -n "$tag$h" link set lo up
    n=$((n + 1))
done
# In place of ssh: AGENT HOST COMMAND...
cat >"$work/agent" <<AGENT
#!/bin/sh
host=\$1
shift
exec ip netns exec $tag\$host unshare -u -m sh -c "hostname \$host; \$*"
AGENT
chmod +x "$work/agent"

# One rank on a, two on b.
on_both()
{
    export OMPI_MCA_plm_rsh_agent="$work/agent" OMPI_MCA_plm_rsh_no_tree_spawn=1
    export OMPI_MCA_btl_tcp_if_include=10.213.7.0/24 OMPI_MCA_oob_tcp_if_include=10.213.7.0/24
    ip netns exec "${tag}head" "$here/ranks.sh" 3 --host a:1,b:2 -x SILR_MPI "$@" >"$work/out" 2>"$work/said"
}

on_both sh -c 'hostname' || fail 'mpirun does not start anything on the two'
[ "$(sort "$work/out" | tr '\n' ' ')" = 'a b b ' ] || fail 'there are not one rank on a and two on b'
on_both "$test_dist" 3 || fail 'test_dist on two machines'

make_bert "$models/tinybert" "$work/bert"
make_texts 300 >"$work/texts.jsonl"
cat >"$work/task.yaml" <<'TASK'
name: tiny
classes: [a, b]
corpus: {files: [texts.jsonl], text: text, id: id, label: label}
labelled: {count: 40}
annotator: {kind: column, column: llm}
classifier: {kind: frozen, model: bert}
refine: {steps: 20, iterations: 1}
TASK
OMP_WAIT_POLICY=passive "$silr" run "$work/task.yaml" --out "$work/one" -q >"$work/out" 2>"$work/said" || fail 'one rank'
on_both "$silr" run "$work/task.yaml" --out "$work/both" || fail 'a run on two machines'
cmp -s "$work/one/labels.jsonl" "$work/both/labels.jsonl" || fail 'two machines have other labels'
cat "$work"/one/embeddings/* >"$work/one.vectors"
cat "$work"/both/embeddings/* | cmp -s - "$work/one.vectors" || fail 'two machines have other vectors'

# Machine b has another model in that place: every rank ends, rank 0 says whose fault it is.
mkdir "$work/other"
cp "$work"/bert/* "$work/other"
sed -i 's/"layer_norm_eps": 1e-12/"layer_norm_eps": 1e-5/' "$work/other/config.json"
code=0
on_both sh -c "[ \$(hostname) = a ] || mount --bind $work/other $work/bert
    exec $silr run $work/task.yaml --out $work/mixed" || code=$?
[ "$code" -eq 3 ] || fail "two models: exit code $code"
grep -q 'rank 1: .*not the one that rank 0 has' "$work/said" || fail 'two models, and nobody says so'
echo 'one rank here, two there: the same bytes'
