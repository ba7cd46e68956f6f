/**
 * Loaded before a program (`node --import`): ends its process, as a crash would, right before the change to files or databases
 * whose number `KILL_AT` names. Without it, the number of changes is written to the file of `KILL_COUNT` at the end.
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { DatabaseSync, StatementSync } from 'node:sqlite';
import { isMainThread } from 'node:worker_threads';

const { KILL_AT, KILL_COUNT } = process.env;
const changing =
  /^(?:rm|rename|unlink|rmdir|mkdir|mkdtemp|writeFile|write|fsync|fdatasync|link|symlink|chmod|copyFile|cp|createWriteStream)(?:Sync)?$/;
let changes = 0;

function change(): void {
  changes += 1;
  if (changes === Number(KILL_AT)) process.kill(process.pid, 'SIGKILL');
}

function count(holder: object, isCounted: (name: string) => boolean): void {
  for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(holder))) {
    if (typeof value !== 'function' || !isCounted(name)) continue;
    const counted = function (this: unknown, ...args: unknown[]): unknown {
      change();
      return Reflect.apply(value, this, args);
    };
    Object.assign(holder, { [name]: counted });
  }
}

if (isMainThread) {
  for (const holder of [fs, fs.promises]) count(holder, name => changing.test(name));
  count(DatabaseSync.prototype, name => name === 'exec');
  count(StatementSync.prototype, name => name === 'run');
  syncBuiltinESMExports();
  if (KILL_COUNT !== undefined) process.on('exit', () => fs.appendFileSync(KILL_COUNT, `${changes}\n`));
}
