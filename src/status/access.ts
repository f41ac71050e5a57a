/** Who may see telemetry on the admin port: whoever is on this host, and beyond it who has a token of admin.auth. */
import { isLoopback } from '../core/endpoint.ts';
import { digestOf, findByToken, parseTokenLines, readTokenText } from '../core/tokens.ts';
import { watchFiles } from '../core/watchFiles.ts';

export interface AccessOptions {
  /** Empty: nobody beyond loopback. */
  tokenFile: string;
  /** A changed token file was taken (null) or refused, and what was in use stays. */
  onReload(error: Error | null): void;
}

interface Refusal {
  status: number;
  headers: Record<string, string>;
  error: string;
}

export interface Access {
  /** `host`: the name that was asked, without its port. Null: it may see telemetry. */
  refusalOf(remoteAddress: string, host: string, authorization: string | undefined): Refusal | null;
  /** Reads the tokens again when their file has changed. */
  reload(): void;
  stop(): void;
}

const KEY = 'admin.auth.bearer_token_file';
/** A request looks for itself: this is for who looks at /status after a change. */
const TOKENS_CHECK_MS = 10_000;

const NOT_CONFIGURED: Refusal = {
  status: 403,
  headers: {},
  error: `traces are shown on loopback alone: ask 127.0.0.1 on the host the agent runs on, and have admin.endpoint listen there, or set ${KEY} and send a token`,
};
const NO_TOKEN: Refusal = {
  status: 401,
  headers: { 'www-authenticate': 'Bearer' },
  error: `beyond loopback traces are shown to a valid token alone: send one of ${KEY} as Authorization: Bearer TOKEN`,
};

/** Throws CONFIG_INVALID when the file cannot be read or has a fault. */
export function createAccess({ tokenFile, onReload }: AccessOptions): Access {
  const tokens = tokenFile === '' ? null : watchTokens(tokenFile, onReload);
  return {
    refusalOf(remoteAddress, host, authorization) {
      // Not for a page of a name that was made to point here.
      if (isLoopback(remoteAddress) && isLoopback(host.replace(/^\[|\]$/g, ''))) return null;
      if (tokens === null) return NOT_CONFIGURED;
      return tokens.has(authorization) ? null : NO_TOKEN;
    },
    reload: () => tokens?.check(),
    stop: () => tokens?.stop(),
  };
}

function watchTokens(file: string, onReload: AccessOptions['onReload']) {
  let tokens = readTokens(file);
  const apply = () => {
    tokens = readTokens(file);
  };
  const watch = watchFiles([file], TOKENS_CHECK_MS, apply, onReload);
  return {
    ...watch,
    has(authorization: string | undefined): boolean {
      // So few ask that each may look: a token that was taken out opens nothing from then on.
      watch.check();
      return findByToken(tokens, authorization) !== null;
    },
  };
}

/** Throws CONFIG_INVALID. */
export function readTokens(file: string): { digest: Buffer }[] {
  return parseTokenLines(readTokenText(KEY, file), `${KEY}: ${file}`, (token) => ({ digest: digestOf(token) }));
}
