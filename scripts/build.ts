/**
 * Bundles the sources into dist/, which is what an installed package runs: it starts faster than files one by one. With
 * `--clean`, what earlier bundles left goes first; without it a program that runs from dist/ meanwhile goes on.
 */
import { rmSync } from 'node:fs';
import { build } from 'esbuild';

if (process.argv.includes('--clean')) rmSync('dist', { recursive: true, force: true });
await build({
  entryPoints: {
    outcrop: 'src/entry/cli/main.ts',
    worker: 'src/store/content/worker.ts',
  },
  outdir: 'dist',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node24',
  packages: 'external',
  sourcemap: true,
  logLevel: 'warning',
});
