import { fileURLToPath } from 'node:url';
import type { StatusDetail } from '../../wire/grpc/status.ts';
import { errorDetail } from './error-details.ts';
import { versionMessage } from './worker.ts';

/** One call of a stack. Names are those of BuildKit's message. */
interface Frame {
  readonly Name: string;
  readonly File: string;
  readonly Line: number;
}

/** `at name (place:line:column)`, or without a name `at place:line:column`. */
const CALL = /^\s+at (?:(?:async )?(.+?) \()?(?:async )?(.+):(\d+):\d+\)?$/;

/**
 * Where in the daemon an error comes from, which clients print when they are asked to (control-api facts, 9.1); undefined for
 * one that does not say.
 */
export function stackDetail(error: Error): StatusDetail | undefined {
  const frames = (error.stack ?? '').split('\n').flatMap((line): Frame[] => {
    const [, name = '<anonymous>', place = '', number = ''] = CALL.exec(line) ?? [];
    if (place === '' || place.startsWith('node:')) return [];
    return [{ Name: name, File: place.startsWith('file://') ? fileURLToPath(place) : place, Line: Number(number) }];
  });
  if (frames.length === 0) return undefined;
  const { version, revision } = versionMessage();
  return errorDetail(
    'stack.Stack',
    JSON.stringify({ frames, cmdline: process.argv, pid: process.pid, version, revision }),
  );
}
