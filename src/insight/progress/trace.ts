import type { LogEvent, StatusEvent, Timestamp, VertexEvent } from '../../engine/status/event.ts';
import type { StatusBatch } from './batch.ts';
import { toFixedHalfEven, toSeconds } from './go-format.ts';
import { type Interval, mergeIntervals } from './interval.ts';

/** What a renderer knows of one vertex, or of a progress group, which is shown as one. */
export interface TracedVertex {
  readonly digest: string;
  name: string;
  cached: boolean;
  error: string;
  intervals: Map<Timestamp, Interval>;
  merged: readonly Interval[];
  /** The statuses that have started, in the order in which they did. */
  readonly started: string[];
  readonly statuses: Map<string, StatusEvent>;
  readonly pendingStatuses: Set<string>;
  /** Log lines, `TIME text`, each character a byte; the last is unfinished when `partial`. Plain output takes them away. */
  lines: string[];
  partial: boolean;
  readonly warnings: string[];
  /** Updates since the vertex was printed, and when the first of them came (milliseconds). */
  updates: number;
  blockTime: number;
  /** Members of a group, by digest. */
  readonly members?: Map<string, VertexEvent>;
  hidden: boolean;
  previous: VertexEvent | undefined;
}

/** The state of a build as its renderers see it. */
export interface Trace {
  readonly byDigest: Map<string, TracedVertex>;
  /** Vertices and groups in the order in which they started; the error block follows it. */
  readonly shown: TracedVertex[];
  /** Digests that changed since they were printed, in the order in which they became so. */
  readonly pending: Set<string>;
  /** The first start that was seen, and the local time (milliseconds) at which it was. */
  firstStart: { readonly at: Timestamp; readonly seen: number } | undefined;
  /** Start of the whole build. */
  startTime: Timestamp | undefined;
}

export function createTrace(): Trace {
  return { byDigest: new Map(), shown: [], pending: new Set(), firstStart: undefined, startTime: undefined };
}

export function isStarted(vertex: TracedVertex): boolean {
  return vertex.merged.length > 0;
}

export function isCompleted(vertex: TracedVertex): boolean {
  return vertex.merged.at(-1)?.stop !== undefined;
}

/** Takes a message into the trace; `now` is the local time in milliseconds. `onLog` sees the raw bytes of each log. */
export function takeBatch(
  trace: Trace,
  batch: StatusBatch,
  now: number,
  onLog?: (vertex: TracedVertex, data: Uint8Array) => void,
): void {
  const touchedGroups = new Set<TracedVertex>();
  for (const event of batch.vertexes) {
    if (trace.startTime === undefined && event.started !== undefined) trace.startTime = event.started;
    if (event.progressGroup) touchedGroups.add(takeMember(trace, event, event.progressGroup));
    else takeVertex(trace, event, now);
  }
  for (const group of touchedGroups) refreshGroup(trace, group, now);
  for (const event of batch.statuses) takeStatus(trace, event, now);
  for (const event of batch.warnings) {
    const vertex = trace.byDigest.get(event.vertex);
    if (!vertex) continue;
    vertex.warnings.push(Buffer.from(event.short).toString());
    count(vertex, now);
  }
  for (const event of batch.logs) takeLog(trace, event, now, onLog);
}

function newVertex(digest: string, name: string, members?: Map<string, VertexEvent>): TracedVertex {
  return {
    digest,
    name,
    cached: false,
    error: '',
    intervals: new Map(),
    merged: [],
    started: [],
    statuses: new Map(),
    pendingStatuses: new Set(),
    lines: [],
    partial: false,
    warnings: [],
    updates: 0,
    blockTime: 0,
    ...(members ? { members } : {}),
    hidden: members !== undefined,
    previous: undefined,
  };
}

function count(vertex: TracedVertex, now: number): void {
  if (vertex.updates === 0) vertex.blockTime = now;
  vertex.updates++;
}

