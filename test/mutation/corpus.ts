/** Dockerfiles of many kinds, each with the files that it reads. */

export interface CorpusFile {
  readonly text: string;
  /** Octal. */
  readonly mode: string;
  /** What it points to, if it is a link. */
  readonly link?: string;
  /** The path of the file that it is a hard link to. */
  readonly hardLink?: string;
  /** The value of an extended attribute. */
  readonly xattr?: string;
  /** User and group. */
  readonly owner?: number;
}

export interface CorpusEntry {
  readonly name: string;
  readonly dockerfile: string;
  /** The files and directories that steps read: what else changes is silent. */
  readonly reads: readonly string[];
  readonly files: Readonly<Record<string, CorpusFile>>;
  /** Values of `--build-arg` that are given from the start. */
  readonly args?: Readonly<Record<string, string>>;
  readonly target?: string;
  readonly platforms?: readonly string[];
  /** A COPY leaves files out, and follows links therefore. */
  readonly hasExclude?: true;
  /** The files of the named context `extra`, a directory. */
  readonly extra?: Readonly<Record<string, CorpusFile>>;
  /** The Dockerfile lies in the context, and so is a file of it. */
  readonly inContext?: true;
}

const text = (value: string): CorpusFile => ({ text: `${value}\n`, mode: '0644' });
const app = {
  'package.json': text('{}'),
  'package-lock.json': text('{ }'),
  'src/main.ts': text('main'),
  'src/lib/a.ts': text('a'),
  'src/lib/new-0.ts': text('new'),
  'src/lib/link': { text: '', link: 'a.ts', mode: '0777' },
};

