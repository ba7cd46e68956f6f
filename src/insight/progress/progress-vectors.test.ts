import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import type { BuildEvent } from '../../engine/status/event.ts';
import { batchOf, type StatusBatch } from './batch.ts';
import { createPacer } from './pacer.ts';
import { paletteFrom } from './palette.ts';
import { createPlainRenderer, type PlainOptions } from './plain.ts';
import { parseRfc3339, rawJsonLine } from './rawjson.ts';
import type { Renderer } from './renderer.ts';
import { createTtyRenderer } from './tty.ts';

const VECTORS = new URL('../../../test/vectors/progress/', import.meta.url);
const cases = readdirSync(VECTORS, { withFileTypes: true })
  .filter(entry => entry.isDirectory())
  .map(entry => entry.name)
  .sort();

type Json = Record<string, unknown>;

interface Recorded {
  readonly at: number;
  readonly batch: StatusBatch;
  readonly line: string;
}

function streamOf(name: string): Recorded[] {
  const text = readFileSync(new URL(`${name}/stream.jsonl`, VECTORS), 'utf8');
  return text
    .trim()
    .split('\n')
    .map(line => {
      const { at, status } = JSON.parse(line) as { at: number; status: Record<string, Json[]> };
      return {
        at,
        batch: batchOf(eventsOf(status)),
        line: line.slice(line.indexOf('"status":') + '"status":'.length, -1),
      };
    });
}

function eventsOf(status: Record<string, Json[]>): BuildEvent[] {
  const time = (value: unknown) => parseRfc3339(String(value));
  const times = (item: Json) => ({
    ...(item['started'] ? { started: time(item['started']) } : {}),
    ...(item['completed'] ? { completed: time(item['completed']) } : {}),
  });
  const bytes = (value: unknown) => Buffer.from(String(value ?? ''), 'base64');
  return [
    ...(status['vertexes'] ?? []).map((v): BuildEvent => {
      const group = v['progressGroup'] as { id: string; name: string; weak?: boolean } | undefined;
      return {
        kind: 'vertex',
        digest: String(v['digest']),
        inputs: (v['inputs'] as string[] | undefined) ?? [],
        name: String(v['name']),
        cached: v['cached'] === true,
        ...(v['error'] ? { error: String(v['error']) } : {}),
        ...times(v),
        ...(group ? { progressGroup: { ...group, weak: group.weak ?? false } } : {}),
      };
    }),
    ...(status['statuses'] ?? []).map(
      (s): BuildEvent => ({
        kind: 'status',
        id: String(s['id']),
        vertex: String(s['vertex']),
        name: String(s['name'] ?? ''),
        total: Number(s['total'] ?? 0),
        current: Number(s['current'] ?? 0),
        timestamp: time(s['timestamp']),
        ...times(s),
      }),
    ),
    ...(status['logs'] ?? []).map(
      (l): BuildEvent => ({
        kind: 'log',
        vertex: String(l['vertex']),
        stream: l['stream'] === 2 ? 2 : 1,
        data: bytes(l['data']),
        timestamp: time(l['timestamp']),
      }),
    ),
    ...(status['warnings'] ?? []).map((w): BuildEvent => {
      const source = w['sourceInfo'] as
        | { filename: string; data: string; language?: string; definition?: unknown }
        | undefined;
      const position = (p: { line?: number; character?: number }) => ({
        line: p.line ?? 0,
        character: p.character ?? 0,
      });
      const ranges = (w['range'] as { start: object; end: object }[] | undefined) ?? [];
      return {
        kind: 'warning',
        vertex: String(w['vertex']),
        level: Number(w['level'] ?? 0),
        short: bytes(w['short']),
        detail: ((w['detail'] as string[] | undefined) ?? []).map(bytes),
        ...(w['url'] ? { url: String(w['url']) } : {}),
        ...(source
          ? {
              sourceInfo: {
                filename: source.filename,
                data: bytes(source.data),
                definition: source.definition,
                ...(source.language ? { language: source.language } : {}),
              },
            }
          : {}),
        ...(ranges.length > 0
          ? { ranges: ranges.map(({ start, end }) => ({ start: position(start), end: position(end) })) }
          : {}),
      };
    }),
  ];
}

/** The virtual clock of the vectors' README. */
function replay(stream: readonly Recorded[], pace: 'recorded' | 'instant' | 'slow', renderer: Renderer): void {
  let now = 0;
  const pacer = createPacer(renderer, 0);
  stream.forEach(({ at, batch }, index) => {
    const arrival = pace === 'recorded' ? at : pace === 'instant' ? 0 : 200 * index;
    while (pacer.nextTick < arrival) {
      now = pacer.nextTick;
      pacer.tick(now);
    }
    now = Math.max(now, arrival);
    pacer.take(batch, now);
  });
  pacer.finish(now);
}

function plainText(
  stream: readonly Recorded[],
  pace: 'recorded' | 'instant' | 'slow',
  options: Partial<PlainOptions> = {},
): string {
  let out = '';
  replay(stream, pace, createPlainRenderer({ write: bytes => (out += bytes), ...options }));
  return out;
}

for (const name of cases) {
  const stream = streamOf(name);
  const expected = (file: string) => readFileSync(new URL(`${name}/${file}`, VECTORS), 'latin1');
  const variants = [
    { file: 'plain-recorded.txt', pace: 'recorded' },
    { file: 'plain-instant.txt', pace: 'instant' },
    { file: 'plain-slow.txt', pace: 'slow' },
    { file: 'plain-recorded-trunc.txt', pace: 'recorded', options: { truncate: true } },
    {
      file: 'plain-recorded-desc.txt',
      pace: 'recorded',
      options: { description: 'building with "default" instance using remote driver' },
    },
  ] as const;
  const recorded = variants.filter(({ file }) => existsSync(new URL(`${name}/${file}`, VECTORS)));
  test(`plain, ${name}: ${recorded.length} of ${recorded.length} texts`, () => {
    for (const { file, pace, ...rest } of recorded) {
      assert.equal(plainText(stream, pace, 'options' in rest ? rest.options : {}), expected(file), file);
    }
  });
  const screens = readdirSync(new URL(`${name}/`, VECTORS)).filter(file => file.startsWith('tty-'));
  test(`tty, ${name}: ${screens.length} of ${screens.length} screens`, () => {
    for (const file of screens) {
      const [, width, height] = /^tty-(\d+)x(\d+)/.exec(file) ?? [];
      let out = '';
      const renderer = createTtyRenderer({
        write: bytes => (out += bytes),
        size: () => ({ width: Number(width), height: Number(height) }),
        palette: paletteFrom({}, assert.fail),
      });
      replay(stream, 'recorded', renderer);
      const wanted = gunzipSync(readFileSync(new URL(`${name}/${file}`, VECTORS))).toString('latin1');
      assert.deepEqual(out.split('\x1b[?25l'), wanted.split('\x1b[?25l'), file);
    }
  });
  test(`rawjson, ${name}: ${stream.length} of ${stream.length} lines`, () => {
    for (const { batch, line } of stream)
      assert.equal(JSON.stringify(JSON.parse(rawJsonLine(batch))), JSON.stringify(JSON.parse(line)));
  });
}
