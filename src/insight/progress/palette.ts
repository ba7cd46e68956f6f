/** What is coloured: completed lines, canceled ones, failed ones, warnings. */
type Role = 'run' | 'cancel' | 'error' | 'warning';

/** Colours of the terminal display. */
export interface Palette {
  paint(role: Role, text: string): string;
  faint(text: string): string;
}

const NAMES: Readonly<Record<string, string>> = {
  default: '39',
  black: '30',
  blue: '34',
  cyan: '36',
  green: '32',
  magenta: '35',
  red: '31',
  white: '37',
  yellow: '33',
  'light-black': '90',
  'light-blue': '94',
  'light-cyan': '96',
  'light-green': '92',
  'light-magenta': '95',
  'light-red': '91',
  'light-white': '97',
  'light-yellow': '93',
};

const DEFAULTS: Readonly<Record<Role, string>> = { run: '34', cancel: '33', error: '31', warning: '33' };

/** No colours at all (`NO_COLOR`). */
const colourless: Palette = { paint: (_role, text) => text, faint: text => text };

/**
 * The palette that the environment asks for: `NO_COLOR` (not empty) turns colours off,
 * `BUILDKIT_COLORS=run=blue:error=255,0,0` changes them. Parts that mean nothing go to `warn` and are skipped.
 */
export function paletteFrom(
  environment: Readonly<Record<string, string | undefined>>,
  warn: (text: string) => void,
): Palette {
  if (environment['NO_COLOR']) return colourless;
  const codes: Record<Role, string> = { ...DEFAULTS };
  for (const part of (environment['BUILDKIT_COLORS'] ?? '').split(':')) {
    if (part === '') continue;
    const [role = '', colour = ''] = part.split('=');
    const code = colourCode(colour.toLowerCase());
    if (!isRole(role) || code === undefined)
      warn(`BUILDKIT_COLORS: ${part} is no ROLE=COLOUR; roles are run, cancel, error, warning`);
    else codes[role] = code;
  }
  return { paint: (role, text) => `\x1b[${codes[role]}m${text}\x1b[0m`, faint: text => `\x1b[2m${text}\x1b[0m` };
}

function isRole(text: string): text is Role {
  return text in DEFAULTS;
}

function colourCode(colour: string): string | undefined {
  const named = NAMES[colour];
  if (named !== undefined) return named;
  const parts = colour.split(',').map(Number);
  return parts.length === 3 && parts.every(part => Number.isInteger(part) && part >= 0 && part <= 255)
    ? `38;2;${parts.join(';')}`
    : undefined;
}
