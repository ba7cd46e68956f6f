/**
 * Starts the bundled program. Node's own compile cache keeps only what V8 compiles while a file loads; most functions are
 * compiled when they are first called, which took a third of the time of a build with nothing to do. So the bundle's
 * pieces are run as scripts, and what was compiled by the end of a process is kept for the next one.
 *
 * This file runs before everything else and imports nothing: each import costs more than all that it does.
 */

interface Module {
  exports: object;
}

/** A part of the bundle: gets the module to fill, a way to the other parts, and the URL of its file. */
type Piece = (module: Module, require: (name: string) => object, url: string) => void;

/** Replaced by the bundler: the piece to start with, and the file that each piece is in. */
declare const MAIN_PIECE: string;
declare const PIECE_FILES: Readonly<Record<string, string>>;

/** Processes that compute longer than this may have run more code than the one before; in microseconds. */
const LONG_RUN = 1_000_000;

const { mkdirSync, readFileSync, renameSync, writeFileSync } = process.getBuiltinModule('node:fs');
const { Script, constants } = process.getBuiltinModule('node:vm');

// Before anything is loaded: code that was kept under other flags is refused.
const { setFlagsFromString } = process.getBuiltinModule('node:v8');
// V8 lets the space for new objects grow to three times 16 MB while a long list is made, such as that of a context's files,
// and keeps it while the process is busy. Collecting a small one more often takes no more time here.
setFlagsFromString('--semi-space-growth-factor=1');
// What ran once and was then forgotten would be missing in the code that is kept, and be compiled again by each process.
setFlagsFromString('--no-flush-bytecode');

const directory = import.meta.dirname;
const cache = cacheDirectory();
const loaded = new Map<string, Module>();
const files = new Map<string, Readonly<Record<string, Piece>>>();
const scripts: { readonly file: string; readonly kept: number; readonly script: InstanceType<typeof Script> }[] = [];

function cacheDirectory(): string | undefined {
  const { XDG_CACHE_HOME: given, HOME: home } = process.env;
  const base = given?.startsWith('/') ? given : home?.startsWith('/') ? `${home}/.cache` : undefined;
  return base === undefined ? undefined : `${base}/outcrop/code-${process.version}-${process.arch}`;
}

function keptCode(file: string): Buffer | undefined {
  if (cache === undefined) return undefined;
  try {
    return readFileSync(`${cache}/${file}`);
  } catch {
    return undefined;
  }
}

/** Names carry a digest of the contents, so code that was kept under a name fits it. */
function loadFile(file: string): Readonly<Record<string, Piece>> {
  const known = files.get(file);
  if (known !== undefined) return known;
  const filename = `${directory}/${file}`;
  const cachedData = keptCode(file);
  // The bundler escapes what is not ASCII; text of one byte a character needs no decoding.
  const script = new Script(readFileSync(filename, 'latin1'), {
    filename,
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
    ...(cachedData === undefined ? {} : { cachedData }),
  });
  scripts.push({ file, script, kept: script.cachedDataRejected === false ? (cachedData?.length ?? 0) : 0 });
  const pieces: Readonly<Record<string, Piece>> = script.runInThisContext();
  files.set(file, pieces);
  return pieces;
}

function load(name: string): object {
  const known = loaded.get(name);
  if (known !== undefined) return known.exports;
  const file = PIECE_FILES[name];
  const piece = file === undefined ? undefined : loadFile(file)[name];
  if (piece === undefined) throw new Error(`the bundle has no ${name}`);
  const module: Module = { exports: {} };
  loaded.set(name, module);
  piece(module, require, `file://${directory}/${file}`);
  return module.exports;
}

/** Another piece, or one of Node's own modules that something imports when it needs it. */
function require(name: string): object {
  const found = name.startsWith('node:') ? process.getBuiltinModule(name) : load(name.slice('./'.length));
  if (found === undefined) throw new Error(`Node has no module ${name}`);
  return found;
}

function keepCode(): void {
  const short = process.cpuUsage().user < LONG_RUN;
  for (const { file, script, kept } of scripts) {
    if (kept > 0 && short) continue;
    const code = script.createCachedData();
    if (code.length <= kept * 1.05) continue;
    const temporary = `${cache}/${file}.${process.pid}`;
    // Whole or not there, also after a power cut: V8 does not look for damage.
    writeFileSync(temporary, code, { flush: true });
    renameSync(temporary, `${cache}/${file}`);
  }
}

process.on('exit', () => {
  if (cache === undefined) return;
  try {
    mkdirSync(cache, { recursive: true, mode: 0o700 });
    keepCode();
  } catch {
    // Without a place of its own the program starts more slowly, and that is all.
  }
});
load(MAIN_PIECE);
