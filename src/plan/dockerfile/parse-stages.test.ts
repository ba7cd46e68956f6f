import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { startCpuTimer } from '../../../test/support/cpu-timer.ts';
import { detectCheck, detectSyntax } from './directive.ts';
import { DockerfileError } from './error.ts';
import { expandWord } from './expand.ts';
import type { Instruction, RunInstruction, StagedFile } from './instruction.ts';
import { readMounts } from './mount.ts';
import type { InstructionNode, ParsedFile } from './node.ts';
import { parseFile } from './parse-file.ts';
import { parseStages, parseTrigger } from './parse-stages.ts';
import { type LineRange, positionAt } from './source.ts';

interface Vector {
  readonly id: string;
  readonly dockerfile?: string;
  readonly base64?: string;
  readonly pieces?: readonly (string | readonly [string, number])[];
  readonly env?: readonly (readonly [string, string])[];
  readonly expect: Readonly<Record<string, unknown>>;
}

interface SyntaxVector {
  readonly id: string;
  readonly dockerfile: string;
  readonly syntax: unknown;
  readonly check: unknown;
}

function readVectors<T>(name: string): readonly T[] {
  const file = new URL(`../../../test/vectors/dockerfile/${name}`, import.meta.url);
  const vectors: { readonly cases: readonly T[] } = JSON.parse(readFileSync(file, 'utf8'));
  return vectors.cases;
}

const vectors = readVectors<Vector>('parse.json');

test(`parsing: ${vectors.length} vectors`, () => {
  for (const vector of vectors) assert.deepEqual(shortened(describe(vector)), vector.expect, vector.id);
});

const syntaxVectors = readVectors<SyntaxVector>('directives.json');

test(`choice of frontend: ${syntaxVectors.length} vectors`, () => {
  for (const { id, dockerfile, syntax, check } of syntaxVectors) {
    assert.deepEqual(
      { syntax: detectSyntax(dockerfile) ?? null, check: detectCheck(dockerfile) ?? null },
      { syntax, check },
      id,
    );
  }
});

function sourceOf({ dockerfile, base64, pieces }: Vector): string | Uint8Array {
  if (base64 !== undefined) return Buffer.from(base64, 'base64');
  return (
    dockerfile ?? (pieces ?? []).map(piece => (typeof piece === 'string' ? piece : piece[0].repeat(piece[1]))).join('')
  );
}

function describe(vector: Vector): unknown {
  let parsed: ParsedFile;
  try {
    parsed = parseFile(sourceOf(vector));
  } catch (error) {
    return { error: describeError(error, 'parse') };
  }
  const shared = {
    escape: parsed.escape,
    nodes: parsed.nodes.map(node => describeNode(node)),
    ...(parsed.warnings.length > 0 && {
      warnings: parsed.warnings.map(({ short, line, url }) => ({ short, line, url })),
    }),
  };
  let staged: StagedFile;
  try {
    staged = parseStages(parsed);
  } catch (error) {
    return { error: describeError(error, 'instructions'), ...shared };
  }
  const variables = new Map(vector.env);
  return {
    ...shared,
    metaArgs: staged.metaArgs.map(arg => describeInstruction(arg, variables, parsed.escape)),
    stages: staged.stages.map(({ keyword, base, name, platform, doc, lines, source, instructions }) => ({
      keyword,
      base,
      name,
      platform,
      doc,
      lines: pair(lines),
      source,
      commands: instructions.map(instruction => describeInstruction(instruction, variables, parsed.escape)),
    })),
  };
}

function describeError(error: unknown, phase: string): unknown {
  assert.ok(error instanceof DockerfileError, String(error));
  return { phase, message: error.message, ranges: error.locations.map(pair) };
}

function pair({ start, end }: LineRange): [number, number] {
  return [start, end];
}

