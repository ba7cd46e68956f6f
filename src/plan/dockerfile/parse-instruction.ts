import { trimGoSpace } from '../../wire/fsutil/go-path.ts';
import { DockerfileError } from './error.ts';
import { ExpansionError } from './expand.ts';
import { type FlagKind, type Flags, readFlags } from './flags.ts';
import { compareBytes, goQuote } from './go-text.ts';
import { parseHealthCheck } from './health-check.ts';
import { chompHeredoc, type HeredocStart, parseHeredocWord } from './heredoc.ts';
import type {
  ArgDefinition,
  Command,
  FileArguments,
  InlineFile,
  Instruction,
  InstructionBase,
  KeyValue,
  RunInstruction,
  Stage,
} from './instruction.ts';
import { parseDeviceFlag, parseMountFlag } from './mount.ts';
import type { InstructionNode } from './node.ts';
import { KEYWORDS } from './parse-node.ts';
import { withSuggestion } from './suggest.ts';

/** A FROM without the instructions that follow it. */
export type StageStart = Omit<Stage, 'instructions'>;

const FILE_FLAGS: Readonly<Record<string, FlagKind>> = {
  chown: 'text',
  chmod: 'text',
  link: 'bool',
  exclude: 'list',
};
const STAGE_NAME = /^[a-z][a-z0-9\-_.]*$/;

/**
 * Gives the words of an instruction their meaning. Throws DockerfileError without a location for an unknown instruction,
 * bad flags and bad arguments.
 */
export function parseInstruction(node: InstructionNode): Instruction | StageStart {
  const base = { keyword: node.keyword, lines: node.lines, source: trimGoSpace(node.original), node };
  switch (node.keyword.toLowerCase()) {
    case 'add':
      return parseAdd(node, base);
    case 'arg':
      return { kind: 'ARG', ...base, args: argDefinitions(node) };
    case 'cmd':
      readFlags(node.flags);
      return { kind: 'CMD', ...base, ...command(node) };
    case 'copy':
      return parseCopy(node, base);
    case 'entrypoint':
      readFlags(node.flags);
      return { kind: 'ENTRYPOINT', ...base, ...command(node) };
    case 'env':
      return { kind: 'ENV', ...base, pairs: keyValues(node, 'ENV') };
    case 'expose':
      requireArguments(node, 'EXPOSE');
      readFlags(node.flags);
      return { kind: 'EXPOSE', ...base, ports: node.args.toSorted(compareBytes) };
    case 'from':
      return parseFrom(node);
    case 'healthcheck':
      return { kind: 'HEALTHCHECK', ...base, ...parseHealthCheck(node) };
    case 'label':
      return { kind: 'LABEL', ...base, pairs: keyValues(node, 'LABEL') };
    case 'maintainer':
      return { kind: 'MAINTAINER', ...base, maintainer: onlyArgument(node, 'MAINTAINER') };
    case 'onbuild':
      return { kind: 'ONBUILD', ...base, expression: onbuildExpression(node) };
    case 'run':
      return parseRun(node, base);
    case 'shell':
      return { kind: 'SHELL', ...base, shell: shell(node) };
    case 'stopsignal':
      // Flags pass unseen here, as for ARG.
      requireOne(node, 'STOPSIGNAL');
      return { kind: 'STOPSIGNAL', ...base, signal: node.args[0] ?? '' };
    case 'user':
      return { kind: 'USER', ...base, user: onlyArgument(node, 'USER') };
    case 'volume':
      return { kind: 'VOLUME', ...base, volumes: volumes(node) };
    case 'workdir':
      return { kind: 'WORKDIR', ...base, path: onlyArgument(node, 'WORKDIR') };
    default:
      throw failure(
        withSuggestion(`unknown instruction: ${node.keyword}`, node.keyword, KEYWORDS, { caseSensitive: false }),
        node.keyword,
      );
  }
}

/** Whether what parseInstruction returned begins a stage. */
export function isStageStart(parsed: Instruction | StageStart): parsed is StageStart {
  return !('kind' in parsed);
}

function failure(message: string, word?: string): DockerfileError {
  return new DockerfileError(message, [], { word });
}

function requireArguments(node: InstructionNode, keyword: string): void {
  if (node.args.length === 0) throw failure(`${keyword} requires at least one argument`);
}

function requireOne(node: InstructionNode, keyword: string): void {
  if (node.args.length !== 1) throw failure(`${keyword} requires exactly one argument`);
}

function onlyArgument(node: InstructionNode, keyword: string): string {
  requireOne(node, keyword);
  readFlags(node.flags);
  return node.args[0] ?? '';
}

function parseFrom(node: InstructionNode): StageStart {
  const [base = '', as = '', given = ''] = node.args;
  let name = '';
  if (node.args.length === 3 && as.toLowerCase() === 'as') {
    name = given.toLowerCase();
    if (!STAGE_NAME.test(name)) {
      throw failure(
        `invalid name for build stage: ${goQuote(given)}, name can't start with a number or contain symbols`,
        given,
      );
    }
  } else if (node.args.length !== 1) {
    throw failure('FROM requires either one or three arguments');
  }
  const platform = readFlags(node.flags, { platform: 'text' }).text('platform');
  const { keyword, lines } = node;
  return { keyword, base, name, platform, doc: docOf(node, name), lines, source: trimGoSpace(node.original), node };
}

function docOf(node: InstructionNode, name: string): string {
  if (name === '') return '';
  const comment = node.comments.find(text => text.startsWith(`${name} `));
  return comment === undefined ? '' : comment.slice(name.length + 1);
}

