import type { LocationJson } from '../dockerfile/location-json.ts';
import { locationJson } from '../dockerfile/location-json.ts';
import type { OutlineJson, OutlineRequirement } from '../dockerfile/outline.ts';
import type { LineRange } from '../dockerfile/source.ts';
import type { StageState } from './stage.ts';

/** An argument where it is declared. */
export interface OutlineArgNote {
  readonly value: string | undefined;
  readonly doc: string;
  readonly lines: LineRange;
  /** Names of the arguments that its default reads. */
  readonly needs: ReadonlySet<string>;
}

/** The first use of a secret or an SSH agent. */
export interface RequirementNote {
  readonly required: boolean;
  readonly lines: LineRange;
}

/** The parameters of a stage, noted while it is planned. */
export interface StageOutline {
  /** Arguments that are known, by name: those before the first FROM, then those of the stage in their place. */
  readonly args: Map<string, OutlineArgNote>;
  /** Names of those that the stage uses. */
  readonly usedArgs: Set<string>;
  readonly secrets: Map<string, RequirementNote>;
  readonly ssh: Map<string, RequirementNote>;
}

/** A stage that uses nothing yet. */
export function newOutline(args: ReadonlyMap<string, OutlineArgNote> = new Map()): StageOutline {
  return { args: new Map(args), usedArgs: new Set(), secrets: new Map(), ssh: new Map() };
}

/** A copy that grows on its own. */
export function cloneOutline({ args, usedArgs, secrets, ssh }: StageOutline): StageOutline {
  return { args: new Map(args), usedArgs: new Set(usedArgs), secrets: new Map(secrets), ssh: new Map(ssh) };
}

/** The parameters of a stage, and of what it is built on and reads. A name that several stages use is the first's. */
export function outlineOf(target: StageState): OutlineJson {
  const args = new Map<string, OutlineArgNote>();
  const secrets = new Map<string, RequirementNote>();
  const ssh = new Map<string, RequirementNote>();
  for (const { outline } of inOrder(target)) {
    const used = withNeeds(outline);
    addMissing(
      args,
      [...outline.args].filter(([name]) => used.has(name)),
    );
    addMissing(secrets, outline.secrets);
    addMissing(ssh, outline.ssh);
  }
  const argList = sorted(
    Array.from(args, ([name, { value, doc, lines }]) => ({
      name,
      ...(doc !== '' && { description: doc }),
      ...(value && { value }),
      location: locationJson(lines),
    })),
  );
  const secretList = requirements(secrets);
  const sshList = requirements(ssh);
  return {
    ...(target.name !== '' && { name: target.name }),
    ...(target.doc !== '' && { description: target.doc }),
    ...(argList.length > 0 && { args: argList }),
    ...(secretList.length > 0 && { secrets: secretList }),
    ...(sshList.length > 0 && { ssh: sshList }),
  };
}

/** The stage, what it is built on, then what its instructions read; each once. */
function inOrder(target: StageState): Set<StageState> {
  const found = new Set<StageState>();
  const pending = [target];
  for (let stage = pending.pop(); stage !== undefined; stage = pending.pop()) {
    if (found.has(stage)) continue;
    found.add(stage);
    pending.push(...[...stage.needs.keys()].reverse());
    if (stage.parent !== undefined) pending.push(stage.parent);
  }
  return found;
}

function withNeeds({ args, usedArgs }: StageOutline): ReadonlySet<string> {
  const used = new Set(usedArgs);
  for (const name of used) for (const needed of args.get(name)?.needs ?? []) used.add(needed);
  return used;
}

function addMissing<Note>(notes: Map<string, Note>, more: Iterable<readonly [string, Note]>): void {
  for (const [name, note] of more) if (!notes.has(name)) notes.set(name, note);
}

function requirements(notes: ReadonlyMap<string, RequirementNote>): OutlineRequirement[] {
  return sorted(
    Array.from(notes, ([name, { required, lines }]) => ({
      name,
      ...(required && { required }),
      location: locationJson(lines),
    })),
  );
}

function sorted<Item extends { readonly location: LocationJson }>(items: Item[]): Item[] {
  return items.sort((a, b) => firstLine(a.location) - firstLine(b.location));
}

function firstLine({ ranges }: LocationJson): number {
  return ranges?.[0]?.start.line ?? 0;
}
