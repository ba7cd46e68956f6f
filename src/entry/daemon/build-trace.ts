import { randomBytes } from 'node:crypto';
import type { Timestamp } from '../../engine/status/event.ts';
import type { StatusResponse } from './status-message.ts';
import { formatTime, timestampOf } from './wire-values.ts';

/** What the spans of a trace are about as a whole. */
export interface TracedBuild {
  readonly ref: string;
  readonly started: Timestamp;
  readonly ended: Timestamp;
  /** What the build failed with; undefined for one that ended well. */
  readonly error: string | undefined;
}

/** One stretch of time in a build. */
interface Span {
  readonly name: string;
  readonly parent: string;
  readonly id: string;
  readonly started: Timestamp;
  readonly ended: Timestamp;
  readonly attributes: Readonly<Record<string, string>>;
  readonly error: string;
  readonly children: number;
}

/** As Go's tracing library numbers them. */
const INTERNAL_SPAN = 1;
const UNSET = 0;
const ERROR = 1;

const NO_SPAN = '0'.repeat(16);
const NO_TRACE = '0'.repeat(32);
const SCOPE = { Name: 'outcrop', Version: '', SchemaURL: '', Attributes: null };

/**
 * The trace of a build: a span for the whole, and one for each step that ran or was found, as JSON values one after the other
 * (control-api facts, 6; the form is that of Go's span stubs, which BuildKit's clients read).
 * @param log what the build said; steps that never started have no span
 */
export function encodeTrace({ ref, started, ended, error }: TracedBuild, log: readonly StatusResponse[]): Buffer {
  const trace = randomBytes(16).toString('hex');
  const root = newSpanID();
  const steps = new Map<string, Span>();
  for (const { vertexes = [] } of log) {
    for (const {
      digest = '',
      name = '',
      started: from,
      completed: to,
      cached = false,
      error: failure = '',
    } of vertexes) {
      if (from === undefined) continue;
      const begin = timeOf(from);
      steps.set(digest, {
        name,
        parent: root,
        id: steps.get(digest)?.id ?? newSpanID(),
        started: begin,
        ended: to === undefined ? ended : timeOf(to),
        attributes: { vertex: digest, ...(cached ? { cached: 'true' } : {}) },
        error: failure,
        children: 0,
      });
    }
  }
  const whole: Span = {
    name: 'solve',
    parent: NO_SPAN,
    id: root,
    started,
    ended,
    attributes: { ref },
    error: error ?? '',
    children: steps.size,
  };
  const spans = [...steps.values(), whole];
  return Buffer.from(spans.map(span => `${JSON.stringify(spanStub(trace, span), undefined, 2)}\n`).join(''));
}

function spanStub(trace: string, { name, parent, id, started, ended, attributes, error, children }: Span) {
  return {
    Name: name,
    SpanContext: contextOf(trace, id),
    Parent: parent === NO_SPAN ? contextOf(NO_TRACE, NO_SPAN) : contextOf(trace, parent),
    SpanKind: INTERNAL_SPAN,
    StartTime: formatTime(started),
    EndTime: formatTime(ended),
    Attributes: Object.entries(attributes).map(([Key, Value]) => ({ Key, Value: { Type: 'STRING', Value } })),
    Events: null,
    Links: null,
    Status: { Code: error === '' ? UNSET : ERROR, Description: error },
    DroppedAttributes: 0,
    DroppedEvents: 0,
    DroppedLinks: 0,
    ChildSpanCount: children,
    Resource: [{ Key: 'service.name', Value: { Type: 'STRING', Value: 'outcrop' } }],
    InstrumentationScope: SCOPE,
    InstrumentationLibrary: SCOPE,
  };
}

function contextOf(trace: string, span: string) {
  return { TraceID: trace, SpanID: span, TraceFlags: trace === NO_TRACE ? '00' : '01', TraceState: '', Remote: false };
}

function newSpanID(): string {
  return randomBytes(8).toString('hex');
}

function timeOf({ seconds = 0n, nanos = 0 }: { readonly seconds?: bigint; readonly nanos?: number }): Timestamp {
  return timestampOf({ seconds, nanos });
}
