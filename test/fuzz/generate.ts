/** Texts that follow the grammar, most of the time, so that they get further than noise does. */
import type { Random } from './random.ts';

const NAMES = ['A', 'B', 'PATH', 'x', 'größe', 'TARGETARCH', 'HTTP_PROXY', '1', '_', '@'] as const;
const PLAIN = ['a', 'b.txt', '/x/y', '.', '..', '*', '**/c', 'a b', 'é', '0', '80', 'node_modules', '-', '-x'] as const;
const BLANKS = [
  ' ',
  ' ',
  ' ',
  ' ',
  '  ',
  '\t',
  ' \\\n',
  ' \\\n\\\n',
  ' \\\n# no\n',
  ' \\\n\n',
  '\\ \n',
  '\v',
  '\u00a0',
] as const;
const STAGES = ['build', 'Build', 'dev', '0', '1', '-1', 'scratch', 'base', 'context', 'img'] as const;
const BASES = [
  'scratch',
  'busybox',
  'busybox:1',
  'build',
  'dev',
  'r.example/a/b:c',
  '$A',
  `\${A:-busybox}`,
  'Upper',
] as const;
const KEYWORDS =
  'ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL MAINTAINER ONBUILD RUN SHELL STOPSIGNAL USER VOLUME WORKDIR'.split(
    ' ',
  );
const DIRECTIVES = [
  '# escape=`\n',
  '# escape=\\\n',
  '# syntax=docker/dockerfile:1\n',
  '# check=skip=all\n',
  '# check=error=true\n',
  '# check=experimental=all,Surprises\n',
  '#!/bin/x\n',
  '\ufeff',
] as const;
const COMMENTS = ['# check=skip=UndefinedVar', '# build the stage', '#', '  # x', '# A text'] as const;
const SHELL_TEXTS = [
  'echo a && echo b',
  'curl -fsSL https://x/y | sh',
  'apt-get update; apt-get install -y git',
  "echo 'it''s'",
  'x || { y; }',
  '$((1 << 2))',
  '[ -f x ]',
] as const;
const OPERATORS = ['-', ':-', '+', ':+', '?', ':?', '#', '##', '%', '%%', '/', '//', '=', ':', '^'] as const;
const FLAGS = [
  '--from=',
  '--chown=',
  '--chmod=',
  '--link',
  '--link=',
  '--parents',
  '--exclude=',
  '--checksum=',
  '--keep-git-dir',
  '--unpack',
  '--platform=',
  '--mount=',
  '--network=',
  '--security=',
  '--device=',
  '--interval=',
  '--timeout=',
  '--retries=',
  '--',
  '--bogus',
] as const;
const FLAG_VALUES = [
  '',
  '0',
  'true',
  'build',
  'u:g',
  '0755',
  'u+x,g-w',
  'linux/amd64',
  '$A',
  '5s',
  '-1',
  'none',
  'a=b',
  '"q r"',
] as const;
const MOUNT_FIELDS = [
  'type=bind',
  'type=cache',
  'type=secret',
  'type=ssh',
  'type=tmpfs',
  'type=x',
  'target=/x',
  'dst=$A',
  'source=a',
  'from=build',
  'id=i',
  'ro',
  'rw=false',
  'required',
  'size=1m',
  'mode=0700',
  'uid=1',
  'sharing=locked',
  'env=E',
  '"quoted, x"',
  '"',
] as const;
const SOURCES = [
  'https://example.com/a.tar.gz',
  'https://example.com/r.git#main:sub',
  'git@example.com:a/b.git?tag=v1',
  'a/./b',
  '<<EOF',
  '<<-"E"',
] as const;

/** A whole Dockerfile. */
export function generateDockerfile(random: Random): string {
  let text = random.some(2, () => random.pick(DIRECTIVES)).join('');
  text += random.some(2, () => `ARG ${pair(random)}\n`).join('');
  const stages = 1 + random.below(3);
  for (let stage = 0; stage < stages; stage++) {
    text += instruction(random, 'FROM');
    text += random.some(6, () => instruction(random, random.pick(KEYWORDS) ?? '')).join('');
  }
  return text;
}

function instruction(random: Random, keyword: string): string {
  const comment = random.once(6) ? `${random.pick(COMMENTS)}\n` : '';
  const word = random.once(12) ? keyword.toLowerCase() : keyword;
  const flags = random.some(random.once(3) ? 3 : 0, () => flag(random) + blank(random)).join('');
  const rest = argumentsOf(random, keyword);
  const end = random.once(15) ? '\r\n' : random.once(25) ? '\\\n\n' : '\n';
  return `${comment}${word}${blank(random)}${flags}${rest}${end}${bodies(random, rest)}`;
}

function flag(random: Random): string {
  const name = random.pick(FLAGS);
  if (name === '--mount=') {
    const fields = [random.pick(MOUNT_FIELDS), ...random.some(4, () => random.pick(MOUNT_FIELDS))].join(',');
    return random.once(6) ? `--mount='${fields}'` : name + fields;
  }
  return name.endsWith('=') ? name + random.pick(FLAG_VALUES) : name;
}

