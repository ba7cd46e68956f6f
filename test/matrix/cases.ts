/** What the matrix builds. `{{base}}` is busybox in a registry, `{{http}}` a server that gives the files of `served`, `{{git}}` a repository. */

export interface MatrixCase {
  readonly id: string;
  readonly what: string;
  readonly dockerfile: string;
  /** Files of the context; `x.tar` is packed from the text that is given for it. */
  readonly files?: Readonly<Record<string, string>>;
  /** Files of the named context `lib`. */
  readonly lib?: Readonly<Record<string, string>>;
  readonly target?: string;
  /** The target that is built with the cache of the first one. */
  readonly importTarget?: string;
  readonly buildArgs?: Readonly<Record<string, string>>;
  readonly secrets?: Readonly<Record<string, string>>;
  readonly platforms?: string;
  /** What is changed for the second build with the cache: files, or a text of the Dockerfile that another takes the place of. */
  readonly change:
    | { readonly files: Readonly<Record<string, string>> }
    | { readonly text: string; readonly to: string };
}

/** What the server gives. */
export const served: Readonly<Record<string, string>> = { 'tool.txt': 'a tool\n' };

export const cases: readonly MatrixCase[] = [
  {
    id: 'chain',
    what: 'one stage of RUN and COPY',
    dockerfile: `FROM {{base}}
RUN echo one > /one
COPY a.txt /a.txt
RUN cat /a.txt /one > /two
RUN true
COPY b.txt /b.txt
RUN cat /two /b.txt > /three
`,
    files: { 'a.txt': 'a\n', 'b.txt': 'b\n' },
    change: { files: { 'b.txt': 'changed\n' } },
  },
  {
    id: 'multi-stage',
    what: 'a builder stage, one file taken from it',
    dockerfile: `FROM {{base}} AS build
WORKDIR /src
COPY src/ .
RUN cat main.txt util.txt > /app
RUN echo log > /log
FROM {{base}}
COPY --from=build /app /bin/app
RUN cat /bin/app
`,
    files: { 'src/main.txt': 'main\n', 'src/util.txt': 'util\n' },
    change: { text: 'RUN cat /bin/app', to: 'RUN cat /bin/app > /shown' },
  },
  {
    id: 'builder-same-result',
    what: 'a builder stage that changes and makes the same file',
    dockerfile: `FROM {{base}} AS build
COPY a.txt /a.txt
RUN cat /a.txt > /out
FROM {{base}}
COPY --from=build /out /out
RUN cat /out > /seen
`,
    files: { 'a.txt': 'a\n' },
    change: { text: 'RUN cat /a.txt', to: 'RUN true; cat /a.txt' },
  },
  {
    id: 'diamond',
    what: 'two parallel stages on one, joined',
    dockerfile: `FROM {{base}} AS common
RUN echo common > /common
FROM common AS left
RUN cat /common > /left
FROM common AS right
COPY right.txt /
RUN cat /common /right.txt > /right
FROM {{base}}
COPY --from=left /left /left
COPY --from=right /right /right
RUN cat /left /right > /both
`,
    files: { 'right.txt': 'r\n' },
    change: { files: { 'right.txt': 'changed\n' } },
  },
  {
    id: 'equal-steps',
    what: 'the same steps in two stages',
    dockerfile: `FROM {{base}} AS one
RUN echo x > /x
COPY a.txt /
RUN cat /x /a.txt > /one
FROM {{base}} AS two
RUN echo x > /x
COPY a.txt /
RUN cat /x /a.txt > /two
FROM {{base}}
COPY --from=one /one /
COPY --from=two /two /
`,
    files: { 'a.txt': 'a\n' },
    change: { text: 'RUN cat /x /a.txt > /two', to: 'RUN cat /a.txt /x > /two' },
  },
  {
    id: 'copy-patterns',
    what: 'COPY with wildcards, several sources, directories, renaming',
    dockerfile: `FROM {{base}}
COPY *.txt /texts/
COPY dir/ /dir/
COPY dir /again
COPY a.txt dir/deep/x.md /several/
COPY d?r/deep /deep
COPY a.txt /renamed
RUN ls /texts /dir /several > /list
`,
    files: { 'a.txt': 'a\n', 'b.txt': 'b\n', 'dir/c': 'c\n', 'dir/deep/x.md': 'x\n', 'other.bin': 'o\n' },
    change: { files: { 'dir/deep/x.md': 'y\n' } },
  },
  {
    id: 'copy-exclude-parents',
    what: 'COPY --exclude and --parents',
    dockerfile: `# syntax-free
FROM {{base}}
COPY --exclude=*.md docs/ /docs/
COPY --parents docs/deep/*.txt /tree/
RUN ls /docs /tree > /list
`,
    files: { 'docs/a.txt': 'a\n', 'docs/b.md': 'b\n', 'docs/deep/c.txt': 'c\n', 'docs/deep/d.txt': 'd\n' },
    change: { files: { 'docs/b.md': 'changed\n', 'docs/deep/d.txt': 'changed\n' } },
  },
  {
    id: 'owner-and-mode',
    what: 'COPY --chown, --chmod, USER, WORKDIR',
    dockerfile: `FROM {{base}}
COPY --chown=1000:1001 a.txt /owned
COPY --chmod=0750 a.txt /moded
COPY --chown=1000 --chmod=u=rwX,go= dir /both
WORKDIR /home/app
USER 1000:1001
RUN id > /tmp/id
WORKDIR sub
RUN pwd > /tmp/pwd
`,
    files: { 'a.txt': 'a\n', 'dir/b': 'b\n' },
    change: { text: 'USER 1000:1001', to: 'USER 1000:1002' },
  },
  {
    id: 'heredocs',
    what: 'RUN and COPY with heredocs',
    dockerfile: `FROM {{base}}
RUN <<EOT
echo first > /first
echo second > /second
EOT
COPY <<one.txt <<-two.txt /files/
1
one.txt
	2
	two.txt
COPY <<"EOT" /raw
$HOME
EOT
RUN cat /files/one.txt /raw > /all
`,
    change: { text: '\t2\n', to: '\t3\n' },
  },
  {
    id: 'args-and-env',
    what: 'ARG before and in stages, ENV, expansion, LABEL, SHELL, metadata',
    dockerfile: `ARG WHERE=/opt
FROM {{base}}
ARG WHERE
ARG VERSION=1
ENV DIR=\${WHERE:-/none} NAME=value
LABEL made.by=matrix
RUN echo $VERSION > /version
WORKDIR $DIR
COPY a.txt $DIR/
SHELL ["/bin/sh", "-ec"]
RUN echo $NAME > named
EXPOSE 80
CMD ["cat", "named"]
`,
    files: { 'a.txt': 'a\n' },
    buildArgs: { VERSION: '7' },
    change: { text: 'NAME=value', to: 'NAME=other' },
  },
  {
    id: 'link',
    what: 'COPY --link chains: merged layers',
    dockerfile: `FROM {{base}} AS build
RUN echo built > /built
FROM {{base}}
RUN echo base > /start
COPY --link a.txt /linked/a.txt
COPY --link --from=build /built /linked/built
RUN cat /linked/a.txt /linked/built > /merged
COPY --link --chown=5:6 b.txt /linked/b.txt
`,
    files: { 'a.txt': 'a\n', 'b.txt': 'b\n' },
    change: { text: 'echo base', to: 'echo other' },
  },
  {
    id: 'link-only',
    what: 'COPY --link, ADD --link on scratch',
    dockerfile: `FROM scratch
COPY --link a.txt /a/
COPY --link b.txt /b/
ADD --link dir /dir/
`,
    files: { 'a.txt': 'a\n', 'b.txt': 'b\n', 'dir/c': 'c\n' },
    change: { files: { 'a.txt': 'changed\n' } },
  },
  {
    id: 'named-context',
    what: 'COPY and RUN --mount from a named directory',
    dockerfile: `FROM {{base}}
COPY --from=lib one.txt /one
RUN --mount=type=bind,from=lib,target=/lib-dir cat /lib-dir/two.txt > /two
RUN cat /one /two > /three
`,
    lib: { 'one.txt': '1\n', 'two.txt': '2\n' },
    change: { text: 'cat /one /two', to: 'cat /two /one' },
  },
  {
    id: 'copy-from-image',
    what: 'COPY --from an image that is no stage',
    dockerfile: `FROM {{base}}
COPY --from={{other}} /etc/extra /extra
RUN cat /extra > /seen
FROM {{other}}
COPY --from=0 /seen /seen
`,
    change: { text: 'COPY --from=0 /seen /seen', to: 'COPY --from=0 /seen /seen2' },
  },
  {
    id: 'cache-mounts',
    what: 'cache and tmpfs mounts',
    dockerfile: `FROM {{base}}
RUN --mount=type=cache,target=/cache echo x > /cache/x; ls /cache > /one
RUN --mount=type=cache,id=named,target=/cache,sharing=locked --mount=type=tmpfs,target=/scratch ls /cache > /two
RUN --mount=type=cache,from={{other}},source=/etc,target=/etc2,id=seeded ls /etc2 > /three
`,
    change: { text: 'ls /cache > /two', to: 'ls /cache /scratch > /two' },
  },
  {
    id: 'bind-mounts',
    what: 'bind mounts of the context and of a stage',
    dockerfile: `FROM {{base}} AS build
COPY src /src
RUN cat /src/a > /out
FROM {{base}}
RUN --mount=type=bind,source=src,target=/mnt cat /mnt/a > /one
RUN --mount=type=bind,from=build,source=/out,target=/in cat /in > /two
RUN --mount=type=bind,source=src,target=/rw,rw touch /rw/new; ls /rw > /three
`,
    files: { 'src/a': 'a\n', 'src/b': 'b\n' },
    change: { files: { 'src/b': 'changed\n' } },
  },
  {
    id: 'secrets',
    what: 'secrets as files and in the environment',
    dockerfile: `FROM {{base}}
RUN --mount=type=secret,id=token cat /run/secrets/token | wc -c > /length
RUN --mount=type=secret,id=token,env=TOKEN,required=true test -n "$TOKEN"
RUN --mount=type=secret,id=absent true
RUN cat /length > /again
`,
    secrets: { token: 'hush' },
    change: { text: 'cat /length', to: 'cat /length /length' },
  },
  {
    id: 'add-sources',
    what: 'ADD of a URL, of an archive, of a repository',
    dockerfile: `FROM {{base}}
ADD {{http}}/tool.txt /tool.txt
ADD --chmod=0755 --checksum={{checksum}} {{http}}/tool.txt /tool2.txt
ADD pack.tar /unpacked/
ADD {{git}}#main /repo/
RUN cat /tool.txt /unpacked/inside /repo/file > /all
`,
    files: { 'pack.tar': 'inside\n' },
    change: { text: 'cat /tool.txt', to: 'cat /tool2.txt' },
  },
  {
    id: 'onbuild',
    what: 'ONBUILD of a stage',
    dockerfile: `FROM {{base}} AS parent
ENV X=1
ONBUILD COPY a.txt /onbuild/
ONBUILD RUN cat /onbuild/a.txt > /ran
FROM parent
RUN cat /ran > /last
`,
    files: { 'a.txt': 'a\n' },
    change: { files: { 'a.txt': 'changed\n' } },
  },
  {
    id: 'ignored',
    what: 'a .dockerignore with exceptions, COPY of everything',
    dockerfile: `FROM {{base}}
COPY . /all
RUN ls -R /all > /list
COPY src /src
RUN cat /src/keep.log
`,
    files: {
      '.dockerignore': 'Dockerfile\n**/*.log\n!src/keep.log\n.dockerignore\n',
      'src/a': 'a\n',
      'src/keep.log': 'k\n',
      'src/drop.log': 'd\n',
    },
    change: { files: { 'src/drop.log': 'changed\n' } },
  },
  {
    id: 'targets',
    what: 'a cache of one target used for another',
    dockerfile: `FROM {{base}} AS deps
COPY deps.txt /
RUN cat /deps.txt > /installed
FROM deps AS test
COPY test.txt /
RUN cat /installed /test.txt > /tested
FROM deps AS app
COPY app.txt /
RUN cat /installed /app.txt > /made
`,
    files: { 'deps.txt': 'd\n', 'test.txt': 't\n', 'app.txt': 'p\n' },
    target: 'test',
    importTarget: 'app',
    change: { files: { 'deps.txt': 'changed\n' } },
  },
  {
    id: 'unused-stages',
    what: 'stages that the target does not need',
    dockerfile: `FROM {{base}} AS lint
RUN echo lint > /lint
FROM {{base}} AS build
RUN echo build > /build
FROM build AS more
RUN cat /build > /more
FROM {{base}}
COPY --from=more /more /more
`,
    change: { text: 'RUN cat /build > /more', to: 'RUN cat /build /build > /more' },
  },
  {
    id: 'long-chain',
    what: 'a stage on a stage on a stage, and back to the first',
    dockerfile: `FROM {{base}} AS a
RUN echo a > /a
FROM a AS b
RUN echo b > /b
COPY x.txt /x
FROM b AS c
RUN cat /a /b /x > /c
FROM a
COPY --from=c /c /c
COPY --from=b /b /b
RUN cat /a /b /c > /d
`,
    files: { 'x.txt': 'x\n' },
    change: { files: { 'x.txt': 'changed\n' } },
  },
  {
    id: 'same-content-stages',
    what: 'two stages whose results are equal, by other steps',
    dockerfile: `FROM {{base}} AS one
RUN echo same > /out
FROM {{base}} AS two
RUN echo  same > /out
FROM {{base}}
COPY --from=one /out /one
COPY --from=two /out /two
RUN cat /one /two > /both
`,
    change: { text: 'RUN cat /one /two', to: 'RUN cat /two /one' },
  },
  {
    id: 'scratch',
    what: 'only COPY on scratch, for two platforms',
    dockerfile: `FROM scratch AS files
COPY a.txt /a.txt
FROM scratch
ARG TARGETARCH
COPY --from=files /a.txt /a-$TARGETARCH.txt
COPY b.txt /b.txt
`,
    files: { 'a.txt': 'a\n', 'b.txt': 'b\n' },
    platforms: 'linux/amd64,linux/arm64',
    change: { files: { 'b.txt': 'changed\n' } },
  },
  {
    id: 'network-and-security',
    what: 'RUN --network, STOPSIGNAL, HEALTHCHECK, VOLUME, exec form',
    dockerfile: `FROM {{base}}
RUN --network=none echo none > /none
RUN ["sh", "-c", "cat /none > /exec"]
VOLUME /data
STOPSIGNAL SIGINT
HEALTHCHECK CMD true
RUN cat /exec > /last
`,
    change: { text: 'RUN --network=none', to: 'RUN' },
  },
];
