/** Why what steps begin with, images and other sources, is another one. */
import { given } from '../../wire/given.ts';
import type { StepRecord } from '../history/build-record.ts';
import { type BuildView, isSource } from './build-view.ts';
import type { BaseCause, Cause } from './cause.ts';
import type { ComparisonReader } from './compare-steps.ts';
import { stageOf, variablesIn } from './dockerfile-model.ts';
import { baseOf, imageOf, partsOf } from './step-kind.ts';
import { type Builds, globalVariableCauses, instructionCause } from './variables.ts';

export interface BaseCauses {
  /** Why two sources that a step stands on, or only reads, differ; empty when they do not. */
  ofSources(consumer: number, now: number, past: number, isRead?: true): Cause[];
  /** That a download is another one. */
  ofDownload(now: number, past: number): Cause | undefined;
  /** Whether two images are known to have the same layers. */
  sameLayers(now: number, past: number): boolean;
  /** Why the stage of a step stands on something else: its FROM, or a variable in it. */
  ofStage(consumer: number): Cause[];
  /** That the base of two steps moved, or is another one: what the Dockerfile does not set comes from its config. */
  moved(now: number, past: number): Cause | undefined;
}

/** The names of images and contexts in an instruction. */
const NAMES = /(?:from=|^FROM\s+(?:--\S+\s+)*)([^\s,@]+)/gi;

