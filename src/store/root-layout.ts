import { join } from 'node:path';

/** Where the parts of a store root lie (`$OUTCROP_ROOT`); the database and the lock lie beside them. */
export interface RootLayout {
  /** The content store: an OCI image layout. */
  readonly content: string;
  /** Directories of `--mount=type=cache`. */
  readonly cacheMounts: string;
  /** Bare git repositories. */
  readonly git: string;
}

/** The layout of a store root. Nothing is made. */
export function rootLayout(root: string): RootLayout {
  return { content: join(root, 'content'), cacheMounts: join(root, 'cache-mounts'), git: join(root, 'git') };
}
