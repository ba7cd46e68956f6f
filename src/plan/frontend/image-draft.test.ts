import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blankImage, cloneImage, formatImage, parseImage } from './image-draft.ts';

const roundTrip = (text: string) => formatImage(parseImage(Buffer.from(text)));

test('a config that was read is written in the same bytes', () => {
  const text =
    '{"created":"2026-05-04T03:02:01.1Z","author":"a","architecture":"arm","os":"linux","variant":"v7",' +
    '"rootfs":{"type":"layers","diff_ids":null},"history":[{"created_by":"x \\u0026\\u0026 y","empty_layer":true}],' +
    '"config":{"User":"u","ExposedPorts":{"1/tcp":{}},"Env":["A=1","B="],"Cmd":["a"],"Labels":{"1":"","10":"x","9":"y"},' +
    '"Healthcheck":{"Test":["NONE"],"Retries":2}}}';
  assert.equal(roundTrip(text), text);
});

test('times lose the zeros at their end, unknown members are dropped', () => {
  assert.equal(
    roundTrip(
      '{"created":"2026-05-04T03:02:01.120000Z","architecture":"a","os":"o","x":1,"config":{"Domainname":"d"}}',
    ),
    '{"created":"2026-05-04T03:02:01.12Z","architecture":"a","os":"o","rootfs":{"type":"","diff_ids":null},"config":{}}',
  );
});

test('what is no JSON is refused', () => {
  assert.throws(() => parseImage(Buffer.from('{')), /^ImageConfigParseError: failed to parse image config: /);
});

test('a clone changes by itself', () => {
  const image = blankImage();
  image.config.labels = new Map([['a', '1']]);
  const clone = cloneImage(image);
  clone.config.labels?.set('a', '2');
  clone.config.env.set('X', '1');
  clone.history.push({});
  assert.equal(image.config.labels.get('a'), '1');
  assert.equal(image.config.env.size, 0);
  assert.equal(image.history.length, 0);
});
