import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { digestOf, hexOf } from '../../../wire/oci/digest.ts';
import { cacheConfigMediaType } from '../cache-config.ts';
import { fakeMachine } from './fake-build.ts';
import { openCacheImports } from './import.ts';

const vectors = new URL('../../../../test/vectors/remote-cache/', import.meta.url);
const root = mkdtempSync(join(tmpdir(), 'outcrop-import-'));
after(() => rmSync(root, { recursive: true, force: true }));

interface BrokenCase {
  readonly title: string;
  readonly config?: string;
  readonly padTo?: number;
  readonly error: string | null;
}

const broken: readonly BrokenCase[] = JSON.parse(readFileSync(new URL('broken-configs/cases.json', vectors), 'utf8'));

test(`damaged configs: ${broken.length} of ${broken.length}`, async t => {
  for (const { title, config, padTo, error } of broken) {
    await t.test(title, async () => {
      const directory = mkdtempSync(join(root, 'broken-'));
      cpSync(new URL('broken-configs/base/', vectors), directory, { recursive: true });
      const blob = (text: string | Buffer) => {
        const digest = digestOf(text);
        writeFileSync(join(directory, 'blobs/sha256', hexOf(digest)), text);
        return { digest, size: Buffer.byteLength(text) };
      };
      const read = (digest: string) => readFileSync(join(directory, 'blobs/sha256', digest.slice(7)), 'utf8');
      const index = JSON.parse(readFileSync(join(directory, 'index.json'), 'utf8'));
      const manifest = JSON.parse(read(index.manifests[0].digest));
      const text = (config ?? read(manifest.config.digest)).padEnd(padTo ?? 0);
      const written = blob(text);
      manifest.config = { mediaType: cacheConfigMediaType, ...written };
      Object.assign(index.manifests[0], blob(JSON.stringify(manifest)));
      writeFileSync(join(directory, 'index.json'), JSON.stringify(index));

      const { deps, events } = fakeMachine();
      const [source] = openCacheImports(
        [{ type: 'local', attributes: { src: directory } }],
        deps,
        AbortSignal.timeout(10_000),
      );
      const cache = await source?.cache;
      const last = events.findLast(event => event.kind === 'vertex');
      const shown = last?.kind === 'vertex' ? last.error : undefined;
      assert.equal(shown, error?.replace('{{config}}', hexOf(written.digest)));
      assert.equal(cache === undefined, error !== null);
    });
  }
});
