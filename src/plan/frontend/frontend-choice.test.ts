import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseFrontend, ForeignFrontendError } from './frontend-choice.ts';

const NONE: ReadonlyMap<string, string> = new Map();
const choose = (text: string, options = NONE) => chooseFrontend(Buffer.from(text), options);

test('every version of the Dockerfile frontend is the built-in one', () => {
  for (const ref of [
    'docker/dockerfile',
    'docker/dockerfile:1',
    'docker/dockerfile:1.7',
    'docker.io/docker/dockerfile:1.26.3',
    'docker/dockerfile-upstream:master',
    `docker/dockerfile:1.7@sha256:${'a'.repeat(64)}`,
  ]) {
    assert.deepEqual(choose(`# syntax=${ref}\nFROM scratch\n`), { labs: false, newer: undefined }, ref);
  }
  assert.deepEqual(choose('FROM scratch\n'), { labs: false, newer: undefined });
});

test('the labs channel is chosen by tag', () => {
  for (const tag of ['labs', '1-labs', '1.20-labs', '1.20.1-labs']) {
    assert.equal(choose(`# syntax=docker/dockerfile:${tag}\nFROM scratch\n`).labs, true, tag);
  }
});

test('a newer version is planned all the same, and told', () => {
  const lines = { start: 1, end: 1 };
  const newer = { reference: 'docker/dockerfile:1.99', ours: '1.26', lines };
  assert.deepEqual(choose('#syntax = docker/dockerfile:1.99 more\n').newer, newer);
  assert.equal(choose('# syntax=docker/dockerfile:2\n').newer?.reference, 'docker/dockerfile:2');
});

test('another frontend is refused with its line', () => {
  assert.throws(
    () => choose('#!/bin/sh\n# syntax=example/frontend:1 --flag\nFROM scratch\n'),
    (error: unknown) => {
      assert.ok(error instanceof ForeignFrontendError);
      assert.equal(error.reference, 'example/frontend:1');
      assert.equal(error.cmdline, 'example/frontend:1 --flag');
      assert.deepEqual(error.locations, [{ start: 2, end: 2 }]);
      assert.match(error.message, /^syntax=example\/frontend:1 --flag: only docker\/dockerfile is built in/);
      return true;
    },
  );
});

test('the build argument wins over the file, and a forwarded build has chosen', () => {
  const file = '# syntax=example/frontend:1\nFROM scratch\n';
  const given = (value: string) => new Map([['build-arg:BUILDKIT_SYNTAX', value]]);
  assert.equal(choose(file, given(' docker/dockerfile:1-labs x')).labs, true);
  assert.throws(() => choose('FROM scratch', given('example/other')), {
    message: /^build-arg:BUILDKIT_SYNTAX = example\/other: /,
  });
  assert.equal(choose(file, new Map([['cmdline', 'example/frontend:1']])).labs, false);
});
