// Lists the images that a Dockerfile is built on, with the place of each: node images.mjs Dockerfile
import { readFileSync } from 'node:fs';
import { DockerfileError, expandWord, listTokens, parseFile, parseStages, renderError } from 'outcrop/dockerfile';

const [path = 'Dockerfile'] = process.argv.slice(2);
const source = readFileSync(path, 'utf8');
try {
  const file = parseFile(source);
  const { metaArgs, stages } = parseStages(file);
  const defaults = new Map(metaArgs.flatMap(({ args }) => args.map(({ key, value }) => [key, value])));
  const tokens = listTokens(source, file);
  const names = new Set(['scratch']);
  for (const stage of stages) {
    const { text } = expandWord(stage.base, defaults, { escape: file.escape });
    if (!names.has(text)) {
      const node = file.nodes.indexOf(stage.node);
      const { start } = tokens.find(token => token.node === node && token.kind === 'argument');
      console.log(`${path}:${start.line}:${start.column}: ${text}`);
    }
    names.add(stage.name);
  }
} catch (error) {
  if (!(error instanceof DockerfileError)) throw error;
  process.stderr.write(renderError(path, source, error));
  process.exitCode = 1;
}
