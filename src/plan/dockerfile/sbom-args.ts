/** Arguments that say what is scanned for bills of materials beside the result; they never enter the environment. */
export const SCAN_CONTEXT = 'BUILDKIT_SBOM_SCAN_CONTEXT';
export const SCAN_STAGE = 'BUILDKIT_SBOM_SCAN_STAGE';
export const SCAN_ARGS: ReadonlySet<string> = new Set([SCAN_CONTEXT, SCAN_STAGE]);