function describeNode(node: InstructionNode): unknown {
  const { keyword, original, lines, flags, args, json, trigger, heredocs, comments } = node;
  return {
    instruction: keyword,
    original,
    lines: pair(lines),
    flags,
    args,
    json,
    ...(trigger !== undefined && {
      child: {
        args: trigger.args,
        flags: trigger.flags,
        instruction: trigger.keyword,
        json: trigger.json,
        original: trigger.original,
      },
    }),
    ...(heredocs.length > 0 && {
      heredocs: heredocs.map(({ name, fileDescriptor, expand, chomp, content }) => ({
        chomp,
        content,
        expand,
        fd: fileDescriptor,
        name,
      })),
    }),
    ...(comments.length > 0 && { comments }),
  };
}

function describeInstruction(instruction: Instruction, variables: Map<string, string>, escapeChar: string): unknown {
  const { kind, keyword, lines, source } = instruction;
  const base = { kind, name: keyword, lines: pair(lines), source };
  switch (instruction.kind) {
    case 'ADD':
    case 'COPY': {
      const { sources, destination, contents, chown, chmod, link, exclude } = instruction;
      const files = contents.map(({ path, data, expand }) => ({ path, data, expand }));
      const shared = { ...base, sources, dest: destination, contents: files, chown, chmod, link, exclude };
      if (instruction.kind === 'COPY') return { ...shared, from: instruction.from, parents: instruction.parents };
      const { checksum, keepGitDir = null, unpack = null } = instruction;
      return { ...shared, checksum, keepGitDir, unpack };
    }
    case 'ARG':
      return { ...base, args: instruction.args.map(({ key, value = null, doc }) => ({ key, value, doc })) };
    case 'ENV':
    case 'LABEL':
      return { ...base, pairs: instruction.pairs };
    case 'RUN':
      return { ...base, ...describeRun(instruction, word => expandWord(word, variables, { escape: escapeChar }).text) };
    case 'CMD':
      return { ...base, args: instruction.args, shellForm: instruction.shellForm };
    case 'ENTRYPOINT':
      return {
        ...base,
        args: instruction.args.length === 0 ? null : instruction.args,
        shellForm: instruction.shellForm,
      };
    case 'HEALTHCHECK': {
      const { test, interval, timeout, startPeriod, startInterval, retries } = instruction;
      return { ...base, test, interval, timeout, startPeriod, startInterval, retries };
    }
    case 'EXPOSE':
      return { ...base, ports: instruction.ports };
    case 'VOLUME':
      return { ...base, volumes: instruction.volumes };
    case 'WORKDIR':
      return { ...base, path: instruction.path };
    case 'USER':
      return { ...base, user: instruction.user };
    case 'STOPSIGNAL':
      return { ...base, signal: instruction.signal };
    case 'SHELL':
      return { ...base, shell: instruction.shell };
    case 'MAINTAINER':
      return { ...base, value: instruction.maintainer };
    case 'ONBUILD':
      return { ...base, expression: instruction.expression };
  }
}

function describeRun(run: RunInstruction, expand: (word: string) => string): object {
  const { args, shellForm, files, flagsUsed, network, security, devices } = run;
  const shared = {
    args,
    shellForm,
    ...(files.length > 0 && { files }),
    flagsUsed,
    network,
    security,
    devices,
  };
  try {
    const mounts = readMounts(run, expand).map(
      ({ readOnly, env = null, mode = null, uid = null, gid = null, ...mount }) => ({
        ...mount,
        readonly: readOnly,
        env,
        mode,
        uid,
        gid,
      }),
    );
    return { ...shared, mounts };
  } catch (error) {
    assert.ok(error instanceof DockerfileError);
    return { ...shared, mountError: error.message };
  }
}

/** With long texts as the vectors give them. */
function shortened(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_, member: unknown) => {
      if (typeof member !== 'string' || member.length <= 2000) return member;
      return { $length: member.length, $sha256: createHash('sha256').update(member).digest('hex') };
    }),
  );
}

