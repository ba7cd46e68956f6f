import { existsSync, lstatSync, readdirSync, readlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { LoadedVertex } from '../../plan/llb/load.ts';

const MAX_NEAR = 3;

/**
 * Lines that help with a file that a step wanted of a directory of the client and did not find: names near to it, or that
 * an ignore file leaves it out. Empty when the error is about something else.
 */
export function missingFileHints(
  message: string,
  vertex: LoadedVertex,
  localDirs: ReadonlyMap<string, string>,
): string[] {
  const path = /"(\/[^"]*)": not found$/.exec(message)?.[1];
  const dirs = vertex.inputs.flatMap(({ vertex: { op } }) => {
    const source = op.op.case === 'source' ? /^local:\/\/(.*)$/.exec(op.op.value.identifier) : null;
    return localDirs.get(source?.[1] ?? '') ?? [];
  });
  const [dir] = dirs;
  if (path === undefined || dir === undefined) return [];
  const found = lstatSync(join(dir, path), { throwIfNoEntry: false });
  if (found?.isSymbolicLink() && !existsSync(join(dir, path))) {
    return [
      `${path.slice(1)} is a symbolic link to ${readlinkSync(join(dir, path))}, which is not there; COPY --exclude follows the links at the top of the context`,
    ];
  }
  if (found) {
    return [`${path.slice(1)} lies in ${dir}, but the ignore file leaves it out`];
  }
  const near = nearNames(dir, path);
  const where = `looked in the context ${dir}`;
  return near.length === 0 ? [where] : [where, `near: ${near.join(', ')}`];
}

/** Names beside the path that are like it, nearest first. */
function nearNames(dir: string, path: string): string[] {
  const parent = dirname(path);
  const wanted = basename(path);
  const names = namesIn(join(dir, parent));
  const rated = names
    .map(name => ({ name, likeness: likeness(name, wanted) }))
    .filter(({ likeness: value }) => value > 0.5)
    .sort((a, b) => b.likeness - a.likeness);
  return rated.slice(0, MAX_NEAR).map(({ name }) => join(parent, name).slice(1));
}

function namesIn(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}

/** How much of two names' pairs of characters is the same (Dice's coefficient), 0 to 1. */
function likeness(a: string, b: string): number {
  const pairs = (text: string) =>
    Array.from({ length: Math.max(0, text.length - 1) }, (_, index) => text.slice(index, index + 2).toLowerCase());
  const left = pairs(a);
  const right = pairs(b);
  const rest = [...right];
  const common = left.filter(pair => {
    const at = rest.indexOf(pair);
    if (at >= 0) rest.splice(at, 1);
    return at >= 0;
  });
  return left.length + right.length === 0 ? 0 : (2 * common.length) / (left.length + right.length);
}
