/** Puts the script and the style sheet of the report into the bundle, in place of the reading of their files. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Plugin } from 'esbuild';

/** An esbuild plugin. */
export const pageAssets: Plugin = {
  name: 'page-assets',
  setup(build) {
    build.onLoad({ filter: /\/insight\/report\/page-assets\.ts$/ }, ({ path }) => {
      const text = (name: string) => JSON.stringify(readFileSync(join(dirname(path), name), 'utf8'));
      const contents = `export const pageScript = ${text('page.js')};\nexport const pageStyle = ${text('page.css')};\n`;
      return { contents, loader: 'js' };
    });
  },
};
