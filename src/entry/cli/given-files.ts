import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { BuildRequest } from '../builder/request.ts';
import type { BuildFlags } from './build-request.ts';
import { UsageError } from './errors.ts';

type GivenFiles = Pick<BuildFlags, 'iidfile' | 'metadataFile'>;

/**
 * Looks for what flags name before anything is built: the files of secrets, ssh agents and keys, and the directories that files
 * are to be written to. A secret that no step needs is looked for too (buildx's rule): a wrong path is a mistake all the same.
 * @returns what a person should know of a build that goes on
 * @throws UsageError for what is missing
 */
export async function checkGivenFiles(
  { secrets, ssh }: Pick<BuildRequest, 'secrets' | 'ssh'>,
  { iidfile, metadataFile }: GivenFiles,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<string[]> {
  const warnings: string[] = [];
  for (const { id, file, env } of secrets) {
    if (file !== undefined && !(await exists(file))) {
      const or = file === id ? '; name it with src=FILE, or a variable with env=VARIABLE' : '';
      throw new UsageError(`--secret id=${id}: there is no file ${file}${or}`);
    }
    if (env !== undefined && environment[env] === undefined)
      warnings.push(`--secret id=${id}: the variable ${env} is not set: the secret is empty`);
  }
  for (const { id, paths } of ssh) {
    if (paths.length === 0 && !environment['SSH_AUTH_SOCK'])
      throw new UsageError(
        `--ssh ${id}: no agent: SSH_AUTH_SOCK is not set; start ssh-agent, or name a key with --ssh ${id}=PATH`,
      );
    for (const path of paths)
      if (!(await exists(path))) throw new UsageError(`--ssh ${id}=${path}: there is no such socket or key`);
  }
  for (const [flag, file] of [
    ['--iidfile', iidfile],
    ['--metadata-file', metadataFile],
  ] as const)
    if (file !== undefined && !(await exists(dirname(file))))
      throw new UsageError(`${flag} ${file}: there is no directory ${dirname(file)} to write it to`);
  return warnings;
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
