import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createBuildArgs } from './build-args.ts';
import { blankConfig, type ContainerConfig } from './container-config.ts';
import { type LegacyStep, planStep, type StageState } from './plan-step.ts';
import { readLegacyFile } from './read-file.ts';

interface Planned {
  readonly steps: readonly LegacyStep[];
  readonly state: StageState;
}

/** Plans the instructions of a stage one after the other. */
function plan(
  text: string,
  config: Partial<ContainerConfig> = {},
  given: Readonly<Record<string, string>> = {},
): Planned {
  const { stages, escapeChar } = readLegacyFile(Buffer.from(`FROM x\n${text}\n`), 'Dockerfile');
  const args = createBuildArgs(new Map(Object.entries(given))).openStage();
  let state: StageState = { config: { ...blankConfig, ...config }, maintainer: '', hasCmd: false };
  const steps: LegacyStep[] = [];
  for (const instruction of stages[0]?.instructions ?? []) {
    const step = planStep(instruction, state, args, escapeChar);
    steps.push(step);
    ({ state } = step);
  }
  return { steps, state };
}

/** The last word of the key of the last step. */
function keyText(text: string, config: Partial<ContainerConfig> = {}, given: Readonly<Record<string, string>> = {}) {
  const step = plan(text, config, given).steps.at(-1);
  assert(step);
  return (step.kind === 'files' ? step.wanted('HASH') : step.wanted).cmd?.at(-1);
}

test('the texts of keys: variables replaced, whatever the form (legacy builder facts, 2)', () => {
  const env = { env: ['V=val'] };
  const cases: readonly (readonly [instruction: string, text: string])[] = [
    ['ENV A=$V B="two words"', 'ENV A=val B=two words'],
    ['env A two  words', 'ENV A=two  words'],
    ['LABEL a=$V "b c"=d', 'LABEL a=val b c=d'],
    ['ARG X', 'ARG X'],
    ['ARG X=$V Y', 'ARG X=val Y'],
    ['EXPOSE 90/udp 80', 'EXPOSE 80 90/udp'],
    ['VOLUME /a $V', 'VOLUME [/a val]'],
    ['VOLUME ["/a b"]', 'VOLUME [/a b]'],
    ['USER $V', 'USER val'],
    ['CMD a "b"', 'CMD ["/bin/sh" "-c" "a \\"b\\""]'],
    ['CMD ["a", "b"]', 'CMD ["a" "b"]'],
    ['ENTRYPOINT ["$V"]', 'ENTRYPOINT ["$V"]'],
    ['STOPSIGNAL 9', 'STOPSIGNAL 9'],
    ['HEALTHCHECK --interval=5s CMD true', `HEALTHCHECK &{["CMD-SHELL" "true"] "5s" "0s" "0s" '\\x00'}`],
    ['HEALTHCHECK --retries=3 --timeout=90s CMD ["x"]', `HEALTHCHECK &{["CMD" "x"] "0s" "1m30s" "0s" '\\x03'}`],
    ['HEALTHCHECK NONE', `HEALTHCHECK &{["NONE"] "0s" "0s" "0s" '\\x00'}`],
    ['ONBUILD   RUN  $V', 'ONBUILD RUN  $V'],
    ['SHELL ["/bin/sh", "-ec"]', 'SHELL [/bin/sh -ec]'],
    ['MAINTAINER $V', 'MAINTAINER $V'],
    ['WORKDIR $V/x', '#(nop) WORKDIR /val/x'],
    ['WORKDIR /a//b/', '#(nop) WORKDIR /a//b/'],
    ['COPY $V ./', '#(nop) COPY HASH in ./ '],
    ['COPY --chown=$V a /b', '#(nop) COPY --chown=valHASH in /b '],
    ['ADD ["a", "/b c"]', '#(nop) ADD HASH in /b c '],
    ['RUN   echo $V  ', 'echo $V'],
  ];
  for (const [instruction, text] of cases) assert.equal(keyText(instruction, env), text, instruction);
});

