/** Puts the script and the style sheet of the report into the bundle, in place of the reading of their files. */
import type { Plugin } from 'esbuild';
import { pageScript, pageStyle } from '../src/insight/report/page-assets.ts';

/** An esbuild plugin. */
export const pageAssets: Plugin = {
  name: 'page-assets',
  setup(build) {
    build.onLoad({ filter: /\/insight\/report\/page-assets\.ts$/ }, () => {
      const contents = `export const pageScript = ${JSON.stringify(pageScript)};\nexport const pageStyle = ${JSON.stringify(pageStyle)};\n`;
      return { contents, loader: 'js' };
    });
  },
};
