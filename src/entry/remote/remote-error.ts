import type { SourceRange } from '../../engine/status/event.ts';
import { Code, codeName } from '../../wire/grpc/code.ts';
import { type StatusDetail, type StatusError, toStatusError } from '../../wire/grpc/status.ts';
import { BuildError, type ErrorSource } from '../builder/builder.ts';

/** A daemon that is not there, or does not answer as one. */
export class UnreachableBuilderError extends Error {
  override readonly name = 'UnreachableBuilderError';
}

const SOURCE = 'github.com/moby/buildkit/errdefs.Source+json';

/** What a daemon's refusal means to the one who builds (control-api facts, 9). */
export function remoteError(error: unknown): BuildError {
  const status = toStatusError(error);
  return new BuildError(statusText(status), { cause: error, sources: status.details.flatMap(sourceOf) });
}

/** As BuildKit's Go clients print it: the code before the text, unless it says nothing. */
function statusText({ code, message }: StatusError): string {
  return code === Code.unknown || code === Code.ok ? message : `${codeName(code)}: ${message}`;
}

interface PositionJson {
  readonly line?: number;
  readonly character?: number;
}

interface SourceJson {
  readonly info?: { readonly filename?: string; readonly data?: string; readonly language?: string };
  readonly ranges?: readonly { readonly start?: PositionJson; readonly end?: PositionJson }[];
}

function sourceOf({ typeUrl, value }: StatusDetail): ErrorSource[] {
  if (typeUrl !== SOURCE) return [];
  let source: SourceJson;
  try {
    source = JSON.parse(Buffer.from(value).toString());
  } catch {
    // The text of the error stands without it.
    return [];
  }
  const { filename = '', data = '', language } = source.info ?? {};
  const info = { filename, data: Buffer.from(data, 'base64'), ...(language === undefined ? {} : { language }) };
  return [{ info, ranges: (source.ranges ?? []).map(rangeOf) }];
}

function rangeOf({ start, end }: { readonly start?: PositionJson; readonly end?: PositionJson }): SourceRange {
  const position = ({ line = 0, character = 0 }: PositionJson = {}) => ({ line, character });
  return { start: position(start), end: position(end) };
}
