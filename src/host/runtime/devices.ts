import { existsSync } from 'node:fs';
import type { LinuxDevice } from './oci-spec.ts';

/** How many free loop devices an insecure step finds. */
const FREE_LOOPS = 8;

/** The device nodes that an insecure step finds besides the runtime's own. */
export function insecureDevices(): LinuxDevice[] {
  const devices: LinuxDevice[] = [
    device('/dev/kmsg', 'c', 1, 11),
    device('/dev/cuse', 'c', 10, 203),
    device('/dev/fuse', 'c', 10, 229),
    device('/dev/kvm', 'c', 10, 232),
    device('/dev/net/tun', 'c', 10, 200),
    device('/dev/loop-control', 'c', 10, 237),
  ];
  let firstFree = 0;
  while (existsSync(`/sys/block/loop${firstFree}/loop/backing_file`)) firstFree += 1;
  for (let index = 0; index < firstFree + FREE_LOOPS; index += 1)
    devices.push(device(`/dev/loop${index}`, 'b', 7, index));
  return devices;
}

function device(path: string, type: 'c' | 'b', major: number, minor: number): LinuxDevice {
  return { path, type, major, minor, fileMode: 0o666, uid: 0, gid: 0 };
}
