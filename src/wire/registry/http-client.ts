/** What is used of undici, in a module of its own: loaded when the first request is made, and bundled by these names. */
export { Agent, EnvHttpProxyAgent, request } from 'undici';