function argumentsOf(random: Random, keyword: string): string {
  switch (keyword) {
    case 'FROM':
      return random.pick(BASES) + (random.once(2) ? `${blank(random)}AS ${random.pick(STAGES)}` : '');
    case 'ARG':
      return [pair(random), ...random.some(2, () => pair(random))].join(blank(random));
    case 'ENV':
    case 'LABEL':
      return random.once(6)
        ? `${random.pick(NAMES)} ${generateWord(random)}`
        : [pair(random), ...random.some(3, () => pair(random))].join(blank(random));
    case 'COPY':
    case 'ADD':
      return random.once(5)
        ? json(random)
        : [...random.some(3, () => source(random)), source(random)].join(blank(random));
    case 'HEALTHCHECK':
      return random.once(4) ? 'NONE' : `CMD ${command(random)}`;
    case 'ONBUILD': {
      const trigger = random.pick(KEYWORDS) ?? '';
      return `${trigger}${blank(random)}${trigger === 'ONBUILD' ? '' : argumentsOf(random, trigger)}`;
    }
    case 'EXPOSE':
      return random.pick(['80', '80/tcp', '1-3/udp', '$A', '80$A', '1.2.3.4:5:6', '[::1]:80:80']);
    case 'RUN':
    case 'CMD':
    case 'ENTRYPOINT':
    case 'SHELL':
    case 'VOLUME':
      return command(random);
    default:
      return generateWord(random);
  }
}

function command(random: Random): string {
  if (random.once(3)) return json(random);
  if (random.once(3))
    return `${random.pick(['', 'cat ', 'python3 '])}${heredocStart(random)}${random.pick(['', ' > /x', ' <<B'])}`;
  return random.pick(SHELL_TEXTS);
}

function source(random: Random): string {
  if (random.once(4)) return random.pick(SOURCES);
  return random.once(3) ? generateWord(random) : random.pick(PLAIN);
}

function pair(random: Random): string {
  return random.once(5) ? random.pick(NAMES) : `${random.pick(NAMES)}=${generateWord(random)}`;
}

function json(random: Random): string {
  const words = random.some(3, () => JSON.stringify(random.pick([...PLAIN, '<<EOF', '\\', '\u2028'])));
  return `[${words.join(random.pick([',', ', ', ' , ']))}${random.once(12) ? ',' : ''}]${random.once(12) ? ' x' : ''}`;
}

function heredocStart(random: Random): string {
  return random.pick(['<<EOF', '<<-EOF', '<<"EOF"', "<<-'B'", '3<<EOF', '<< EOF', '<<E\\OF']);
}

/** The bodies of what looks like a here-document on the line. */
function bodies(random: Random, line: string): string {
  const names = [...line.matchAll(/<<-?\s*["']?([\w\\]+)/g)].map(match => (match[1] ?? '').replace('\\', ''));
  return names
    .map(name => {
      const lines = random.some(3, () =>
        random.pick(['\techo $A\n', '#!/bin/sh\n', `\\$A \${B}\n`, '\n', '# x\r\n', 'RUN y\n']),
      );
      return lines.join('') + (random.once(15) ? '' : `${random.once(5) ? '\t' : ''}${name}\n`);
    })
    .join('');
}

function blank(random: Random): string {
  return random.pick(BLANKS);
}

/** A word with variables, quotes and escapes. */
export function generateWord(random: Random, depth = 0): string {
  const part = (): string => {
    switch (random.below(depth > 3 ? 4 : 7)) {
      case 0:
        return random.pick(PLAIN);
      case 1:
        return `$${random.pick(NAMES)}`;
      case 2:
        return random.pick(['\\', '`', '\\$', '\\"', '\\\\', '$', '$$', '<<', "'", '"', '}', '{', '/', '\ud800']);
      case 3:
        return `'${random.pick(PLAIN)}'`;
      case 4:
        return `"${generateWord(random, depth + 1)}"`;
      default:
        return substitution(random, depth);
    }
  };
  return part() + random.some(2, part).join('');
}

function substitution(random: Random, depth: number): string {
  if (random.once(5)) return `\${${random.pick(NAMES)}}`;
  const operator = random.pick(OPERATORS);
  const isPattern = /[#%/]/.test(operator);
  const operand = () => (isPattern && random.once(2) ? globOf(random) : generateWord(random, depth + 1));
  const second = operator.startsWith('/') ? `/${operand()}` : '';
  return `\${${random.pick(NAMES)}${operator}${operand()}${second}${random.once(20) ? '' : '}'}`;
}

function globOf(random: Random): string {
  return random.some(5, () => random.pick(['*', '?', 'a', '/', '\\/', '\\*', '\\\\', '.', '[', '\\}', '\n'])).join('');
}

/** The text of an ignore file. */
export function generateIgnoreFile(random: Random): string {
  const token = () =>
    random.pick([
      ...[
        '*',
        '**',
        '?',
        '/',
        '/',
        'a',
        'b',
        'node_modules',
        '.',
        '..',
        '[a-c]',
        '[^a]',
        '[!a]',
        '[]',
        '[z-a]',
        '[[:alpha:]]',
      ],
      ...[
        '\\',
        '\\d',
        '\\w',
        '\\pL',
        '\\x41',
        '\\Q',
        '\\E',
        '\\b',
        '\\*',
        '(',
        ')',
        '{',
        '}',
        '|',
        '+',
        '^',
        '$',
        '-',
        'é',
        '!',
      ],
    ]);
  const line = () => {
    const start = random.pick(['', '', '', '', '!', '! ', '#', '/', ' ', '**/']);
    return start + token() + random.some(6, token).join('') + random.pick(['', '', '', '/', '/**', '/*', ' ', '\r']);
  };
  return [line(), ...random.some(5, line)].join('\n');
}

/** A clean relative path. */
export function generatePath(random: Random): string {
  const part = () =>
    random.pick(['a', 'b', 'ab', 'aaaaaaaaaaaaaaaaaaaa', 'node_modules', 'A', 'é', '[a', '\\', 'a\nb', '9', '!a', '-']);
  return [part(), ...random.some(5, part)].join('/');
}
