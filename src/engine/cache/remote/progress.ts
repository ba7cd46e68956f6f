/** The vertices under which caches are imported and exported. */
import { randomBytes } from 'node:crypto';
import { digestOf } from '../../../wire/oci/digest.ts';
import { createExportProgress, type ExportProgress } from '../../exporter/export-progress.ts';
import type { VertexEvent } from '../../status/event.ts';
import type { ProgressDeps } from './port.ts';

/** A vertex that is under way. */
export interface CacheVertex extends ExportProgress {
  readonly digest: string;
  /** Says something that went wrong without failing the build; also after the vertex has ended. */
  warn(message: string): void;
}

/** Shows `work` as a vertex of its own. Its failure is shown, and thrown on. */
export async function inVertex<T>(
  name: string,
  { emit, now }: ProgressDeps,
  work: (vertex: CacheVertex) => Promise<T>,
): Promise<T> {
  const started = now();
  const digest = digestOf(`${name} ${started} ${randomBytes(8).toString('hex')}`);
  const vertex: VertexEvent = { kind: 'vertex', digest, inputs: [], name, started, cached: false };
  emit(vertex);
  const progress = createExportProgress(digest, emit, now);
  const warn = (message: string) =>
    emit({ kind: 'warning', vertex: digest, level: 1, short: Buffer.from(message), detail: [] });
  try {
    const result = await work({ digest, warn, step: progress.step });
    emit({ ...vertex, completed: now() });
    return result;
  } catch (error) {
    emit({ ...vertex, completed: now(), error: error instanceof Error ? error.message : String(error) });
    throw error;
  }
}
