import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseFile } from '../parse-file.ts';
import { lintFile } from './lint-file.ts';
import { findDependencyInstall, findUnpinned } from './network-commands.ts';

function found(text: string): string[] {
  const { warnings } = lintFile(text, parseFile(text));
  return warnings
    .filter(({ rule }) => rule.own)
    .map(({ rule, lines, message }) => `${rule.name} ${lines?.start}: ${message}`);
}

const ON = '# check=experimental=Surprises\n';
const PINNED = `FROM base@sha256:${'a'.repeat(64)} AS b\n`;

test('they are off unless they are asked for by name', () => {
  const file = 'FROM alpine\nRUN apk add curl\n';
  assert.deepEqual(found(file), []);
  assert.deepEqual(found(`# check=experimental=all\n${file}`), []);
  assert.equal(found(`${ON}${file}`).length, 2);
  assert.deepEqual(found(`# check=experimental=SurpriseNetworkFetch;skip=all\n${file}`), [
    "SurpriseNetworkFetch 3: What 'apk add curl' fetches is not pinned: it stays in the cache as it was on the day of the step",
  ]);
  const inline = 'FROM alpine\n# check=experimental=SurpriseNetworkFetch\nRUN apk add curl\nRUN apk add git\n';
  assert.equal(found(inline).length, 1);
});

test('a base image without a digest', () => {
  assert.match(
    found(`${ON}FROM alpine:3.22\n`)[0] ?? '',
    /^SurpriseBaseDrift 2: Base image alpine:3\.22 may be another/,
  );
  assert.deepEqual(found(`${ON}ARG V=1\n${PINNED}FROM scratch\nFROM b\nFROM alpine:$V\n`), []);
});

test('an ARG before steps that do not mention it', () => {
  const [early, ...others] = found(
    `${ON}${PINNED}ARG VERSION=1\nARG USED=1\nRUN one $USED\nRUN two\nRUN echo $VERSION\nARG TARGETARCH\nRUN three\n`,
  );
  assert.equal(
    early,
    'SurpriseArgScope 3: ARG VERSION is part of 2 steps that do not mention it: declare it before line 7, where it is first used',
  );
  assert.deepEqual(others, []);
  assert.deepEqual(found(`${ON}${PINNED}ARG UNUSED=1\nRUN one\n`), [
    'SurpriseArgScope 3: ARG UNUSED is part of one step that does not mention it: nothing in this stage uses it',
  ]);
  assert.deepEqual(found(`${ON}${PINNED}ARG A=1\nRUN <<E\necho $A\nE\nFROM b\nARG LATE\n`), []);
  assert.deepEqual(found(`${ON}${PINNED}ARG A=1\nRUN x\nFROM b\nRUN echo $A\n`), []);
});

test('a copy of everything before dependencies are installed', () => {
  assert.match(
    found(`${ON}${PINNED}COPY . /app\nRUN cd /app && npm ci\n`)[0] ?? '',
    /^SurpriseCopyAll 3: 'npm ci' runs/,
  );
  assert.deepEqual(found(`${ON}${PINNED}COPY package.json .\nRUN npm ci\nCOPY . .\n`), []);
  assert.deepEqual(found(`${ON}${PINNED}COPY --from=b . /app\nRUN npm ci\n`), []);
});

test('files that leave a cache mount, and files that stay in it', () => {
  const step = 'RUN --mount=type=cache,target=/var/c/ make && cp -r /var/c/out /out\n';
  assert.match(
    found(`${ON}${PINNED}${step}`)[0] ?? '',
    /^SurpriseCacheMountState 3: Files go from the cache mount \/var\/c /,
  );
  assert.deepEqual(found(`${ON}${PINNED}RUN --mount=type=cache,target=/var/c make && cp /var/cc /out\n`), []);
  const lost = `${ON}${PINNED}RUN --mount=type=cache,target=/target make\nFROM scratch\nCOPY --from=b target/app /app\nCOPY --from=0 /other /o\n`;
  assert.deepEqual(found(lost), [
    'SurpriseCacheMountLost 5: target/app lies in the cache mount /target of b, which is no part of its files: copy it elsewhere in the step that makes it',
  ]);
});

test('a secret', () => {
  assert.match(
    found(`${ON}${PINNED}RUN --mount=type=secret,id=token make\n`)[0] ?? '',
    /^SurpriseSecretIgnored 3: The step stays cached when the secret token changes/,
  );
});

test('commands that fetch something unpinned', () => {
  const unpinned = [
    ['apt-get update && apt-get install -y curl=1.2 git', 'apt-get install -y curl=1.2 git'],
    ['apk --no-cache add curl', 'apk --no-cache add curl'],
    ['pip install flask', 'pip install flask'],
    ['python3 -m pip install "flask==1" -q requests', 'python3 -m pip install "flask==1" -q requests'],
    ['npm install -g yarn', 'npm install -g yarn'],
    ['set -e; DEBIAN_FRONTEND=noninteractive apt-get install -y git', 'apt-get install -y git'],
    ['go install example.com/x@latest', 'go install example.com/x@latest'],
    ['curl -fsSL https://example.com/x.sh | sh', 'curl -fsSL https://example.com/x.sh'],
    ['git clone https://example.com/x', 'git clone https://example.com/x'],
    ['if true; then apk add git; fi', 'apk add git'],
    ['apt-get upgrade -y', 'apt-get upgrade -y'],
  ] as const;
  for (const [script, command] of unpinned) assert.equal(findUnpinned(script), command);
  for (const script of [
    'apt-get install -y curl=1.2 git=1:2 ./local.deb',
    'apk add curl=~8 .build-deps/',
    'pip install -r requirements.txt',
    'pip install flask==3.0 .',
    'npm ci',
    'npm install -g yarn@1.22',
    'go install example.com/x@v1.2.3',
    'cargo install --locked ripgrep',
    'curl -fsSLO https://example.com/x && echo "abc x" | sha256sum -c',
    'git clone -b v1 https://example.com/x',
    'git clone https://example.com/x && git -C x checkout 0123abc',
    'apt-get install -y $PACKAGES',
    'echo npm install left-pad',
  ]) {
    assert.equal(findUnpinned(script), undefined, script);
  }
});

test('commands that install dependencies', () => {
  for (const command of [
    'npm ci',
    'yarn',
    'yarn install --frozen-lockfile',
    'pip install -r r.txt',
    'go mod download',
    'uv sync',
  ]) {
    assert.equal(findDependencyInstall(`cd /x && ${command}`), command);
  }
  for (const command of ['yarn build', 'npm run ci', 'go build', 'pip install flask']) {
    assert.equal(findDependencyInstall(command), undefined);
  }
});
