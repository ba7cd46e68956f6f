import type { Vertex } from './op.ts';

/** Where a step failed: its key, the content digest or preparation of an input, or its run. */
export type FailedAt = 'key' | 'content' | 'run';

const prefix: Readonly<Record<FailedAt, string>> = {
  key: 'failed to load cache key: ',
  content: 'failed to compute cache key: ',
  run: '',
};

/** The text of anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** A step that failed. `cause` is what the op threw; the message is BuildKit's text around it. */
export class VertexError extends Error {
  override readonly name = 'VertexError';
  readonly vertex: Vertex;
  readonly at: FailedAt;

  constructor(vertex: Vertex, at: FailedAt, cause: unknown) {
    super(prefix[at] + messageOf(cause), { cause });
    this.vertex = vertex;
    this.at = at;
  }
}
