import { readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { type CdiSpec, parseCdiSpec } from './cdi-spec.ts';
import { type ContainerEdits, mergeEdits } from './container-edits.ts';

/** Where devices are described, and which of them steps get without being allowed to. */
export interface DeviceOptions {
  /** Later ones win. */
  readonly specDirs: readonly string[];
  /** Names of devices (`vendor/class=name`) and of kinds (`vendor/class`). */
  readonly autoAllowed: readonly string[];
}

/** A device that the machine offers. */
export interface Device {
  /** `vendor/class=name`. */
  readonly name: string;
  /** `vendor/class`. */
  readonly kind: string;
  /** Of its file, and its own over them. */
  readonly annotations: Readonly<Record<string, string>>;
  readonly isAutoAllowed: boolean;
  readonly edits: ContainerEdits;
  /** The file that describes it. */
  readonly spec: CdiSpec;
}

/** What the machine offers at one moment. */
export interface DeviceTable {
  /** By name. */
  readonly devices: readonly Device[];
  /** What is wrong with files that describe devices. */
  readonly problems: readonly string[];
}

/** The devices of this machine. */
export interface Devices {
  /** Reads the directories anew. Files that do not hold are left out, and told among the problems. */
  read(): Promise<DeviceTable>;
}

/** The directories of a machine that names no others, as BuildKit has them. */
export const DEFAULT_SPEC_DIRS: readonly string[] = ['/etc/cdi', '/var/run/cdi', '/etc/buildkit/cdi'];

const AUTO_ALLOW = 'org.mobyproject.buildkit.device.autoallow';

/** The devices that directories describe. */
export function openDevices({ specDirs, autoAllowed }: DeviceOptions): Devices {
  const allowed = new Set(autoAllowed);

  function* devicesOf(spec: CdiSpec): Generator<Device> {
    const { kind } = spec;
    for (const { name: plain, annotations: own, edits } of spec.devices) {
      const name = `${kind}=${plain}`;
      const annotations = { ...spec.annotations, ...own };
      const isAutoAllowed = allowed.has(name) || allowed.has(kind) || isTrue(annotations[AUTO_ALLOW]);
      yield { name, kind, annotations, isAutoAllowed, edits, spec };
    }
  }

  return {
    async read() {
      const problems: string[] = [];
      const found = new Map<string, { readonly device: Device; readonly priority: number; readonly file: string }>();
      const conflicts = new Set<string>();
      for (const [priority, directory] of specDirs.entries()) {
        for (const file of specFiles(directory, problems)) {
          let spec: CdiSpec;
          try {
            spec = await parseCdiSpec(readFileSync(file, 'utf8'));
          } catch (cause) {
            problems.push(`${file}: ${cause instanceof Error ? cause.message : String(cause)}`);
            continue;
          }
          for (const device of devicesOf(spec)) {
            const { name } = device;
            const other = found.get(name);
            if (other?.priority === priority) {
              conflicts.add(name);
              problems.push(`${file}: conflicting device ${name}: ${other.file} describes it too`);
            } else found.set(name, { device, priority, file });
          }
        }
      }
      for (const name of conflicts) found.delete(name);
      const names = [...found.keys()].sort();
      return { devices: names.flatMap(name => found.get(name)?.device ?? []), problems };
    },
  };
}

/** What devices change about a container: what their files say for all of them comes before what they say of each. */
export function editsOf(devices: readonly Device[]): ContainerEdits {
  const seen = new Set<CdiSpec>();
  return mergeEdits(
    devices.flatMap(({ spec, edits }) => {
      if (seen.has(spec)) return [edits];
      seen.add(spec);
      return [spec.edits, edits];
    }),
  );
}

function specFiles(directory: string, problems: string[]): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter(entry => !entry.isDirectory() && ['.json', '.yaml'].includes(extname(entry.name)))
      .map(({ name }) => join(directory, name))
      .sort();
  } catch (cause) {
    if (!(cause instanceof Error)) throw cause;
    const isMissing = 'code' in cause && (cause.code === 'ENOENT' || cause.code === 'ENOTDIR');
    if (!isMissing) problems.push(`${directory}: ${cause.message}`);
    return [];
  }
}

function isTrue(text: string | undefined): boolean {
  return text !== undefined && /^(?:1|t|T|true|TRUE|True)$/.test(text);
}
