/** Makes the record of a build out of its events. */
import type {
  BuildEvent,
  CacheMountEvent,
  EventSink,
  KeyEvent,
  KeyPart,
  OutcomeEvent,
  PlanEvent,
  Timestamp,
  VertexEvent,
} from '../../engine/status/event.ts';
import { digestOf } from '../../wire/oci/digest.ts';
import type { BuildEnd, CacheSource, InputKeys, StepCounts, StepPlace, StepRecord } from './build-record.ts';
import type { StepLog } from './history-store.ts';

/** As many bytes of each step's output are kept, from its end. */
const LOG_TAIL = 8192;

/** What became of a build. */
export interface RecordedBuild {
  readonly steps: readonly StepRecord[];
  readonly logs: readonly StepLog[];
  readonly counts: BuildEnd['counts'];
  readonly dockerfile: Uint8Array | undefined;
  readonly sources: readonly CacheSource[];
  /** Named parts by the digest that they are behind. */
  readonly parts: ReadonlyMap<string, () => readonly KeyPart[]>;
}

export interface BuildRecorder {
  readonly sink: EventSink;
  record(): RecordedBuild;
}

interface Draft {
  vertex: VertexEvent;
  readonly intervals: Map<Timestamp, Timestamp | undefined>;
  readonly definitions: string[];
  readonly keys: InputKeys[];
  outcome: OutcomeEvent | undefined;
  readonly cacheMounts: CacheMountEvent[];
  readonly log: LogTail;
}

/** The end of a step's output. */
interface LogTail {
  readonly chunks: Uint8Array[];
  kept: number;
  total: number;
}

/** Listens to a build. Nothing is stored or computed before `record`. @param startedAt nanoseconds since the epoch */
export function buildRecorder(startedAt: Timestamp): BuildRecorder {
  const drafts = new Map<string, Draft>();
  const parts = new Map<string, () => readonly KeyPart[]>();
  const sources = new Map<string, CacheSource>();
  let plan: PlanEvent | undefined;

  function draftOf(digest: string): Draft {
    let draft = drafts.get(digest);
    if (draft === undefined) {
      draft = {
        vertex: { kind: 'vertex', digest, inputs: [], name: '', cached: false },
        intervals: new Map(),
        definitions: [],
        keys: [],
        outcome: undefined,
        cacheMounts: [],
        log: { chunks: [], kept: 0, total: 0 },
      };
      drafts.set(digest, draft);
    }
    return draft;
  }

  function takeVertex(event: VertexEvent): void {
    const draft = draftOf(event.digest);
    const error = event.error ?? draft.vertex.error;
    draft.vertex = error === undefined ? event : { ...event, error };
    if (event.started !== undefined) draft.intervals.set(event.started, event.completed);
  }

  function takeKey(event: KeyEvent): void {
    const { definitions, keys } = draftOf(event.vertex);
    const { source, input } = event;
    // A key of a session means nothing later, but what it was made of does.
    const isSession = event.digest.startsWith('random:');
    const digest = isSession ? `parts:${digestOf(JSON.stringify(event.parts))}` : event.digest;
    if (input === undefined) {
      if (!definitions.includes(digest)) definitions.push(digest);
    } else keys[input] = { ...keys[input], [source === 'content' ? 'content' : 'selector']: digest };
    if (!parts.has(digest)) parts.set(digest, () => event.parts);
  }

  return {
    sink(event: BuildEvent) {
      switch (event.kind) {
        case 'vertex':
          return takeVertex(event);
        case 'key':
          return takeKey(event);
        case 'outcome':
          draftOf(event.vertex).outcome = event;
          return;
        case 'log':
          return addLog(draftOf(event.vertex).log, event.data);
        case 'cache-source': {
          const { id, name, error, isInline, records, newest, exportedAt } = event;
          sources.set(id, {
            id,
            ...(name === undefined ? {} : { name }),
            ...(error === undefined ? {} : { error }),
            ...(isInline ? { isInline } : {}),
            ...(records === undefined ? {} : { records }),
            ...(newest === undefined ? {} : { newest: Number(newest / 1_000_000n) }),
            ...(exportedAt === undefined ? {} : { exportedAt: Number(exportedAt / 1_000_000n) }),
          });
          return;
        }
        case 'cache-mount':
          draftOf(event.vertex).cacheMounts.push(event);
          return;
        case 'plan':
          plan = event;
          return;
      }
    },
    record() {
      const places = placesOf(plan);
      const numbers = new Map([...drafts.keys()].map((digest, number) => [digest, number]));
      const steps = [...drafts.values()].map(draft =>
        stepOf(draft, numbers, places.get(draft.vertex.digest) ?? [], startedAt),
      );
      const logs = [...drafts.values()].flatMap(({ log }, step) =>
        log.total === 0 ? [] : [{ step, data: tailOf(log) }],
      );
      return {
        steps,
        logs,
        counts: countSteps(steps),
        dockerfile: plan?.dockerfile.data,
        sources: [...sources.values()],
        parts,
      };
    },
  };
}

