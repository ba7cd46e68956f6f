/** Rules of our own about what surprises people in a cache (docs/checks.md). They look at the text only: they are guesses. */
import { cleanPath } from '../../../wire/fsutil/go-path.ts';
import { ImageReferenceError, parseReference } from '../../../wire/oci/reference.ts';
import type { ArgInstruction, CopyInstruction, RunInstruction, Stage } from '../instruction.ts';
import type { ParsedFile } from '../node.ts';
import type { LineRange } from '../source.ts';
import type { CheckOptions } from './check-options.ts';
import type { Linter } from './linter.ts';
import { findDependencyInstall, findUnpinned } from './network-commands.ts';

/** Whether the rules may have something to say: they are off unless the file or an instruction asks for them. */
export function asksForSurprises({ experimental }: CheckOptions, { nodes }: ParsedFile): boolean {
  return experimental.size > 0 || nodes.some(({ comments }) => comments.some(text => text.includes('experimental')));
}

/** The rules on all stages of a file. */
export function lintSurprises(linter: Linter, stages: readonly Stage[]): void {
  const names = new Set<string>();
  const bases = new Set(stages.map(({ base }) => base.toLowerCase()));
  const mounts = new Map<string, readonly string[]>();
  stages.forEach((stage, index) => {
    lintBase(linter, stage, names);
    lintArgs(linter, stage, bases.has(stage.name));
    lintSteps(linter, stage, mounts);
    const targets = stage.instructions.flatMap(one => (one.kind === 'RUN' ? cacheTargets(one) : []));
    mounts.set(String(index), targets);
    if (stage.name === '') return;
    names.add(stage.name);
    mounts.set(stage.name, targets);
  });
}

/** Values of these change only with the platform, which has a cache of its own anyway. */
const PREDEFINED = /^(?:BUILD|TARGET)(?:PLATFORM|OS|OSVERSION|ARCH|VARIANT|STAGE)$/;

function lintBase(linter: Linter, { base, lines, node }: Stage, names: ReadonlySet<string>): void {
  if (base === 'scratch' || base.includes('$') || names.has(base)) return;
  try {
    if (parseReference(base).digest !== undefined) return;
  } catch (error) {
    if (error instanceof ImageReferenceError) return;
    throw error;
  }
  const message = `Base image ${base} may be another image tomorrow: pin it with its digest, or build with --pull to take notice`;
  linter.withComments(node.comments).report('SurpriseBaseDrift', message, lines);
}

interface PendingArg {
  readonly instruction: ArgInstruction;
  /** How many RUN instructions came before it. */
  readonly runsBefore: number;
}

/** Arguments that stand before steps which do not mention them. */
function lintArgs(linter: Linter, { instructions }: Stage, hasChildren: boolean): void {
  const pending = new Map<string, PendingArg>();
  const report = (
    name: string,
    { instruction: { lines, node }, runsBefore }: PendingArg,
    runs: number,
    at?: LineRange,
  ) => {
    const count = runs - runsBefore;
    if (count === 0) return;
    const steps = count === 1 ? 'one step that does' : `${count} steps that do`;
    const advice = at ? `declare it before line ${at.start}, where it is first used` : 'nothing in this stage uses it';
    const message = `ARG ${name} is part of ${steps} not mention it: ${advice}`;
    linter.withComments(node.comments).report('SurpriseArgScope', message, lines);
  };
  let runs = 0;
  for (const instruction of instructions) {
    if (pending.size > 0) {
      const documents = instruction.kind === 'RUN' ? instruction.files.map(({ data }) => data) : [];
      for (const [name] of [instruction.source, ...documents].join('\n').matchAll(/\w+/g)) {
        const found = pending.get(name);
        if (found === undefined || found.instruction === instruction) continue;
        pending.delete(name);
        report(name, found, runs, instruction.lines);
      }
    }
    if (instruction.kind === 'RUN') runs++;
    if (instruction.kind !== 'ARG') continue;
    for (const { key } of instruction.args) {
      if (!PREDEFINED.test(key)) pending.set(key, { instruction, runsBefore: runs });
    }
  }
  // A stage that is built on this one may use it.
  if (!hasChildren) for (const [name, found] of pending) report(name, found, runs);
}

