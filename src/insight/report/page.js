// The script of the report. It draws only the rows and boxes that can be seen, so that 2,000 steps are no more than 5.
const report = JSON.parse(document.getElementById('report').textContent);
const { build, steps, sources, layers } = report;
const view = document.getElementById('view');
const detail = document.getElementById('detail');
const search = document.getElementById('search');
const tabs = [...document.querySelectorAll('nav button')];
const ROW = 30;
const BOX = { width: 190, height: 26, across: 230, down: 36, margin: 20 };
const span = Math.max(1, ...steps.map(step => (step.start ?? 0) + (step.duration ?? 0)));
let tab = 'steps';
let rows = [];
let selected = steps.findIndex(step => step.outcome === 'failed' || step.outcome === 'ran');

function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function took(milliseconds) {
  if (milliseconds === undefined) return '';
  if (milliseconds < 1000) return `${milliseconds < 10 ? milliseconds.toFixed(1) : Math.round(milliseconds)} ms`;
  return `${(milliseconds / 1000).toFixed(1)} s`;
}

function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  const units = ['kB', 'MB', 'GB', 'TB'];
  const power = Math.min(units.length, Math.floor(Math.log10(bytes) / 3));
  return `${(bytes / 1000 ** power).toFixed(1)} ${units[power - 1]}`;
}

const date = time => new Date(time).toISOString().replace('T', ' ').slice(0, 19);
const styles = { cached: 'cached', shared: 'shared', ran: 'ran', failed: 'failed' };
const styleOf = ({ outcome }) => styles[outcome] ?? 'other';
const place = ({ stage, number }) => [stage, number].filter(Boolean).join(' ');
const haystacks = steps.map(({ text, stage, outcome, causes, surprises, log, name }) =>
  [name, text, stage, outcome, ...causes, ...surprises, log ?? ''].join('\n').toLowerCase(),
);

function choose() {
  const word = search.value.toLowerCase();
  rows = [...steps.keys()].filter(index => haystacks[index].includes(word));
  if (tab === 'steps') rows = rows.filter(index => steps[index].isShown || word !== '');
  if (tab === 'timeline') {
    rows = rows.filter(index => steps[index].start !== undefined);
    rows.sort((a, b) => steps[a].start - steps[b].start);
  }
}

function rowOf(index, position) {
  const step = steps[index];
  const row = element('div', {
    class: `row${step.isCritical ? ' critical' : ''}`,
    role: 'option',
    id: `step-${index}`,
    'aria-selected': String(index === selected),
    'aria-posinset': String(position + 1),
    'aria-setsize': String(rows.length),
  });
  row.style.top = `${position * ROW}px`;
  row.addEventListener('click', () => select(index));
  row.append(
    element('span', { class: `how ${styleOf(step)}` }, step.outcome),
    element('span', { class: 'place' }, place(step)),
    element('span', { class: 'text', title: step.text }, step.text),
  );
  if (tab === 'timeline') {
    const bar = element('span', { class: 'bar' });
    bar.style.left = `${(step.start / span) * 100}%`;
    bar.style.width = `${((step.duration ?? 0) / span) * 100}%`;
    row.append(element('span', { class: `track ${styleOf(step)}` }, bar));
  } else row.append(element('span', { class: 'why' }, step.causes[0] ?? step.from ?? ''));
  row.append(element('span', { class: 'took' }, step.outcome === 'cached' ? '' : took(step.duration)));
  return row;
}

function drawList() {
  const list = element('div', { role: 'presentation' });
  list.style.height = `${rows.length * ROW}px`;
  const first = Math.max(0, Math.floor(view.scrollTop / ROW) - 4);
  const last = Math.min(rows.length, Math.ceil((view.scrollTop + view.clientHeight) / ROW) + 4);
  for (let position = first; position < last; position++) list.append(rowOf(rows[position], position));
  view.replaceChildren(list);
  view.setAttribute('aria-activedescendant', `step-${selected}`);
}

// Inputs stand to the left of what uses them; a column is as long as it has steps of that depth.
const boxes = [];
const extent = { width: 0, height: 0 };
function placeBoxes() {
  const depths = [];
  const depthOf = start => {
    const stack = [start];
    while (stack.length > 0) {
      const index = stack.at(-1);
      const open = steps[index].inputs.filter(input => depths[input] === undefined);
      if (open.length === 0) {
        depths[index] = Math.max(-1, ...steps[index].inputs.map(input => depths[input])) + 1;
        stack.pop();
      } else stack.push(...open);
    }
    return depths[start];
  };
  const filled = [];
  for (const index of steps.keys()) {
    const column = depths[index] ?? depthOf(index);
    const row = filled[column] ?? 0;
    filled[column] = row + 1;
    const box = { x: BOX.margin + column * BOX.across, y: BOX.margin + row * BOX.down };
    boxes[index] = box;
    extent.width = Math.max(extent.width, box.x + BOX.across);
    extent.height = Math.max(extent.height, box.y + BOX.down);
  }
}

