import type { CompletionCommand, CompletionOption, CompletionValue } from './completion-model.ts';

/** The completion script of bash; it needs nothing but bash. */
export function bashCompletion(program: string, commands: readonly CompletionCommand[]): string {
  const names = commands.map(({ name }) => name).join(' ');
  return `# bash completion for ${program}
_${program}() {
    local line=\${COMP_LINE:0:COMP_POINT} current previous= command= kept word
    local -a words
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=('')
    current=\${words[-1]}
    ((\${#words[@]} > 1)) && previous=\${words[-2]}
    if [[ $current == --*=* ]]; then
        previous=\${current%%=*} current=\${current#*=}
    fi
    for word in "\${words[@]:1:\${#words[@]}-2}"; do
        case $word in
${commands.map(({ name, names }) => `            ${names.join(' | ')}) command=${name} && break ;;`).join('\n')}
        esac
    done
    COMPREPLY=()
    case $command in
        '') COMPREPLY=($(compgen -W '${names} help --help --version' -- "$current")) ;;
${commands.map(command => commandCase(program, command)).join('\n')}
    esac
    # bash itself takes words apart at these, and completes only what comes after.
    kept=\${current%"\${current##*[:=]}"}
    [[ $COMP_WORDBREAKS == *[:=]* ]] && COMPREPLY=("\${COMPREPLY[@]#"$kept"}")
    [[ \${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
    return 0
}
complete -F _${program} ${program}
`;
}

function commandCase(program: string, { name, options, argument }: CompletionCommand): string {
  const byReply = Map.groupBy(
    options.filter(option => option.value !== undefined),
    option => reply(program, option.value?.what),
  );
  const flags = options.map(({ long }) => long).join(' ');
  const cases = [...byReply].map(([text, same]) => `                ${same.map(patternOf).join(' | ')}) ${text} ;;`);
  return `        ${name})
            case $previous in
${cases.map(text => `${text}\n`).join('')}                *)
                    if [[ $current == -* ]]; then
                        COMPREPLY=($(compgen -W '${flags}' -- "$current"))
                    else
                        ${reply(program, argument)}
                    fi
                    ;;
            esac
            ;;`;
}

function patternOf({ long, short }: CompletionOption): string {
  return short === undefined ? long : `${short} | ${long}`;
}

function reply(program: string, value: CompletionValue | undefined): string {
  switch (value?.kind) {
    case 'words':
      return `COMPREPLY=($(compgen -W '${value.words.join(' ')}' -- "$current"))`;
    case 'file':
      return 'compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$current"))';
    case 'directory':
      return 'compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -d -- "$current"))';
    case 'image':
      return `COMPREPLY=($(compgen -W "$(${program} images --names 2>/dev/null)" -- "$current"))`;
    default:
      return ':';
  }
}
