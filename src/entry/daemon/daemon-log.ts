/** What a daemon tells of itself while it runs. */
export interface DaemonLog {
  error(message: string, fields: Fields): void;
  info(message: string, fields: Fields): void;
  debug(message: string, fields: Fields): void;
}

type Fields = Readonly<Record<string, string>>;

const LEVELS = ['error', 'info', 'debug'] as const;

/** A log in logfmt or JSON, one entry a line. Levels that are not told of fall away. */
export function createDaemonLog(
  output: { write(text: string): unknown },
  { logFormat, logLevel }: { readonly logFormat: string; readonly logLevel: string },
): DaemonLog {
  const least = logLevel === 'trace' ? 'debug' : logLevel === 'warn' || logLevel === 'warning' ? 'error' : logLevel;
  const shown = LEVELS.indexOf(LEVELS.find(level => level === least) ?? 'info');
  const write = (level: (typeof LEVELS)[number]) => (message: string, fields: Fields) => {
    if (LEVELS.indexOf(level) > shown) return;
    const entry = { time: new Date().toISOString(), level, msg: message, ...fields };
    output.write(`${logFormat === 'json' ? JSON.stringify(entry) : logfmt(entry)}\n`);
  };
  return { error: write('error'), info: write('info'), debug: write('debug') };
}

function logfmt(entry: Fields): string {
  return Object.entries(entry)
    .map(([key, value]) => `${key}=${/^[\w./:+-]+$/.test(value) ? value : JSON.stringify(value)}`)
    .join(' ');
}