const piece = fc.constantFrom(
  ...[
    'FROM ',
    'RUN ',
    'COPY ',
    'ADD ',
    'ENV ',
    'ONBUILD ',
    'HEALTHCHECK CMD ',
    'ARG ',
    'VOLUME ',
    '# ',
    '#',
    'escape=',
  ],
  ...[
    '`',
    '\\',
    '\n',
    '\n',
    ' ',
    '\t',
    '\r\n',
    '<<EOF',
    'EOF',
    '<<-"a b"',
    '--mount=',
    '--',
    '"',
    "'",
    '["a"]',
    '[',
    '=',
    '$',
    '${a:-',
  ],
  ...['a', 'é', '😀', '\u0085', '\u00a0', '\ufeff', 'scratch', 'AS ', ',', '}'],
);
const anyFile = fc.array(piece, { maxLength: 40 }).map(pieces => pieces.join(''));

test('any text is parsed or refused with DockerfileError', () => {
  fc.assert(
    fc.property(fc.oneof(anyFile, fc.uint8Array({ maxLength: 60 })), text => {
      try {
        parseStages(parseFile(text));
      } catch (error) {
        assert.ok(error instanceof DockerfileError);
      }
    }),
    { numRuns: 500 },
  );
});

test('instructions cover their lines in order, and each position is where its text stands', () => {
  fc.assert(
    fc.property(anyFile, text => {
      const lines = text.replace(/^\ufeff/, '').split('\n');
      let last = 0;
      for (const node of parsedNodes(text)) {
        assert.ok(node.lines.start > last && node.lines.end >= node.lines.start && node.lines.end <= lines.length);
        last = node.lines.end;
        for (let offset = 0; offset < node.original.length; offset++) {
          const { line, column } = positionAt(node.segments, offset);
          assert.equal(lines[line - 1]?.[column - 1], node.original[offset]);
        }
      }
    }),
  );
});

test('a logical line parses to the same words when it stands alone', () => {
  fc.assert(
    fc.property(anyFile, text => {
      for (const { original, heredocs, flags, args } of parsedNodes(text)) {
        if (heredocs.length > 0 || /[\\`\n]/.test(original) || original.trim() === '') continue;
        const [alone] = parsedNodes(`\n${original}\n`);
        assert.deepEqual({ flags: alone?.flags, args: alone?.args }, { flags, args });
      }
    }),
  );
});

function parsedNodes(text: string): readonly InstructionNode[] {
  try {
    return parseFile(text).nodes;
  } catch {
    return [];
  }
}

test('five thousand instructions take time in proportion', () => {
  const line =
    'RUN --mount=type=cache,target=/x echo "$a" \\\n  # note\n  && cat <<EOF\nbody\nEOF\nENV A=1 B="two words" C=$D\n';
  const source = `FROM scratch\n${line.repeat(2_500)}`;
  const taken = startCpuTimer();
  assert.equal(parseStages(parseFile(source)).stages[0]?.instructions.length, 5_000);
  assert.ok(taken() < 5_000);
});

test('nesting and long runs do not exhaust the machine', () => {
  const taken = startCpuTimer();
  for (const text of [
    'ONBUILD '.repeat(8_000),
    `ENV a=${'${a:-'.repeat(10_000)}`,
    `# escape=${' '.repeat(60_000)}x\nFROM scratch`,
    `RUN ${'<<'.repeat(30_000)}`,
    `RUN ${'[['.repeat(30_000)}`,
    `RUN --${' '.repeat(60_000)}`,
    `${'\\\n'.repeat(50_000)}FROM scratch`,
  ]) {
    parsedNodes(text);
  }
  assert.ok(taken() < 5_000);
});

test('a trigger is parsed as a file of its own, at the lines of the FROM that runs it', () => {
  const lines = { start: 7, end: 8 };
  assert.deepEqual(parseTrigger('RUN <<EOF\necho\nEOF', lines).lines, lines);
  const refused: readonly (readonly [string, string])[] = [
    ['RUN a\nRUN b', 'onbuild trigger should be a single expression'],
    ['FROM x', '*instructions.Stage is not a command type'],
    ['BOGUS', 'unknown instruction: BOGUS'],
    ['ENV A', 'ENV must have two arguments'],
  ];
  for (const [expression, message] of refused) {
    assert.throws(() => parseTrigger(expression, lines), { name: 'DockerfileError', message, locations: [lines] });
  }
});
