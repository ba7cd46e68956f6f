/** The catalogue of cache surprises: what people run into, recognised in what was recorded. */
import type { KeyPart } from '../../engine/status/event.ts';
import type { StepRecord } from '../history/build-record.ts';
import type { Cause, FileCause } from './cause.ts';
import type { BuildExplanation, StepExplanation } from './explain-build.ts';

/** A case of the catalogue, as it shows at a step. */
export interface Surprise {
  /** Stable; the page about it is `docs/surprises/<id>.md`. */
  readonly id: SurpriseId;
  /** One line: what is the case here. */
  readonly text: string;
}

export interface CatalogueContext {
  readonly explanation: BuildExplanation;
  readonly parts: (digest: string) => readonly KeyPart[] | undefined;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Files of the context that a cached step reads, or that are ignored, and that were touched since the build before. */
  readonly touched?: (step: StepExplanation) => readonly string[];
  /** Symbolic links at the top of the context, of a step that reads all of it. */
  readonly links?: (step: StepExplanation) => readonly string[];
}

/** The ids that `surprisesAt` gives; those of the other cases are in `docs/surprises/README.md`. */
export const SURPRISE_IDS = [
  'arg-scope',
  'base-drift',
  'broken-local-cache',
  'cache-mount-lost',
  'cache-mount-state',
  'changed-under-build',
  'chmod-source',
  'cross-stage-reuse',
  'dir-mode',
  'env-order',
  'exclude-follows-links',
  'hit-then-fail',
  'identical-content',
  'inline-min',
  'label-late',
  'lazy-forgotten',
  'mode-min',
  'mount-id-changed',
  'network-fetch',
  'no-cache-copy',
  'not-exported',
  'platform-split',
  'pruned',
  'secret-ignored',
  'spelling-miss',
  'stale-import',
  'xattr-only',
] as const;

export type SurpriseId = (typeof SURPRISE_IDS)[number];

/** A result from the network that is older is worth a word. */
const STALE = 86_400_000;
const NETWORK =
  /\b(apt-get|apt|apk|yum|dnf|microdnf|zypper|pip3?|npm|yarn|pnpm|gem|bundle|composer|cargo|go|curl|wget|git)\s+(?:-\S+\s+)*(update|upgrade|install|ci|add|i|get|fetch|clone|pull|mod|download|https?:\S*|\S+:\/\/\S*)/;

/** The cases that are recognised at a step, each once. */
export function surprisesAt(step: StepExplanation, context: CatalogueContext): Surprise[] {
  const found = [
    ...reused(step, context),
    ...step.causes.flatMap(({ cause, path }) => ofCause(cause, path, step, context)),
    ...ofHit(step, context),
    ...ofMounts(step, context),
    ...spelling(step),
    ...changedUnder(step),
    ...followed(step, context),
  ];
  return [...new Map(found.map(one => [one.id, one])).values()];
}

function reused(step: StepExplanation, { explanation: { view } }: CatalogueContext): Surprise[] {
  if (step.sharedWith !== undefined) {
    const other = view.steps[step.sharedWith];
    return [{ id: 'cross-stage-reuse', text: `one run serves this step and ${other?.name ?? 'an equal one'}` }];
  }
  const stages = [...new Set(step.record.places.map(({ stage }) => stage))];
  if (stages.length < 2) return [];
  return [
    { id: 'cross-stage-reuse', text: `the same step in the stages ${stages.join(' and ')}: one result serves all` },
  ];
}

function ofCause(
  cause: Cause,
  path: readonly number[],
  step: StepExplanation,
  { explanation: { view } }: CatalogueContext,
): Surprise[] {
  switch (cause.kind) {
    case 'base':
      return [
        {
          id: 'base-drift',
          text: `${cause.reference} names another image: it was ${cause.before} at ${timeText(cause.beforeAt)} and is ${cause.after} at ${timeText(cause.afterAt)}`,
        },
      ];
    case 'variable': {
      const text = step.record.places[0]?.text ?? '';
      const isUnused = path.length === 1 && text.toUpperCase().startsWith('RUN') && !text.includes(cause.name);
      if (!isUnused || cause.instruction !== 'ARG') return [];
      return [
        { id: 'arg-scope', text: `the text of this step never mentions ${cause.name}, yet the ARG is in its key` },
      ];
    }
    case 'platform':
      return [{ id: 'platform-split', text: `the cache of ${cause.before} does not serve ${cause.after}` }];
    case 'file':
      return ofFile(cause, view.steps[path.at(-1) ?? -1]);
    case 'record':
      return ofRecord(cause.reason, cause.detail, path, step);
    case 'instruction':
      if (cause.change !== 'moved' || !/^(ENV|ARG)\b/i.test(cause.after ?? '')) return [];
      return [{ id: 'env-order', text: `the order of the environment is part of the key: ${cause.after} was moved` }];
    default:
      return [];
  }
}

