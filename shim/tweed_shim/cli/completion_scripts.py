"""The scripts that complete command lines in a shell. completion.py has what they ask, and the form of the answers."""

BASH = r"""# bash completion for tweed-shim. For this shell: source <(tweed-shim completion bash)
# For all: tweed-shim completion bash > /etc/bash_completion.d/tweed-shim

_tweed_shim() {
    local program=$1 rest=${COMP_LINE:0:COMP_POINT} words=() word value lines kept=
    case $program in '~/'*) program=$HOME/${program#'~/'} ;; esac
    # bash also splits words at the characters of COMP_WORDBREAKS, such as = and :, so they are joined again.
    for word in "${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
        if [[ $rest == [[:space:]]* || ${#words[@]} -eq 0 ]]; then
            rest=${rest#"${rest%%[![:space:]]*}"}
            words+=('')
        fi
        # The last word is complete in COMP_WORDS; here it ends at the cursor.
        [[ $rest == "$word"* ]] || word=$rest
        rest=${rest#"$word"}
        words[${#words[@]}-1]+=${word//[\\\"\']/}
    done
    mapfile -t lines < <("$program" __complete "${words[@]:1}" 2>/dev/null </dev/null)
    COMPREPLY=()
    case ${lines[0]-} in
        files) compopt -o default; return ;;
        directories) compopt -o dirnames; return ;;
    esac
    # readline replaces only what follows the last character at which it splits words.
    word=${words[${#words[@]}-1]}
    [[ $COMP_WORDBREAKS != *:* || $word != *:* ]] || kept=${word%"${word##*:}"}
    [[ $COMP_WORDBREAKS != *=* || ${word#"$kept"} != *=* ]] || kept=${word%"${word##*=}"}
    for value in "${lines[@]:1}"; do
        value=${value%%$'\t'*}
        value=${value#"$kept"}
        [[ $value != *[!A-Za-z0-9_./:@=,+%-]* ]] || printf -v value %q "$value"
        COMPREPLY+=("$value")
    done
    [[ ${#COMPREPLY[@]} -ne 1 || ${COMPREPLY[0]} != *[/:=] ]] || compopt -o nospace
}
complete -F _tweed_shim tweed-shim
"""

ZSH = r"""#compdef tweed-shim
# zsh completion for tweed-shim. For this shell, after compinit: source <(tweed-shim completion zsh)
# For all: tweed-shim completion zsh > a file _tweed-shim in a directory of $fpath

_tweed-shim() {
    local -a lines finished unfinished
    local line value meaning
    lines=("${(@f)$("${(Q)words[1]}" __complete "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null </dev/null)}")
    case $lines[1] in
        files) _files; return ;;
        directories) _files -/; return ;;
    esac
    for line in "${(@)lines[2,-1]}"; do
        value=${line%%$'\t'*} meaning=${line#*$'\t'}
        line=${value//:/\\:}${meaning:+:$meaning}
        if [[ $value == *[/:=] ]]; then
            unfinished+=("$line")
        else
            finished+=("$line")
        fi
    done
    _describe -t values value finished -- unfinished -S ''
}

if [[ ${funcstack[1]} == _tweed-shim ]]; then
    _tweed-shim "$@"
else
    compdef _tweed-shim tweed-shim
fi
"""

FISH = r"""# fish completion for tweed-shim. For this shell: tweed-shim completion fish | source
# For all: tweed-shim completion fish > ~/.config/fish/completions/tweed-shim.fish

function __tweed_shim_complete
    set -l words (commandline --tokenize --cut-at-cursor --current-process)
    set -l current (commandline --current-token --cut-at-cursor)
    set -l lines ($words[1] __complete $words[2..-1] "$current" 2>/dev/null </dev/null)
    switch "$lines[1]"
        case files
            __fish_complete_path "$current"
        case directories
            __fish_complete_directories "$current" ''
        case '*'
            printf '%s\n' $lines[2..-1]
    end
end
complete --command tweed-shim --no-files --arguments '(__tweed_shim_complete)'
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
