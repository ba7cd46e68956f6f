import type { IncomingMessage, ServerResponse } from 'node:http';

/** A request that is refused, with the status that Docker's clients expect. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;

  constructor(status: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}

/** A request of Docker's API, and where its answer goes. */
export interface ApiCall {
  readonly query: URLSearchParams;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Fires when the client has gone. */
  readonly signal: AbortSignal;
}

/** What answers requests of one kind. */
export interface ApiRoute {
  readonly method: 'GET' | 'POST' | 'DELETE' | 'HEAD';
  /** Of the path without its version. */
  readonly path: RegExp;
  /** @param names what the groups of `path` matched */
  readonly answer: (call: ApiCall, ...names: string[]) => Promise<void>;
}

/** Answers with a value. */
export function sendJson({ response }: ApiCall, value: unknown, status = 200): void {
  const text = JSON.stringify(value);
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  response.end(text);
}

/** A parameter that is on or off (docker-api facts, 1). */
export function readFlag(query: URLSearchParams, name: string, otherwise = false): boolean {
  const value = query.get(name);
  return value === null ? otherwise : !['', '0', 'no', 'false', 'none'].includes(value.toLowerCase());
}

/** A parameter that is JSON. Throws ApiError. */
export function readJsonParameter(query: URLSearchParams, name: string, what: string): unknown {
  const text = query.get(name);
  if (text === null || text === '') return undefined;
  try {
    return JSON.parse(text);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ApiError(400, `error reading ${what}: ${reason}`, { cause });
  }
}

/** The parameter `filters`: the values of each name. Throws ApiError. */
export function readFilters(query: URLSearchParams): ReadonlyMap<string, readonly string[]> {
  const value = readJsonParameter(query, 'filters', 'filters') ?? {};
  if (typeof value !== 'object' || value === null) throw new ApiError(400, 'invalid filter');
  return new Map(
    Object.entries(value).map(([name, values]: [string, unknown]) => {
      if (Array.isArray(values)) return [name, values.map(String)];
      if (typeof values !== 'object' || values === null) throw new ApiError(400, 'invalid filter');
      return [name, Object.keys(values)];
    }),
  );
}