function argDefinitions(node: InstructionNode): ArgDefinition[] {
  requireArguments(node, 'ARG');
  return node.args.map(word => {
    const equals = word.indexOf('=');
    if (equals === 0) throw failure('ARG names can not be blank');
    const key = equals < 0 ? word : word.slice(0, equals);
    return { key, value: equals < 0 ? undefined : word.slice(equals + 1), doc: docOf(node, key) };
  });
}

function keyValues(node: InstructionNode, keyword: string): KeyValue[] {
  readFlags(node.flags);
  requireArguments(node, keyword);
  const pairs: KeyValue[] = [];
  for (let at = 0; at < node.args.length; at += 3) {
    const [key = '', value = '', separator] = node.args.slice(at, at + 3);
    if (key === '') throw failure(`${keyword} names can not be blank`);
    pairs.push({ key, value, legacy: separator === '' });
  }
  return pairs;
}

function parseAdd(node: InstructionNode, base: InstructionBase): Instruction {
  requireDestination(node, 'ADD');
  const flags = readFlags(node.flags, {
    ...FILE_FLAGS,
    'keep-git-dir': 'bool',
    checksum: 'text',
    unpack: 'bool',
  });
  return {
    kind: 'ADD',
    ...base,
    ...fileArguments(node, 'ADD', flags),
    checksum: flags.text('checksum'),
    keepGitDir: flags.bool('keep-git-dir'),
    unpack: flags.bool('unpack'),
  };
}

function parseCopy(node: InstructionNode, base: InstructionBase): Instruction {
  requireDestination(node, 'COPY');
  const flags = readFlags(node.flags, { ...FILE_FLAGS, from: 'text', parents: 'bool' });
  return {
    kind: 'COPY',
    ...base,
    ...fileArguments(node, 'COPY', flags),
    from: flags.text('from'),
    parents: flags.bool('parents') ?? false,
  };
}

function requireDestination(node: InstructionNode, keyword: string): void {
  if (node.args.length >= 2) return;
  throw failure(
    `${keyword} requires at least two arguments, but only one was provided. Destination could not be determined`,
  );
}

function fileArguments(node: InstructionNode, keyword: string, flags: Flags): FileArguments {
  const destination = node.args.at(-1) ?? '';
  if (heredocOf(destination) !== undefined) throw failure(`${keyword} cannot accept a heredoc as a destination`);
  // The last of one name counts for all of them.
  const bodies = new Map(node.heredocs.map(heredoc => [heredoc.name, heredoc.content]));
  const sources: string[] = [];
  const contents: InlineFile[] = [];
  for (const word of node.args.slice(0, -1)) {
    const heredoc = heredocOf(word);
    if (heredoc === undefined) {
      sources.push(word);
      continue;
    }
    const body = bodies.get(heredoc.name) ?? '';
    const data = heredoc.chomp ? chompHeredoc(body) : body;
    contents.push({ path: heredoc.name, data, expand: heredoc.expand });
  }
  return {
    sources,
    destination,
    contents,
    chown: flags.text('chown'),
    chmod: flags.text('chmod'),
    link: flags.bool('link') ?? false,
    exclude: flags.list('exclude'),
  };
}

function heredocOf(word: string): HeredocStart | undefined {
  try {
    return parseHeredocWord(word);
  } catch (error) {
    // A word that cannot be read is taken for a path, and fails as one when it is expanded.
    if (error instanceof ExpansionError) return undefined;
    throw error;
  }
}

/** The command of RUN, CMD and ENTRYPOINT. */
function command(node: InstructionNode): Command {
  return { args: node.args, shellForm: !node.json };
}

function parseRun(node: InstructionNode, base: InstructionBase): RunInstruction {
  const flags = readFlags(node.flags, { device: 'list', mount: 'list', network: 'text', security: 'text' });
  // Checked in the order of the flags' names, as BuildKit does.
  const devices = flags.list('device').map(parseDeviceFlag);
  const mounts = flags.list('mount').map(parseMountFlag);
  const network = flags.used.includes('network') ? flags.text('network') : 'default';
  if (network !== 'default' && network !== 'none' && network !== 'host') {
    throw failure(`invalid network mode ${goQuote(network)}`);
  }
  const security = flags.used.includes('security') ? flags.text('security') : 'sandbox';
  if (security !== 'sandbox' && security !== 'insecure') throw failure(`security ${goQuote(security)} is not valid`);
  const files = node.heredocs.map(({ name, content, chomp }) => ({ name, data: content, chomp }));
  return { kind: 'RUN', ...base, ...command(node), files, flagsUsed: flags.used, mounts, devices, network, security };
}

function onbuildExpression(node: InstructionNode): string {
  requireArguments(node, 'ONBUILD');
  readFlags(node.flags);
  const trigger = trimGoSpace(node.args[0] ?? '').toUpperCase();
  if (trigger === 'ONBUILD') throw failure("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
  if (trigger === 'MAINTAINER' || trigger === 'FROM') throw failure(`${trigger} isn't allowed as an ONBUILD trigger`);
  const text = node.original.replace(/^[\t\n\f\r ]*ONBUILD[\t\n\f\r ]*/i, '');
  return text + node.heredocs.map(({ content, name }) => `\n${content}${name}`).join('');
}

function shell(node: InstructionNode): readonly string[] {
  readFlags(node.flags);
  requireArguments(node, 'SHELL');
  if (!node.json) throw failure('SHELL requires the arguments to be in JSON form');
  return node.args;
}

function volumes(node: InstructionNode): string[] {
  requireArguments(node, 'VOLUME');
  readFlags(node.flags);
  return node.args.map(word => {
    const volume = trimGoSpace(word);
    if (volume === '') throw failure('VOLUME specified can not be an empty string');
    return volume;
  });
}
