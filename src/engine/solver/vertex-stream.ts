/**
 * What one build is told of its vertices. BuildKit's client sees more than what happens to each vertex: when a vertex
 * starts, inputs of it that nothing was said of since they were announced are cached (remote-cache: what the progress
 * calls CACHED).
 */
import type { BuildEvent, EventSink, Timestamp, VertexEvent } from '../status/event.ts';

export interface VertexStream {
  /** Passes an event on. A vertex event may be preceded by others, for inputs. */
  emit(event: BuildEvent): void;
  /** Closes the intervals that are still open: what was started and not cached was cancelled. */
  end(now: Timestamp): void;
}

/**
 * A stream into `sink`.
 *
 * @param beforeCached - called before a vertex is reported cached because it was not needed.
 */
export function vertexStream(sink: EventSink, beforeCached: (digest: string) => void): VertexStream {
  /** The last event of each vertex; not those that were reported cached by a vertex above. */
  const last = new Map<string, VertexEvent>();
  const belowCached = new Set<string>();

  function update(event: VertexEvent): void {
    last.set(event.digest, event);
    if (event.cached) markCached(event.digest);
    sink(event);
  }

  function markCached(digest: string): void {
    const pending = [digest];
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      const event = last.get(next);
      if (event === undefined || belowCached.has(next)) continue;
      belowCached.add(next);
      pending.push(...event.inputs);
    }
  }

  function open(inputs: readonly string[]): VertexEvent[] {
    return inputs.flatMap(digest => {
      const event = last.get(digest);
      return event === undefined || event.cached || event.completed !== undefined ? [] : [event];
    });
  }

  /** The inputs, all the way down, that are announced and not completed; those that others stand on first. */
  function unneeded(event: VertexEvent): Iterable<VertexEvent> {
    const found = new Set<VertexEvent>();
    const stack = open(event.inputs).reverse();
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const below = found.has(top) ? [] : open(top.inputs).filter(input => !found.has(input));
      if (below.length > 0) {
        stack.push(...below.reverse());
      } else {
        found.add(top);
        stack.pop();
      }
    }
    return found;
  }

  return {
    emit(event) {
      if (event.kind !== 'vertex') {
        sink(event);
        return;
      }
      if (event.started !== undefined) {
        for (const input of unneeded(event)) {
          beforeCached(input.digest);
          update({ ...input, cached: true, started: event.started, completed: event.started });
          last.delete(input.digest);
        }
      }
      update(event);
    },

    end(now) {
      for (const event of last.values()) {
        if (event.started === undefined || event.completed !== undefined) continue;
        const cancelled = event.error === undefined && !belowCached.has(event.digest);
        sink({ ...event, completed: now, ...(cancelled ? { error: 'context canceled' } : {}) });
      }
      last.clear();
    },
  };
}