function takeVertex(trace: Trace, event: VertexEvent, now: number): void {
  let vertex = trace.byDigest.get(event.digest);
  const wasStarted = vertex !== undefined && isStarted(vertex);
  if (!vertex) {
    vertex = newVertex(event.digest, event.name);
    trace.byDigest.set(event.digest, vertex);
  }
  if (event.started !== undefined) {
    const { previous } = vertex;
    const changed =
      previous === undefined ||
      event.completed !== undefined ||
      event.name !== previous.name ||
      event.started !== previous.started ||
      event.cached !== previous.cached ||
      (event.error ?? '') !== (previous.error ?? '');
    if (changed) {
      count(vertex, now);
      trace.pending.add(vertex.digest);
    }
    vertex.previous = event;
    if (!wasStarted) {
      trace.firstStart ??= { at: event.started, seen: now };
      trace.shown.push(vertex);
    }
    const { started: start, completed: stop } = event;
    vertex.intervals.set(start, stop === undefined ? { start } : { start, stop });
    vertex.merged = mergeIntervals(vertex.intervals.values());
  }
  if (!wasStarted || event.started !== undefined) {
    vertex.name = event.name;
    vertex.cached = event.cached;
    vertex.error = event.error ?? '';
  }
}

function takeMember(trace: Trace, event: VertexEvent, { id, name }: { id: string; name: string }): TracedVertex {
  let group = trace.byDigest.get(id);
  if (!group) {
    group = newVertex(id, name, new Map());
    trace.byDigest.set(id, group);
  }
  group.members?.set(event.digest, event);
  trace.byDigest.set(event.digest, group);
  return group;
}

function refreshGroup(trace: Trace, group: TracedVertex, now: number): void {
  const wasHidden = group.hidden;
  const wasStarted = isStarted(group);
  let changed = false;
  let cached = true;
  let error = group.error;
  for (const member of group.members?.values() ?? []) {
    if (member.started !== undefined) {
      const known = group.intervals.get(member.started);
      if (known === undefined || known.stop !== member.completed) changed = true;
      const { started: start, completed: stop } = member;
      group.intervals.set(start, stop === undefined ? { start } : { start, stop });
      if (!member.progressGroup?.weak) group.hidden = false;
    }
    cached &&= member.cached;
    if (error === '') error = member.error ?? '';
    else group.hidden = false;
  }
  if (cached !== group.cached || error !== group.error) changed = true;
  group.cached = cached;
  group.error = error;
  group.merged = mergeIntervals(group.intervals.values());
  const first = group.merged[0];
  if (!wasStarted && first) trace.firstStart ??= { at: first.start, seen: now };
  if (group.hidden) return;
  if (wasHidden) {
    trace.shown.push(group);
    changed = true;
  }
  if (changed) {
    count(group, now);
    trace.pending.add(group.digest);
  }
}

function takeStatus(trace: Trace, event: StatusEvent, now: number): void {
  const vertex = trace.byDigest.get(event.vertex);
  if (!vertex) return;
  const before = vertex.statuses.get(event.id);
  if (event.started !== undefined && before?.started === undefined) vertex.started.push(event.id);
  vertex.statuses.set(event.id, event);
  vertex.pendingStatuses.add(event.id);
  trace.pending.add(vertex.digest);
  count(vertex, now);
}

function takeLog(
  trace: Trace,
  event: LogEvent,
  now: number,
  onLog?: (vertex: TracedVertex, data: Uint8Array) => void,
): void {
  const vertex = trace.byDigest.get(event.vertex);
  if (!vertex) return;
  onLog?.(vertex, event.data);
  const since = vertex.merged.at(-1)?.start;
  const time = logTime(since === undefined ? 0n : event.timestamp - since);
  const pieces = splitLines(event.data);
  const complete = event.data.at(-1) === 10;
  pieces.forEach((piece, index) => {
    const last = vertex.lines.length - 1;
    if (index === 0 && vertex.partial && last >= 0) vertex.lines[last] += piece;
    else vertex.lines.push(`${time} ${piece}`);
  });
  vertex.partial = !complete;
  trace.pending.add(vertex.digest);
  count(vertex, now);
}

function splitLines(data: Uint8Array): string[] {
  const text = Buffer.from(data).toString('latin1');
  const pieces = text.split('\n');
  if (pieces.at(-1) === '') pieces.pop();
  return pieces;
}

/** Seconds with 3 decimals below 10, 2 below 100, else 1. */
function logTime(nanoseconds: bigint): string {
  const seconds = toSeconds(nanoseconds);
  return toFixedHalfEven(seconds, seconds < 10 ? 3 : seconds < 100 ? 2 : 1);
}
