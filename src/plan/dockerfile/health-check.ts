import { DurationError, parseDuration } from './duration.ts';
import { DockerfileError } from './error.ts';
import { type Flags, readFlags } from './flags.ts';
import { goQuote } from './go-text.ts';
import type { HealthCheck } from './instruction.ts';
import type { InstructionNode } from './node.ts';

const MILLISECOND = 1_000_000;
const MAX_INT32 = 2n ** 31n - 1n;

/** Reads the flags and arguments of HEALTHCHECK. Throws DockerfileError without a location. */
export function parseHealthCheck(node: InstructionNode): HealthCheck {
  const [word, ...command] = node.args;
  if (word === undefined) throw failure('HEALTHCHECK requires at least one argument');
  const type = word.toUpperCase();
  if (type === 'NONE') {
    // Its flags pass unseen.
    if (command.length > 0) throw failure('HEALTHCHECK NONE takes no arguments');
    return { test: [type], interval: 0, timeout: 0, startPeriod: 0, startInterval: 0, retries: 0 };
  }
  const flags = readFlags(node.flags, {
    interval: 'text',
    timeout: 'text',
    'start-period': 'text',
    'start-interval': 'text',
    retries: 'text',
  });
  if (type !== 'CMD') throw failure(`Unknown type ${goQuote(type)} in HEALTHCHECK (try CMD)`);
  if (command.length === 0) throw failure('Missing command after HEALTHCHECK CMD');
  return {
    test: [node.json ? 'CMD' : 'CMD-SHELL', ...command],
    interval: duration(flags, 'interval'),
    timeout: duration(flags, 'timeout'),
    startPeriod: duration(flags, 'start-period'),
    startInterval: duration(flags, 'start-interval'),
    retries: retries(flags.text('retries')),
  };
}

function duration(flags: Flags, name: string): number {
  const text = flags.text(name);
  if (text === '') return 0;
  let nanoseconds: number;
  try {
    nanoseconds = parseDuration(text);
  } catch (error) {
    if (!(error instanceof DurationError)) throw error;
    throw failure(error.message, error);
  }
  if (nanoseconds !== 0 && nanoseconds < MILLISECOND) throw failure(`Interval "${name}" cannot be less than 1ms`);
  return nanoseconds;
}

function retries(text: string): number {
  if (text === '') return 0;
  const parsing = `strconv.ParseInt: parsing ${goQuote(text)}`;
  if (!/^[+-]?\d+$/.test(text)) throw failure(`${parsing}: invalid syntax`);
  const number = BigInt(text.replace(/^\+/, ''));
  if (number > MAX_INT32 || number < -MAX_INT32 - 1n) throw failure(`${parsing}: value out of range`);
  if (number < 0n) throw failure(`--retries cannot be negative (${number})`);
  return Number(number);
}

function failure(message: string, cause?: unknown): DockerfileError {
  return new DockerfileError(message, [], { cause });
}
