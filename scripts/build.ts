/**
 * Bundles the sources and the libraries that they use into dist/, which is what an installed package runs: a few files
 * load faster than hundreds. With `--clean`, what earlier bundles left goes first; without it a program that runs from
 * dist/ meanwhile goes on.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type BuildOptions, build, transform } from 'esbuild';
import { builtins } from './builtins.ts';

const outdir = process.env['OUTDIR'] ?? 'dist';
const target = 'node24';
const { version } = JSON.parse(readFileSync('package.json', 'utf8'));

const options = {
  outdir,
  bundle: true,
  format: 'esm',
  platform: 'node',
  target,
  supported: { using: true },
  define: { PACKAGE_VERSION: JSON.stringify(version) },
  // Names stay, for traces.
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: 'none',
  // Native code, that npm chooses for the machine.
  external: ['koffi'],
  logLevel: 'warning',
} as const satisfies BuildOptions;

/** Bundles what begins in `entry` into pieces that `launch.ts` can run; returns the name of the first piece. */
async function bundlePieces(name: string, entry: string): Promise<string> {
  const { outputFiles } = await build({
    ...options,
    plugins: [builtins],
    splitting: true,
    entryNames: '[name]-[hash]',
    entryPoints: { [name]: entry },
    write: false,
  });
  for (const { path, text } of outputFiles) {
    const { code } = await transform(text, {
      format: 'cjs',
      platform: 'node',
      target,
      supported: { using: true, 'dynamic-import': false },
      define: { 'import.meta.url': '__pieceURL' },
      minifyWhitespace: true,
    });
    write(basename(path), code);
  }
  const first = outputFiles.map(({ path }) => basename(path)).find(file => file.startsWith(`${name}-`));
  if (first === undefined) throw new Error(`the bundle of ${entry} does not begin with ${name}`);
  return first;
}

/** A program that starts from dist/ meanwhile sees the old file or the new one. */
function write(file: string, text: string): void {
  const temporary = join(outdir, `.${file}.${process.pid}`);
  writeFileSync(temporary, text);
  renameSync(temporary, join(outdir, file));
}

if (process.argv.includes('--clean')) rmSync(outdir, { recursive: true, force: true });
mkdirSync(outdir, { recursive: true });
const main = await bundlePieces('main', 'src/entry/cli/main.ts');
const { outputFiles } = await build({
  ...options,
  entryPoints: { outcrop: 'src/entry/cli/launch.ts' },
  define: { MAIN_PIECE: JSON.stringify(main) },
  write: false,
});
for (const { path, text } of outputFiles) write(basename(path), text);
await build({ ...options, plugins: [builtins], entryPoints: { worker: 'src/store/content/worker.ts' } });