function ofFile({ path, aspects, after }: FileCause, at: StepRecord | undefined): Surprise[] {
  const [aspect, ...others] = aspects;
  if (others.length > 0) return [];
  if (aspect === 'extended attributes') {
    return [{ id: 'xattr-only', text: `only extended attributes of ${path} changed: they are part of the key` }];
  }
  if (aspect !== 'mode') return [];
  if (at?.places.some(({ text }) => /\s--chmod=/.test(text))) {
    return [{ id: 'chmod-source', text: `only the mode of ${path} changed, which --chmod replaces anyway` }];
  }
  if (after?.type !== 'directory') return [];
  return [{ id: 'dir-mode', text: `only the mode of the directory ${path} changed: it is part of the key` }];
}

function ofRecord(
  reason: string,
  detail: string | undefined,
  path: readonly number[],
  step: StepExplanation,
): Surprise[] {
  if (reason === 'pruned') return [{ id: 'pruned', text: `its result was removed by ${detail ?? 'pruning'}` }];
  // A directory that was given.
  const isLost = reason === 'unreadable-source' ? /unavailable|not found/.test(detail ?? '') : reason === 'unusable';
  if (isLost && detail?.startsWith('/')) {
    return [{ id: 'broken-local-cache', text: `a cache that was given lacks what it has to hold: ${detail}` }];
  }
  if (reason === 'unusable')
    return [{ id: 'hit-then-fail', text: `a result was found and could not be used: ${detail}` }];
  if (reason === 'key-only') {
    return /^the inline cache/.test(detail ?? '')
      ? [{ id: 'inline-min', text: `${detail} holds the layers of the final image only: use type=registry,mode=max` }]
      : [
          {
            id: 'mode-min',
            text: `${detail} was exported with mode=min: mode=max keeps results of earlier stages too`,
          },
        ];
  }
  if (reason === 'not-exported') {
    return [
      {
        id: 'not-exported',
        text: `no record of it in ${detail}: a later export may have replaced it (merge=true keeps both)`,
      },
    ];
  }
  if (reason === 'source-not-given') {
    return [
      { id: 'lazy-forgotten', text: `its result was never pulled from ${detail}, and this build was not given that` },
    ];
  }
  const isCopy = /^(COPY|ADD)\b/i.test(step.record.places[0]?.text ?? '');
  if (reason === 'no-cache' && isCopy && path.length === 1) {
    return [{ id: 'no-cache-copy', text: '--no-cache runs copies again too, though the files are what they were' }];
  }
  return [];
}

function ofHit(step: StepExplanation, { now, parts, touched = () => [] }: CatalogueContext): Surprise[] {
  if (step.from === undefined) return [];
  const found: Surprise[] = [];
  const { cache, place = cache, createdAt = 0, newest, exportedAt = newest } = step.from;
  const age = now - createdAt;
  const command = (parts(step.record.definitions[0] ?? '') ?? []).find(({ kind }) => kind === 'args')?.value ?? '';
  const isNetwork = NETWORK.test(command);
  if (cache !== 'local' && createdAt > 0 && age > STALE) {
    found.push({
      id: 'stale-import',
      text: `the result comes from ${place} and was made ${new Date(createdAt).toISOString()}${exportedAt === undefined ? '' : `; it was exported ${exportedAt === newest ? 'after ' : ''}${new Date(exportedAt).toISOString()}`}`,
    });
  } else if (isNetwork && createdAt > 0 && age > STALE) {
    found.push({
      id: 'network-fetch',
      text: `what it fetched is as old as its result: ${new Date(createdAt).toISOString()}`,
    });
  }
  if (step.above !== undefined) {
    found.push({ id: 'label-late', text: `${step.above} is new above it, and no part of the key of what follows` });
  }
  if (step.rewritten !== undefined) {
    const isMount = /--mount=\S*(id|sharing)=/.test(`${step.rewritten} ${step.record.places[0]?.text}`);
    if (isMount)
      found.push({
        id: 'mount-id-changed',
        text: `it was written ${step.rewritten}: the id of a cache mount and how it is shared are no part of the key`,
      });
  }
  const files = touched(step);
  if (files.length > 0) {
    const more = files.length > 3 ? ` and ${files.length - 3} more` : '';
    found.push({
      id: 'identical-content',
      text: `touched since the build before, and content, mode and name are what they were: ${files.slice(0, 3).join(', ')}${more}`,
    });
  }
  return found;
}