function addLog(log: LogTail, data: Uint8Array): void {
  log.chunks.push(data);
  log.kept += data.length;
  log.total += data.length;
  for (let first = log.chunks[0]; first && log.kept - first.length >= LOG_TAIL; [first] = log.chunks) {
    log.kept -= first.length;
    log.chunks.shift();
  }
}

/** The last whole lines of an output. */
function tailOf({ chunks, total }: LogTail): Uint8Array {
  const all = Buffer.concat(chunks);
  if (total <= LOG_TAIL) return all;
  const tail = all.subarray(-LOG_TAIL);
  const line = tail.indexOf('\n');
  return line < 0 || line === tail.length - 1 ? tail : tail.subarray(line + 1);
}

/** Where the steps stand. A vertex of several instructions that are the same stands at each. */
function placesOf(plan: PlanEvent | undefined): Map<string, StepPlace[]> {
  const places = new Map<string, StepPlace[]>();
  const { platforms = [] } = plan ?? {};
  for (const { id, steps } of platforms) {
    for (const { digest, stage, lines, text } of steps) {
      const known = places.get(digest) ?? [];
      places.set(digest, known);
      const place = { stage, line: lines.start, text };
      if (known.some(other => other.stage === stage && other.line === place.line)) continue;
      known.push(platforms.length > 1 ? { ...place, platform: id } : place);
    }
  }
  return places;
}

function stepOf(
  { vertex, intervals, definitions, keys, outcome, cacheMounts, log }: Draft,
  numbers: ReadonlyMap<string, number>,
  places: readonly StepPlace[],
  startedAt: Timestamp,
): StepRecord {
  const mergedInto = outcome?.mergedInto === undefined ? undefined : numbers.get(outcome.mergedInto);
  const [first] = intervals.keys();
  return {
    digest: vertex.digest,
    name: vertex.name,
    inputs: vertex.inputs.flatMap(digest => numbers.get(digest) ?? []),
    places,
    ...(outcome === undefined ? {} : { outcome: outcome.outcome }),
    ...(outcome?.cache === undefined ? {} : { cache: outcome.cache }),
    ...(outcome?.record === undefined ? {} : { record: outcome.record }),
    ...(outcome?.createdAt === undefined ? {} : { createdAt: Number(outcome.createdAt / 1_000_000n) }),
    ...(mergedInto === undefined ? {} : { mergedInto }),
    ...(outcome?.forced === undefined ? {} : { forced: outcome.forced }),
    ...(outcome?.known === undefined ? {} : { known: outcome.known }),
    ...(outcome?.unusable === undefined ? {} : { unusable: outcome.unusable }),
    ...(vertex.cached ? { cached: true } : {}),
    ...(vertex.error === undefined ? {} : { error: vertex.error }),
    ...(first === undefined ? {} : timesOf(first, intervals, startedAt)),
    definitions,
    keys: Array.from(keys, key => key ?? null),
    ...(cacheMounts.length === 0
      ? {}
      : { cacheMounts: cacheMounts.map(({ id, target, isEmpty }) => ({ id, target, isEmpty })) }),
    ...(log.total === 0 ? {} : { logBytes: log.total }),
  };
}

function timesOf(
  first: Timestamp,
  intervals: Draft['intervals'],
  startedAt: Timestamp,
): Pick<StepRecord, 'start' | 'duration' | 'end'> {
  let total = 0n;
  let last = first;
  for (const [start, stop] of intervals) {
    if (stop === undefined) continue;
    total += stop - start;
    if (stop > last) last = stop;
  }
  const times = { start: milliseconds(first - startedAt), duration: milliseconds(total) };
  return last - first === total ? times : { ...times, end: milliseconds(last - startedAt) };
}

/** With three decimals: steps of less than a millisecond are not nothing. */
function milliseconds(nanoseconds: bigint): number {
  return Number(nanoseconds / 1000n) / 1000;
}

function countSteps(steps: readonly StepRecord[]): StepCounts {
  // A linked copy is two vertices, the second of which only merges it.
  const own = steps.filter(({ places, name }) => places.length > 0 && !name.includes('] LINK '));
  return {
    steps: own.length,
    cached: own.filter(({ cached, outcome }) => cached ?? outcome === 'hit').length,
    ran: own.filter(({ outcome, cached }) => outcome === 'ran' && cached === undefined).length,
  };
}
