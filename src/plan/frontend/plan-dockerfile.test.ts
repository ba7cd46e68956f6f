import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { create, toJson } from '@bufbuild/protobuf';
import type { Digest } from '../../wire/oci/digest.ts';
import { digestOf } from '../../wire/oci/digest.ts';
import { formatPlatformAll } from '../../wire/oci/platform.ts';
import { type Definition, DefinitionSchema, LocationSchema, OpMetadataSchema } from '../../wire/proto/gen/pb/ops_pb.ts';
import { loadDefinition } from '../llb/index.ts';
import { type DockerfilePlan, planDockerfile } from './plan-dockerfile.ts';
import { type RecordedHost, recordedHost } from './testing-host.ts';

const FOLDER = new URL('../../../test/vectors/llb/', import.meta.url);

interface Case {
  readonly dockerfile?: string;
  readonly opts: Readonly<Record<string, string>>;
  readonly buildPlatform: string;
  readonly sessionID: string;
  readonly images?: Readonly<
    Record<
      string,
      { readonly digest: Digest; readonly config?: unknown; readonly configs?: Readonly<Record<string, unknown>> }
    >
  >;
  readonly locals?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly httpContext?: 'archive' | 'dockerfile';
  readonly inputs?: Readonly<Record<string, { readonly vertices: readonly string[] }>>;
}

interface ExpectedVertex {
  readonly digest: string;
  readonly name: string;
  readonly inputs: readonly { readonly vertex: number; readonly index: number }[];
  readonly op: unknown;
  readonly metadata: unknown;
  readonly locations?: unknown;
}

interface ExpectedDefinition {
  readonly vertices: readonly ExpectedVertex[];
  readonly terminal: ExpectedVertex | null;
  readonly sources: readonly {
    readonly filename: string;
    readonly language: string;
    readonly dataDigest: string;
    readonly definitionHead: string;
  }[];
}

interface Expected {
  readonly error?: string;
  readonly resolveRequests?: readonly unknown[];
  readonly preliminary?: readonly ExpectedDefinition[];
  readonly results?: readonly {
    readonly platformID: string;
    readonly definition: ExpectedDefinition;
    readonly imageConfigJSON: string;
    readonly baseImageConfigJSON?: string;
    readonly sourceDateEpoch?: unknown;
  }[];
  readonly exportPlatforms?: unknown;
}

const read = (name: string, file: string) => readFileSync(new URL(`${name}/${file}`, FOLDER));
const names = readdirSync(FOLDER, { withFileTypes: true }).flatMap(entry => (entry.isDirectory() ? [entry.name] : []));

function hostFor(name: string, given: Case): RecordedHost {
  const fileOf = (path: string) => {
    try {
      return read(name, path);
    } catch {
      return undefined;
    }
  };
  return recordedHost({
    buildPlatform: given.buildPlatform,
    sessionID: given.sessionID,
    image: (ref, platform) => {
      const image = given.images?.[ref];
      const config = image?.config ?? image?.configs?.[platform];
      return image && config ? { digest: image.digest, config: Buffer.from(JSON.stringify(config)) } : undefined;
    },
    file: (identifier, path) => {
      if (path === 'context')
        return given.httpContext === 'archive' ? Buffer.from([0x1f, 0x8b, 8]) : fileOf('Dockerfile');
      const local = given.locals?.[identifier.replace('local://', '')];
      const text = local?.[path];
      return local === undefined ? fileOf(path) : text === undefined ? undefined : Buffer.from(text);
    },
    inputs: () =>
      new Map(
        Object.entries(given.inputs ?? {}).map(([key, { vertices }]) => [
          key,
          create(DefinitionSchema, {
            def: vertices.map(raw => Buffer.from(raw, 'base64')),
            metadata: Object.fromEntries(vertices.map(raw => [digestOf(Buffer.from(raw, 'base64')), {}])),
          }),
        ]),
      ),
  });
}

/** A definition in the form of the vectors, progress groups renamed in order of appearance. */
function describe(definition: Definition) {
  if (definition.def.length === 0) return { vertices: [], terminal: null, sources: [] };
  const graph = loadDefinition(definition);
  const groups = new Map<string, string>();
  const last = definition.def.at(-1) ?? new Uint8Array();
  const metadataOf = (digest: string) => {
    const metadata = definition.metadata[digest];
    assert.ok(metadata);
    const { progressGroup } = metadata;
    if (progressGroup === undefined) return toJson(OpMetadataSchema, metadata);
    const id = groups.get(progressGroup.id) ?? `pg${groups.size + 1}`;
    groups.set(progressGroup.id, id);
    return toJson(OpMetadataSchema, { ...metadata, progressGroup: { ...progressGroup, id } });
  };
  return {
    vertices: graph.vertices.map(vertex => ({
      digest: vertex.digest,
      name: vertex.name,
      inputs: vertex.inputs.map(edge => ({ vertex: graph.vertices.indexOf(edge.vertex), index: edge.output })),
      metadata: metadataOf(vertex.digest),
      locations: vertex.locations.map(location => toJson(LocationSchema, location)),
    })),
    terminal: { digest: digestOf(last), metadata: metadataOf(digestOf(last)) },
    sources: graph.sources.map(({ filename, language, data, definition: loadedBy }) => ({
      filename,
      language,
      dataDigest: digestOf(data),
      definitionHead: loadedBy === undefined ? '' : loadDefinition(loadedBy).head.vertex.digest,
    })),
  };
}