export const corpus: readonly CorpusEntry[] = [
  {
    name: 'one stage, files after dependencies',
    dockerfile: `FROM base
WORKDIR /app
COPY package*.json ./
RUN echo v0 > deps
COPY . .
RUN echo v1 > out
CMD ["sh"]
`,
    reads: [''],
    files: app,
  },
  {
    name: 'two stages',
    dockerfile: `FROM base AS build
WORKDIR /src
COPY src src
RUN cat src/main.ts src/lib/a.ts > /out.txt; echo v0 > /log
FROM base
LABEL version=1
COPY --from=build /out.txt /out.txt
RUN echo v1 > /final
`,
    reads: ['src'],
    files: app,
  },
  {
    name: 'arguments of a base name',
    dockerfile: `ARG FLAVOUR=base
ARG LEVEL=one
FROM \${FLAVOUR} AS first
ARG LEVEL
RUN echo v0 $LEVEL > /a
FROM first
COPY package.json /
RUN echo v1 > /b
`,
    reads: ['package.json'],
    files: app,
  },
  {
    name: 'variables made of variables',
    dockerfile: `FROM base
ARG MAJOR=1
ARG MINOR=2
ENV VERSION=$MAJOR.$MINOR
ENV HOME_DIR=/srv
WORKDIR $HOME_DIR
RUN echo v0 $VERSION > version
COPY src/main.ts \${HOME_DIR}/main
RUN echo v1 > out
`,
    reads: ['src/main.ts'],
    files: app,
    args: { MAJOR: '3' },
  },
  {
    name: 'the same steps in two stages',
    dockerfile: `FROM base AS deps
WORKDIR /app
COPY package.json .
RUN echo v0 > deps
FROM base AS tools
WORKDIR /app
COPY package.json .
RUN echo v0 > deps
RUN echo v1 > tools
FROM base
COPY --from=deps /app/deps /deps
COPY --from=tools /app/tools /tools
RUN echo v2 > /end
`,
    reads: ['package.json'],
    files: app,
  },
  {
    name: 'mounts',
    dockerfile: `FROM base AS gen
RUN echo v0 > /gen.txt
FROM base
RUN --mount=type=bind,source=src,target=/mnt cat /mnt/main.ts > /a
RUN --mount=from=gen,source=/gen.txt,target=/gen.txt cat /gen.txt > /b
RUN --mount=type=cache,target=/cache echo v1 > /cache/x; echo v2 > /c
COPY package.json /
RUN echo v3 > /d
`,
    reads: ['src', 'package.json'],
    files: app,
  },
  {
    name: 'linked copies',
    dockerfile: `FROM base AS build
COPY src/lib /lib2
RUN cat /lib2/a.ts > /o.txt; echo v0 > /z
FROM base
COPY --link package.json /etc/p.json
COPY --link --from=build /o.txt /opt/
RUN echo v1 > /after
`,
    reads: ['src/lib', 'package.json'],
    files: app,
  },
  {
    name: 'heredocs',
    dockerfile: `FROM base
COPY <<EOF /etc/conf
value v0
EOF
RUN <<EOF
echo v1 > /one
echo two > /two
EOF
COPY package.json /
RUN echo v2 > /three
`,
    reads: ['package.json'],
    files: app,
  },
  {
    name: 'user, shell and directories',
    dockerfile: `FROM base
SHELL ["/bin/sh", "-ec"]
WORKDIR /w0
USER 1000
RUN echo v0 > /tmp/a
USER 0
WORKDIR sub
COPY src ./
RUN echo v1 > b
`,
    reads: ['src'],
    files: app,
  },
  {
    name: 'modes and owners',
    dockerfile: `FROM base
COPY --chmod=755 run.sh /usr/local/bin/run
COPY --chown=10:20 src /data/
ADD package.json /pkg/
RUN echo v0 > /x
`,
    reads: ['run.sh', 'src', 'package.json'],
    files: { ...app, 'run.sh': { text: '#!/bin/sh\n', mode: '0644' } },
  },
  {
    name: 'a long chain',
    dockerfile: `FROM base
RUN echo v0 > /s0
RUN echo v1 > /s1
COPY package.json /p
RUN echo v2 > /s2
ENV STEP=1
RUN echo v3 > /s3
COPY src/main.ts /m
RUN echo v4 > /s4
RUN echo v5 > /s5
`,
    reads: ['package.json', 'src/main.ts'],
    files: app,
  },
  {
    name: 'a wide graph',
    dockerfile: `FROM base AS a
COPY a.txt /
RUN echo v0 >> /a.txt
FROM base AS b
COPY b.txt /
RUN echo v1 >> /b.txt
FROM base AS c
ARG CHOICE=x
COPY c.txt /
RUN echo v2 $CHOICE >> /c.txt
FROM scratch
COPY --from=a /a.txt /
COPY --from=b /b.txt /
COPY --from=c /c.txt /
`,
    reads: ['a.txt', 'b.txt', 'c.txt'],
    files: { 'a.txt': text('a'), 'b.txt': text('b'), 'c.txt': text('c') },
  },
  {
    name: 'a Dockerfile in its context, with ignored files',
    dockerfile: `FROM base
WORKDIR /app
COPY . .
RUN echo v0 > out
`,
    reads: ['package.json', 'package-lock.json', 'src'],
    files: { ...app, '.dockerignore': text('*.log\ntmp'), 'debug.log': text('log'), 'tmp/x': text('x') },
    inContext: true,
  },
  {
    name: 'files only',
    dockerfile: `FROM scratch
COPY src/*.ts /ts/
COPY package.json package-lock.json /p/
COPY src/lib /lib
`,
    reads: ['src/main.ts', 'src/other.ts', 'src/lib', 'package.json', 'package-lock.json'],
    files: { ...app, 'src/other.ts': text('other') },
  },
  {
    name: 'a target among stages',
    dockerfile: `FROM base AS deps
COPY package.json /
RUN echo v0 > /deps
FROM deps AS build
COPY src /src
RUN echo v1 > /build
FROM build AS test
RUN echo v2 > /test
FROM build AS final
RUN echo v3 > /final
`,
    reads: ['package.json', 'src'],
    files: app,
    target: 'test',
  },
  {
    name: 'variables in places',
    dockerfile: `ARG FROM_DIR=src
FROM base
ARG FROM_DIR
ARG TO_DIR=/target
COPY \${FROM_DIR}/main.ts \${TO_DIR}/
ENV MODE=fast
RUN echo v0 $MODE > /mode
ENV LATE=1
RUN echo v1 > /late
`,
    reads: ['src/main.ts'],
    files: app,
  },
  {
    name: 'arguments that nothing reads',
    dockerfile: `FROM base
ARG UNUSED=1
ARG USED=2
RUN echo v0 $USED > /a
LABEL note=\${UNUSED}
RUN echo v1 > /b
COPY package.json /
`,
    reads: ['package.json'],
    files: app,
    args: { USED: '5' },
  },
  {
    name: 'downloads and other images',
    dockerfile: `FROM base
ADD {server}/pkg.txt /pkg.txt
RUN echo v0 > /a
COPY --from=other /etc/passwd /p
RUN --mount=from=other,target=/o echo v1 > /b
`,
    reads: [],
    files: { 'package.json': text('{}') },
  },
  {
    name: 'secrets, cache mounts and networks',
    dockerfile: `FROM base
COPY package.json /
RUN --mount=type=secret,id=token echo v0 > /a
RUN --mount=type=cache,id=c0,target=/c,sharing=locked echo v1 > /b
RUN --network=none echo v2 > /c.txt
`,
    reads: ['package.json'],
    files: app,
  },
  {
    name: 'two platforms',
    dockerfile: `FROM base AS build
ARG TARGETARCH
ARG LEVEL=1
COPY package.json /
RUN echo v0 $TARGETARCH > /a
FROM base
COPY --from=build /a /a
RUN echo v1 > /b
`,
    reads: ['package.json'],
    files: app,
    platforms: ['linux/amd64', 'linux/386'],
  },
  {
    name: 'copies that leave out and keep directories',
    dockerfile: `FROM base
WORKDIR /x
COPY --exclude=*.md --exclude=link . /x/
COPY --parents src/lib /y/
RUN echo v0 > /a
`,
    reads: [''],
    files: { ...app, 'src/lib/link': text('no link') },
    hasExclude: true,
  },
  {
    name: 'JSON forms, continuations and stages by number',
    dockerfile: `FROM base
RUN ["/bin/sh", "-c", "echo v0 > /a"]
COPY ["package.json", "/p/"]
RUN echo v1 > /b; \\
    echo two > /c
FROM base
COPY --from=0 /a /b /c /in/
RUN echo v2 > /d
`,
    reads: ['package.json'],
    files: app,
  },
  {
    name: 'stages on stages',
    dockerfile: `FROM base AS deps
ARG VERSION=1
ENV STAGE=deps
COPY package.json /
RUN echo v0 $VERSION > /deps
FROM deps AS build
ARG VERSION
ENV MORE=1
COPY src /src
RUN echo v1 > /build
FROM build AS final
ENV LAST=1
RUN echo v2 > /final
`,
    reads: ['package.json', 'src'],
    files: app,
  },
  {
    name: 'one stage that many copy from',
    dockerfile: `FROM base AS all
COPY src /src
RUN mkdir /o; echo m > /o/main; echo a > /o/a; echo v0 > /o/log
FROM base AS left
COPY --from=all /o/main /m
RUN echo v1 >> /m
FROM base AS right
COPY --from=all /o/a /a
RUN echo v2 >> /a
FROM base
COPY --from=left /m /m
COPY --from=right /a /a
`,
    reads: ['src'],
    files: app,
  },
  {
    name: 'ignored files',
    dockerfile: `FROM base
COPY src /src
RUN echo v0 > /a
COPY . /all/
RUN echo v1 > /b
`,
    reads: ['package.json', 'package-lock.json', 'src'],
    files: { ...app, '.dockerignore': text('.dockerignore\n*.log\ntmp'), 'debug.log': text('log'), 'tmp/x': text('x') },
  },
  {
    name: 'targets that share a stage',
    dockerfile: `FROM base AS deps
COPY package.json /
RUN echo v0 > /deps
FROM base AS docs
COPY src /src
RUN echo v1 > /docs
FROM base AS app
COPY --from=deps /deps /deps
RUN echo v2 > /app
FROM app AS all
COPY --from=docs /docs /docs
RUN echo v3 > /all
`,
    reads: ['package.json', 'src'],
    files: app,
    target: 'app',
  },
  {
    name: 'variables in lines',
    dockerfile: `FROM base AS first
ENV ONE=1 TWO=2
ARG HIDDEN=x
ENV HIDDEN=y
RUN echo v0 $HIDDEN $ONE > /a
ENV THREE=3 FOUR=4
ENV FIVE=5
RUN echo v1 > /b
FROM base
COPY --from=first /a /b /
COPY package.json /
RUN echo v2 > /c.txt
`,
    reads: ['package.json'],
    files: app,
  },
  {
    name: 'a named directory',
    dockerfile: `FROM base
COPY --from=extra etc/passwd /p
RUN echo v0 > /a
RUN --mount=from=extra,target=/mnt echo v1 > /b
COPY package.json /
`,
    reads: ['package.json'],
    files: app,
    extra: { 'etc/passwd': text('passwd') },
  },
  {
    name: 'sources in a list and mounts of directories',
    dockerfile: `FROM base
COPY package.json package-lock.json /p/
RUN --mount=type=bind,source=src,target=/mnt echo v0 > /a
RUN --mount=type=cache,target=/c,sharing=private echo v1 > /b
COPY run.sh /usr/local/bin/run
RUN echo v2 > /d
RUN echo v3 > /e
`,
    reads: ['package.json', 'package-lock.json', 'src', 'run.sh'],
    files: { ...app, 'run.sh': { text: '#!/bin/sh\n', mode: '0755' } },
  },
];
