/** What a step prints, as it is passed on: in the pieces in which it comes, up to a limit. */

/** Limits of one stream of a step, in bytes; -1 for none. */
export interface LogLimits {
  readonly size: number;
  /** For each started second of the step's life. */
  readonly speed: number;
}

/** One output of a step. */
export interface LogStream {
  write(chunk: Uint8Array): void;
  /** Sends the end of what was printed again if some of it was clipped: to be called when the step has failed. */
  flush(): void;
}

const DEFAULT_SIZE = 2 << 20;
const DEFAULT_SPEED = 200 << 10;
/** How much is kept of a clipped stream. */
const KEPT = 256 << 10;

/** The limits that the environment sets (`BUILDKIT_STEP_LOG_MAX_SIZE` and `_SPEED`), 2 MiB and 200 KiB/s by default. */
export function logLimits(env: NodeJS.ProcessEnv): LogLimits {
  const number = (text: string | undefined, fallback: number) =>
    text !== undefined && /^[+-]?[0-9]{1,10}$/.test(text) ? Number(text) : fallback;
  return {
    size: number(env['BUILDKIT_STEP_LOG_MAX_SIZE'], DEFAULT_SIZE),
    speed: number(env['BUILDKIT_STEP_LOG_MAX_SPEED'], DEFAULT_SPEED),
  };
}

/**
 * A stream that sends what fits the limits and says once when something does not; it goes on when the next piece fits again.
 *
 * @param seconds How long the step has run.
 */
export function logStream(limits: LogLimits, seconds: () => number, send: (data: Uint8Array) => void): LogStream {
  let size = 0;
  let clipping = false;
  let kept: Uint8Array | undefined;

  function limitNow(): { readonly limit: number; readonly text: string } {
    const bySpeed = limits.speed === -1 ? -1 : Math.ceil(seconds()) * limits.speed;
    if (bySpeed !== -1 && bySpeed <= limits.size) return { limit: bySpeed, text: `${binarySize(limits.speed)}/s` };
    return { limit: limits.size, text: binarySize(limits.size) };
  }

  return {
    write(chunk) {
      const { limit, text } = limitNow();
      const before = size;
      size += chunk.length;
      const fits = limit === -1 || size <= limit ? chunk.length : Math.max(0, limit - before);
      const clipped = fits < chunk.length;
      if (clipped || kept) kept = lastBytes(kept, chunk);
      if (fits > 0) send(clipped ? chunk.subarray(0, fits) : chunk);
      if (clipped && !clipping) send(Buffer.from(`\n[output clipped, log limit ${text} reached]\n`));
      clipping = clipped;
    },
    flush() {
      if (kept && kept.length > 0) send(kept);
      kept = undefined;
    },
  };
}

function lastBytes(kept: Uint8Array | undefined, chunk: Uint8Array): Uint8Array {
  const all = Buffer.concat([kept ?? new Uint8Array(0), chunk]);
  return all.length > KEPT ? all.subarray(all.length - KEPT) : all;
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB'];

function binarySize(bytes: number): string {
  let [value, unit] = [bytes, 0];
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value}${UNITS[unit]}`;
}
