import { readFileSync } from 'node:fs';

const read = (name: string): string => readFileSync(new URL(name, import.meta.url), 'utf8');

/** The modules of the page, each after those that it imports. */
const MODULES = ['page-model.js', 'page-list.js', 'page-graph.js', 'page-build.js', 'page-detail.js', 'page.js'];

/** Modules as one: what they import of each other is there already. */
function joined(names: readonly string[]): string {
  return names
    .map(name =>
      read(`./${name}`)
        .replace(/^import [^;]*;\n/gm, '')
        .replace(/^export /gm, ''),
    )
    .join('\n');
}

/** The script of the page. The bundle has the text itself in place of this file (scripts/page-assets.ts). */
export const pageScript = joined(MODULES);

/** The script of the list of builds. */
export const buildsScript = read('./page-builds.js');

/** The style sheet of the page. */
export const pageStyle = read('./page.css') + read('./page-views.css');
