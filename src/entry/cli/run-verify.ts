import { needsRootless, runRootless } from '../../host/runtime/rootless.ts';
import { createDisplay, type Display } from '../../insight/progress/display.ts';
import type { ComparedFile } from '../../store/snapshot/compare-trees.ts';
import { BuildError } from '../builder/builder.ts';
import { openEmbeddedBuilder } from '../builder/embedded.ts';
import type { VerifyDifference, VerifyPass, VerifyReport } from '../builder/embedded-verify.ts';
import { type BuildFlags, buildRequest } from './build-request.ts';
import { interruptSignal } from './interrupt.ts';
import { parallelismOf, printBuildError, progressMode } from './run-build.ts';

/** Flags of `outcrop verify`: those of `outcrop build` without what becomes of the result. */
export type VerifyFlags = Partial<BuildFlags> & { readonly json?: true };

/** What flags mean that `outcrop verify` does not have. */
const NO_RESULT = { annotation: [], call: 'build', tag: [], output: [], attest: [], cacheTo: [] } as const;

const TITLES: Readonly<Record<VerifyPass, string>> = {
  cold: 'Building with empty cache mounts',
  filled: 'Building with filled cache mounts',
  'cold-again': 'The results differ: building with empty cache mounts again, to see what differs without them',
};

/**
 * Builds with empty and with filled cache mounts, and prints what differs.
 * @returns the exit code: 0 when both results are the same, 1 when not or when a build failed, 130 for an interrupted one.
 * @throws UsageError for flags that cannot be obeyed.
 */
export async function runVerify(path: string, flags: VerifyFlags): Promise<number> {
  const given = flags as BuildFlags & VerifyFlags;
  const mode = progressMode(given);
  const parallelism = parallelismOf(flags.parallel);
  if (needsRootless()) return runRootless();
  await using builder = openEmbeddedBuilder({
    endsWithProcess: true,
    ...(parallelism === undefined ? {} : { parallelism }),
  });
  const request = await buildRequest(path, { ...given, ...NO_RESULT });
  using interrupt = interruptSignal();
  const isQuiet = mode === 'quiet' || mode === 'rawjson' || mode === 'none';
  let display: Display | undefined;
  let report: VerifyReport;
  try {
    report = await builder.verify(
      request,
      pass => {
        display?.finish();
        if (!isQuiet) process.stderr.write(`${display ? '\n' : ''}${TITLES[pass]}\n`);
        display = createDisplay(mode, process.stderr, process.env);
        return display.sink;
      },
      interrupt.signal,
    );
  } catch (error) {
    display?.finish();
    if (interrupt.signal.aborted) {
      process.stderr.write('ERROR: interrupted\n');
      return 130;
    }
    if (!(error instanceof BuildError)) throw error;
    printBuildError(error, flags.debug ?? false);
    return 1;
  }
  display?.finish();
  if (!isQuiet) process.stderr.write('\n');
  process.stdout.write(flags.json ? `${JSON.stringify(report, undefined, 2)}\n` : reportText(report));
  return report.differences.length === 0 ? 0 : 1;
}

/** What `outcrop verify` prints. */
function reportText({ mounts, differences }: VerifyReport): string {
  if (mounts.length === 0) return 'No step of this build has a cache mount: there is nothing to compare.\n';
  const lines = mounts.map(
    ({ step, target, id, wasFilled }) =>
      `${step}: cache mount ${target}${id === target ? '' : ` (${id})`}: ${wasFilled ? 'filled' : 'empty in both builds'}\n`,
  );
  const ours = differences.filter(({ isUnsteady }) => !isUnsteady);
  const unsteady = differences.filter(({ isUnsteady }) => isUnsteady);
  if (ours.length > 0) {
    lines.push(`\n${files(ours.length)} because of what is in the cache mounts:\n`, ...ours.map(differenceText));
  }
  if (unsteady.length > 0) {
    lines.push(
      `\n${files(unsteady.length)} from build to build, with empty cache mounts too:\n`,
      ...unsteady.map(differenceText),
    );
  }
  if (differences.length === 0) lines.push('\nBoth results are the same, file by file.\n');
  return lines.join('');
}

function files(count: number): string {
  return count === 1 ? '1 file differs' : `${count} files differ`;
}

function differenceText({ platform, path, first, second, aspects }: VerifyDifference): string {
  const place = `  ${platform === undefined ? '' : `${platform} `}${path}: `;
  if (first === undefined) return `${place}only with filled cache mounts (${second?.type})\n`;
  if (second === undefined) return `${place}only with empty cache mounts (${first.type})\n`;
  const changes = aspects
    .filter(aspect => aspect !== 'content' || !aspects.includes('size'))
    .map(aspect => {
      const [before, after] = [aspectOf(first, aspect), aspectOf(second, aspect)];
      return before === undefined ? aspect : `${aspect} ${before} → ${after}`;
    });
  return `${place}${changes.join(', ')}\n`;
}

function aspectOf(file: ComparedFile, aspect: VerifyDifference['aspects'][number]): string | undefined {
  switch (aspect) {
    case 'type':
      return file.type;
    case 'size':
      return String(file.size);
    case 'mode':
      return file.mode.toString(8).padStart(4, '0');
    case 'owner':
      return `${file.uid}:${file.gid}`;
    case 'target':
      return file.target;
    default:
      return undefined;
  }
}
