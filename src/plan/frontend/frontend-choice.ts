import { ImageReferenceError, parseReference, repositoryName } from '../../wire/oci/reference.ts';
import { detectSyntax } from '../dockerfile/directive.ts';
import { DockerfileError } from '../dockerfile/error.ts';
import type { LineRange } from '../dockerfile/source.ts';

/** The version of BuildKit's Dockerfile frontend that this one keeps to. */
const VERSION = { major: 1, minor: 26 };
const ARGUMENT = 'build-arg:BUILDKIT_SYNTAX';
const BUILT_IN: ReadonlySet<string> = new Set(['docker.io/docker/dockerfile', 'docker.io/docker/dockerfile-upstream']);

/** A Dockerfile that asks for another frontend, which would have to be fetched and run. */
export class ForeignFrontendError extends DockerfileError {
  /** The image. */
  readonly reference: string;
  /** All that was said after `syntax=`. */
  readonly cmdline: string;

  constructor(origin: string, reference: string, cmdline: string, lines: LineRange | undefined) {
    super(
      `${origin}${cmdline}: only docker/dockerfile is built in, and frontends in images cannot be run here`,
      lines === undefined ? [] : [lines],
    );
    this.reference = reference;
    this.cmdline = cmdline;
  }
}

/** What a Dockerfile asks of the frontend that plans it. */
export interface FrontendChoice {
  /** Whether the channel with features that may still change was chosen. */
  readonly labs: boolean;
  /** Set when a version was asked for that is newer than this frontend. */
  readonly newer:
    | { readonly reference: string; readonly ours: string; readonly lines: LineRange | undefined }
    | undefined;
}

/**
 * Reads which frontend a file asks for with `# syntax=`, or the client with the build argument BUILDKIT_SYNTAX. Every
 * version of `docker/dockerfile` is this frontend. Throws ForeignFrontendError for others.
 */
export function chooseFrontend(data: Uint8Array, options: ReadonlyMap<string, string>): FrontendChoice {
  const asked = askedFrontend(data, options);
  if (asked === undefined) return { labs: false, newer: undefined };
  const { origin, ref, cmdline, lines } = asked;
  const tag = builtInTag(ref);
  if (tag === undefined) throw new ForeignFrontendError(origin, ref, cmdline, lines);
  const [, major = '', minor = ''] = /^v?(\d+)(?:\.(\d+))?/.exec(tag) ?? [];
  const isNewer = Number(major) > VERSION.major || (Number(major) === VERSION.major && Number(minor) > VERSION.minor);
  return {
    labs: /(?:^|-)labs$/.test(tag),
    newer: isNewer ? { reference: ref, ours: `${VERSION.major}.${VERSION.minor}`, lines } : undefined,
  };
}

interface AskedFrontend {
  readonly origin: string;
  readonly ref: string;
  readonly cmdline: string;
  readonly lines: LineRange | undefined;
}

function askedFrontend(data: Uint8Array, options: ReadonlyMap<string, string>): AskedFrontend | undefined {
  // With a command line the choice has been made already, by whoever forwarded the build.
  if (options.has('cmdline')) return undefined;
  const given = options.get(ARGUMENT);
  if (given !== undefined) {
    const [ref = ''] = given.trim().split(' ');
    return { origin: `${ARGUMENT} = `, ref, cmdline: given, lines: undefined };
  }
  const found = detectSyntax(new TextDecoder().decode(data));
  if (found === undefined) return undefined;
  const { ref, cmdline, line } = found;
  return { origin: 'syntax=', ref, cmdline, lines: { start: line, end: line } };
}

/** The tag of a reference to this frontend, empty without one; undefined for another image. */
function builtInTag(text: string): string | undefined {
  try {
    const reference = parseReference(text);
    return BUILT_IN.has(repositoryName(reference)) ? (reference.tag ?? '') : undefined;
  } catch (error) {
    if (error instanceof ImageReferenceError) return undefined;
    throw error;
  }
}
