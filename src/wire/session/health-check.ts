import { setTimeout as delay } from 'node:timers/promises';
import type { Channel } from '../grpc/channel.ts';
import { serviceClient } from '../grpc/service-client.ts';
import { Health } from '../proto/gen/grpc/health_pb.ts';
import { SessionError } from './session.ts';

const INTERVAL = 5000;
const PATIENCE = 15_000;
const FAILURES = 2;
/** Whatever a client asks for. */
const LEAST = 1000;
/** A check may take longer than the one before by this. */
const GROWTH = 1.5;

/**
 * Asks a client again and again whether it is well. Rejects with SessionError when it failed to answer too often, settles
 * once the signal is aborted.
 * @param custom milliseconds that the client asked for: between two checks, for each, and then one failure is enough
 */
export async function watchHealth(channel: Channel, custom: number | undefined, signal: AbortSignal): Promise<void> {
  const health = serviceClient(Health, channel);
  const interval = custom === undefined ? INTERVAL : Math.max(custom, LEAST);
  const patience = custom === undefined ? PATIENCE : interval;
  let failures = 0;
  let lastDuration = 0;
  for (;;) {
    try {
      await delay(interval, undefined, { signal, ref: false });
    } catch {
      return;
    }
    const start = performance.now();
    try {
      await health.check({}, { signal, timeout: Math.max(patience, lastDuration * GROWTH) });
      failures = 0;
    } catch (cause) {
      if (signal.aborted) return;
      if (++failures >= (custom === undefined ? FAILURES : 1))
        throw new SessionError(`session healthcheck failed fatally: ${(cause as Error).message}`, { cause });
    }
    lastDuration = performance.now() - start;
  }
}
