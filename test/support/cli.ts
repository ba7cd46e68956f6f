import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The bundled command line. */
export const MAIN = fileURLToPath(new URL('../../bin/outcrop.js', import.meta.url));

/** How a run of the command line ended. */
export interface CliRun {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export interface CliOptions {
  readonly root?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: Uint8Array | string;
  readonly cwd?: string;
  /** Called with the process once it runs. */
  readonly onStart?: (pid: number) => void;
}

/** Runs the bundled command line, as an installed package does. */
export async function outcrop(
  args: readonly string[],
  { root, env, input, cwd, onStart }: CliOptions = {},
): Promise<CliRun> {
  if (!existsSync(fileURLToPath(new URL('../../dist/outcrop.js', import.meta.url))))
    throw new Error('dist/ is missing: run `npm run build` first');
  const child = spawn(process.execPath, [MAIN, ...args], {
    stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    env: { ...process.env, NO_COLOR: '1', ...(root === undefined ? {} : { OUTCROP_ROOT: root }), ...env },
    ...(cwd === undefined ? {} : { cwd }),
  });
  if (child.pid !== undefined) onStart?.(child.pid);
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout?.on('data', chunk => stdout.push(chunk));
  child.stderr?.on('data', chunk => stderr.push(chunk));
  child.stdin?.on('error', () => undefined);
  child.stdin?.end(input);
  const code = await new Promise<number | null>((done, failed) => child.once('error', failed).once('close', done));
  return { code, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString() };
}

/** A vertex of a build as it ended, from `--progress=rawjson`. */
export interface SeenStep {
  readonly name: string;
  /** Shown as cached and not run. */
  readonly cached: boolean;
  /** It ran to its end. */
  readonly done: boolean;
  readonly error?: string;
  readonly output: string;
}

interface RawVertex {
  readonly digest: string;
  readonly name: string;
  readonly started?: string;
  readonly completed?: string;
  readonly cached?: boolean;
  readonly error?: string;
}

interface RawLine {
  readonly warnings?: readonly { readonly short: string }[];
  readonly vertexes?: readonly RawVertex[];
  readonly statuses?: readonly { readonly id: string; readonly vertex: string }[];
  readonly logs?: readonly { readonly vertex: string; readonly data: string }[];
}

/** The steps of a build whose progress was `rawjson`, in the order in which they were announced. */
export function stepsOf(stderr: string): SeenStep[] {
  const lines = rawLines(stderr);
  const vertexes = new Map<string, { name: string; cached: boolean; done: boolean; error?: string }>();
  const outputs = new Map<string, string>();
  /** Steps whose layers were fetched or unpacked: one that was cached before has not run. */
  const unpacked = new Set<string>();
  for (const { vertexes: changes = [], statuses = [], logs = [] } of lines) {
    for (const { id, vertex } of statuses) if (/^(?:extracting )?sha256:/.test(id)) unpacked.add(vertex);
    for (const { digest, name, completed, cached = false, error } of changes) {
      const seen = vertexes.get(digest) ?? { name, cached: false, done: false };
      vertexes.set(digest, seen);
      seen.name = name;
      if (error !== undefined) seen.error = error;
      else if (completed !== undefined && !cached) seen.done = true;
      if (cached) seen.cached = true;
    }
    for (const { vertex, data } of logs) outputs.set(vertex, (outputs.get(vertex) ?? '') + Buffer.from(data, 'base64'));
  }
  return [...vertexes].map(([digest, seen]) => {
    const cached = seen.cached && (!seen.done || unpacked.has(digest));
    return { ...seen, cached, done: seen.done && !cached, output: outputs.get(digest) ?? '' };
  });
}

/** The texts of a build's warnings whose progress was `rawjson`. */
export function warningsOf(stderr: string): string[] {
  return rawLines(stderr).flatMap(({ warnings = [] }) =>
    warnings.map(({ short }) => Buffer.from(short, 'base64').toString()),
  );
}

function rawLines(stderr: string): RawLine[] {
  return stderr
    .split('\n')
    .filter(line => line.startsWith('{'))
    .map(line => JSON.parse(line) as RawLine);
}
