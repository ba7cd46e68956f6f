/** Bills of materials: a scanner's statements come with the image, built here and on a daemon. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { baseContext } from '../support/base-image.ts';
import { outcrop } from '../support/cli.ts';
import { startDaemon } from '../support/daemon.ts';
import { hasRegistry, startRegistry, type TestRegistry } from '../support/registry.ts';

const skip = hasRegistry() ? false : 'not installed: docker-registry';

/** Names the files of each tree that it is given, and says in which layer it thinks nothing. */
const SCANNER = `FROM base
COPY --chmod=755 <<"EOF" /scan
#!/bin/sh -e
for tree in $BUILDKIT_SCAN_SOURCE $BUILDKIT_SCAN_SOURCE_EXTRAS/*; do
  [ -d $tree ] || continue
  name=\${tree##*/}
  files=""
  for file in $tree/*; do [ -f $file ] && files="$files\${files:+, }{\\"fileName\\": \\"/\${file##*/}\\"}"; done
  cat > $BUILDKIT_SCAN_DESTINATION/$name.spdx.json <<JSON
{"_type": "https://in-toto.io/Statement/v1", "predicateType": "https://spdx.dev/Document",
 "predicate": {"spdxVersion": "SPDX-2.3", "name": "$name $BUILDKIT_SCAN_mode", "files": [$files]}}
JSON
done
EOF
ENTRYPOINT ["/scan"]
`;

interface Spdx {
  readonly name: string;
  readonly files: readonly { readonly fileName: string; readonly comment?: string }[];
}

let registry: TestRegistry;
let work: string;
before(async () => {
  if (skip) return;
  work = mkdtempSync(join(tmpdir(), 'outcrop-sbom-'));
  registry = await startRegistry();
  await build([], 'scanner', SCANNER, '--push', '-t', `${registry.address}/scanner`);
});
after(async () => {
  if (skip) return;
  await registry[Symbol.asyncDispose]();
  rmSync(work, { recursive: true, force: true });
});

async function build(flags: readonly string[], name: string, dockerfile: string, ...more: string[]): Promise<void> {
  const context = join(work, name);
  mkdirSync(context, { recursive: true });
  writeFileSync(join(context, 'Dockerfile'), dockerfile);
  const base = ['--build-context', baseContext(), '--provenance=false'];
  const run = await outcrop(['build', '--progress=plain', ...flags, ...base, ...more, context], {
    root: join(work, 'root'),
  });
  assert.equal(run.code, 0, run.stderr);
}

async function statementsOf(layout: string): Promise<Spdx[]> {
  const read = (digest: string) => JSON.parse(readFileSync(join(layout, 'blobs/sha256', digest.slice(7)), 'utf8'));
  const [{ digest }] = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')).manifests;
  const index = read(digest);
  const attested = index.manifests.find(
    ({ annotations }: { annotations?: Record<string, string> }) =>
      annotations?.['vnd.docker.reference.type'] === 'attestation-manifest',
  );
  return read(attested.digest).layers.map((layer: { digest: string; annotations: Record<string, string> }) => {
    assert.equal(layer.annotations['in-toto.io/predicate-type'], 'https://spdx.dev/Document');
    return read(layer.digest).predicate;
  });
}

const TARGET = `FROM scratch AS base-files
COPY <<EOF /below
one
EOF
FROM scratch AS tool
ARG BUILDKIT_SBOM_SCAN_STAGE=true
COPY <<EOF /tool
two
EOF
FROM base-files
COPY --from=tool /tool /above
`;

test('a scanner tells what the image and the stages that ask for it are made of', { skip }, async () => {
  await using daemon = await startDaemon();
  for (const flags of [[], ['--builder', daemon.address]]) {
    const layout = join(work, `out-${flags.length}`);
    const scanner = `generator=${registry.address}/scanner,mode=deep`;
    await build(flags, 'target', TARGET, '--sbom', scanner, '-o', `type=oci,tar=false,dest=${layout}`);
    const [core, tool, ...others] = await statementsOf(layout);
    assert.deepEqual(others, []);
    assert.deepEqual([core?.name, tool?.name], ['sbom deep', 'sbom-tool deep']);
    const layers = core?.files.map(({ fileName, comment }) => [fileName, comment?.slice(0, 16)]);
    assert.deepEqual(layers, [
      ['/above', 'layerID: sha256:'],
      ['/below', 'layerID: sha256:'],
    ]);
    assert.notEqual(core?.files[0]?.comment, core?.files[1]?.comment);
    assert.deepEqual(tool?.files, [{ fileName: '/tool' }]);
  }
});

test('what is no image has the statements as files', { skip }, async () => {
  const out = join(work, 'files');
  await build([], 'target', TARGET, '--sbom', `generator=${registry.address}/scanner`, '-o', out);
  const statement = JSON.parse(readFileSync(join(out, 'sbom.spdx.json'), 'utf8'));
  assert.equal(statement.predicate.name, 'sbom ');
  assert.deepEqual(
    statement.subject.map(({ name }: { name: string }) => name),
    ['above', 'below'],
  );
});
