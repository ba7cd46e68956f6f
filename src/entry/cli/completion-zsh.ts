import type { CompletionCommand, CompletionOption, CompletionValue } from './completion-model.ts';

/** The completion script of zsh, a file for a directory of `fpath`. */
export function zshCompletion(program: string, commands: readonly CompletionCommand[]): string {
  const listed = commands.map(({ name, summary }) => `                ${quote(`${name}:${summary}`)}`);
  return `#compdef ${program}
_${program}_images() {
    local -a images
    images=(\${(f)"$(${program} images --names 2>/dev/null)"})
    images=(\${images//:/\\\\:})
    _describe 'image' images
}
_${program}() {
    local line state
    _arguments -C '(-h --help)'{-h,--help}'[print this help]' '(-v --version)'{-v,--version}'[print the version]' \\
        '1: :->command' '*:: :->arguments'
    case $state in
        command)
            local -a commands
            commands=(
${listed.join('\n')}
            )
            _describe 'command' commands
            ;;
        arguments)
            case $line[1] in
${commands.map(command => commandCase(program, command)).join('\n')}
            esac
            ;;
    esac
}
# Called as a file of fpath, or read once at the start of a shell.
if [[ $funcstack[1] == _${program} ]]; then
    _${program} "$@"
else
    compdef _${program} ${program}
fi
`;
}

function commandCase(program: string, { names, options, argument }: CompletionCommand): string {
  const specs = options.map(option => optionSpec(program, option));
  if (argument) specs.push(quote(`*:argument:${action(program, argument)}`));
  return `                ${names.join('|')})
                    _arguments -s \\
${specs.map(spec => `                        ${spec}`).join(' \\\n')}
                    ;;`;
}

function optionSpec(program: string, { long, short, description, repeatable, value }: CompletionOption): string {
  const [longSign, shortSign] = value ? ['=', '+'] : ['', ''];
  const about = `[${description.replace(/[[\]:\\]/g, '\\$&')}]`;
  const takes = value ? `:${value.name.replace(/[:\\]/g, '\\$&')}:${action(program, value.what)}` : '';
  const rest = quote(about + takes);
  if (short === undefined) return `${repeatable ? quote('*') : ''}${long}${longSign}${rest}`;
  const alone = repeatable ? quote('*') : quote(`(${short} ${long})`);
  return `${alone}{${short}${shortSign},${long}${longSign}}${rest}`;
}

function action(program: string, value: CompletionValue): string {
  switch (value.kind) {
    case 'words':
      return `(${value.words.join(' ')})`;
    case 'file':
      return '_files';
    case 'directory':
      return '_directories';
    case 'image':
      return `_${program}_images`;
    default:
      return ' ';
  }
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
