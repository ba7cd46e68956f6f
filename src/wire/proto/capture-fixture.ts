import { readdirSync, readFileSync } from 'node:fs';

/** Recorded traffic between BuildKit's programs, for tests. */
const DIRECTORY = new URL('../../../test/vectors/api/', import.meta.url);

/** Something that went over a stream. `from` names the program, not the HTTP/2 role. */
interface CapturedEvent {
  readonly from: 'client' | 'daemon';
  readonly kind: 'headers' | 'message' | 'half-close' | 'trailers' | 'reset';
  readonly headers?: readonly (readonly [name: string, value: string])[];
  /** Name of the message type. */
  readonly type?: string;
  /** The message; absent where only its length was kept. */
  readonly hex?: string;
  readonly length?: number;
}

/** One call. */
export interface CapturedStream {
  readonly method: string;
  readonly events: readonly CapturedEvent[];
}

/** The calls of a file, by its name without `.json`. */
export function readCapture(name: string): readonly CapturedStream[] {
  return JSON.parse(readFileSync(new URL(`${name}.json`, DIRECTORY), 'utf8')).streams;
}

/** The names of all files that hold calls. */
export function captureNames(): string[] {
  const names = readdirSync(DIRECTORY).filter(name => name.endsWith('.json'));
  return names.map(name => name.slice(0, -5)).filter(name => readCapture(name) !== undefined);
}

/** The JSON of another file of the recordings. */
export function readVector(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`${name}.json`, DIRECTORY), 'utf8'));
}
