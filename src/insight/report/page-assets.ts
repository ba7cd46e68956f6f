import { readFileSync } from 'node:fs';

const read = (name: string): string => readFileSync(new URL(name, import.meta.url), 'utf8');

/** The script of the page. The bundle has the text itself in place of this file (scripts/page-assets.ts). */
export const pageScript = read('./page.js');

/** The style sheet of the page. */
export const pageStyle = read('./page.css');
