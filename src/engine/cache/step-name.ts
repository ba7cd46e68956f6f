import type { KeyPart } from '../status/event.ts';

/** What a step does, from the parts of its key, as a Dockerfile would say it; undefined when they do not tell. */
export function stepName(parts: readonly KeyPart[]): string | undefined {
  const of = (kind: string) => parts.filter(part => part.kind === kind);
  const textOf = (kind: string, name: string) => of(kind).find(part => part.name === name)?.value;
  const command = textOf('args', '');
  if (command !== undefined) return `RUN ${command.replace(/^\/bin\/sh -c /, '')}`;
  const copies = of('copy').filter(part => /^\d+\.src$/.test(part.name));
  if (copies.length > 0) {
    const dest = of('copy').find(part => /^\d+\.dest$/.test(part.name))?.value ?? '';
    return `COPY ${copies.map(part => part.value).join(' ')} ${dest}`.trimEnd();
  }
  const image = of('image').find(part => part.name.includes('/'));
  if (image) return `FROM ${image.name}`;
  const [git] = of('git');
  if (git) return `git ${git.name}`;
  const download = textOf('http', 'filename');
  if (download !== undefined) return `download ${download}`;
  const made = [...of('mkdir'), ...of('mkfile'), ...of('rm')].find(part => part.name.endsWith('.path'));
  if (made) return `${made.kind} ${made.value}`;
  const [other] = parts;
  return other?.kind === 'merge' || other?.kind === 'diff' ? other.kind : undefined;
}