function drawGraph() {
  if (boxes.length === 0) placeBoxes();
  let canvas = view.querySelector('canvas');
  if (canvas === null) {
    canvas = element('canvas', { role: 'img', 'aria-label': 'The graph of steps; the arrow keys go through them' });
    const room = element('div', {}, canvas);
    room.style.width = `${extent.width}px`;
    room.style.height = `${Math.max(extent.height, view.clientHeight)}px`;
    view.replaceChildren(room);
    canvas.addEventListener('click', event => {
      const x = event.offsetX + view.scrollLeft;
      const y = event.offsetY + view.scrollTop;
      const hit = boxes.findIndex(box => x >= box.x && x < box.x + BOX.width && y >= box.y && y < box.y + BOX.height);
      if (hit >= 0) select(hit);
    });
  }
  const ratio = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height, scrollLeft: left, scrollTop: top } = view;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const pen = canvas.getContext('2d');
  const probe = element('span');
  document.body.append(probe);
  const color = name => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const colors = { cached: color('hit'), shared: color('hit'), ran: color('ran'), failed: color('bad') };
  const [line, text, mark, back, dim] = ['line', 'text', 'mark', 'soft', 'dim'].map(color);
  probe.remove();
  pen.scale(ratio, ratio);
  pen.translate(-left, -top);
  pen.font = '12px system-ui, sans-serif';
  pen.textBaseline = 'middle';
  const word = search.value.toLowerCase();
  for (const [index, step] of steps.entries()) {
    const to = boxes[index];
    for (const input of step.inputs) {
      const from = boxes[input];
      if (Math.max(to.y, from.y) < top - BOX.down || Math.min(to.y, from.y) > top + height) continue;
      if (to.x < left || from.x > left + width) continue;
      pen.strokeStyle = step.isCritical && steps[input].isCritical ? mark : line;
      pen.lineWidth = 1.5;
      pen.beginPath();
      pen.moveTo(from.x + BOX.width, from.y + BOX.height / 2);
      const middle = to.x - 20;
      pen.bezierCurveTo(middle, from.y + BOX.height / 2, middle, to.y + BOX.height / 2, to.x, to.y + BOX.height / 2);
      pen.stroke();
    }
  }
  for (const [index, box] of boxes.entries()) {
    if (box.y > top + height || box.y + BOX.height < top || box.x > left + width || box.x + BOX.width < left) continue;
    const step = steps[index];
    pen.globalAlpha = haystacks[index].includes(word) ? 1 : 0.25;
    pen.fillStyle = back;
    pen.fillRect(box.x, box.y, BOX.width, BOX.height);
    pen.fillStyle = colors[step.outcome] ?? dim;
    pen.fillRect(box.x, box.y, 5, BOX.height);
    pen.strokeStyle = index === selected ? mark : line;
    pen.lineWidth = index === selected ? 2.5 : 1;
    pen.strokeRect(box.x, box.y, BOX.width, BOX.height);
    pen.fillStyle = text;
    const label = step.text.split('\n')[0];
    pen.fillText(label.length > 27 ? `${label.slice(0, 26)}…` : label, box.x + 12, box.y + BOX.height / 2);
    pen.globalAlpha = 1;
  }
}

function table(titles, lines) {
  const head = element('tr', {}, ...titles.map(title => element('th', {}, title)));
  const body = lines.map(cells => element('tr', {}, ...cells.map(cell => element('td', {}, cell))));
  return element('table', {}, head, ...body);
}

function drawBuild() {
  const page = element('div', { class: 'page' });
  const facts = Object.entries(report.facts);
  page.append(element('h2', {}, 'Build'), table(['', ''], facts));
  if (layers.length > 0) {
    const all = layers.map(layer => [size(layer.size), layer.by ?? '', layer.digest.slice(0, 19)]);
    page.append(element('h2', {}, 'Layers, as compressed'), table(['Size', 'Made by', 'Digest'], all));
  }
  const known = sources.map(({ id, error, records, newest }) => [
    id,
    error ?? `${records ?? 0} records`,
    newest === undefined ? '' : date(newest),
  ]);
  if (known.length > 0) {
    page.append(element('h2', {}, 'Cache sources'), table(['Source', 'Holds', 'Newest result'], known));
  }
  const used = new Map();
  for (const { cache } of steps) if (cache !== undefined) used.set(cache, (used.get(cache) ?? 0) + 1);
  if (used.size > 0) {
    page.append(
      element('h2', {}, 'Hits by cache'),
      table(
        ['Cache', 'Steps'],
        [...used].map(([cache, count]) => [cache, String(count)]),
      ),
    );
  }
  view.replaceChildren(page);
}

