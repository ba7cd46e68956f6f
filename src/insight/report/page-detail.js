// The selected step in full.
import {
  build,
  classOf,
  element,
  firstLine,
  isCritical,
  isWork,
  parts,
  past,
  place,
  short,
  sign,
  size,
  state,
  steps,
  took,
  waitOf,
} from './page-model.js';

function linkTo(index, select) {
  const step = steps[index];
  const button = element(
    'button',
    { class: 'link', title: step.text },
    sign(step.outcome),
    element('span', { class: 'place' }, place(step)),
    element('code', {}, firstLine(step.text)),
  );
  button.addEventListener('click', () => select(index));
  return button;
}

function block(title, ...content) {
  return element('section', {}, element('h3', {}, title), ...content);
}

function causesOf(step, select) {
  const items = step.causes.map(({ text, path }) =>
    element('li', {}, ...path.map(index => linkTo(index, select)), element('span', { class: 'cause' }, text)),
  );
  return element('ul', { class: 'causes' }, ...items);
}

const SIGNS = { new: '+', gone: '−', changed: '~' };
const SHOWN_FILES = 400;

function shownValue({ change, before }, name, value) {
  const text = (tag, shown) => element(tag, { title: shown }, short(shown) || '""');
  const values =
    change === 'changed'
      ? [text('del', before), text('ins', value)]
      : [text(change === 'gone' ? 'del' : change === 'new' ? 'ins' : 'span', value)];
  const title = name === '' ? [] : [element('b', {}, name), ' '];
  return element('span', { class: 'value' }, ...title, ...(value === '' && change !== 'changed' ? [] : values));
}

/** Parts under what they belong to. */
function partsOf(step, keys) {
  const groups = Map.groupBy(keys, ({ slot }) => slot);
  return [...groups].flatMap(([slot, group]) => {
    const lines = group.map(key => {
      const [kind, name, value] = parts[key.part];
      return element(
        'div',
        { class: `part ${key.change ?? 'same'}` },
        element('span', { class: 'change', title: key.change ?? 'the same' }, SIGNS[key.change] ?? ''),
        element('span', { class: 'kind' }, kind),
        shownValue(key, name, value),
      );
    });
    return [element('h4', {}, step.slots[slot]), element('div', { class: 'keys' }, ...lines)];
  });
}

/** The key: what changed, and, if one wants to know, what did not. */
function keysOf(step) {
  const changed = step.keys.filter(({ change }) => change !== undefined);
  const same = step.keys.filter(({ change }) => change === undefined);
  const nodes = partsOf(step, changed.slice(0, SHOWN_FILES));
  if (changed.length > SHOWN_FILES) {
    nodes.push(element('p', { class: 'quiet' }, `and ${changed.length - SHOWN_FILES} more that changed`));
  }
  if (same.length > 0) {
    const count = same.length + step.keysLeft;
    const what = step.against === undefined ? 'went in' : count === 1 ? 'is the same' : 'are the same';
    const summary = element('summary', {}, `${count} ${count === 1 ? 'part' : 'parts'} ${what}`);
    const left = step.keysLeft === 0 ? [] : [element('p', { class: 'quiet' }, `and ${step.keysLeft} more`)];
    nodes.push(
      element(
        'details',
        { open: changed.length === 0 && step.causes.length === 0 },
        summary,
        ...partsOf(step, same),
        ...left,
      ),
    );
  }
  return nodes;
}

function timesOf(step) {
  const didWork = isWork(step.outcome);
  const facts = [
    element('span', { class: `badge ${classOf(step.outcome)}` }, step.outcome),
    didWork && step.duration !== undefined ? `took ${took(step.duration)}` : '',
    didWork && step.start !== undefined ? `began at ${took(step.start)}` : '',
    isCritical(step) && didWork ? 'on the critical path' : '',
    waitOf(step) > 0 && didWork ? `${took(waitOf(step))} after its inputs` : '',
    step.line === undefined ? '' : `line ${step.line}`,
  ].filter(Boolean);
  return element(
    'p',
    { class: 'facts' },
    ...facts.flatMap((fact, index) => (index === 0 ? [fact] : [element('span', {}, fact)])),
  );
}

export function drawDetail(detail, select) {
  const step = steps[state.selected];
  if (step === undefined) return detail.replaceChildren(element('p', { class: 'empty' }, 'No step is selected.'));
  const nodes = [
    element(
      'p',
      { class: 'where' },
      [place(step) || 'no instruction', ...(step.also ?? []).map(where => `also ${where}`)].join(' · '),
    ),
    element('pre', { class: 'title' }, step.text),
    timesOf(step),
  ];
  if (step.error !== undefined) nodes.push(element('pre', { class: 'error' }, step.error));
  if (past !== undefined) {
    const { outcome = 'not there', duration } = step.past ?? {};
    const time = outcome === 'ran' ? `, ${took(duration)}` : '';
    nodes.push(element('p', { class: 'quiet' }, `In build ${past.number}: ${outcome}${time}.`));
  }
  if (step.causes.length > 0) nodes.push(block('Why it ran', causesOf(step, select)));
  else if (step.from !== undefined) nodes.push(block('Where it comes from', element('p', {}, step.from)));
  if (step.surprises.length > 0) {
    const items = step.surprises.map(({ id, text, cure }) =>
      element('li', {}, element('b', {}, id), ` ${text}`, element('div', { class: 'quiet' }, cure)),
    );
    nodes.push(block('Worth knowing', element('ul', { class: 'notes' }, ...items)));
  }
  if (step.log !== undefined) {
    const cut = step.logCut === undefined ? '' : `… ${size(step.logCut)} before\n`;
    nodes.push(block('Output', element('pre', { class: 'log', tabindex: '0' }, cut + step.log)));
  }
  if (step.keys.length > 0) {
    const title =
      step.against === undefined ? 'Its key' : `Its key in build ${build.number}, against build ${step.against}`;
    nodes.push(block(title, ...keysOf(step)));
  }
  const users = [...steps.keys()].filter(index => steps[index].inputs.includes(state.selected));
  for (const [title, list] of [
    ['Stands on and reads', step.inputs],
    ['Used by', users],
  ]) {
    if (list.length > 0) {
      const links = list.slice(0, 12).map(index => linkTo(index, select));
      const more = list.length > 12 ? [element('p', { class: 'quiet' }, `and ${list.length - 12} more`)] : [];
      nodes.push(block(title, element('div', { class: 'links' }, ...links), ...more));
    }
  }
  nodes.push(element('p', { class: 'digest' }, step.digest));
  detail.replaceChildren(...nodes);
  detail.scrollTop = 0;
}
