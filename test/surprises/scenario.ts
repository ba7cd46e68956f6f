/** A root and a build context for one case of the catalogue, driven by the command line. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { baseContext } from '../support/base-image.ts';
import { outcrop, type SeenStep, stepsOf } from '../support/cli.ts';

/** A step as `outcrop why --json` tells it. */
export interface WhyStep {
  readonly text: string;
  readonly stage: string;
  readonly outcome: string;
  readonly against?: number;
  readonly from?: Readonly<Record<string, unknown>>;
  readonly causes: readonly {
    readonly kind: string;
    readonly says: string;
    readonly path: readonly string[];
    readonly [member: string]: unknown;
  }[];
  readonly surprises: readonly { readonly id: string; readonly says: string }[];
}

interface ScenarioBuild {
  readonly code: number | null;
  readonly stderr: string;
  readonly steps: readonly SeenStep[];
  /** Texts of the steps that ran, without their stage and number. */
  readonly ran: readonly string[];
}

interface BuildOptions {
  readonly flags?: readonly string[];
  /** The tag of the base image. */
  readonly base?: string;
  readonly root?: string;
  readonly fails?: true;
  /** The context below the directory of the scenario. */
  readonly context?: string;
}

export interface Scenario extends Disposable {
  readonly dir: string;
  readonly root: string;
  /** Writes a file of the context. */
  write(path: string, text: string, mode?: number): void;
  path(path: string): string;
  build(options?: BuildOptions): Promise<ScenarioBuild>;
  /** What is said of the newest build, or of a step of it. */
  why(word?: string, root?: string): Promise<readonly WhyStep[]>;
}

/** A scenario with a Dockerfile and files. `FROM base` is busybox. */
export function scenario(dockerfile: string, files: Readonly<Record<string, string>> = {}): Scenario {
  const dir = mkdtempSync(join(tmpdir(), 'outcrop-surprise-'));
  const context = join(dir, 'context');
  const mainRoot = join(dir, 'root');
  const write = (path: string, text: string, mode?: number) => {
    const file = join(context, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
    if (mode !== undefined) chmodSync(file, mode);
  };
  write('Dockerfile', dockerfile);
  for (const [path, text] of Object.entries(files)) write(path, text);
  return {
    dir,
    root: mainRoot,
    write,
    path: path => join(context, path),
    async build({ flags = [], base = 'latest', root = mainRoot, fails, context: below } = {}) {
      const where = below === undefined ? context : join(dir, below);
      const args = ['build', '--progress=rawjson', '--build-context', baseContext(base), ...flags];
      const { code, stderr } = await outcrop([...args, where], { root });
      assert.equal(code === 0, fails === undefined, stderr);
      const steps = stepsOf(stderr);
      const isShown = ({ name }: SeenStep) => /^\[.*\d+\/\d+\] /.test(name) && !name.includes('] LINK ');
      const ran = steps.filter(step => isShown(step) && !step.cached && (step.done || step.error !== undefined));
      return { code, stderr, steps, ran: ran.map(({ name }) => name.replace(/^\[.*?\] /, '')) };
    },
    async why(word, root = mainRoot) {
      const { code, stdout, stderr } = await outcrop(['why', '--json', ...(word === undefined ? [] : [word])], {
        root,
      });
      assert.equal(code, 0, stderr);
      return (JSON.parse(stdout.toString()) as { steps: WhyStep[] }).steps;
    },
    [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }),
  };
}

/** The texts of the causes of a step. */
export function says(step: WhyStep | undefined): string[] {
  return (step?.causes ?? []).map(cause => cause.says);
}

/** The ids of the catalogue that are recognised at any of the steps. */
export function idsOf(steps: readonly WhyStep[]): string[] {
  return [...new Set(steps.flatMap(({ surprises }) => surprises.map(({ id }) => id)))];
}