function drawDetail() {
  const step = steps[selected];
  if (step === undefined) return detail.replaceChildren(element('p', {}, 'No step is selected.'));
  const parts = [
    element('h2', {}, [place(step), step.line && `line ${step.line}`].filter(Boolean).join(', ') || 'no instruction'),
    element('pre', {}, step.text),
    element(
      'p',
      { class: styleOf(step) },
      [step.outcome, took(step.duration), step.isCritical && 'on the critical path'].filter(Boolean).join(' · '),
    ),
  ];
  if (step.from !== undefined) parts.push(element('p', {}, step.from));
  if (step.error !== undefined) parts.push(element('pre', { class: 'failed' }, step.error));
  const list = (title, texts) => {
    if (texts.length === 0) return;
    parts.push(element('h2', {}, title), element('ul', {}, ...texts.map(text => element('li', {}, text))));
  };
  list('Because', step.causes);
  list('Worth knowing', step.surprises);
  if (step.log !== undefined) parts.push(element('h2', {}, 'Output'), element('pre', { tabindex: '0' }, step.log));
  if (step.keys.length > 0) {
    const against = step.against === undefined ? 'Key' : `Key, against build ${step.against}`;
    parts.push(element('h2', {}, against));
    const lines = table(['Kind', 'Name', 'Value', ''], []);
    for (const { kind, name, value, change, before } of step.keys) {
      const what = change === 'changed' ? `was ${before}` : (change ?? '');
      const cells = [kind, name, value, what].map(text => element('td', {}, text));
      lines.append(element('tr', { class: change === undefined ? 'same' : 'changed' }, ...cells));
    }
    parts.push(lines);
    if (step.keysLeft > 0) parts.push(element('p', {}, `and ${step.keysLeft} more that are the same`));
  }
  parts.push(element('p', { class: 'other' }, step.digest));
  detail.replaceChildren(...parts);
}

function draw() {
  if (tab === 'graph') drawGraph();
  else if (tab === 'build') drawBuild();
  else drawList();
}

function select(index) {
  selected = index;
  const position = rows.indexOf(index);
  if (tab === 'graph' && boxes[index] !== undefined) {
    const { x, y } = boxes[index];
    if (y < view.scrollTop || y + BOX.down > view.scrollTop + view.clientHeight) view.scrollTop = y - BOX.down;
    if (x < view.scrollLeft || x + BOX.across > view.scrollLeft + view.clientWidth) view.scrollLeft = x - BOX.margin;
  } else if (position >= 0) {
    const top = position * ROW;
    if (top < view.scrollTop) view.scrollTop = top;
    if (top + ROW > view.scrollTop + view.clientHeight) view.scrollTop = top + ROW - view.clientHeight;
  }
  draw();
  drawDetail();
}

function show(name) {
  tab = name;
  for (const button of tabs) button.setAttribute('aria-selected', String(button.id === name));
  view.setAttribute('role', name === 'steps' || name === 'timeline' ? 'listbox' : 'region');
  choose();
  view.replaceChildren();
  view.scrollTo(0, 0);
  draw();
}

for (const button of tabs) button.addEventListener('click', () => show(button.id));
search.addEventListener('input', () => {
  choose();
  if (tab !== 'graph') view.scrollTop = 0;
  draw();
});
let isDue = false;
const later = () => {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => {
    isDue = false;
    if (tab !== 'build') draw();
  });
};
view.addEventListener('scroll', later);
window.addEventListener('resize', later);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', later);
view.addEventListener('keydown', event => {
  const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: 15, PageUp: -15, Home: -rows.length, End: rows.length };
  const move = moves[event.key];
  if (move === undefined || tab === 'build' || rows.length === 0) return;
  event.preventDefault();
  const at = rows.indexOf(selected) + move;
  select(rows[Math.max(0, Math.min(rows.length - 1, at))]);
});
document.addEventListener('keydown', event => {
  if (event.target === search) {
    if (event.key === 'Escape') view.focus();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const button = tabs[Number(event.key) - 1];
  if (button !== undefined) show(button.id);
  if (event.key === '/') {
    event.preventDefault();
    search.focus();
  }
});
document.title = `Build ${build.number} · outcrop`;
const wanted = location.hash.slice(1);
show(tabs.some(({ id }) => id === wanted) ? wanted : 'steps');
drawDetail();
