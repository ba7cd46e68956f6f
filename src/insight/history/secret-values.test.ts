import assert from 'node:assert/strict';
import { test } from 'node:test';
import { shownMaker, shownText, shownValue } from './secret-values.ts';

test('a layer tells its arguments without the values of secret ones', () => {
  const shown = (name: string, value: string) => `${name}=${shownValue(name, value)}`;
  const cases: [string, string][] = [
    ['COPY TOKEN=abcd / # buildkit', 'COPY TOKEN=abcd / # buildkit'],
    ['RUN /bin/sh -c TOKEN=a make', 'RUN /bin/sh -c TOKEN=a make'],
    ['RUN |1 MODE=a /bin/sh -c make', 'RUN |1 MODE=a /bin/sh -c make'],
    ['RUN |2 MODE=a b TOKEN=c d /bin/sh -c X=1 make', `RUN |2 MODE=a b ${shown('TOKEN', 'c d')} /bin/sh -c X=1 make`],
    ['RUN |2 TOKEN= MODE=a /bin/sh -c make', `RUN |2 ${shown('TOKEN', '')} MODE=a /bin/sh -c make`],
    ['|1 TOKEN=a=b /bin/sh -c make', `|1 ${shown('TOKEN', 'a=b')} /bin/sh -c make`],
    ['RUN |1 TOKEN=abcd make all', `RUN |1 ${shown('TOKEN', 'abcd make all')}`],
  ];
  for (const [text, expected] of cases) assert.equal(shownMaker(text), expected);
});

test('a value that stands in a longer one leaves nothing of it', () => {
  const text = shownText('curl -u me:hunter22 hunter', [
    ['A_TOKEN', 'hunter'],
    ['B_TOKEN', 'hunter22'],
    ['MODE', 'curl'],
    ['C_TOKEN', '-u'],
  ]);
  assert.match(text, /^curl -u me:\*{3}\w{6} \*{3}\w{6}$/);
});