export function baseCauses(builds: Builds, reader: ComparisonReader): BaseCauses {
  const { past, now, alignment } = builds;
  const image = (view: BuildView, step: number | undefined) => imageOf(partsOf(view.steps[step ?? -1], reader.parts));

  function ofSources(consumer: number, current: number, old: number, isRead?: true): Cause[] {
    const [after, before] = [now.steps[current], past.steps[old]];
    // A build that failed early need not have come to look at what it stands on.
    if (!after?.definitions.length || !before?.definitions.length) return [];
    const [nowImage, pastImage] = [image(now, current), image(past, old)];
    if (nowImage && pastImage) {
      const [was, is] = [before, after].map(one => platformOf(one));
      if (was !== is) return [{ kind: 'platform', ...given('before', was), ...given('after', is) }];
      if (pastImage.digest === nowImage.digest) return [];
      const causes = pastImage.name === nowImage.name || sameLayers(current, old) ? [] : ofStage(consumer);
      return causes.length > 0 ? causes : [movedTo(consumer, current, old, isRead)];
    }
    if (isSame(after, before)) return [];
    const causes = nowImage || pastImage ? [...ofStage(consumer), ...ofNamedContexts(consumer)] : [];
    if (causes.length > 0) return causes;
    const [name, value] = nameOf(after);
    return [{ kind: 'source', name, ...given('before', nameOf(before)[1]), ...given('after', value) }];
  }

  function platformOf(step: StepRecord): string | undefined {
    return partsOf(step, reader.parts).find(({ kind }) => kind === 'platform')?.value;
  }

  function isSame(after: StepRecord, before: StepRecord): boolean {
    return after.definitions.at(-1) === before.definitions.at(-1);
  }

  function ofDownload(current: number, old: number): Cause | undefined {
    const [after, before] = [now.steps[current], past.steps[old]];
    if (after === undefined || before === undefined) return undefined;
    const [is, was] = [downloadOf(after), downloadOf(before)];
    if (is === undefined || was === undefined || is === was || after.name !== before.name) return undefined;
    return { kind: 'source', name: after.name, before: was, after: is };
  }

  function downloadOf(step: StepRecord): string | undefined {
    return partsOf(step, reader.parts).find(({ kind, name }) => kind === 'http' && name === 'content')?.value;
  }

  function nameOf(step: StepRecord): [string, string | undefined] {
    const content = downloadOf(step);
    if (content !== undefined) return [step.name, content];
    const [first] = partsOf(step, reader.parts);
    return first === undefined ? [step.name, step.definitions[0]] : [first.name || step.name, first.value];
  }

  function sameLayers(current: number, old: number): boolean {
    const layers = reader.layers(now, current);
    return layers !== undefined && layers === reader.layers(past, old);
  }

  function movedTo(consumer: number, current: number, old: number, isRead?: true): BaseCause {
    const [nowImage, pastImage] = [image(now, current), image(past, old)];
    return {
      kind: 'base',
      reference: nameIn(consumer, [nowImage?.name ?? '', pastImage?.name ?? ''], isRead),
      before: pastImage?.digest ?? '',
      after: nowImage?.digest ?? '',
      beforeAt: past.summary.startedAt,
      afterAt: now.summary.startedAt,
      ...(sameLayers(current, old) ? { sameLayers: true } : {}),
    };
  }

  /** Of the names of two images the one that an instruction says: images that are the same share one of their names. */
  function nameIn(consumer: number, [name, other]: readonly [string, string], isRead?: true): string {
    if (name === other || other === '') return name;
    const texts = (now.steps[consumer]?.places ?? []).map(place => {
      const one = now.instructionAt(place);
      const stage = one && now.model ? stageOf(now.model, one) : undefined;
      return isRead ? place.text : (stage?.from.text ?? '');
    });
    const words = texts.flatMap(text => [...text.matchAll(NAMES)]);
    const isSaid = (one: string) => words.some(([, word = '']) => one === word || one.endsWith(`/${word}`));
    return isSaid(other) && !isSaid(name) ? other : name;
  }

  /** Of the names that a step reads from those that stand for something else now. */
  function ofNamedContexts(consumer: number): Cause[] {
    const [is, was] = [now, past].map(({ summary }) => summary.options.namedContexts ?? {});
    return namesSaid(consumer).flatMap(name =>
      is?.[name] === was?.[name]
        ? []
        : [
            {
              kind: 'option' as const,
              name: `--build-context ${name}`,
              ...given('before', was?.[name]),
              ...given('after', is?.[name]),
            },
          ],
    );
  }

  /** The names that a step's own text and the FROM of its stage say. */
  function namesSaid(consumer: number): string[] {
    const texts = (now.steps[consumer]?.places ?? []).flatMap(place => {
      const one = now.instructionAt(place);
      const stage = one && now.model ? stageOf(now.model, one) : undefined;
      return [place.text, stage?.from.text ?? ''];
    });
    return texts.flatMap(text => [...text.matchAll(NAMES)].map(([, word = '']) => word));
  }

  function ofStage(consumer: number): Cause[] {
    for (const place of now.steps[consumer]?.places ?? []) {
      const one = now.instructionAt(place);
      let stage = one && now.model ? stageOf(now.model, one) : undefined;
      const causes: Cause[] = [];
      for (; stage !== undefined; stage = stage.parent) {
        const was = alignment.oldOf(stage.from);
        if (was === undefined) continue;
        if (was.full !== stage.from.full) causes.push(instructionCause('changed', stage.from, builds));
        else for (const name of variablesIn(was.text)) causes.push(...globalVariableCauses(name, builds));
      }
      if (causes.length > 0) return causes;
      const from = /--from=(\S+)/.exec(one?.text ?? '')?.[1] ?? '';
      const own = variablesIn(from).flatMap(name => globalVariableCauses(name, builds));
      if (own.length > 0) return own;
    }
    return [];
  }

  function moved(current: number, old: number): Cause | undefined {
    const [a, b] = [rootImage(now, current), rootImage(past, old)];
    if (a === undefined || b === undefined) return undefined;
    const [after, before] = [image(now, a), image(past, b)];
    if (after === undefined || before === undefined || after.digest === before.digest) return undefined;
    const [cause] = after.name === before.name ? [] : ofStage(current);
    return cause ?? movedTo(current, a, b);
  }

  function rootImage(view: BuildView, step: number): number | undefined {
    for (let at: number | undefined = step; at !== undefined; at = baseOf(view, at, reader.parts)) {
      if (isSource(view.steps[at])) return image(view, at) === undefined ? undefined : at;
    }
    return undefined;
  }

  return { ofSources, ofDownload, sameLayers, ofStage, moved };
}
