import { type ChildProcess, type StdioOptions, spawn, spawnSync } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { constants as osConstants, userInfo } from 'node:os';
import { delimiter, join } from 'node:path';
import type { Readable, Writable } from 'node:stream';

/** This user cannot be given a user namespace. */
class RootlessError extends Error {
  override readonly name = 'RootlessError';
}

/** A range of ids that a user may hand out: a line of subuid(5) or subgid(5). */
export interface SubordinateRange {
  readonly start: number;
  readonly count: number;
}

/** Says `ready`, waits until the ids are mapped and becomes the program, which has all capabilities then. */
const WAITING_SHELL = 'echo >&4; exec 4>&-; read _ <&3; exec 3<&-; exec "$@"';
const FORWARDED = ['SIGTERM', 'SIGHUP'] as const;

/** Whether this process is an ordinary user's and has to start itself again through `runRootless` to mount anything. */
export function needsRootless(environment: Readonly<Record<string, string | undefined>> = process.env): boolean {
  return process.getuid?.() !== 0 && environment['OUTCROP_ROOTLESS'] === undefined;
}

/**
 * Starts a program again as root of new user and mount namespaces, and waits for it. It shares the terminal and sees
 * `OUTCROP_ROOTLESS=1`.
 *
 * With `newuidmap`, `newgidmap` and ranges in `/etc/subuid` and `/etc/subgid`, all ids up to the ranges' size exist
 * inside. Without them only root does: files in images cannot belong to anyone else then, and no `USER` can be used.
 *
 * Throws `RootlessError`.
 *
 * @param command By default this program with its own arguments.
 * @returns The exit code.
 */
export async function runRootless(
  command: readonly string[] = [process.execPath, ...process.execArgv, ...process.argv.slice(1)],
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Promise<number> {
  const unshare = findProgram('unshare');
  if (unshare === undefined) throw new RootlessError('rootless builds need "unshare" (util-linux)');
  const env = { ...environment, OUTCROP_ROOTLESS: '1' };
  const ranges = subordinateRanges();
  if (ranges === undefined) {
    checkUnshare(unshare);
    return await exitCode(start(unshare, ['--user', '--map-root-user', '--mount', '--', ...command], env, 'inherit'));
  }
  const shell = ['/bin/sh', '-c', WAITING_SHELL, 'sh', ...command];
  const stdio: StdioOptions = ['inherit', 'inherit', 'inherit', 'pipe', 'pipe'];
  const child = start(unshare, ['--user', '--mount', '--', ...shell], env, stdio);
  const code = exitCode(child);
  const [go, ready] = [child.stdio[3] as Writable, child.stdio[4] as Readable];
  go.on('error', () => undefined);
  const isReady = await Promise.race([
    new Promise<boolean>(resolve => ready.once('data', () => resolve(true))),
    code.then(() => false),
  ]);
  if (!isReady || child.pid === undefined) throw notAllowed('unshare failed');
  try {
    mapIds(ranges.newuidmap, child.pid, process.getuid?.() ?? 0, ranges.uids);
    mapIds(ranges.newgidmap, child.pid, process.getgid?.() ?? 0, ranges.gids);
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
  go.end('\n');
  return await code;
}

function start(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  stdio: StdioOptions,
): ChildProcess {
  return spawn(program, args, { env: { ...env }, stdio });
}

/** Waits for a child and hands signals on to it; Ctrl-C reaches it through the terminal. */
async function exitCode(child: ChildProcess): Promise<number> {
  const ignore = (): void => undefined;
  const forward = (signal: NodeJS.Signals): void => void child.kill(signal);
  process.on('SIGINT', ignore);
  for (const signal of FORWARDED) process.on(signal, forward);
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once('error', error => reject(new RootlessError(`cannot start ${child.spawnfile}`, { cause: error })));
      child.once('exit', (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : osConstants.signals[signal])));
    });
  } finally {
    process.off('SIGINT', ignore);
    for (const signal of FORWARDED) process.off(signal, forward);
  }
}

function checkUnshare(unshare: string): void {
  const { status, stderr } = spawnSync(unshare, ['--user', '--map-root-user', '--mount', '--', '/bin/true'], {
    encoding: 'utf8',
  });
  if (status !== 0) throw notAllowed(stderr.trim());
}

function notAllowed(text: string): RootlessError {
  const hint =
    'this machine does not let ordinary users make user namespaces ' +
    '(see sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)';
  return new RootlessError(`cannot build rootless: ${text}: ${hint}`);
}

interface Ranges {
  readonly newuidmap: string;
  readonly newgidmap: string;
  readonly uids: SubordinateRange;
  readonly gids: SubordinateRange;
}

function subordinateRanges(): Ranges | undefined {
  const [newuidmap, newgidmap] = ['newuidmap', 'newgidmap'].map(findProgram);
  const [uids, gids] = ['/etc/subuid', '/etc/subgid'].map(path => ownRange(path));
  if (newuidmap === undefined || newgidmap === undefined || uids === undefined || gids === undefined) return undefined;
  return { newuidmap, newgidmap, uids, gids };
}

function ownRange(path: string): SubordinateRange | undefined {
  const { username, uid } = userInfo();
  try {
    return findRange(readFileSync(path, 'utf8'), username, uid);
  } catch {
    return undefined;
  }
}

/** The first range of a user, by name or number, in the text of subuid(5). */
export function findRange(text: string, name: string, uid: number): SubordinateRange | undefined {
  for (const line of text.split('\n')) {
    const [owner, start, count] = line.trim().split(':');
    if (owner !== name && owner !== String(uid)) continue;
    const range = { start: Number(start), count: Number(count) };
    if (Number.isInteger(range.start) && range.count > 0) return range;
  }
  return undefined;
}

function mapIds(program: string, pid: number, own: number, range: SubordinateRange): void {
  const ids = ['0', String(own), '1', '1', String(range.start), String(range.count)];
  const { status, stderr } = spawnSync(program, [String(pid), ...ids], { encoding: 'utf8' });
  if (status !== 0) throw new RootlessError(`${program} failed: ${stderr.trim()}`);
}

function findProgram(name: string): string | undefined {
  for (const directory of [...(process.env['PATH'] ?? '').split(delimiter), '/usr/bin', '/bin']) {
    const path = join(directory, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // The next one.
    }
  }
  return undefined;
}
