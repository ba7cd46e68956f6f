import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import type { Timestamp } from '../../engine/status/event.ts';
import type { Database } from '../../store/database.ts';
import { Code } from '../../wire/grpc/code.ts';
import { StatusError } from '../../wire/grpc/status.ts';
import { type Digest, digestOf } from '../../wire/oci/digest.ts';
import {
  type BuildHistoryEventSchema,
  BuildHistoryEventType,
  type BuildHistoryRecord,
  BuildHistoryRecordSchema,
  type BuildHistoryRequest,
  type BuildResultInfo,
  type BuildResultInfoSchema,
  type DescriptorSchema,
  StatusResponseSchema,
  type UpdateBuildHistoryRequest,
} from '../../wire/proto/gen/control/control_pb.ts';
import { encodeTrace } from './build-trace.ts';
import { historyFilter } from './history-filter.ts';
import type { StatusResponse } from './status-message.ts';
import { timestampMessage, timestampOf } from './wire-values.ts';

export type RecordInit = Exclude<MessageInitShape<typeof BuildHistoryRecordSchema>, BuildHistoryRecord>;
/** What a record says of one result. */
export type ResultInfoInit = Exclude<MessageInitShape<typeof BuildResultInfoSchema>, BuildResultInfo>;
type HistoryEvent = MessageInitShape<typeof BuildHistoryEventSchema>;
type BlobDescriptor = MessageInitShape<typeof DescriptorSchema>;

/** How long and how many finished builds are kept: a record goes when it is beyond both. */
export interface HistoryLimits {
  /** Milliseconds. */
  readonly maxAge: number;
  readonly maxEntries: number;
}

/** A build that runs. */
interface RunningRecord {
  /** Keeps bytes that the record names, for as long as the record is kept. */
  addBlob(mediaType: string, data: Uint8Array): BlobDescriptor & { readonly digest: string };
  /** Writes the record down. */
  finish(end: RecordInit, log: readonly StatusResponse[]): void;
}

/** What the daemon remembers of the builds of its clients (control-api facts, 6). */
export interface BuildHistory {
  begin(start: RecordInit & { readonly Ref: string }): RunningRecord;
  /** What a finished build said; undefined for one that is not known. */
  progressOf(ref: string): Iterable<StatusResponse> | undefined;
  listen(request: BuildHistoryRequest, signal: AbortSignal): AsyncGenerator<HistoryEvent>;
  /** Throws StatusError for a record that is not there. */
  update(request: UpdateBuildHistoryRequest): void;
  /** A blob of a record. */
  blob(digest: string): { readonly data: Uint8Array; readonly createdAt: Timestamp } | undefined;
}

const schema = [
  `CREATE TABLE client_build (
     ref TEXT PRIMARY KEY,
     created_at INTEGER NOT NULL,
     completed_at INTEGER NOT NULL,
     pinned INTEGER NOT NULL,
     record BLOB NOT NULL
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE client_build_blob (
     ref TEXT NOT NULL REFERENCES client_build (ref) ON DELETE CASCADE,
     digest TEXT NOT NULL,
     created_at INTEGER NOT NULL,
     data BLOB NOT NULL,
     PRIMARY KEY (digest, ref)
   ) STRICT, WITHOUT ROWID;`,
];

const LOG_TYPE = 'application/vnd.buildkit.status.v0';
const TRACE_TYPE = 'application/vnd.buildkit.otlp.json.v0';
const LENGTH_BYTES = 4;

