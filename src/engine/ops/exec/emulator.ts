/** Running steps of platforms that this machine is not. */
import { accessSync, constants, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { StepMount } from '../../../host/runtime/step.ts';
import type { Platform } from '../../../wire/oci/descriptor.ts';
import { matchesPlatform } from '../../../wire/oci/platform.ts';

/** Where a step finds its emulator. */
const TARGET = '/dev/.buildkit_qemu_emulator';

/** Where the kernel lists the programs that it starts for foreign executables. */
const BINFMT = '/proc/sys/fs/binfmt_misc';

const QEMU_NAMES: ReadonlyMap<string, string> = new Map([
  ['arm64', 'aarch64'],
  ['amd64', 'x86_64'],
  ['386', 'i386'],
]);

/** What puts an emulator in front of a step's command. */
export interface Emulator {
  readonly mount: StepMount;
  readonly args: readonly string[];
}

/**
 * The emulator that a step needs: none if the machine runs its platform, if the kernel starts an emulator by itself
 * (binfmt_misc), or if there is no program `buildkit-qemu-ARCH` in PATH; then the kernel says `exec format error`.
 */
export function findEmulator(
  platform: Platform,
  machine: Platform,
  env: Readonly<Record<string, string | undefined>>,
  binfmt = BINFMT,
): Emulator | undefined {
  const source = canRun(platform, machine, binfmt) ? undefined : findProgram(platform, env['PATH'] ?? '');
  return source === undefined
    ? undefined
    : { mount: { kind: 'bind', target: TARGET, source, readOnly: true }, args: [TARGET] };
}

/** Whether a step of a platform runs without an emulator of ours: the machine or its kernel does. */
export function canRun(platform: Platform, machine: Platform, binfmt = BINFMT): boolean {
  return matchesPlatform(machine, platform) || isRegistered(qemuName(platform), binfmt);
}

function qemuName({ architecture }: Platform): string {
  return QEMU_NAMES.get(architecture) ?? architecture;
}

/** Whether the kernel has a handler whose interpreter is named for an architecture, as qemu's are. */
function isRegistered(architecture: string, binfmt: string): boolean {
  const interpreter = new RegExp(`^enabled$[^]*^interpreter .*qemu-${architecture}(-static)?$`, 'm');
  try {
    return readdirSync(binfmt)
      .filter(name => name !== 'register' && name !== 'status')
      .some(name => interpreter.test(readFileSync(join(binfmt, name), 'utf8')));
  } catch {
    // Not mounted, or not for us to read.
    return false;
  }
}

function findProgram(platform: Platform, path: string): string | undefined {
  const name = `buildkit-qemu-${qemuName(platform)}`;
  for (const directory of path.split(delimiter)) {
    if (directory === '') continue;
    try {
      const program = join(directory, name);
      accessSync(program, constants.X_OK);
      return realpathSync(program);
    } catch {
      // The next one.
    }
  }
  return undefined;
}
