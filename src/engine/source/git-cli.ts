import { spawn } from 'node:child_process';
import { SourceError } from './source-key.ts';

/** Runs git with one configuration, apart from that of the machine and of the user. */
export interface GitCli {
  /** Runs `git ARGS` and returns its standard output. Throws `SourceError` with what git said when it fails. */
  run(args: readonly string[], signal: AbortSignal): Promise<string>;
  /** The same git with other settings. */
  with(options: Partial<GitCliOptions>): GitCli;
}

/** Settings of a git. */
export interface GitCliOptions {
  readonly gitDir?: string;
  readonly workTree?: string;
  /** An `Authorization` header and the URL prefix that it is for. */
  readonly auth?: { readonly scope: string; readonly header: string };
  /** Path of the socket of an ssh agent. */
  readonly sshSocket?: string;
  /** Path of a file of known hosts; without it, any host key is taken. */
  readonly knownHosts?: string;
  /** Takes what git prints. */
  readonly output?: (stream: 1 | 2, data: Uint8Array) => void;
}

const PROXY_VARIABLES = [
  'HTTP_PROXY',
  'HTTPS_PROXY',
  'NO_PROXY',
  'ALL_PROXY',
  'http_proxy',
  'https_proxy',
  'no_proxy',
  'all_proxy',
];

/** Files get the modes that git knows, whatever the umask of this process. */
const WITH_UMASK = 'umask 022; exec git "$@"';

/** A git with these settings. */
export function createGitCli(options: GitCliOptions): GitCli {
  return {
    with: others => createGitCli({ ...options, ...others }),
    async run(args, signal) {
      for (let attempt = args; ; ) {
        const { code, stdout, stderr } = await runGit(attempt, options, signal);
        if (code === 0) return stdout;
        const simpler = simplify(attempt, stderr);
        if (simpler === undefined) throw failure(attempt, code, stderr);
        attempt = simpler;
      }
    },
  };
}

/** What a server that cannot do something is asked instead: all of the history, or all of its refs. */
function simplify(args: readonly string[], stderr: string): readonly string[] | undefined {
  if (/--depth|shallow/.test(stderr) && args.includes('--depth=1')) return args.filter(arg => arg !== '--depth=1');
  const commit = args[0] === 'fetch' && /^(?:[a-f0-9]{40}|[a-f0-9]{64})$/.test(args.at(-1) ?? '');
  if (/not our ref|unadvertised object/.test(stderr) && commit) return args.slice(0, -1);
  return undefined;
}

function failure(args: readonly string[], code: number | null, stderr: string): SourceError {
  const lines = stderr
    .split('\n')
    .map(line => line.trim())
    .filter(Boolean);
  const said = lines.find(line => /^(fatal|error):/.test(line)) ?? lines.at(-1) ?? `exit code ${code}`;
  return new SourceError(`git ${args[0]}: ${said}`, { cause: new Error(stderr) });
}

function environment(options: GitCliOptions): NodeJS.ProcessEnv {
  const hosts =
    options.knownHosts === undefined ? '-o StrictHostKeyChecking=no' : `-o UserKnownHostsFile=${options.knownHosts}`;
  const env: NodeJS.ProcessEnv = {
    PATH: process.env['PATH'],
    GIT_TERMINAL_PROMPT: '0',
    GIT_SSH_COMMAND: `ssh -F /dev/null ${hosts}`,
    LC_ALL: 'C',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    HOME: '/dev/null',
  };
  for (const name of PROXY_VARIABLES) if (process.env[name] !== undefined) env[name] = process.env[name];
  if (options.sshSocket !== undefined) env['SSH_AUTH_SOCK'] = options.sshSocket;
  // A repository must not take files of this machine as its submodules.
  const config: [key: string, value: string][] = [['protocol.file.allow', 'user']];
  if (options.auth !== undefined) {
    // As a variable: arguments can be read by everyone on the machine.
    config.push([`http.${options.auth.scope}.extraheader`, `Authorization: ${options.auth.header}`]);
  }
  env['GIT_CONFIG_COUNT'] = String(config.length);
  config.forEach(([key, value], i) => {
    env[`GIT_CONFIG_KEY_${i}`] = key;
    env[`GIT_CONFIG_VALUE_${i}`] = value;
  });
  return env;
}

function runGit(
  args: readonly string[],
  options: GitCliOptions,
  signal: AbortSignal,
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const places = [
    ...(options.workTree === undefined ? [] : ['--work-tree', options.workTree]),
    ...(options.gitDir === undefined ? [] : ['--git-dir', options.gitDir]),
  ];
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    const child = spawn('sh', ['-c', WITH_UMASK, 'sh', ...places, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: environment(options),
      cwd: options.workTree ?? options.gitDir ?? '/',
      // A group of its own: git starts helpers, which must end with it.
      detached: true,
    });
    const stop = () => {
      if (child.pid === undefined) return;
      try {
        process.kill(-child.pid, 'SIGKILL');
      } catch {
        // It ended by itself.
      }
    };
    signal.addEventListener('abort', stop, { once: true });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on('data', (data: Buffer) => {
      stdout.push(data);
      options.output?.(1, data);
    });
    child.stderr.on('data', (data: Buffer) => {
      stderr.push(data);
      options.output?.(2, data);
    });
    child.on('error', cause => reject(new SourceError(`cannot run git: ${cause.message}`, { cause })));
    child.on('close', code => {
      signal.removeEventListener('abort', stop);
      if (signal.aborted) reject(signal.reason);
      else if (code === 127) reject(new SourceError('git is not installed, but the build needs it'));
      else
        resolve({
          code,
          stdout: Buffer.concat(stdout).toString('utf8'),
          stderr: Buffer.concat(stderr).toString('utf8'),
        });
    });
  });
}
