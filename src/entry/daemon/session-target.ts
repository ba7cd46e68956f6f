import type { ExportTarget } from '../../engine/exporter/export-target.ts';
import { sendBytes, sendFiles } from '../../wire/session/file-send.ts';
import type { Session } from '../../wire/session/session.ts';
import { writeSessionLayout } from './session-layout.ts';
import { treeAccess } from './tree-access.ts';

/**
 * The client as the place that a result goes to.
 * @param exporter the index of the exporter in the request
 */
export function sessionTarget(find: (signal: AbortSignal) => Promise<Session>, exporter: number): ExportTarget {
  return {
    async archive(bytes, answers, advance, signal) {
      await sendBytes(await find(signal), { exporter }, answers, counting(bytes, advance), signal);
    },
    async tree(tree, { epoch, mirror, advance }, signal) {
      const target = { exporter, ...(mirror ? { multiPlatform: true } : {}) };
      await sendFiles(await find(signal), target, tree, treeAccess(tree, epoch), signal, { onProgress: advance });
    },
    layout: async (image, content, _options, signal) => writeSessionLayout(await find(signal), image, content, signal),
  };
}

async function* counting(
  bytes: AsyncIterable<Uint8Array>,
  advance: (written: number) => void,
): AsyncGenerator<Uint8Array> {
  let written = 0;
  for await (const chunk of bytes) {
    written += chunk.length;
    advance(written);
    yield chunk;
  }
}
