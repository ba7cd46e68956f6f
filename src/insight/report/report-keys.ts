/** What went into the keys of steps, as the page shows it: what changed first, and each part once for the whole page. */
import type { KeyPart } from '../../engine/status/event.ts';
import type { StepRecord } from '../history/build-record.ts';

/** A part of a key by its position in the page's table of parts, and what became of it. */
interface ReportKey {
  /** Position in `slots` of the step. */
  readonly slot: number;
  readonly part: number;
  readonly change?: 'new' | 'changed' | 'gone';
  /** The value that it had. */
  readonly before?: string;
}

/** The parts of a step. */
export interface StepKeys {
  /** What the parts belong to: the step itself, or one of its inputs. */
  readonly slots: readonly string[];
  readonly keys: readonly ReportKey[];
  /** Parts that are the same and left out. */
  readonly keysLeft: number;
}

export type PartTuple = readonly [kind: string, name: string, value: string];

export interface KeyTable {
  /** Each part that some step has. */
  readonly parts: readonly PartTuple[];
  /** @param was the same step of the build that it was compared with @param nameOf a step in words */
  keysOf(step: StepRecord, was: StepRecord | undefined, nameOf: (step: number) => string): StepKeys;
}

/** Parts of one step that are shown though they are the same. */
const SAME_PARTS = 24;

/** A table for the parts of all steps of a page. */
export function keyTable(read: (digest: string) => readonly KeyPart[] | undefined): KeyTable {
  const parts: PartTuple[] = [];
  const positions = new Map<string, number>();
  const position = ({ kind, name, value }: KeyPart): number => {
    const id = JSON.stringify([kind, name, value]);
    const known = positions.get(id) ?? parts.push([kind, name, value]) - 1;
    positions.set(id, known);
    return known;
  };

  return {
    parts,
    keysOf(step, was, nameOf) {
      const slots = slotsOf(step, nameOf);
      const past = was === undefined ? undefined : new Map(slotsOf(was, nameOf).map(slot => [slot.id, slot]));
      const changed: ReportKey[] = [];
      const same: { readonly slot: number; readonly part: KeyPart }[] = [];
      for (const [slot, { id, digest }] of slots.entries()) {
        const old = past?.get(id);
        if (old !== undefined && old.digest === digest) {
          for (const part of read(digest) ?? []) same.push({ slot, part });
          continue;
        }
        const before = numbered(old === undefined ? [] : (read(old.digest) ?? []));
        for (const [name, part] of numbered(read(digest) ?? [])) {
          const one = before.get(name);
          before.delete(name);
          if (past === undefined || one?.value === part.value) same.push({ slot, part });
          else if (one === undefined) changed.push({ slot, part: position(part), change: 'new' });
          else changed.push({ slot, part: position(part), change: 'changed', before: one.value });
        }
        if (past !== undefined)
          for (const part of before.values()) changed.push({ slot, part: position(part), change: 'gone' });
      }
      const shown = same.slice(0, SAME_PARTS).map(({ slot, part }): ReportKey => ({ slot, part: position(part) }));
      return {
        slots: slots.map(({ title }) => title),
        keys: [...changed, ...shown],
        keysLeft: same.length - shown.length,
      };
    },
  };
}

interface Slot {
  readonly id: string;
  readonly title: string;
  readonly digest: string;
}

function slotsOf({ definitions, keys, inputs }: StepRecord, nameOf: (step: number) => string): Slot[] {
  return [
    ...definitions.map((digest, index) => ({
      id: `definition ${index}`,
      title: index === 0 ? 'the step itself' : 'its content',
      digest,
    })),
    ...keys.flatMap((key, input) => {
      const name = nameOf(inputs[input] ?? -1);
      const slot = (kind: string, digest: string | undefined) =>
        digest === undefined ? [] : [{ id: `${kind} ${input}`, title: `${kind} of ${name}`, digest }];
      return [...slot('paths', key?.selector), ...slot('files', key?.content)];
    }),
  ];
}

/** Parts by kind and name; several of one name are told apart by their number. */
function numbered(parts: readonly KeyPart[]): Map<string, KeyPart> {
  const named = new Map<string, KeyPart>();
  const counts = new Map<string, number>();
  for (const part of parts) {
    const name = `${part.kind}\0${part.name}`;
    const count = counts.get(name) ?? 0;
    counts.set(name, count + 1);
    named.set(`${name}\0${count}`, part);
  }
  return named;
}
