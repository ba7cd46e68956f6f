/** Dockerfiles of real projects, planned as BuildKit plans them (test/vectors/real-dockerfiles). */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseFile } from '../dockerfile/parse-file.ts';
import { parseStages } from '../dockerfile/parse-stages.ts';
import { planDockerfile } from './plan-dockerfile.ts';
import { answerRequest } from './request/answer-request.ts';
import { recordedHost } from './testing-host.ts';

interface RealFile {
  readonly repository: string;
  readonly path: string;
  readonly sha256: string;
  readonly plans: Readonly<Record<string, string>>;
}

const FOLDER = process.env['OUTCROP_REAL_FILES'];
const { files }: { readonly files: readonly RealFile[] } = JSON.parse(
  readFileSync(new URL('../../../test/vectors/real-dockerfiles/plans.json', import.meta.url), 'utf8'),
);

function sha256(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

/** The config that stands for an image; see the README of the vectors. */
function configOf(ref: string): string {
  const hash = createHash('sha256').update(ref).digest();
  const divides = (index: number, by: number, text: string) => ((hash[index] ?? 0) % by === 0 ? text : '');
  const more =
    divides(0, 2, ',"WorkingDir":"/srv"') +
    divides(2, 8, ',"OnBuild":["RUN echo triggered","COPY . /triggered","ENV TRIGGERED=1"]') +
    divides(1, 4, ',"User":"app"');
  const env = `["PATH=/usr/local/bin:/usr/bin:/bin","BASE_REF=${ref}"]`;
  const rootfs = `{"type":"layers","diff_ids":["sha256:${'0'.repeat(64)}"]}`;
  return `{"architecture":"amd64","os":"linux","config":{"Env":${env},"Cmd":["sh"]${more}},"rootfs":${rootfs}}`;
}

function optionsOf(variant: string, file: Uint8Array): Map<string, string> {
  const options = new Map([['cmdline', 'x']]);
  const [kind, name = ''] = variant.split(' ');
  if (kind === 'arm64') options.set('platform', 'linux/arm64').set('multi-platform', 'true');
  if (kind === 'target') options.set('target', name);
  if (kind === 'request') options.set('requestid', `frontend.${name}`);
  if (kind !== 'options') return options;
  options.set('no-cache', '').set('label:l', 'v').set('add-hosts', 'a=1.2.3.4').set('force-network-mode', 'none');
  const { metaArgs, stages } = parseStages(parseFile(file));
  for (const { key, value } of metaArgs.flatMap(({ args }) => args)) {
    if (value === undefined) options.set(`build-arg:${key}`, 'given');
  }
  for (const instruction of stages.flatMap(({ instructions }) => instructions)) {
    if (instruction.kind !== 'ARG') continue;
    for (const { key } of instruction.args) options.set(`build-arg:${key}`, `given_${key.toLowerCase()}`);
  }
  return options;
}

async function planOf(variant: string, file: Uint8Array): Promise<string> {
  const host = recordedHost({
    buildPlatform: 'linux/amd64',
    sessionID: 'session000000000000000001',
    image: ref => ({ digest: `sha256:${sha256(configOf(ref))}`, config: Buffer.from(configOf(ref)) }),
    file: (_, path) => (path === 'Dockerfile' ? file : undefined),
  });
  const options = optionsOf(variant, file);
  const signal = AbortSignal.timeout(20_000);
  try {
    if (options.has('requestid')) {
      const { metadata } = await answerRequest(host, options, signal);
      const keys = ['result.json', 'result.txt', 'result.statuscode', 'version'];
      return short(sha256(keys.map(key => `${key}\0${metadata.get(key) ?? ''}\0`).join('')));
    }
    const [platform] = (await planDockerfile(host, options, signal)).platforms;
    if (!platform) return '';
    return short([...platform.definition.def.map(sha256), sha256(platform.imageConfig)].join('\n'));
  } catch (error) {
    return `error ${short(error instanceof Error ? error.message : String(error))}`;
  }
}

function short(text: string): string {
  return sha256(text).slice(0, 16);
}

const skip = FOLDER === undefined && 'other people’s files: OUTCROP_REAL_FILES names no folder that has them';

test(`real Dockerfiles become BuildKit's graphs: ${files.length} files`, { skip }, async t => {
  let count = 0;
  for (const { repository, path, sha256: digest, plans } of files) {
    const file = readFileSync(join(FOLDER ?? '', digest));
    for (const [variant, plan] of Object.entries(plans)) {
      assert.equal(await planOf(variant, file), plan, `${repository} ${path}: ${variant}`);
      count++;
    }
  }
  t.diagnostic(`${count} of ${files.reduce((sum, { plans }) => sum + Object.keys(plans).length, 0)} plans`);
});
