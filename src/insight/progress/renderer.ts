import type { StatusBatch } from './batch.ts';

/** Shows a build while it runs. Times are milliseconds of one monotonic clock. */
export interface Renderer {
  /** Takes a message in; prints nothing by itself. */
  take(batch: StatusBatch, now: number): void;
  /** Prints what is due. */
  print(now: number): void;
  /** The last print, with the blocks of failed steps. */
  finish(now: number): void;
}

/** Where a renderer writes; a string's characters are bytes. */
export type ByteSink = (bytes: string) => void;
