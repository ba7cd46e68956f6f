/** The build graph of BuildKit (LLB): plan one, write it, read one. */
export type { BuildOptions } from './build-op.ts';
export { type MarshalledGraph, marshalGraph } from './definition.ts';
export type { Device, ExecSpec, ExtraHost, Mount, ProxyEnv, Secret, Ssh, Ulimit } from './exec.ts';
export type { Copy, FileAction, FileChain, MakeDirectory, MakeFile, Owner, Remove, Symlink } from './file.ts';
export { definitionEdge } from './from-definition.ts';
export { GitUrlError } from './git-url.ts';
export { DefinitionError, type LoadedEdge, type LoadedGraph, type LoadedVertex, loadDefinition } from './load.ts';
export { MarshalError, marshalMessage } from './marshal.ts';
export {
  type BlobOptions,
  type GitOptions,
  type HttpOptions,
  type ImageOptions,
  imageBlobSource,
  type LocalOptions,
  type OciLayoutOptions,
  type OciStore,
  ociLayoutBlobSource,
  type ResolveMode,
  SourceError,
} from './source.ts';
export * from './state.ts';
export type {
  Edge,
  GraphOptions,
  LinuxResources,
  ProgressGroup,
  SourceLocation,
  SourceMap,
  Vertex,
  VertexOptions,
} from './vertex.ts';
