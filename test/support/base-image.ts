import { fileURLToPath } from 'node:url';

/** The directory of the vectors' base images: an OCI layout with the tags of test/vectors/README.md. */
export const BASE_IMAGES = fileURLToPath(new URL('../vectors/base-image', import.meta.url));

/** The value of a `--build-context` by which `FROM base` (or another name) means a base image of the vectors. */
export function baseContext(tag = 'latest', name = 'base'): string {
  return `${name}=oci-layout://${BASE_IMAGES}:${tag}`;
}
