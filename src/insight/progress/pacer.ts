import type { StatusBatch } from './batch.ts';
import type { Renderer } from './renderer.ts';

/** Milliseconds between prints that messages cause, and after which a tick causes one. */
const PRINT_INTERVAL = 100;
const TICK_INTERVAL = 150;

/** When a renderer prints: at most every 100 ms for messages, and every 150 ms in which none comes. */
export interface Pacer {
  take(batch: StatusBatch, now: number): void;
  /** The time at which `tick` is due. */
  readonly nextTick: number;
  tick(now: number): void;
  finish(now: number): void;
}

/** The pace of BuildKit's displays around a renderer; `start` is the time at which the build begins. */
export function createPacer(renderer: Renderer, start: number): Pacer {
  let nextTick = start + TICK_INTERVAL;
  let lastPrint = Number.NEGATIVE_INFINITY;
  return {
    get nextTick() {
      return nextTick;
    },
    take(batch, now) {
      renderer.take(batch, now);
      if (now - lastPrint >= PRINT_INTERVAL) {
        lastPrint = now;
        renderer.print(now);
      }
      nextTick = now + TICK_INTERVAL;
    },
    tick(now) {
      renderer.print(now);
      nextTick += TICK_INTERVAL;
    },
    finish: now => renderer.finish(now),
  };
}
