/** Puts the script and the style sheet of the report into the bundle, in place of the reading of their files. */
import type { Plugin } from 'esbuild';
import { buildsScript, pageScript, pageStyle } from '../src/insight/report/page-assets.ts';

/** An esbuild plugin. */
export const pageAssets: Plugin = {
  name: 'page-assets',
  setup(build) {
    build.onLoad({ filter: /\/insight\/report\/page-assets\.ts$/ }, () => {
      const texts = { buildsScript, pageScript, pageStyle };
      const lines = Object.entries(texts).map(([name, text]) => `export const ${name} = ${JSON.stringify(text)};\n`);
      const contents = lines.join('');
      return { contents, loader: 'js' };
    });
  },
};