function lintSteps(linter: Linter, { instructions }: Stage, mounts: ReadonlyMap<string, readonly string[]>): void {
  let everything: CopyInstruction | undefined;
  for (const instruction of instructions) {
    const own = linter.withComments(instruction.node.comments);
    if (instruction.kind === 'COPY') {
      if (copiesContext(instruction)) everything = instruction;
      lintCopyFromMount(own, instruction, mounts);
    }
    if (instruction.kind !== 'RUN') continue;
    const script = [instruction.args.join(' '), ...instruction.files.map(({ data }) => data)].join('\n');
    lintScript(own, instruction, script);
    const install = everything && findDependencyInstall(script);
    if (!everything || install === undefined) continue;
    const message = `'${shorten(install)}' runs again whenever any file of the context changes: copy only what it reads before it`;
    linter.withComments(everything.node.comments).report('SurpriseCopyAll', message, everything.lines);
    everything = undefined;
  }
}

function copiesContext({ from, sources }: CopyInstruction): boolean {
  return from === '' && sources.some(source => ['.', '/'].includes(cleanPath(source)));
}

function lintScript(linter: Linter, instruction: RunInstruction, script: string): void {
  const { lines } = instruction;
  const fetched = findUnpinned(script);
  if (fetched !== undefined) {
    const message = `What '${shorten(fetched)}' fetches is not pinned: it stays in the cache as it was on the day of the step`;
    linter.report('SurpriseNetworkFetch', message, lines);
  }
  for (const target of cacheTargets(instruction)) {
    const taken = new RegExp(`\\b(?:cp|mv|install|rsync|tar)\\b[^\\n;&|]*\\s${escapeText(target)}(?:[/\\s]|$)`).test(
      script,
    );
    if (!taken) continue;
    const message = `Files go from the cache mount ${target} into the image: what the step makes depends on what was there before`;
    linter.report('SurpriseCacheMountState', message, lines);
  }
  const secrets = instruction.mounts.flatMap(({ fields }) =>
    fields.includes('type=secret') ? (fields.find(field => field.startsWith('id='))?.slice('id='.length) ?? 'one') : [],
  );
  if (secrets.length > 0) {
    const message = `The step stays cached when the secret ${secrets.join(', ')} changes: give it an ARG that changes too if it should not`;
    linter.report('SurpriseSecretIgnored', message, lines);
  }
}

/** A path of a stage that is only there while a cache is mounted. */
function lintCopyFromMount(
  linter: Linter,
  copy: CopyInstruction,
  mounts: ReadonlyMap<string, readonly string[]>,
): void {
  const targets = mounts.get(copy.from.toLowerCase()) ?? [];
  for (const source of copy.sources) {
    const path = cleanPath(`/${source}`);
    const target = targets.find(one => path === one || path.startsWith(`${one}/`));
    if (target === undefined) continue;
    const message = `${source} lies in the cache mount ${target} of ${copy.from}, which is no part of its files: copy it elsewhere in the step that makes it`;
    linter.report('SurpriseCacheMountLost', message, copy.lines);
  }
}

/** Where a step mounts caches, absolute paths only. */
function cacheTargets({ mounts }: RunInstruction): string[] {
  return mounts.flatMap(({ fields }) => {
    if (!fields.includes('type=cache')) return [];
    const target = fields.find(field => /^(?:target|dst|destination)=/.test(field))?.replace(/^\w+=/, '') ?? '';
    return target.startsWith('/') && !target.includes('$') ? [cleanPath(target)] : [];
  });
}

const LONGEST = 40;

function shorten(command: string): string {
  const line = command.replace(/\s+/g, ' ');
  return line.length <= LONGEST ? line : `${line.slice(0, LONGEST)}…`;
}

function escapeText(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
