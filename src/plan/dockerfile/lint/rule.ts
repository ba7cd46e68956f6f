/** What is known of a rule of the build checks. */
export interface LintRule {
  readonly name: RuleName;
  readonly description: string;
  /** Empty for a rule without a page on the web; ours are in `docs/checks.md`. */
  readonly url: string;
  /** Runs only when it is asked for. */
  readonly experimental: boolean;
  /** Whether it is none of BuildKit's: then it runs only when asked for by its name or as one of `Surprises`. */
  readonly own: boolean;
}

const DESCRIPTIONS = {
  NoEmptyContinuation: 'Empty continuation lines will become errors in a future release',
  MaintainerDeprecated: 'The MAINTAINER instruction is deprecated, use a label instead to define an image author',
  StageNameCasing: 'Stage names should be lowercase',
  FromAsCasing: "The 'as' keyword should match the case of the 'from' keyword",
  InvalidDefinitionDescription:
    'Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. ' +
    'If this is not intended to be a description comment, add an empty line or comment between the instruction and the comment.',
  ReservedStageName: 'Reserved words should not be used as stage names',
  DuplicateStageName: 'Stage names should be unique',
  ConsistentInstructionCasing: 'All commands within the Dockerfile should use the same casing (either upper or lower)',
  InvalidDefaultArgInFrom: 'Default value for global ARG results in an empty or invalid base image name',
  UndefinedArgInFrom: 'FROM command must use declared ARGs',
  RedundantTargetPlatform:
    'Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior',
  FromPlatformFlagConstDisallowed: 'FROM --platform flag should not use a constant value',
  InvalidBaseImagePlatform: 'Base image platform does not match expected target platform',
  LegacyKeyValueFormat: 'Legacy key/value format with whitespace separator should not be used',
  SecretsUsedInArgOrEnv: 'Sensitive data should not be used in the ARG or ENV commands',
  UndefinedVar: 'Variables should be defined before their use',
  WorkdirRelativePath:
    'Relative workdir without an absolute workdir declared within the build can have unexpected results if the base image changes',
  JSONArgsRecommended:
    'JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals',
  MultipleInstructionsDisallowed: 'Multiple instructions of the same type should not be used in the same stage',
  CopyIgnoredFile: 'Attempting to Copy file that is excluded by .dockerignore',
  ExposeProtoCasing: 'Protocol in EXPOSE instruction should be lowercase',
  ExposeInvalidFormat:
    'IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a future release',
} as const;

/** Rules of our own, about what surprises people in a cache. */
const SURPRISES = {
  SurpriseNetworkFetch: 'What a step fetches without a version or checksum stays as old as the step in the cache',
  SurpriseArgScope: 'An ARG is part of every RUN after it, whether the RUN uses it or not',
  SurpriseCopyAll: 'A step after a COPY runs again whenever one of the copied files changes',
  SurpriseCacheMountState: 'What a cache mount holds is no part of the key of the steps that read it',
  SurpriseCacheMountLost: 'What is written to a cache mount does not become part of the image',
  SurpriseBaseDrift: 'A base image without a digest may be another image tomorrow',
  SurpriseSecretIgnored: 'The value of a secret is no part of the key of a step',
} as const;

/** Asks for all rules about surprises. */
export const SURPRISES_GROUP = 'Surprises';

export type RuleName = keyof typeof DESCRIPTIONS | keyof typeof SURPRISES;

/** The rule of a name. */
export function lintRule(name: RuleName): LintRule {
  if (isSurprise(name)) return { name, description: SURPRISES[name], url: '', experimental: true, own: true };
  const slug = name
    .replace(/(?<=[a-z])[A-Z]|[A-Z](?=[a-z])/g, letter => `-${letter}`)
    .replace(/^-/, '')
    .toLowerCase();
  return {
    name,
    description: DESCRIPTIONS[name],
    url: name === 'InvalidBaseImagePlatform' ? '' : `https://docs.docker.com/go/dockerfile/rule/${slug}/`,
    experimental: name === 'InvalidDefinitionDescription',
    own: false,
  };
}

function isSurprise(name: RuleName): name is keyof typeof SURPRISES {
  return Object.hasOwn(SURPRISES, name);
}
