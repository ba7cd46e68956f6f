/** The builders that are measured. */
import { spawn } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** Builds, and keeps the result in the cache alone. */
export const NO_OUTPUT = 'type=cacheonly';

export interface Run {
  readonly seconds: number;
  /** Peak of the sum over the process tree, in bytes; of the client only where a daemon builds. */
  readonly memory: number;
}

export interface BuildOptions {
  readonly context: string;
  readonly noCache?: boolean;
  /** As in `--output`: an image in the builder's store unless given. */
  readonly output?: string;
  /** As in `--cache-to` and `--cache-from`. */
  readonly cacheTo?: string;
  readonly cacheFrom?: string;
}

export interface Builder {
  readonly name: string;
  build(options: BuildOptions): Promise<Run>;
  /** Forgets every result. */
  reset(): Promise<void>;
}

/** Runs a program. @throws Error with the end of what it wrote when it fails. */
async function timed(command: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<Run> {
  const start = performance.now();
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'], env });
  let complaints = '';
  let memory = 0;
  child.stderr.on('data', (chunk: Buffer) => (complaints = `${complaints}${chunk}`.slice(-4000)));
  const sampler = setInterval(() => (memory = Math.max(memory, treeMemory(child.pid ?? 0))), 50);
  const code = await new Promise<number | null>((done, failed) => child.once('error', failed).once('close', done));
  clearInterval(sampler);
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}:\n${complaints}`);
  return { seconds: (performance.now() - start) / 1000, memory };
}

/** Resident bytes of a process and all below it. */
function treeMemory(pid: number): number {
  try {
    const rss = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '0';
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean);
    return Number(rss) * 1024 + children.reduce((sum, child) => sum + treeMemory(Number(child)), 0);
  } catch {
    return 0;
  }
}

/** @param root - where it keeps what it knows */
export function outcropBuilder(outcrop: readonly string[], root: string, layout: string): Builder {
  const env = { ...process.env, OUTCROP_ROOT: root };
  const [command = '', ...args] = outcrop;
  return {
    name: 'outcrop',
    build: ({ context, noCache, output, cacheTo, cacheFrom }) =>
      timed(
        command,
        [
          ...args,
          'build',
          '--progress=plain',
          `--build-context=base=oci-layout://${layout}`,
          ...(noCache ? ['--no-cache'] : []),
          ...(output ? ['--output', output] : []),
          ...(cacheTo ? ['--cache-to', cacheTo] : []),
          ...(cacheFrom ? ['--cache-from', cacheFrom] : []),
          context,
        ],
        env,
      ),
    reset: async () => rmSync(root, { recursive: true, force: true }),
  };
}

/** Drives a daemon by the `buildctl` on the PATH. */
export function buildkitBuilder(address: string, layout: string): Builder {
  const index: unknown = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8'));
  const digest = /sha256:[0-9a-f]{64}/.exec(JSON.stringify(index))?.[0] ?? '';
  const addr = ['--addr', address];
  return {
    name: 'buildkit',
    build: ({ context, noCache, output, cacheTo, cacheFrom }) =>
      timed(
        'buildctl',
        [
          ...addr,
          'build',
          '--progress=plain',
          '--frontend=dockerfile.v0',
          `--local=context=${context}`,
          `--local=dockerfile=${context}`,
          `--oci-layout=base=${layout}`,
          `--opt=context:base=oci-layout://base@${digest}`,
          ...(noCache ? ['--no-cache'] : []),
          ...(cacheTo ? ['--export-cache', cacheTo] : []),
          ...(cacheFrom ? ['--import-cache', cacheFrom] : []),
          ...(output === NO_OUTPUT ? [] : ['--output', output ?? 'type=image,name=outcrop-bench']),
        ],
        process.env,
      ),
    reset: async () => void (await timed('buildctl', [...addr, 'prune', '--all'], process.env)),
  };
}

export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
