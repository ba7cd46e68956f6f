import type { MessageInitShape } from '@bufbuild/protobuf';
import { Code } from '../../wire/grpc/code.ts';
import { StatusError } from '../../wire/grpc/status.ts';
import type { APICapSchema } from '../../wire/proto/gen/control/apicaps_pb.ts';

/**
 * What graphs and requests may ask for, in the names of BuildKit's LLB capabilities. What is missing here is not done, so
 * that clients refuse or do without it: clients read the list before they send what needs it.
 */
const LLB = `
  source.image source.image.resolvemode source.image.layerlimit source.image.checksum
  source.local source.local.unique source.local.sessionid source.local.includepatterns source.local.followpaths
  source.local.excludepatterns source.local.sharedkeyhint source.local.differ source.local.metadatatransfer
  source.git source.git.keepgitdir source.git.fullurl source.git.httpauth source.git.knownsshhosts
  source.git.mountsshsock source.git.subdir source.git.checksum source.git.skipsubmodules source.git.mtime
  source.git.fetchbycommit source.git.bundle source.git.checkoutbundle
  source.http source.http.auth source.http.checksum source.http.perm soruce.http.uidgid source.http.header
  source.imageblob source.ocilayout source.buildop.llbfilename
  exec.meta.base exec.meta.cgroup.parent exec.meta.network exec.meta.proxyenv exec.meta.security
  exec.meta.setsdefaultpath exec.meta.ulimit exec.meta.removemountstubs.recursive exec.meta.linux.resources
  exec.meta.cdi
  exec.mount.bind exec.mount.bind.readwrite-nooutput exec.mount.cache exec.mount.cache.sharing
  exec.mount.cache.content exec.mount.selector exec.mount.tmpfs exec.mount.tmpfs.size exec.mount.secret exec.mount.ssh
  exec.cgroup exec.secretenv exec.validexitcode
  file.base file.rm.wildcard file.rm.nofollowsymlink file.copy.includeexcludepatterns file.copy.requiredpaths
  file.copy.alwaysreplaceexistingdestpaths file.copy.modestring file.symlink.create
  constraints platform meta.ignorecache meta.description meta.exportcache
  mergeop diffop passthroughop
  exporter.image.annotations exporter.image.attestations exporter.sourcedateepoch exporter.multiple
  exporter.session
  source.policy source.policy.session gc.freespacefilter history.filter
`;

/** What frontends may ask their gateway for. */
const FRONTEND = `
  solve.base resolveimage resolveimage.resolvemode readfile return returnmap readdir statfile
  importcaches proto.refarray reference.output frontend.inputs gateway.solve.metadata frontend.caps
  gateway.exec gateway.exec.extrahosts gateway.exec.secretenv gateway.exec.signals gateway.exec.filesystem
  gateway.solve.evaluate gateway.evaluate gateway.warnings reference.attestations source.metaresolver
  source.metaresolver.image.attestations
`;

const DEPRECATED_FRONTEND = ['solve.inlinereturn'];

type Capability = MessageInitShape<typeof APICapSchema>;

const llb: ReadonlySet<string> = new Set(words(LLB));

/** The capabilities of graphs and requests, by name. */
export const llbCapabilities: readonly Capability[] = [...llb].sort().map(enabled);

/** The capabilities of the gateway, by name. */
export const frontendCapabilities: readonly Capability[] = [
  ...words(FRONTEND).map(enabled),
  ...DEPRECATED_FRONTEND.map(ID => ({ ID, Enabled: true, Deprecated: true })),
].sort((a, b) => (a.ID < b.ID ? -1 : 1));

/**
 * Refuses a graph that needs what this daemon does not do.
 * @param names that the metadata of its vertices list
 * @throws StatusError with BuildKit's text
 */
export function requireLlbCapabilities(names: Iterable<string>): void {
  for (const name of names) if (!llb.has(name)) throw new StatusError(Code.unknown, `unknown API capability ${name}`);
}

/** Whether graphs may use a capability. */
export function hasLlbCapability(name: string): boolean {
  return llb.has(name);
}

function enabled(ID: string): { readonly ID: string; readonly Enabled: true } {
  return { ID, Enabled: true };
}

function words(text: string): string[] {
  return text.trim().split(/\s+/);
}
