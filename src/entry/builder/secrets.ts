import { readFile } from 'node:fs/promises';
import type { SecretProvider } from '../../engine/ops/op-context.ts';
import { BuildRequestError } from './frontend-options.ts';
import type { SecretRequest } from './request.ts';

/** The most that a secret may hold (BuildKit's limit), in bytes. */
const MAX_SECRET = 500 * 1024;

/**
 * Gives the secrets of a build, read each time that they are asked for.
 * A variable that is not set is an empty secret (buildx's rule).
 * @throws BuildRequestError when a file cannot be read, or the value is too large.
 */
export function secretProvider(
  requests: readonly SecretRequest[],
  environment: Readonly<Record<string, string | undefined>>,
): SecretProvider {
  const byId = new Map(requests.map(request => [request.id, request]));
  return {
    async get(id, signal) {
      const request = byId.get(id);
      if (!request) return undefined;
      const value =
        request.env === undefined
          ? await readSecret(id, request.file ?? id, signal)
          : Buffer.from(environment[request.env] ?? '');
      if (value.length > MAX_SECRET)
        throw new BuildRequestError(`secret ${id} is too large: ${value.length} bytes, the limit is ${MAX_SECRET}`);
      return value;
    },
  };
}

async function readSecret(id: string, file: string, signal: AbortSignal): Promise<Uint8Array> {
  try {
    return await readFile(file, { signal });
  } catch (cause) {
    if (signal.aborted) throw cause;
    throw new BuildRequestError(
      `secret ${id}: cannot read ${file}: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
}