function expectedForm(expected: ExpectedDefinition) {
  return {
    vertices: expected.vertices.map(({ digest, name, inputs, metadata, locations }) => ({
      digest,
      name,
      inputs: inputs.map(({ vertex, index }) => ({ vertex, index })),
      metadata: metadata ?? {},
      locations: locations ?? [],
    })),
    terminal: expected.terminal && { digest: expected.terminal.digest, metadata: expected.terminal.metadata },
    sources: expected.sources ?? [],
  };
}

function checkPlan(plan: DockerfilePlan, expected: Expected): void {
  const results = expected.results ?? [];
  const byID = plan.platforms.toSorted((a, b) => (plan.isMultiPlatform ? (a.id < b.id ? -1 : 1) : 0));
  assert.equal(byID.length, results.length);
  byID.forEach((platform, i) => {
    const result = results[i];
    assert.ok(result);
    assert.equal(plan.isMultiPlatform ? platform.id : '', result.platformID);
    const [actual, wanted] = [describe(platform.definition), expectedForm(result.definition)];
    // The short list first: it shows at once where graphs part.
    const list = (form: typeof wanted | typeof actual) =>
      form.vertices.map(({ digest, name }) => `${digest.slice(7, 19)} ${name}`);
    assert.deepEqual(list(actual), list(wanted));
    assert.deepEqual(actual, wanted);
    assert.equal(platform.imageConfig, result.imageConfigJSON);
    assert.equal(platform.baseImageConfig, result.baseImageConfigJSON);
    assert.equal(String(platform.sourceDateEpoch), String(result.sourceDateEpoch));
  });
  assert.deepEqual(
    { Platforms: plan.platforms.map(({ id, platform }) => ({ ID: id, Platform: platform })) },
    expected.exportPlatforms,
  );
}

function checkRequests(host: RecordedHost, expected: Expected): void {
  const requests = host.requests.map(({ ref, platform, resolveMode, logName, ociLayout }) => ({
    ref,
    ...(platform === undefined ? {} : { platform: formatPlatformAll(platform) }),
    ...(ociLayout === undefined ? { resolveMode } : { ociStore: ociLayout.store, ociSession: ociLayout.session }),
    logName,
  }));
  const byName = (a: { logName: string; platform?: string }, b: { logName: string; platform?: string }) =>
    a.logName < b.logName ? -1 : a.logName > b.logName ? 1 : (a.platform ?? '') < (b.platform ?? '') ? -1 : 1;
  assert.deepEqual(requests.sort(byName), expected.resolveRequests ?? []);
  // A download that is the Dockerfile is solved twice, which the vectors show once.
  const preliminary = [...new Map(host.solved.map(one => [String(one.def.at(-1)), one])).values()].map(describe);
  const lastName = (form: { vertices: readonly { name: string }[] }) => form.vertices.at(-1)?.name ?? '';
  preliminary.sort((a, b) => (lastName(a) < lastName(b) ? -1 : 1));
  assert.deepEqual(
    preliminary.map(form => form.vertices),
    (expected.preliminary ?? []).map(form => expectedForm(form).vertices),
  );
}

test(`a Dockerfile becomes the graph and the image config that BuildKit makes of it: ${names.length} of ${names.length} builds`, async t => {
  for (const name of names) {
    await t.test(name, async () => {
      const given: Case = JSON.parse(read(name, 'case.json').toString());
      const expected: Expected = JSON.parse(read(name, 'expected.json').toString());
      const host = hostFor(name, given);
      const options = { ...given.opts, ...(given.dockerfile === undefined ? {} : { filename: given.dockerfile }) };
      const plan = planDockerfile(host, new Map(Object.entries(options)), AbortSignal.timeout(10_000));
      if (expected.error !== undefined) {
        await assert.rejects(plan, { message: expected.error });
        return;
      }
      checkPlan(await plan, expected);
      checkRequests(host, expected);
    });
  }
});
