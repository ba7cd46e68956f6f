/** Rows as text, each column as wide as its longest cell plus `gap`; the last cell of a row is not padded. */
export function renderTable(rows: readonly (readonly string[])[], gap: number): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries())
      widths[column] = Math.max(widths[column] ?? 0, Array.from(cell).length + gap);
  }
  const lines = rows.map(row =>
    row
      .map((cell, column) => {
        const missing = column === row.length - 1 ? 0 : (widths[column] ?? 0) - Array.from(cell).length;
        return cell + ' '.repeat(missing);
      })
      .join(''),
  );
  return lines.map(line => `${line}\n`).join('');
}
