import { setTimeout as delay } from 'node:timers/promises';
import type { EventSink } from '../../engine/status/event.ts';
import type { Channel } from '../../wire/grpc/channel.ts';
import { first } from '../../wire/grpc/metadata.ts';
import { serviceClient } from '../../wire/grpc/service-client.ts';
import { Control } from '../../wire/proto/gen/control/control_pb.ts';
import { statusEvents } from './status-events.ts';

const CLOCK = 'buildkit-current-timestamp';
/** A difference of clocks that is not just the way of a message, in milliseconds. */
const SKEW = 1000;
/** How long the daemon may be silent about a build that has ended, in milliseconds. */
const SILENCE = 3000;

/** The progress of a build on a daemon, followed to its end. */
export interface StatusFollower {
  /** The last error that a step has ended with. */
  readonly lastError: () => string | undefined;
  /** Waits until all is told of a build that has ended, or nothing more comes. */
  finish(): Promise<void>;
}

/** Turns what the daemon tells of a build into events. What goes wrong with it is no failure of the build. */
export function followStatus(channel: Channel, ref: string, emit: EventSink): StatusFollower {
  const stop = new AbortController();
  let error: string | undefined;
  let count = 0;
  const call = serviceClient(Control, channel).status({ Ref: ref }, { signal: stop.signal });
  async function follow(): Promise<void> {
    const shift = skewOf(first(await call.headers, CLOCK));
    for await (const message of call) {
      count++;
      for (const event of statusEvents(message, shift)) {
        if (event.kind === 'vertex' && event.error !== undefined) error = event.error;
        emit(event);
      }
    }
  }
  const ended = follow().catch(() => undefined);
  let isEnded = false;
  void ended.then(() => (isEnded = true));
  return {
    lastError: () => error,
    async finish() {
      // Of a build that never began nothing will be told.
      for (let told = 0; !isEnded && told < count; ) {
        told = count;
        const timer = new AbortController();
        await Promise.race([ended, delay(SILENCE, undefined, { signal: timer.signal }).catch(() => undefined)]);
        timer.abort();
      }
      stop.abort();
      await ended;
    },
  };
}

/** Nanoseconds that our clock is ahead. */
function skewOf(time: string | undefined): bigint {
  const theirs = time === undefined ? Number.NaN : Date.parse(time);
  const difference = Date.now() - theirs;
  return Math.abs(difference) > SKEW ? BigInt(Math.round(difference)) * 1_000_000n : 0n;
}
