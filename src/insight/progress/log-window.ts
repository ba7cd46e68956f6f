/** The small terminal under a running step: its last lines as an ANSI terminal would show them. */
export interface LogWindow {
  write(data: Uint8Array): void;
  resize(height: number, width: number): void;
  /** Rows that the cursor has reached. */
  usedHeight(): number;
  /** Rows, top first, filled with blanks to the width. */
  rows(): readonly string[];
}

const INCOMPLETE_LIMIT = 12;

export function createLogWindow(height: number, width: number): LogWindow {
  let rows = blankRows(height, width);
  let size = { height, width };
  let x = 0;
  let y = 0;
  let used = 0;
  let rest: Uint8Array = new Uint8Array();

  function put(char: string): void {
    if (y >= size.height) {
      rows = [...rows.slice(1), ...blankRows(1, size.width)];
      y = size.height - 1;
    }
    const row = rows[y];
    if (row) row[x] = char;
    used = Math.max(used, y + 1);
    x++;
    if (x >= size.width) {
      x = 0;
      y++;
    }
  }

  function control(char: string): void {
    if (char === '\n') {
      y = Math.min(y + 1, size.height);
      x = 0;
    } else if (char === '\r') x = 0;
    else if (char === '\b') x = Math.max(0, x - 1);
  }

  function command(parameters: string, final: string): void {
    const [a, b] = parameters.split(';').map(text => (text === '' ? undefined : Number.parseInt(text, 10)));
    const amount = a ?? 1;
    if (final === 'A') moveTo(y - amount, x);
    else if (final === 'B') moveTo(y + amount, x);
    else if (final === 'C') moveTo(y, x + amount);
    else if (final === 'D') moveTo(y, x - amount);
    else if (final === 'H' || final === 'f') moveTo((a ?? 1) - 1, (b ?? 1) - 1);
    else if (final === 'K') eraseLine(a ?? 0);
    else if (final === 'J') eraseDisplay(a ?? 0);
  }

  function moveTo(row: number, column: number): void {
    y = Math.min(Math.max(row, 0), size.height - 1);
    x = Math.min(Math.max(column, 0), size.width - 1);
  }

  function eraseLine(mode: number): void {
    rows[y]?.fill(' ', mode === 0 ? x : 0, mode === 1 ? x + 1 : size.width);
  }

  function eraseDisplay(mode: number): void {
    eraseLine(mode);
    rows.forEach((row, index) => {
      if ((mode === 0 && index > y) || (mode === 1 && index < y) || mode === 2) row.fill(' ');
    });
  }

  return {
    write(data) {
      const bytes = rest.length > 0 ? Buffer.concat([rest, data]) : data;
      const { text, tail } = decode(bytes);
      let at = 0;
      rest = tail;
      while (at < text.length) {
        const char = String.fromCodePoint(text.codePointAt(at) ?? 0);
        if (char === '\x1b') {
          const match = /^\x1b\[([0-9;?]*)([@-~])/.exec(text.slice(at, at + 32));
          if (match) {
            command(match[1] ?? '', match[2] ?? '');
            at += match[0].length;
            continue;
          }
          if (/^\x1b(\[[0-9;?]*)?$/.test(text.slice(at))) {
            const unfinished = Buffer.from(text.slice(at));
            if (unfinished.length < INCOMPLETE_LIMIT) rest = Buffer.concat([unfinished, rest]);
            return;
          }
          at++;
          continue;
        }
        if (char < ' ' || char === '\x7f') control(char);
        else put(char);
        at += char.length;
      }
    },
    resize(newHeight, newWidth) {
      if (newHeight === size.height && newWidth === size.width) return;
      rows = Array.from({ length: newHeight }, (_, row) =>
        Array.from({ length: newWidth }, (_, column) => rows[row]?.[column] ?? ' '),
      );
      size = { height: newHeight, width: newWidth };
      used = Math.min(used, newHeight);
      x = Math.min(x, newWidth - 1);
      y = Math.min(y, newHeight);
    },
    usedHeight: () => used,
    rows: () => rows.map(row => row.join('')),
  };
}

function blankRows(height: number, width: number): string[][] {
  return Array.from({ length: height }, () => new Array<string>(width).fill(' '));
}

/**
 * What of the bytes is UTF-8 from the start on. The byte that is not is dropped; what follows it is kept for the next piece
 * when it is short, and dropped too when it is not, as BuildKit's terminal does.
 */
function decode(bytes: Uint8Array): { text: string; tail: Uint8Array } {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  try {
    return { text: decoder.decode(bytes), tail: new Uint8Array() };
  } catch {
    let valid = 0;
    while (valid < bytes.length) {
      const length = sequenceLength(bytes, valid);
      if (length === 0) break;
      valid += length;
    }
    const tail = bytes.subarray(valid + 1);
    return {
      text: decoder.decode(bytes.subarray(0, valid)),
      tail: tail.length < INCOMPLETE_LIMIT ? Uint8Array.from(tail) : new Uint8Array(),
    };
  }
}

/** Length of the UTF-8 sequence at `at`, 0 when there is no whole one. */
function sequenceLength(bytes: Uint8Array, at: number): number {
  const lead = bytes[at] ?? 0;
  const length =
    lead < 0x80
      ? 1
      : lead >= 0xc2 && lead < 0xe0
        ? 2
        : lead >= 0xe0 && lead < 0xf0
          ? 3
          : lead >= 0xf0 && lead < 0xf5
            ? 4
            : 0;
  if (at + length > bytes.length) return 0;
  for (let index = 1; index < length; index++) if (((bytes[at + index] ?? 0) & 0xc0) !== 0x80) return 0;
  return length;
}
