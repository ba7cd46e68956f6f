/** Symbolic modes of chmod: `u=rwX,go=rX`. */

const SET_ID = 0o6000;
const STICKY = 0o1000;
const EXECUTE = 0o111;
/** All but the sticky bit: what `=` without a class clears. */
const ORDINARY = SET_ID | 0o777;

/** Bits of each class, the set-id bit included. */
const CLASSES: Readonly<Record<string, number>> = { u: 0o4700, g: 0o2070, o: 0o007, a: ORDINARY };
const PERMISSIONS: Readonly<Record<string, number>> = { r: 0o444, w: 0o222, x: EXECUTE };
const SHIFTS: Readonly<Record<string, number>> = { u: 6, g: 3, o: 0 };

/** A mode text that is not one. */
export class ModeSyntaxError extends Error {
  override readonly name = 'ModeSyntaxError';
  constructor() {
    super('invalid syntax');
  }
}

type Change = (mode: number, original: number, directory: boolean) => number;

/** Turns a file's permission bits (12 bits) into its new ones. */
export type ModeChange = (mode: number, directory: boolean) => number;

/**
 * Parses a mode as BSD's setmode(3) does, with umask 0: octal digits, or clauses of classes, operators and permissions
 * separated by commas. Throws {@link ModeSyntaxError}.
 */
export function parseModeChange(text: string): ModeChange {
  if (/^[0-9]/.test(text)) {
    if (!/^[0-7]{1,5}$/.test(text) || Number.parseInt(text, 8) > 0o7777) throw new ModeSyntaxError();
    const mode = Number.parseInt(text, 8);
    return () => mode;
  }
  const changes = text.split(',').flatMap(parseClause);
  return (mode, directory) => changes.reduce((current, change) => change(current, mode, directory), mode);
}

function parseClause(clause: string): Change[] {
  const match = /^([augo]*)((?:[-+=][rwxXstugo]*)+)$/.exec(clause);
  if (!match) throw new ModeSyntaxError();
  const [, classes = '', actions = ''] = match;
  let who = 0;
  for (const name of classes) who |= CLASSES[name] ?? 0;
  return [...actions.matchAll(/([-+=])([rwxXstugo]*)/g)].flatMap(([, operator = '', permissions = '']) =>
    parseAction(who, operator, permissions),
  );
}

/** Permissions are gathered until a class letter copies that class's bits, which is a change of its own. */
function parseAction(who: number, operator: string, permissions: string): Change[] {
  const changes: Change[] = [];
  let scope = who;
  let gathered = 0;
  let conditional = 0;
  let assigned = false;
  const flush = (last: boolean) => {
    if (gathered !== 0 || (last && operator === '=' && !assigned)) {
      changes.push(change(operator, scope, gathered));
      if (operator === '=') assigned = true;
    }
    if (conditional !== 0) changes.push(addIfExecutable(scope));
    gathered = 0;
    conditional = 0;
  };
  // Set-id and sticky bits mean nothing for others alone.
  const special = who === 0 || (who & ~0o007) !== 0;
  for (const letter of permissions) {
    switch (letter) {
      case 'r':
      case 'w':
      case 'x':
        gathered |= PERMISSIONS[letter] ?? 0;
        break;
      case 's':
        if (special) gathered |= SET_ID;
        break;
      case 't':
        if (special) {
          scope |= STICKY;
          gathered |= STICKY;
        }
        break;
      case 'X':
        if (operator === '-') gathered |= EXECUTE;
        else conditional = EXECUTE;
        break;
      default:
        flush(false);
        if (operator === '=') assigned = true;
        changes.push(copyClass(operator, scope, SHIFTS[letter] ?? 0));
    }
  }
  flush(true);
  return changes;
}

function change(operator: string, who: number, bits: number): Change {
  const chosen = who === 0 ? bits : who & bits;
  switch (operator) {
    case '+':
      return mode => mode | chosen;
    case '-':
      return mode => mode & ~chosen;
    default:
      return mode => (mode & ~(who === 0 ? ORDINARY : who)) | chosen;
  }
}

function addIfExecutable(who: number): Change {
  const chosen = who === 0 ? EXECUTE : who & EXECUTE;
  return (mode, original, directory) => (directory || (original & EXECUTE) !== 0 ? mode | chosen : mode);
}

function copyClass(operator: string, who: number, shift: number): Change {
  const targets = [6, 3, 0].filter(target => who === 0 || (who & (0o4 << target)) !== 0);
  return mode => {
    const bits = (mode >> shift) & 0o7;
    return targets.reduce((current, target) => {
      if (operator === '+') return current | (bits << target);
      if (operator === '-') return current & ~(bits << target);
      return (current & ~(0o7 << target)) | (bits << target);
    }, mode);
  };
}
