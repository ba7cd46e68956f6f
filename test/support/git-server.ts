import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startHttpServer } from './http-server.ts';
import { writeFiles } from './write-files.ts';

/** A git repository behind HTTP on loopback. */
export interface GitServer extends AsyncDisposable {
  /** `http://127.0.0.1:PORT/repo.git`. */
  readonly url: string;
  /** The header `Authorization` that is demanded; nobody is asked while it is undefined. */
  authorization: string | undefined;
  /** Requests so far. */
  readonly requests: string[];
  /** Runs git in the repository's work tree and returns what it printed. */
  git(...args: string[]): string;
  /** Writes files and commits them; returns the commit. */
  commit(files: Readonly<Record<string, string>>): string;
}

const WHO = {
  GIT_AUTHOR_NAME: 'a',
  GIT_AUTHOR_EMAIL: 'a@example.com',
  GIT_COMMITTER_NAME: 'a',
  GIT_COMMITTER_EMAIL: 'a@example.com',
};

/** Starts a server with an empty repository whose branch is `main`. */
export async function startGitServer(): Promise<GitServer> {
  const root = mkdtempSync(join(tmpdir(), 'outcrop-git-server-'));
  const work = join(root, 'repo.git');
  const env = {
    ...process.env,
    ...WHO,
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_AUTHOR_DATE: '2020-01-02T03:04:05Z',
    GIT_COMMITTER_DATE: '2020-01-02T03:04:05Z',
  };
  const git = (...args: string[]) =>
    execFileSync('git', args, { cwd: work, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
  mkdirSync(work);
  git('-c', 'init.defaultBranch=main', 'init', '--quiet');
  git('config', 'uploadpack.allowAnySHA1InWant', 'true');

  const requests: string[] = [];
  const state = { authorization: undefined as string | undefined };
  const server = await startHttpServer((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    if (state.authorization !== undefined && request.headers.authorization !== state.authorization) {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }).end();
      return;
    }
    const url = new URL(request.url ?? '/', 'http://x');
    const backend = spawn('git', ['http-backend'], {
      env: {
        ...env,
        GIT_PROJECT_ROOT: root,
        GIT_HTTP_EXPORT_ALL: '1',
        PATH_INFO: url.pathname,
        QUERY_STRING: url.search.slice(1),
        REQUEST_METHOD: request.method ?? 'GET',
        CONTENT_TYPE: request.headers['content-type'] ?? '',
        HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
        GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
      },
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    backend.stdin.on('error', () => {});
    request.pipe(backend.stdin);
    const chunks: Buffer[] = [];
    backend.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    backend.on('close', () => {
      const output = Buffer.concat(chunks);
      const end = output.indexOf('\r\n\r\n');
      let status = 200;
      for (const line of output.subarray(0, end).toString().split('\r\n')) {
        const [name = '', value = ''] = line.split(/:\s*/, 2);
        if (name.toLowerCase() === 'status') status = Number.parseInt(value, 10);
        else if (name !== '') response.setHeader(name, value);
      }
      response.writeHead(status).end(output.subarray(end + 4));
    });
  });
  return {
    url: `${server.url}/repo.git`,
    requests,
    get authorization() {
      return state.authorization;
    },
    set authorization(value) {
      state.authorization = value;
    },
    git,
    commit(files) {
      writeFiles(work, files);
      git('add', '--all');
      git('commit', '--quiet', '--allow-empty', '-m', 'change');
      return git('rev-parse', 'HEAD');
    },
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      rmSync(root, { recursive: true, force: true });
    },
  };
}
