/**
 * Bundles the sources and the libraries that they use into dist/, which is what an installed package runs: a few files
 * load faster than hundreds. With `--clean`, what earlier bundles left goes first; without it a program that runs from
 * dist/ meanwhile goes on. With `--types`, the declarations of the libraries are written too.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type BuildOptions, build, transform } from 'esbuild';
import { builtins } from './builtins.ts';
import { descriptors } from './descriptors.ts';
import { licencesOf } from './licences.ts';
import { pageAssets } from './page-assets.ts';

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
  inject: ['scripts/clock.ts'],
  // Native code, that npm chooses for the machine.
  external: ['koffi'],
  logLevel: 'warning',
  metafile: true,
  write: false,
} as const satisfies BuildOptions;

/** A file of the split bundle, as a function body for `launch.ts`. */
interface Piece {
  readonly body: string;
  /** What it needs at once. */
  readonly imports: readonly string[];
}

/** Bundles the program, split where it imports what it may not need. */
async function bundleProgram(): Promise<{
  pieces: Map<string, Piece>;
  entries: Map<string, string>;
  libraries: string[];
}> {
  const { outputFiles, metafile } = await build({
    ...options,
    plugins: [builtins, descriptors, pageAssets],
    splitting: true,
    entryPoints: { main: 'src/entry/cli/main.ts' },
  });
  const text = new Map(outputFiles.map(file => [basename(file.path), file.text]));
  const pieces = new Map<string, Piece>();
  const entries = new Map<string, string>();
  for (const [path, { imports, entryPoint }] of Object.entries(metafile.outputs)) {
    const name = basename(path);
    if (entryPoint !== undefined) entries.set(entryPoint, name);
    const { code } = await transform(text.get(name) ?? '', {
      format: 'cjs',
      platform: 'node',
      target,
      supported: { using: true, 'dynamic-import': false },
      define: { 'import.meta.url': '__pieceURL' },
      minifyWhitespace: true,
    });
    const atOnce = imports.filter(({ kind, external }) => kind === 'import-statement' && external !== true);
    pieces.set(name, { body: code, imports: atOnce.map(({ path: imported }) => basename(imported)) });
  }
  return { pieces, entries, libraries: Object.keys(metafile.inputs) };
}

/** Puts pieces that are needed together into one file each; returns the file of every piece. */
function writePieces(
  pieces: ReadonlyMap<string, Piece>,
  together: readonly (readonly [string, ...string[]])[],
): Record<string, string> {
  const files: Record<string, string> = {};
  const put = (name: string, members: readonly string[]) => {
    const functions = members.map(
      member => `${JSON.stringify(member)}:function(module,require,__pieceURL){${pieces.get(member)?.body}\n}`,
    );
    const text = `({${functions.join(',\n')}})`;
    const file = `${name}-${createHash('sha256').update(text).digest('hex').slice(0, 12)}.js`;
    write(file, text);
    for (const member of members) files[member] = file;
  };
  for (const group of together) {
    const members = new Set<string>();
    const add = (name: string) => {
      if (members.has(name) || files[name] !== undefined) return;
      members.add(name);
      for (const imported of pieces.get(name)?.imports ?? []) add(imported);
    };
    for (const entry of group) add(entry);
    put(group[0].replace(/\.js$/, '').replace(/-[A-Z0-9]{8}$/, ''), [...members]);
  }
  for (const name of pieces.keys()) if (files[name] === undefined) put(name.replace(/\.js$/, ''), [name]);
  return files;
}

/** A program that starts from dist/ meanwhile sees the old file or the new one. */
function write(file: string, text: string): void {
  const temporary = join(outdir, `.${file}.${process.pid}`);
  writeFileSync(temporary, text);
  renameSync(temporary, join(outdir, file));
}

if (process.argv.includes('--clean')) rmSync(outdir, { recursive: true, force: true });
mkdirSync(outdir, { recursive: true });
const { pieces, entries, libraries } = await bundleProgram();
const entryPiece = (source: string): string => {
  const name = entries.get(source);
  if (name === undefined) throw new Error(`${source} is not imported on demand`);
  return name;
};
const main = entryPiece('src/entry/cli/main.ts');
const files = writePieces(pieces, [
  [main],
  // Before the builds, so that nothing of those is loaded to ask why.
  [entryPiece('src/entry/cli/run-why.ts'), entryPiece('src/entry/cli/store-owner.ts')],
  [entryPiece('src/entry/cli/run-build.ts')],
  [entryPiece('src/engine/ops/exec/exec-op.ts')],
  [entryPiece('src/engine/ops/file/file-op.ts')],
]);
const launch = await build({
  ...options,
  entryPoints: { outcrop: 'src/entry/cli/launch.ts' },
  define: { MAIN_PIECE: JSON.stringify(main), PIECE_FILES: JSON.stringify(files) },
});
// Not split: a thread starts with one file.
const worker = await build({
  ...options,
  plugins: [builtins, descriptors],
  entryPoints: { worker: 'src/store/content/worker.ts' },
});
const library = await build({
  ...options,
  plugins: [descriptors],
  entryPoints: { dockerfile: 'src/plan/dockerfile/index.ts', llb: 'src/plan/llb/index.ts' },
});
const outputs = [launch, worker, library].flatMap(({ outputFiles }) => outputFiles);
for (const { path, text } of outputs) write(basename(path), text);
const inputs = [worker, library].flatMap(({ metafile }) => Object.keys(metafile.inputs));
write('LICENCES.txt', licencesOf([...libraries, ...inputs]));
// What only other packages need, and takes long.
if (process.argv.includes('--types')) {
  const { status, error } = spawnSync('tsc', ['-p', 'tsconfig.types.json', '--outDir', join(outdir, 'types')], {
    stdio: 'inherit',
  });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}