test('configs follow their instructions', () => {
  const { state } = plan(
    'ENV A=2 C=3\nENV C=4\nWORKDIR a\nWORKDIR b\nEXPOSE 80 81-82/udp\nVOLUME /v\nLABEL x=1\nLABEL x=2 y=3\nUSER u\nHEALTHCHECK --retries=2 CMD t\nSTOPSIGNAL 9',
    { env: ['A=1', 'B=1'], workingDir: '/w', volumes: ['/v'] },
  );
  const { env, workingDir, exposedPorts, volumes, labels, user, healthcheck, stopSignal } = state.config;
  assert.deepEqual(env, ['A=2', 'B=1', 'C=4']);
  assert.equal(workingDir, '/w/a/b');
  assert.deepEqual(exposedPorts, ['80/tcp', '81/udp', '82/udp']);
  assert.deepEqual(volumes, ['/v']);
  assert.deepEqual(
    [...labels],
    [
      ['x', '2'],
      ['y', '3'],
    ],
  );
  assert.deepEqual([user, stopSignal], ['u', '9']);
  assert.deepEqual(healthcheck, { Test: ['CMD-SHELL', 't'], Retries: 2 });
});

test('ENTRYPOINT clears an inherited CMD, but not that of the stage', () => {
  assert.equal(plan('ENTRYPOINT ["e"]', { cmd: ['c'] }).state.config.cmd, undefined);
  assert.deepEqual(plan('CMD ["c"]\nENTRYPOINT ["e"]').state.config.cmd, ['c']);
});

test('commands of the shell form use the shell that is set', () => {
  const { steps } = plan('SHELL ["/bin/bash", "-c"]\nRUN x\nRUN ["y"]\nCMD z');
  const commands = steps.map(step => (step.kind === 'run' ? step.command : undefined));
  assert.deepEqual(commands, [undefined, ['/bin/bash', '-c', 'x'], ['y'], undefined]);
  assert.equal(keyText('SHELL ["s"]\nCMD z'), 'CMD ["s" "z"]');
});

test('arguments: their own step is keyed by the default, RUN by the value, ENV hides them', () => {
  const { steps } = plan('ARG X=1\nRUN a\nENV X=3\nRUN b\nCOPY $X /x', {}, { X: '2' });
  const cmds = steps.map(step => (step.kind === 'files' ? step.sources : step.wanted.cmd));
  assert.deepEqual(cmds, [
    ['/bin/sh', '-c', '#(nop) ', 'ARG X=1'],
    ['|1', 'X=2', '/bin/sh', '-c', 'a'],
    ['/bin/sh', '-c', '#(nop) ', 'ENV X=3'],
    ['/bin/sh', '-c', 'b'],
    ['3'],
  ]);
  const run = steps[1];
  assert.deepEqual(run?.kind === 'run' && run.env, ['X=2']);
});

test('what only BuildKit knows is refused when it is reached, the rest before anything runs', () => {
  const buildKit = /requires BuildKit\. Refer to https:\/\/docs\.docker\.com\/go\/buildkit\//;
  assert.throws(() => plan('RUN --mount=type=cache,target=/c true'), buildKit);
  assert.throws(() => plan('ADD --chmod=600 a /b'), buildKit);
  for (const flag of [
    'COPY --link a /b',
    'COPY --exclude=x a /b',
    'ADD --checksum=x a /b',
    'RUN --network=none true',
    'ENV --x A=1',
  ]) {
    assert.throws(
      () => plan(flag),
      { message: /^dockerfile parse error line 2: Unknown flag: \w+$/, isRefusal: true },
      flag,
    );
  }
});

test('an older HEALTHCHECK is noted', () => {
  const note = (text: string) => {
    const step = plan(text).steps.at(-1);
    return step?.kind === 'metadata' ? step.note : undefined;
  };
  const expected = 'Note: overriding previous HEALTHCHECK: [CMD-SHELL a]';
  assert.equal(note('HEALTHCHECK CMD a\nHEALTHCHECK CMD b'), expected);
  assert.equal(note('HEALTHCHECK NONE\nHEALTHCHECK CMD b'), undefined);
});

test('here-documents are not known: their lines are instructions, and a word that looks like one is a path', () => {
  assert.throws(() => plan('RUN <<EOF\necho hi\nEOF'), {
    message: 'dockerfile parse error line 3: unknown instruction: ECHO',
  });
  const step = plan('COPY <<EOF /x').steps[0];
  assert.deepEqual(step?.kind === 'files' && step.sources, ['<<EOF']);
});