/** Opens what is remembered in the database of a root. @param now nanoseconds since the epoch */
export function openBuildHistory(database: Database, limits: HistoryLimits, now: () => Timestamp): BuildHistory {
  database.migrate('client builds', schema);
  const { sql, transaction } = database;
  sql.exec('PRAGMA foreign_keys = ON');
  const active = new Map<string, BuildHistoryRecord>();
  const deleted = new Set<string>();
  const listeners = new Set<(event: HistoryEvent) => void>();
  const statements = {
    insert: sql.prepare('INSERT OR REPLACE INTO client_build VALUES (?, ?, ?, ?, ?)'),
    insertBlob: sql.prepare('INSERT OR IGNORE INTO client_build_blob VALUES (?, ?, ?, ?)'),
    select: sql.prepare('SELECT record FROM client_build WHERE ref = ?'),
    all: sql.prepare('SELECT record FROM client_build ORDER BY ref'),
    remove: sql.prepare('DELETE FROM client_build WHERE ref = ?'),
    removeBlobs: sql.prepare('DELETE FROM client_build_blob WHERE ref = ?'),
    old: sql.prepare(
      `SELECT ref FROM client_build WHERE pinned = 0 AND completed_at < ?
       AND ref NOT IN (SELECT ref FROM client_build WHERE pinned = 0 ORDER BY completed_at DESC LIMIT ?)`,
    ),
    blob: sql.prepare('SELECT data, created_at FROM client_build_blob WHERE digest = ? LIMIT 1'),
  };
  const milliseconds = (time: Timestamp) => Number(time / 1_000_000n);

  function tell(type: BuildHistoryEventType, record: NonNullable<HistoryEvent['record']>): void {
    for (const listener of listeners) listener({ type, record });
  }

  function read(ref: string): BuildHistoryRecord | undefined {
    const row = statements.select.get(ref);
    return row === undefined ? undefined : fromBinary(BuildHistoryRecordSchema, row['record'] as Uint8Array);
  }

  function write(record: BuildHistoryRecord): void {
    const time = (at: BuildHistoryRecord['CreatedAt']) => (at === undefined ? 0 : milliseconds(timestampOf(at)));
    statements.insert.run(
      record.Ref,
      time(record.CreatedAt),
      time(record.CompletedAt),
      record.pinned ? 1 : 0,
      toBinary(BuildHistoryRecordSchema, record),
    );
  }

  function remove(ref: string): void {
    transaction(() => {
      statements.removeBlobs.run(ref);
      statements.remove.run(ref);
    });
    deleted.add(ref);
    tell(BuildHistoryEventType.DELETED, { Ref: ref });
  }

  function sweep(): void {
    const oldest = milliseconds(now()) - limits.maxAge;
    for (const row of statements.old.all(oldest, limits.maxEntries)) remove(String(row['ref']));
  }

  function stored(): BuildHistoryRecord[] {
    return statements.all.all().map(row => fromBinary(BuildHistoryRecordSchema, row['record'] as Uint8Array));
  }

  return {
    begin(start) {
      const { Ref: ref } = start;
      const started = now();
      const created = timestampMessage(started);
      const record = create(BuildHistoryRecordSchema, { ...start, CreatedAt: created });
      active.set(ref, record);
      tell(BuildHistoryEventType.STARTED, record);
      const blobs = new Map<Digest, Uint8Array>();
      const addBlob: RunningRecord['addBlob'] = (mediaType, data) => {
        const digest = digestOf(data);
        blobs.set(digest, data);
        return { mediaType, digest, size: BigInt(data.length) };
      };
      return {
        addBlob,
        finish(end, log) {
          const time = now();
          const logs = addBlob(LOG_TYPE, encodeLog(log));
          const error = end.error?.message;
          const trace = addBlob(TRACE_TYPE, encodeTrace({ ref, started, ended: time, error }, log));
          const whole = create(BuildHistoryRecordSchema, {
            ...start,
            CreatedAt: created,
            ...end,
            logs,
            trace,
            CompletedAt: timestampMessage(time),
            Generation: 1,
          });
          transaction(() => {
            write(whole);
            for (const [digest, data] of blobs) statements.insertBlob.run(ref, digest, milliseconds(time), data);
          });
          active.delete(ref);
          tell(BuildHistoryEventType.COMPLETE, whole);
          sweep();
        },
      };
    },
    progressOf(ref) {
      if (active.has(ref)) return undefined;
      const digest = read(ref)?.logs?.digest;
      const row = digest === undefined ? undefined : statements.blob.get(digest);
      return row === undefined ? undefined : decodeLog(row['data'] as Uint8Array);
    },
    async *listen(request, signal) {
      const { Ref: ref, ActiveOnly: activeOnly, EarlyExit: earlyExit, Limit: limit } = request;
      if (limit < 0) throw new StatusError(Code.invalidArgument, `invalid limit ${limit}`);
      const filter = historyFilter(request.Filter, now());
      const pending: HistoryEvent[] = [];
      let wake: () => void = () => undefined;
      const listener = (event: HistoryEvent) => {
        if (ref !== '' && event.record?.Ref !== ref) return;
        pending.push(event);
        wake();
      };
      listeners.add(listener);
      const abort = () => wake();
      signal.addEventListener('abort', abort);
      try {
        for (const record of active.values())
          if (ref === '' || record.Ref === ref) yield { type: BuildHistoryEventType.STARTED, record };
        if (!activeOnly) {
          const found = stored().filter(record => (ref === '' || record.Ref === ref) && filter(record));
          if (ref !== '' && found.length === 0 && deleted.has(ref))
            throw new StatusError(Code.unknown, `ref ${ref} is deleted: file does not exist`);
          const chosen = limit > 0 ? found.sort(newestFirst).slice(0, limit) : found;
          for (const record of chosen) yield { type: BuildHistoryEventType.COMPLETE, record };
        }
        if (earlyExit) return;
        for (;;) {
          signal.throwIfAborted();
          const event = pending.shift();
          if (event !== undefined) {
            yield event;
            continue;
          }
          await new Promise<void>(resolve => {
            wake = resolve;
          });
        }
      } finally {
        signal.removeEventListener('abort', abort);
        listeners.delete(listener);
      }
    },
    update({ Ref: ref, Pinned: pinned, Delete: isDelete, Finalize: finalize }) {
      const record = read(ref);
      if (isDelete) {
        if (record === undefined) throw new StatusError(Code.unknown, `lease "ref_${ref}": not found`);
        remove(ref);
        return;
      }
      // The trace is written with the record.
      if (finalize) return;
      if (record === undefined)
        throw new StatusError(Code.unknown, `failed to retrieve ref ${ref}: file does not exist`);
      const changed = create(BuildHistoryRecordSchema, { ...record, pinned, Generation: record.Generation + 1 });
      write(changed);
      tell(BuildHistoryEventType.COMPLETE, changed);
    },
    blob(digest) {
      const row = statements.blob.get(digest);
      if (row === undefined) return undefined;
      return { data: row['data'] as Uint8Array, createdAt: BigInt(Number(row['created_at'])) * 1_000_000n };
    },
  };
}

function newestFirst(a: BuildHistoryRecord, b: BuildHistoryRecord): number {
  const time = ({ CreatedAt: at }: BuildHistoryRecord) => (at === undefined ? 0n : timestampOf(at));
  return time(b) > time(a) ? 1 : time(b) < time(a) ? -1 : 0;
}

/** Messages one after the other, each behind its length in four bytes, the lowest first. */
function encodeLog(messages: readonly StatusResponse[]): Buffer {
  const parts: Uint8Array[] = [];
  for (const message of messages) {
    const bytes = toBinary(StatusResponseSchema, create(StatusResponseSchema, message));
    const length = Buffer.alloc(LENGTH_BYTES);
    length.writeUInt32LE(bytes.length);
    parts.push(length, bytes);
  }
  return Buffer.concat(parts);
}

function* decodeLog(data: Uint8Array): Generator<StatusResponse> {
  const buffer = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  for (let at = 0; at + LENGTH_BYTES <= buffer.length; ) {
    const length = buffer.readUInt32LE(at);
    at += LENGTH_BYTES;
    yield fromBinary(StatusResponseSchema, buffer.subarray(at, at + length));
    at += length;
  }
}
