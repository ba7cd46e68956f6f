/** Causes in words. Each is one line that names what changed, from what to what. */
import { isCanceled } from '../progress/error-block.ts';
import { formatProgressBytes } from '../progress/go-format.ts';
import type { Cause, FileCause, RecordCause } from './cause.ts';

/** A digest short enough to be read, long enough to be told from others. */
export function shortDigest(text: string): string {
  return text.replace(/\bsha256:([0-9a-f]{7})[0-9a-f]{57}\b/g, '$1…');
}

/** What changed, as a subject and what happened to it: two columns of a table. */
export function causeWords(cause: Cause): readonly [string, string] {
  switch (cause.kind) {
    case 'file':
      return [shownPath(cause.path), fileWords(cause)];
    case 'variable': {
      const where = cause.from === 'build-arg' ? '--build-arg' : `line ${cause.line}`;
      return [`${cause.instruction} ${cause.name}`, `${change(cause.before, cause.after)}   (${where})`];
    }
    case 'instruction':
      return instructionWords(cause.change, cause.line, cause.before, cause.after);
    case 'base':
      return [
        cause.reference,
        `names another image: ${change(cause.before, cause.after)}${cause.sameLayers ? ' (same layers, another config)' : ''}`,
      ];
    case 'source':
      return [cause.name, change(cause.before, cause.after)];
    case 'platform':
      return ['platform', change(cause.before, cause.after)];
    case 'option':
      return [cause.name, change(cause.before, cause.after)];
    case 'part':
      return [cause.part, change(cause.before, cause.after)];
    case 'record':
      return ['', recordWords(cause)];
  }
}

/** The same as one text. */
export function causeText(cause: Cause): string {
  const [subject, what] = causeWords(cause);
  return subject === '' ? what : `${subject} ${what.replace(/\s+/g, ' ')}`;
}

function shownPath(path: string): string {
  return path === '/' || path === '' ? 'the directory itself' : path;
}

function change(before: string | undefined, after: string | undefined): string {
  if (before === undefined) return `set to ${value(after)}`;
  return after === undefined ? `was ${value(before)}, is not set now` : `${value(before)} → ${value(after)}`;
}

const LONGEST = 60;

function value(text: string | undefined): string {
  const line = shortDigest(text ?? '').replaceAll('\n', ' ');
  if (line === '') return '""';
  return line.length <= LONGEST ? line : `${line.slice(0, LONGEST - 1)}…`;
}

function fileWords({ change: what, aspects, before, after, renamedFrom, atLeast, ignore }: FileCause): string {
  const why = ignore ? '   (.dockerignore changed)' : '';
  if (what === 'renamed') return `renamed from ${renamedFrom}`;
  if (what !== 'changed') return `${after?.type === 'directory' ? 'new directory' : what}${why}`;
  const words = aspects.map(aspect => {
    switch (aspect) {
      case 'content':
        return `content   ${shortDigest(before?.value ?? '')} → ${shortDigest(after?.value ?? '')}`;
      case 'mode':
        return `mode ${before?.mode} → ${after?.mode}`;
      case 'owner':
        return `owner ${before?.owner} → ${after?.owner}`;
      case 'extended attributes':
        return aspect;
      case 'type':
        return `${before?.type} → ${after?.type}`;
      default:
        return `target ${before?.value} → ${after?.value}`;
    }
  });
  return `${words.join(', ')}${atLeast ? ' (its content may have changed too)' : ''}`;
}

function instructionWords(
  what: 'changed' | 'added' | 'removed' | 'moved',
  line: number,
  before: string | undefined,
  after: string | undefined,
): readonly [string, string] {
  switch (what) {
    case 'changed':
      return [`line ${line}`, `changed, it was: ${value(before)}`];
    case 'added':
      return [`line ${line}`, `is new: ${value(after)}`];
    case 'removed':
      return [value(before), `is gone (line ${line} before)`];
    case 'moved':
      return [`line ${line}`, `was moved here: ${value(after)}`];
  }
}

function recordWords({ reason, build, detail, at, size }: RecordCause): string {
  switch (reason) {
    case 'first-build':
      return 'nothing was built before from this Dockerfile and context';
    case 'never-built':
      return `was not built before${build === undefined ? '' : `: build ${build} did not need it`}`;
    case 'no-cache':
      return '--no-cache: nothing was looked up';
    case 'failed':
      if (isCanceled(detail ?? '')) return `was ended in build ${build} before it was done, so nothing was kept`;
      return `failed in build ${build}, so nothing was kept${detail === undefined ? '' : `: ${firstLine(detail)}`}`;
    case 'pruned': {
      const when = at === undefined ? '' : ` ${new Date(at).toISOString().slice(0, 16).replace('T', ' ')}`;
      const much = size === undefined ? '' : ` (${formatProgressBytes(size)})`;
      return `its result was pruned${when} by ${detail ?? 'a rule'}${much}`;
    }
    case 'unusable':
      return `its result was found and could not be used: ${firstLine(detail ?? '')}`;
    case 'key-only':
      return `${detail} knows it but holds no result: it was exported without it`;
    case 'other-inputs':
      return `${detail} holds a result of it that was made from other inputs`;
    case 'too-old':
      return `${detail} holds a result of it that is older than --cache-max-age allows`;
    case 'unreadable-source':
      return `nothing could be taken from ${detail}`;
    case 'not-exported':
      return `no cache that was given knows it: ${detail}`;
    case 'source-not-given':
      return `its result is in ${detail}, which this build was not given`;
    case 'uncacheable':
      return 'it mounts the context to write to it: such a step always runs';
    case 'made-anew':
      return `build ${build} was told to run ${firstLine(detail ?? '')} again, and what stands on its earlier result is not used`;
    case 'lost':
      return 'nothing in its key differs, and its result is not in the cache any more';
  }
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? '';
}
