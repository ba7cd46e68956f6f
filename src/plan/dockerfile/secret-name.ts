const SECRET = /(?:_|^)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)/iu;
const NO_SECRET = /(?:_|^)(?:public|file|version)(?:_|$)/iu;

/** Whether the name of an ARG or ENV says that its value is secret (BuildKit's check `SecretsUsedInArgOrEnv`). */
export function isSecretName(name: string): boolean {
  return SECRET.test(name) && !NO_SECRET.test(name);
}
