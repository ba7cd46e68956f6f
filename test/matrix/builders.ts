/** The two builders of the matrix, each with a root that is empty at every build. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type SeenStep, stepsOf } from '../support/cli.ts';

export interface MatrixBuild {
  readonly context: string;
  /** Directories by the name of their context. */
  readonly contexts: Readonly<Record<string, string>>;
  readonly buildArgs: Readonly<Record<string, string>>;
  /** Files by the id of their secret. */
  readonly secrets: Readonly<Record<string, string>>;
  readonly target?: string;
  readonly platforms?: string;
  readonly cacheTo?: readonly string[];
  readonly cacheFrom?: string;
  readonly output?: string;
}

export interface MatrixBuilder {
  readonly name: string;
  /** @returns the steps that were shown. */
  build(build: MatrixBuild): Promise<readonly SeenStep[]>;
}

/** Runs `bin/outcrop.js`. */
export function outcropBuilder(main: string, work: string): MatrixBuilder {
  return {
    name: 'outcrop',
    async build({ context, contexts, buildArgs, secrets, target, platforms, cacheTo, cacheFrom, output }) {
      const root = mkdtempSync(join(work, 'outcrop-'));
      const args = [
        main,
        'build',
        '--progress=rawjson',
        '--provenance=false',
        ...each('--build-context', contexts, (name, dir) => `${name}=${dir}`),
        ...each('--build-arg', buildArgs, (name, value) => `${name}=${value}`),
        ...each('--secret', secrets, (id, file) => `id=${id},src=${file}`),
        ...given('--target=', target),
        ...given('--platform=', platforms),
        ...(cacheTo ?? []).map(to => `--cache-to=${to}`),
        ...given('--cache-from=', cacheFrom),
        ...given('--output=', output),
        context,
      ];
      const steps = await run(process.execPath, args, { ...process.env, OUTCROP_ROOT: root });
      rmSync(root, { recursive: true, force: true });
      return steps;
    },
  };
}

/** Starts `buildkitd` on a new root for each build, and drives it by `buildctl`. */
export function buildkitBuilder(buildkitd: string, buildctl: string, registry: string, work: string): MatrixBuilder {
  return {
    name: 'BuildKit',
    async build({ context, contexts, buildArgs, secrets, target, platforms, cacheTo, cacheFrom, output }) {
      await using daemon = await startDaemon(buildkitd, buildctl, registry, work);
      const args = [
        ...['--addr', daemon.address, 'build', '--progress=rawjson', '--frontend=dockerfile.v0'],
        ...[`--local=context=${context}`, `--local=dockerfile=${context}`],
        ...each('--local', contexts, (name, dir) => `${name}=${dir}`),
        ...each('--opt', contexts, name => `context:${name}=local:${name}`),
        ...each('--opt', buildArgs, (name, value) => `build-arg:${name}=${value}`),
        ...each('--secret', secrets, (id, file) => `id=${id},src=${file}`),
        ...given('--opt=target=', target),
        ...given('--opt=platform=', platforms),
        ...(cacheTo ?? []).map(to => `--export-cache=${to}`),
        ...given('--import-cache=', cacheFrom),
        ...given('--output=', output),
      ];
      return await run(buildctl, args, process.env);
    },
  };
}

async function startDaemon(buildkitd: string, buildctl: string, registry: string, work: string) {
  const dir = mkdtempSync(join(work, 'buildkit-'));
  const address = `unix://${dir}/sock`;
  mkdirSync(join(dir, 'root'));
  writeFileSync(
    join(dir, 'config.toml'),
    `[worker.oci]\nenabled = true\ngc = false\nnetworkMode = "host"\n[worker.containerd]\nenabled = false\n[registry."${registry}"]\nhttp = true\n`,
  );
  const child = spawn(
    buildkitd,
    ['--config', join(dir, 'config.toml'), '--root', join(dir, 'root'), '--addr', address],
    { stdio: 'ignore' },
  );
  for (let attempt = 0; !(await answers()); attempt++) {
    if (attempt > 100) throw new Error(`${buildkitd} does not answer`);
    await new Promise(done => setTimeout(done, 100));
  }
  function answers(): Promise<boolean> {
    const probe = spawn(buildctl, ['--addr', address, 'debug', 'workers'], { stdio: 'ignore' });
    return new Promise(done => probe.once('error', () => done(false)).once('close', code => done(code === 0)));
  }
  return {
    address,
    async [Symbol.asyncDispose]() {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<readonly SeenStep[]> {
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'], env });
  const chunks: Buffer[] = [];
  child.stderr.on('data', chunk => chunks.push(chunk));
  const code = await new Promise<number | null>((done, failed) => child.once('error', failed).once('close', done));
  const text = Buffer.concat(chunks).toString();
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}:\n${text.slice(-4000)}`);
  return stepsOf(text);
}

function each(
  flag: string,
  values: Readonly<Record<string, string>>,
  text: (name: string, value: string) => string,
): string[] {
  return Object.entries(values).flatMap(([name, value]) => [flag, text(name, value)]);
}

function given(flag: string, value: string | undefined): string[] {
  return value === undefined ? [] : [flag + value];
}