function ofMounts(step: StepExplanation, { parts, explanation: { view } }: CatalogueContext): Surprise[] {
  const own = parts(step.record.definitions[0] ?? '') ?? [];
  const mounts = own.filter(({ kind }) => kind === 'mount').map(({ value }) => value);
  const found: Surprise[] = [];
  const isSecret =
    mounts.some(value => /mountType=(SECRET|SSH)/.test(value)) || own.some(({ kind }) => kind === 'secretEnv');
  if (isSecret && step.outcome === 'cached') {
    found.push({
      id: 'secret-ignored',
      text: 'secrets and ssh keys are no part of the key: another value is another result, and not noticed',
    });
  }
  if (mounts.some(value => /mountType=CACHE/.test(value)) && step.outcome !== 'cached') {
    const { cacheMounts = [] } = step.record;
    const states = cacheMounts.map(({ target, isEmpty }) => `${target} was ${isEmpty ? 'empty' : 'filled'}`);
    const cold = view.summary.options.coldMounts ? ', as --cold-mounts asked for' : '';
    const state = states.length === 0 ? '' : ` (${states.join(', ')}${cold})`;
    found.push({
      id: 'cache-mount-state',
      text: `what is in its cache mounts is no part of the key${state}: the result may depend on it`,
    });
    // A machine that was given caches and has nothing of its own yet.
    const isFresh = step.against === undefined && (view.summary.sources ?? []).length > 0;
    if (isFresh && cacheMounts.some(({ isEmpty }) => isEmpty)) {
      found.push({
        id: 'cache-mount-lost',
        text: 'its cache mounts were empty: what was imported did not bring them (mounts=true exports them)',
      });
    }
  }
  return found;
}

/** A file changed between its hashing and its use. */
function changedUnder({ record: { error } }: StepExplanation): Surprise[] {
  const path = /(\S+) changed while it was being read/.exec(error ?? '')?.[1];
  if (path === undefined) return [];
  return [{ id: 'changed-under-build', text: `${path} changed while the build read it: nothing was kept` }];
}

/** Links at the top of the context that a copy with `--exclude` put the targets of in their place. */
function followed(step: StepExplanation, { links = () => [] }: CatalogueContext): Surprise[] {
  if (!step.record.places.some(({ text }) => /^(COPY|ADD)\s.*--exclude=/i.test(text))) return [];
  const names = links(step);
  if (names.length === 0) return [];
  return [
    {
      id: 'exclude-follows-links',
      text: `what ${names.join(', ')} ${names.length === 1 ? 'leads' : 'lead'} to was copied, not the link: --exclude follows the links at the top of the context`,
    },
  ];
}

/** Only the way of writing it changed. */
function spelling({ causes }: StepExplanation): Surprise[] {
  const [only, ...others] = causes;
  const cause = only?.cause;
  if (others.length > 0 || only?.path.length !== 1 || cause?.kind !== 'instruction' || cause.change !== 'changed')
    return [];
  const words = (text: string | undefined) =>
    (text ?? '')
      .replace(/^(ADD|COPY)\b/i, 'COPY')
      .split(/\s+/)
      .sort()
      .join(' ');
  if (words(cause.before) !== words(cause.after)) return [];
  return [{ id: 'spelling-miss', text: `only the way of writing it changed, it was: ${cause.before}` }];
}

function timeText(milliseconds: number): string {
  return new Date(milliseconds).toISOString().slice(0, 16).replace('T', ' ');
}
