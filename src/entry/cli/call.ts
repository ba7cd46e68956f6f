import { join } from 'node:path';
import { printCheck } from './call-check.ts';
import { csvFields } from './csv.ts';
import { didYouMean, UsageError } from './errors.ts';

/** What `--call` asks for. */
export interface Call {
  /** In BuildKit's names, `frontend.lint`. */
  readonly request: string;
  readonly json: boolean;
  /** Whether the exit code is 0 whatever the check found. */
  readonly ignoreStatus: boolean;
}

const FORMATS = ['json', 'text'];

/**
 * Reads `--call=NAME[,format=json][,ignorestatus[=BOOL]]`; nothing for a normal build. The messages are buildx's.
 * @throws UsageError
 */
export function parseCall(text: string): Call | undefined {
  let name: string | undefined;
  let json = false;
  let ignoreStatus = false;
  for (const field of text === '' ? [] : csvFields(text)) {
    const equals = field.indexOf('=');
    const key = equals < 0 ? field : field.slice(0, equals);
    const value = equals < 0 ? undefined : field.slice(equals + 1);
    if (key === 'format' && value !== undefined) {
      if (!FORMATS.includes(value))
        throw new UsageError(
          `--call ${text}: unknown format ${value}${didYouMean(value, FORMATS)}; it is json or text`,
        );
      json = value === 'json';
    } else if (key === 'ignorestatus') ignoreStatus = parseStatus(value);
    else if (value !== undefined) throw new UsageError(`invalid print field: ${field}`);
    else if (name !== undefined) throw new UsageError(`invalid print value: ${text}`);
    else name = field;
  }
  if (name === undefined || name === '' || name === 'build') return undefined;
  return { request: `frontend.${name === 'check' ? 'lint' : name}`, json, ignoreStatus };
}

function parseStatus(value: string | undefined): boolean {
  if (value === undefined || /^(1|t|T|TRUE|true|True)$/.test(value)) return true;
  if (/^(0|f|F|FALSE|false|False)$/.test(value)) return false;
  throw new UsageError(
    `invalid ignorestatus print value: ${value}: strconv.ParseBool: parsing ${JSON.stringify(value)}: invalid syntax`,
  );
}

/** How people know the Dockerfile: as the command line names it. @param file the value of `--file` */
export function shownDockerfile(path: string, file: string | undefined): string {
  if (file === '-' || (path === '-' && file === undefined)) return 'stdin';
  return file ?? join(path, 'Dockerfile');
}

/**
 * Prints what a request came to, as buildx does.
 * @returns the exit code
 */
export function printCall(call: Call, answer: ReadonlyMap<string, string>, dockerfile: string): number {
  const json = answer.get('result.json') ?? '';
  if (call.json) process.stdout.write(`${json}\n`);
  if (call.request === 'frontend.lint') {
    if (!printCheck(json, { dockerfile, json: call.json })) return 1;
  } else if (!call.json) process.stdout.write(answer.get('result.txt') ?? `${json}\n`);
  return call.ignoreStatus ? 0 : Number(answer.get('result.statuscode') ?? 0);
}
