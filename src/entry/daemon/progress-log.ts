import { setImmediate as nextTurn } from 'node:timers/promises';
import type {
  BuildEvent,
  EventSink,
  LogEvent,
  StatusEvent,
  VertexEvent,
  WarningEvent,
} from '../../engine/status/event.ts';
import { type StatusResponse, statusMessages } from './status-message.ts';

/** What a build has said so far, for all who follow it, whenever they come. */
export interface ProgressLog {
  readonly sink: EventSink;
  /** The number of steps, and of those that were cached or have ended. */
  counts(): { readonly total: number; readonly cached: number; readonly completed: number; readonly warnings: number };
  /** Ends the log: followers are told what is left, and then that it is all. */
  close(): void;
  /**
   * What happened as messages, the past first, until the log is closed or `signal` is aborted. What follows each other faster
   * than it is read is told once, in its last state (control-api facts, 5).
   */
  follow(signal: AbortSignal): AsyncGenerator<StatusResponse, void>;
}

interface News {
  readonly vertices: Map<string, VertexEvent>;
  readonly statuses: Map<string, StatusEvent>;
  logs: LogEvent[];
  warnings: WarningEvent[];
}

interface Follower extends News {
  wake: () => void;
}

/** An empty log. */
export function createProgressLog(): ProgressLog {
  const past = emptyNews();
  const followers = new Set<Follower>();
  let isClosed = false;

  return {
    sink(event) {
      if (isClosed) return;
      add(past, event);
      for (const follower of followers) {
        add(follower, event);
        follower.wake();
      }
    },
    counts() {
      const vertices = [...past.vertices.values()];
      return {
        total: vertices.length,
        cached: vertices.filter(({ cached }) => cached).length,
        completed: vertices.filter(({ completed }) => completed !== undefined).length,
        warnings: past.warnings.length,
      };
    },
    close() {
      isClosed = true;
      for (const follower of followers) follower.wake();
    },
    async *follow(signal) {
      const follower: Follower = {
        vertices: new Map(past.vertices),
        statuses: new Map(past.statuses),
        logs: [...past.logs],
        warnings: [...past.warnings],
        wake: () => undefined,
      };
      followers.add(follower);
      const wakeNow = () => follower.wake();
      signal.addEventListener('abort', wakeNow);
      try {
        for (;;) {
          signal.throwIfAborted();
          if (!isEmpty(follower)) {
            // What comes in the same turn goes into the same message.
            await nextTurn();
            yield* statusMessages(take(follower));
          } else if (isClosed) return;
          else {
            const { promise, resolve } = Promise.withResolvers<void>();
            follower.wake = resolve;
            await promise;
          }
        }
      } finally {
        signal.removeEventListener('abort', wakeNow);
        followers.delete(follower);
      }
    },
  };
}

function emptyNews(): News {
  return { vertices: new Map(), statuses: new Map(), logs: [], warnings: [] };
}

function add(news: News, event: BuildEvent): void {
  switch (event.kind) {
    case 'vertex':
      news.vertices.set(event.digest, event);
      break;
    case 'status':
      news.statuses.set(`${event.vertex} ${event.id}`, event);
      break;
    case 'log':
      news.logs.push(event);
      break;
    case 'warning':
      news.warnings.push(event);
      break;
    default:
      // Why steps hit or missed is told to our own clients only.
      break;
  }
}

function isEmpty({ vertices, statuses, logs, warnings }: News): boolean {
  return vertices.size === 0 && statuses.size === 0 && logs.length === 0 && warnings.length === 0;
}

function take(follower: Follower) {
  const news = {
    vertices: [...follower.vertices.values()],
    statuses: [...follower.statuses.values()],
    logs: follower.logs,
    warnings: follower.warnings,
  };
  follower.vertices.clear();
  follower.statuses.clear();
  follower.logs = [];
  follower.warnings = [];
  return news;
}
