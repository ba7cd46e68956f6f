/** What commands fetch from the network, guessed from their text. */

/** Names a program, what makes it fetch, and what pins what it fetches. */
interface Fetcher {
  /** Begins a command of a shell line. */
  readonly command: RegExp;
  /** Whether words after it are packages, each to be pinned like this; undefined where a flag or file of the line pins all. */
  readonly pinnedWord?: RegExp;
  readonly pinnedLine?: RegExp;
}

const FETCHERS: readonly Fetcher[] = [
  { command: /^(?:apt-get|apt|aptitude)\s+(?:-\S+\s+)*install\b/, pinnedWord: /=|^\.?\// },
  { command: /^(?:yum|dnf|microdnf|zypper)\s+(?:-\S+\s+)*install\b/, pinnedWord: /-\d|^\.?\/|=/ },
  { command: /^apk\s+(?:-\S+\s+)*add\b/, pinnedWord: /[=~@<>]|^\.?[\w-]*\// },
  {
    command: /^(?:python3?\s+-m\s+)?pip3?\s+(?:-\S+\s+)*install\b/,
    pinnedWord: /==|^\.|\/|\.whl$/,
    pinnedLine: /\s(?:-r|--requirement|-c|--constraint)[\s=]/,
  },
  { command: /^(?:npm\s+(?:-\S+\s+)*(?:i|install|add)|npx)\b/, pinnedWord: /.@|^\.|\// },
  { command: /^(?:yarn|pnpm)\s+(?:global\s+)?add\b/, pinnedWord: /.@|^\.|\// },
  { command: /^gem\s+install\b/, pinnedWord: /:|\.gem$/, pinnedLine: /\s(?:-v|--version)[\s=]/ },
  { command: /^go\s+(?:install|get)\b/, pinnedWord: /@(?!latest$)|^\./ },
  { command: /^cargo\s+install\b/, pinnedWord: /@/, pinnedLine: /\s(?:--version|--path|--locked|--rev|--tag)[\s=]?/ },
  { command: /^(?:apt-get|apt|yum|dnf|apk|zypper)\s+(?:-\S+\s+)*(?:dist-)?upgrade\b/, pinnedLine: /(?!)/ },
  { command: /^git\s+clone\b/, pinnedLine: /\s(?:-b|--branch|--revision)[\s=]/ },
];

/** A checksum or signature that is looked at, or a commit that is checked out, in the same script. */
const VERIFIED = /\b(?:sha\d+sum|shasum|md5sum|gpg|cosign|minisign)\b|git\s+(?:-C\s+\S+\s+)?(?:checkout|reset)\b/;
const DOWNLOAD = /^(?:curl|wget)\b.*\bhttps?:\/\//;

const DEPENDENCIES =
  /^(?:npm\s+(?:ci|i|install)|yarn(?=\s*$|\s+-)|yarn\s+install|pnpm\s+(?:i|install|fetch)|(?:python3?\s+-m\s+)?pip3?\s+install\s.*-r|poetry\s+install|uv\s+sync|bundle\s+install|composer\s+install|go\s+mod\s+download|cargo\s+fetch|dotnet\s+restore|mvn\s.*dependency:\S+|gradle\s+dependencies)(?=\s|$)/;

/** The first command of a script that fetches something without a version or checksum, as far as its text tells. */
export function findUnpinned(script: string): string | undefined {
  const isVerified = VERIFIED.test(script);
  for (const command of commandsOf(script)) {
    if (DOWNLOAD.test(command)) {
      if (isVerified) continue;
      return command;
    }
    for (const fetcher of FETCHERS) {
      const match = fetcher.command.exec(command);
      if (match === null || fetcher.pinnedLine?.test(command)) continue;
      if (fetcher.pinnedWord === undefined) {
        if (!isVerified) return command;
        continue;
      }
      if (packagesOf(command.slice(match[0].length)).some(word => !fetcher.pinnedWord?.test(word))) return command;
    }
  }
  return undefined;
}

/** The command of a script that installs what a lock file or list of dependencies names. */
export function findDependencyInstall(script: string): string | undefined {
  return commandsOf(script).find(command => DEPENDENCIES.test(command));
}

/** The simple commands of a shell script, variables in front of them dropped. */
function commandsOf(script: string): string[] {
  return script
    .replace(/\\\r?\n/g, ' ')
    .split(/&&|\|\||[;|\n]|\b(?:then|do|else)\b/)
    .map(command => command.trim().replace(/^(?:(?:sudo|exec|time|!)\s+|\w+=\S*\s+|\(\s*)+/, ''))
    .filter(command => command !== '');
}

/** Arguments that are no flags and no variables, whose values are not known here. */
function packagesOf(rest: string): string[] {
  return rest.split(/\s+/).filter(word => word !== '' && !/^[-$"'<>]|^\d?>|[`$]/.test(word));
}
