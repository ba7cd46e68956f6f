import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openDatabase } from '../../store/database.ts';
import { recordDigest } from '../solver/key.ts';
import { knownSteps } from './known-steps.ts';
import { sqliteKeyStore } from './sqlite-key-store.ts';

const root = mkdtempSync(join(tmpdir(), 'outcrop-steps-'));
after(() => rmSync(root, { recursive: true }));

test('steps of builds on this root have names', () => {
  using database = openDatabase(root);
  const keys = sqliteKeyStore(database);
  keys.addLink('base', { digest: 'sha256:1', selector: '', input: 0, output: 0 }, 'made');
  keys.saveParts('sha256:1', () => [{ kind: 'args', name: '', value: '/bin/sh -c make all' }]);
  const stepOf = knownSteps(database);
  assert.equal(stepOf(recordDigest('sha256:1', 0)), 'RUN make all');
  assert.equal(stepOf(recordDigest('sha256:2', 0)), undefined);
});
