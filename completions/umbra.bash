# bash completion for umbra; made from the option tables
_umbra() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} flags= words=
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    mapfile -t COMPREPLY < <(compgen -W "predict place shadow replicate sync decide switchover pool observe model status doctor receive --help --version" -- "$cur")
    return
  fi
  case $prev in
    -o|--output) mapfile -t COMPREPLY < <(compgen -W "auto table jsonl" -- "$cur"); return ;;
    --config|--export|--trace) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
    --state|--into|--images) mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
    --above|--allow|--at|--bitmap|--ca|--cert|--config|--connect|--crl|--end-guard|--export|--for|--forget|--format|--guard|--hook|--host|--html|--idle|--image|--images|--interval|--into|--key|--key-file|--limit|--listen|--model|--most|--name|--note|--on|--out|--output|--point|--predictions|--progress-fd|--resource|--retain|--retain-for|--seed|--send|--since|--source|--state|--step|--threshold|--to|--trace|--wait|--watch|--within|-c|-o|-w) return ;;
  esac
  case ${COMP_WORDS[1]} in
    predict) flags="-w --within --model --model-fallback --trace --at --no-learning --all -o --output --show -c --connect --config --state --progress-fd -q --quiet -v --verbose"; words="" ;;
    place) flags="--on --all -o --output --show -c --connect --config --state --progress-fd -q --quiet -v --verbose"; words="" ;;
    shadow) flags="--on --rehearse --watch --drop --forget --verify --export --point --retain --retain-for --into --all -o --output --show -n --dry-run -c --connect --config --state --progress-fd -q --quiet -v --verbose"; words="list points" ;;
    replicate) flags="--due --wait --retain --limit --resume --no-resume --source --name --format --into --on --send --to --ca --cert --key --crl --key-file --all -o --output --show -n --dry-run -c --connect --config --state --progress-fd -q --quiet -v --verbose"; words="" ;;
    sync) flags="--all -o --output --show -n --dry-run -c --connect --config --state --progress-fd -q --quiet -v --verbose"; words="" ;;
    decide) flags="--replay --exit-code --all -o --output --show -c --connect --config --state --progress-fd -q --quiet -v --verbose"; words="" ;;
    switchover) flags="--rollback --recover --forget --decommission --from-point --accept-split-brain-risk --force --all -o --output --show -n --dry-run -c --connect --config --state --progress-fd -q --quiet -v --verbose"; words="" ;;
    pool) flags="-o --output --show -n --dry-run -c --connect --config --state --progress-fd -q --quiet -v --verbose"; words="list fill claim release resize" ;;
    observe) flags="--interval --for --since -o --output --show -n --dry-run -c --connect --config --state --progress-fd -q --quiet -v --verbose"; words="" ;;
    model) flags="--trace --history --out --from-scratch --name --note --seed --resource -w --within --threshold --step --predictions --html --no-learning --model -o --output --show -n --dry-run -c --connect --config --state --progress-fd -q --quiet -v --verbose"; words="train backtest show list back" ;;
    status) flags="-o --output --show -c --connect --config --state --progress-fd -q --quiet -v --verbose"; words="" ;;
    doctor) flags="--show-config --install-hook --host --hook -o --output --show -n --dry-run -c --connect --config --state --progress-fd -q --quiet -v --verbose"; words="" ;;
    receive) flags="--session --images --into --retain --export --format --bitmap --above --guard --image --end-guard --keepalive --listen --ca --cert --key --crl --key-file --allow --most --idle -o --output --show -c --connect --config --state --progress-fd -q --quiet -v --verbose"; words="" ;;
  esac
  if [[ $cur == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$flags --help" -- "$cur")
  else
    # Names are data: whoever names a VM must not get a word in here.
    local word
    while IFS= read -r word; do
      [[ -n $word && $word == "$cur"* ]] && COMPREPLY+=("$(printf %q "$word")")
    done < <(printf '%s\n' $words; umbra status -o jsonl 2>/dev/null | sed -n 's/.*"vm":{"name":"\([^"\\]*\)".*/\1/p')
  fi
}
complete -F _umbra umbra
