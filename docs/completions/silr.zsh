#compdef silr
# zsh completion for silr

_silr()
{
    local -a commands common
    commands=(
        'init:write a commented task.yaml'
        'doctor:check build, machine, task or model'
        'label:label texts, one key each'
        'annotate:only the annotation'
        'priors:theta, pi and their intervals'
        'run:do all of it, or go on'
        'predict:label new texts'
        'show:print the table of a run'
        'report:write report.html again'
        'export:for other programs'
        'models:list, check, fetch local models'
    )
    common=(
        '(-h --help)'{-h,--help}'[examples and options]'
        '(-q --quiet)'{-q,--quiet}'[no progress, no information]'
        '(-v --verbose)'{-v,--verbose}'[say more]'
        '--seed[random seed]:number:'
        '--threads[threads, 0 for all]:number:'
        '--limit[use the first N texts]:number:'
    )
    if (( CURRENT == 2 )); then
        _describe command commands
        return
    fi
    local command=$words[2]
    shift words
    (( CURRENT-- ))
    case $command in
    init) _arguments $common {-o,--out}'[file to write]:file:_files' '--force[overwrite]' '::file:_files' ;;
    doctor) _arguments $common '*--set[override a setting]:key=value:' '--json[as JSON]' '::task or model:_files' ;;
    label) _arguments $common {-o,--out}'[folder of the run]:folder:_files -/' '*--set[override a setting]:key=value:' \
        '--export[write the texts as CSV]:file:_files' '--import[read them back]:file:_files' \
        '--json[how the labels stand, as JSON]' ':task:_files' ;;
    annotate) _arguments $common {-o,--out}'[folder of the run]:folder:_files -/' '*--set[override a setting]:key=value:' \
        '--max-cost[stop before it costs more]:cost:' '--max-requests[stop after so many requests]:number:' \
        '--max-time[stop asking after so long]:seconds:' '--retry-failed[ask again about what failed]' \
        '--json[as JSON]' '--dry-run[say what would be done]' ':task:_files' ;;
    priors) _arguments $common {-o,--out}'[folder of the run]:folder:_files -/' '*--set[override a setting]:key=value:' \
        '--json[as JSON]' '--force[do not refuse]' ':task:_files' ;;
    run) _arguments $common {-o,--out}'[folder of the run]:folder:_files -/' '*--set[override a setting]:key=value:' \
        '--max-cost[stop before it costs more]:cost:' '--max-requests[stop after so many requests]:number:' \
        '--max-time[stop asking after so long]:seconds:' '--retry-failed[ask again about what failed]' \
        '--show[print every setting]' '--json[as JSON]' '--force[do not refuse]' ':task:_files' ;;
    predict) _arguments $common '--text[column of the text]:column:' '--id[column of the id]:column:' \
        '--model[where the encoder is]:encoder:_files' '--json[as JSON]' ':run:_files -/' '::file:_files' ;;
    show) _arguments $common '--json[as JSON]' ':run:_files -/' ;;
    models) _arguments $common '--revision[branch, tag or commit]:revision:' '*--include[weights that match]:glob:' \
        '--json[as JSON]' ':action:(list check fetch)' '::model:_files' ;;
    report) _arguments $common ':run:_files -/' ;;
    export) _arguments $common '--to[what to write]:form:(peft merged labelstudio cleanlab csv jsonl)' \
        '--base[name of the base]:name:' '--type[of the weights]:type:(f32 bf16 f16)' \
        '--model[where the base is]:model:_files' '--json[as JSON]' ':run:_files -/' ':place:_files' ;;
    esac
}
_silr "$@"
