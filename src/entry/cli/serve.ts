import { type Command, Option } from 'commander';
import type { ServeFlags } from '../daemon/serve-flags.ts';

/** Adds `outcrop serve`, which takes the flags of `buildkitd`. */
export function addServeCommand(program: Command): void {
  const command = program
    .command('serve')
    .alias('buildkitd')
    .summary('serve BuildKit’s API: for docker, buildx and buildctl')
    .description('Serve BuildKit’s API on sockets, with the flags and the configuration file of buildkitd.')
    .optionsGroup('Where:')
    .option(
      '--addr <address>',
      'listen here: unix://PATH, tcp://HOST:PORT or fd://; may be given several times',
      collect,
    )
    .option('--root <path>', 'where all state is kept')
    .option('--config <path>', 'configuration file (default: /etc/buildkit/buildkitd.toml)')
    .option('--group <group>', 'group that may use the Unix socket: a name or a number')
    .option('--tlscert <path>', 'certificate of this server')
    .option('--tlskey <path>', 'key of this server')
    .option('--tlscacert <path>', 'who signs the certificates that clients must have')
    .optionsGroup('What is allowed:')
    .option('--allow-insecure-entitlement <name>', 'grant network.host or security.insecure to who asks', collect)
    .option('--cdi-spec-dir <path>', 'where devices are described (CDI); may be given several times', collect)
    .option('--cdi-disabled', 'give no devices of this machine to steps')
    .optionsGroup('How steps run:')
    .option('--oci-worker-labels <key=value>', 'label of the worker', collect)
    .option('--oci-worker-platform <platform>', 'platform to build for', collect)
    .option('--oci-worker-binary <path>', 'OCI runtime')
    .option('--oci-worker-no-process-sandbox', 'share the process ids of this machine with steps')
    .option('--oci-max-parallelism <n>', 'steps that run at the same time; 0 for no limit')
    .option('--oci-worker-gc [bool]', 'remove what is not used, by itself')
    .option('--oci-worker-gc-keepstorage <sizes>', 'RESERVED[,FREE[,MAXIMUM]] in megabytes')
    .optionsGroup('What is told:')
    .option('--debug', 'tell more')
    .option('--log-level <level>', 'error, warn, info, debug')
    .option('--log-format <format>', 'text or json')
    .helpOption('-h, --help', 'print this help')
    .action(async (flags: ServeFlags) => {
      const { enterPrivateMountNamespace } = await import('../../host/system/namespace.ts');
      // Before anything else runs: threads that exist already would stay outside.
      enterPrivateMountNamespace();
      const { runServe } = await import('../daemon/serve.ts');
      process.exitCode = await runServe(flags);
    });
  command.addOption(new Option('--proxy-network [bool]', 'not done').hideHelp());
  for (const flag of IGNORED) command.addOption(new Option(flag, 'taken, without effect').hideHelp());
}

/** Flags of buildkitd about what this daemon does not have. They are taken so that its command lines work. */
const IGNORED = [
  '--rootless',
  '--trace',
  '--debugaddr <address>',
  '--otel-socket-path <path>',
  '--save-cache-debug',
  '--oci-worker [bool]',
  '--oci-worker-snapshotter <name>',
  '--oci-worker-proxy-snapshotter-path <path>',
  '--oci-worker-net <mode>',
  '--oci-cni-config-path <path>',
  '--oci-cni-binary-dir <path>',
  '--oci-cni-pool-size <n>',
  '--oci-worker-apparmor-profile <name>',
  '--oci-worker-selinux',
  '--oci-worker-rootless',
  '--containerd-worker [bool]',
];

function collect(value: string, previous: readonly string[] | undefined): string[] {
  return [...(previous ?? []), value];
}
