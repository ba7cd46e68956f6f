import { digestOf } from '../../wire/oci/digest.ts';
import type { TokenListener } from '../../wire/registry/authorizer.ts';
import type { EventSink, Timestamp } from '../status/event.ts';

/** Says what a source does, under one vertex. */
export interface SourceProgress {
  /** Shows `work` as one line of the vertex: `resolve docker.io/library/alpine:latest`. */
  step<T>(id: string, work: () => Promise<T>): Promise<T>;
  /** Shows a stream's bytes as they pass: `sha256:…`, of `total`. Updates at most every 150 ms. */
  transfer(id: string, total: number, bytes: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>;
  /** Output of a program, standard output 1 or error 2. */
  log(stream: 1 | 2, data: Uint8Array): void;
}

const INTERVAL = 150_000_000n;

/** Progress of one vertex. */
export function sourceProgress(vertex: string, emit: EventSink, now: () => Timestamp): SourceProgress {
  const status = (id: string, current: number, total: number, started: Timestamp, completed?: Timestamp) => {
    emit({
      kind: 'status',
      id,
      vertex,
      name: '',
      current,
      total,
      timestamp: completed ?? now(),
      started,
      ...(completed === undefined ? {} : { completed }),
    });
  };
  return {
    async step(id, work) {
      const started = now();
      status(id, 0, 0, started);
      const result = await work();
      status(id, 0, 0, started, now());
      return result;
    },
    async *transfer(id, total, bytes) {
      const started = now();
      let last = started;
      let current = 0;
      status(id, 0, total, started);
      for await (const chunk of bytes) {
        current += chunk.length;
        const time = now();
        if (time - last >= INTERVAL) {
          last = time;
          status(id, current, total, started);
        }
        yield chunk;
      }
      status(id, current, total, started, now());
    },
    log: (stream, data) => emit({ kind: 'log', vertex, stream, data, timestamp: now() }),
  };
}

/** Shows the fetching of registry tokens as BuildKit does: a vertex `[auth] library/alpine:pull token for HOST`. */
export function tokenProgress(emit: EventSink, now: () => Timestamp): TokenListener {
  return (host, scopes) => {
    const name = `[auth] ${scopes.map(scope => scope.replace(/^repository:/, '')).join(' ')} token for ${host}`;
    const started = now();
    const vertex = {
      kind: 'vertex',
      digest: digestOf(`${name} ${started}`),
      inputs: [],
      name,
      started,
      cached: false,
    } as const;
    emit(vertex);
    return error => {
      const message = error instanceof Error ? error.message : String(error);
      emit({ ...vertex, completed: now(), ...(error === undefined ? {} : { error: message }) });
    };
  };
}
