# bash completion for silr

_silr()
{
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} options
    local common="--help --quiet --verbose --seed --threads --limit"
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "init doctor label annotate priors run predict show report export models --help --version" -- "$cur"))
        return
    fi
    case $prev in
    --seed | --threads | --limit | --set | --text | --id | --revision | --include | --base) return ;;
    --to) COMPREPLY=($(compgen -W "peft merged labelstudio cleanlab csv jsonl" -- "$cur")); return ;;
    --type) COMPREPLY=($(compgen -W "f32 bf16 f16" -- "$cur")); return ;;
    models) COMPREPLY=($(compgen -W "list check fetch" -- "$cur")); return ;;
    esac
    case ${COMP_WORDS[1]} in
    init) options="--out --force" ;;
    doctor) options="--set --json" ;;
    label) options="--out --set --export --import --json" ;;
    annotate) options="--out --set --json --dry-run --max-cost --max-requests --max-time --retry-failed" ;;
    priors) options="--out --set --json --force" ;;
    run) options="--out --set --show --json --force --max-cost --max-requests --max-time --retry-failed" ;;
    predict) options="--text --id --model --json" ;;
    show) options="--json" ;;
    export) options="--to --base --type --model --json" ;;
    models) options="--revision --include --json" ;;
    *) options="" ;;
    esac
    case $cur in
    -*) COMPREPLY=($(compgen -W "$options $common" -- "$cur")) ;;
    *) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$cur")) ;;
    esac
}
complete -F _silr silr
