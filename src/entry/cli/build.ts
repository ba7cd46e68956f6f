import { type Command, Option } from 'commander';
import type { LegacyFlags } from './legacy-build.ts';

/** Flags that docker's own builders have and that mean nothing here, or are not obeyed: commands that have them work all the same. */
const IDLE_FLAGS = [
  ...['--isolation <technology>', '--security-opt <option>', '-m, --memory <bytes>', '--memory-swap <bytes>'],
  ...['-c, --cpu-shares <n>', '--cpu-period <n>', '--cpu-quota <n>', '--cpuset-cpus <list>', '--cpuset-mems <list>'],
].map(flags => new Option(flags, 'not obeyed').hideHelp());

/** Adds `outcrop build`, with the flags of `docker buildx build` under the same names. */
export function addBuildCommand(program: Command): void {
  const build = program.command('build');
  for (const option of IDLE_FLAGS) build.addOption(option);
  build
    .alias('b')
    .summary('build an image from a Dockerfile')
    .description(
      'Build an image from a Dockerfile. PATH is a directory, a git or http URL, or - for a tar archive or a Dockerfile on standard input.',
    )
    .argument('<PATH | URL | ->', 'build context')
    .optionsGroup('What is built:')
    .option('-f, --file <path>', 'Dockerfile (default: PATH/Dockerfile); - reads it from standard input')
    .option('--target <stage>', 'stage to build (default: the last)')
    .option(
      '--build-arg <name=value>',
      'set a build argument; NAME alone takes the value from the environment',
      collect,
      [],
    )
    .option(
      '--build-context <name=source>',
      'name a further context: a directory, a URL, docker-image://REF or oci-layout://PATH',
      collect,
      [],
    )
    .option('--platform <list>', 'platforms to build for, such as linux/amd64,linux/arm64', collect, [])
    .option('--label <name=value>', 'set a label of the image', collect, [])
    .option('--annotation <annotation>', 'annotate the image: [TYPE[PLATFORM]:]KEY=VALUE', collect, [])
    .option('--secret <spec>', 'expose a secret to the build: id=NAME[,src=FILE|,env=VARIABLE]', collect, [])
    .option('--ssh <spec>', 'expose an ssh agent or keys to the build: default|ID[=SOCKET|KEY[,KEY]]', collect, [])
    .option('--allow <entitlement>', 'allow an extra: network.host, security.insecure, device[=NAME]', collect, [])
    .option(
      '--call <method>',
      'do not build; check the Dockerfile or tell of it: build, check, outline, targets',
      'build',
    )
    .option('--check', 'same as --call=check')
    .on('option:check', function (this: Command) {
      this.setOptionValue('call', 'check');
    })
    .optionsGroup('Where the result goes:')
    .option('-t, --tag <name>', 'name of the image; may be given several times', collect, [])
    .option(
      '-o, --output <spec>',
      'type=image|registry|oci|docker|local|tar[,dest=PATH][,KEY=VALUE]; a PATH alone is a directory',
      collect,
      [],
    )
    .option('--push', 'push the image; same as --output=type=registry')
    .option('--load', 'load the image into the Docker engine; same as --output=type=docker')
    .option('--iidfile <path>', 'write the image id to a file')
    .option('--metadata-file <path>', 'write what the build came to as JSON')
    .option('--provenance <spec>', 'same as --attest=type=provenance')
    .option('--sbom <spec>', 'same as --attest=type=sbom')
    .option('--attest <spec>', 'attach an attestation: type=provenance|sbom[,KEY=VALUE]', collect, [])
    .optionsGroup('Cache:')
    .option('--no-cache', 'run every step again')
    .addOption(noCacheFilter())
    .option('--pull', 'ask the registry for newer base images, even if they are here')
    .option('--cache-from <source>', 'take results from a cache: REF, or type=registry|local|…', collect, [])
    .option('--cache-to <target>', 'keep results in a cache: REF, or type=registry|local|inline|…', collect, [])
    .option('--cache-max-age <age>', 'take no result from a --cache-from that is older, such as 7d')
    .option('--cold-mounts', 'cache mounts are empty at first and are not kept; those of other builds stay as they are')
    .optionsGroup('How steps run:')
    .option('--network <mode>', 'network of RUN steps: default, host, none', 'default')
    .option('--add-host <name:ip>', 'add a line to /etc/hosts of RUN steps', collect, [])
    .option('--shm-size <bytes>', 'size of /dev/shm, such as 64m')
    .option('--ulimit <spec>', 'limit of RUN steps: NAME=SOFT[:HARD]', collect, [])
    .option('--cgroup-parent <path>', 'parent cgroup of RUN steps')
    .option('--parallel <n>', 'steps that run at the same time (default: the number of cores)')
    .option(
      '--builder <address>',
      'build on a BuildKit daemon: unix://, tcp://[,cacert=,cert=,key=], ssh://, docker-container://, kube-pod://',
      collect,
      [],
    )
    .optionsGroup("Docker's builder before BuildKit:")
    .option('--legacy', 'build with its rules, one image a step, and its output')
    .addOption(new Option('--rm', 'remove the containers of steps that succeeded').hideHelp())
    .option('--rm=false', 'with --legacy: leave the containers of steps that succeeded')
    .option('--force-rm', 'with --legacy: remove the containers of steps that failed, too')
    .addOption(new Option('--compress', 'there is nothing to compress: the context is read in place').hideHelp())
    .addOption(new Option('--squash', 'merge all new layers into one').hideHelp())
    .optionsGroup('What is shown:')
    .option('--progress <mode>', 'auto, plain, tty, ordered, rawjson, quiet, none', 'auto')
    .option('-q, --quiet', 'print the image id only')
    .option('--why', 'say afterwards why each step was cached or ran')
    .option('--why-file <path>', 'write the same to a file: Markdown if it is named .md, else JSON')
    .option('--fail-on <ids>', 'exit with 3 on cases of the catalogue, such as stale-import,base-drift', collect, [])
    .option('-D, --debug', 'print warnings and errors in full')
    .helpOption('-h, --help', 'print this help')
    .action(async (path: string, flags: LegacyFlags) => {
      warnOfIdleFlags(flags);
      // Squashing is refused with a reason there.
      if (flags.legacy || flags.squash) {
        const { runLegacy } = await import('./legacy-build.ts');
        process.exitCode = await runLegacy(path, flags);
        return;
      }
      const { runBuild } = await import('./run-build.ts');
      process.exitCode = await runBuild(path, flags);
    });
}

/** Said, since a build may count on them. */
function warnOfIdleFlags(flags: object): void {
  const given = new Set(Object.keys(flags));
  for (const option of IDLE_FLAGS)
    if (given.has(option.attributeName())) process.stderr.write(`WARNING: ${option.long} is not obeyed\n`);
}

/** Commander takes `--no-…` for the negation of another flag; this one is a flag of its own. */
function noCacheFilter(): Option {
  const option = new Option('--no-cache-filter <stages>', 'run the steps of these stages again');
  option.negate = false;
  return option.argParser(collect).default([]);
}

function collect(value: string, previous: readonly string[]): string[] {
  return [...previous, value];
}
