/**
 * Admission: one byte budget for all requests, reserved before a body is read and given back after its reply; fair between clients.
 *
 *   reserve -- fits ------------------------------> in flight -- release --> the waiter of the client with the least in flight
 *           \- does not fit -> waiting (bounded) -^
 *                              \- no room, or WAIT_MS later -> refused
 *
 * A client may have up to SHARE times what is free: alone it gets most of the budget, n greedy ones get equal parts, and some is always
 * left for who comes next. The rule is Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet switches", 1998.
 */

/** A client alone gets SHARE / (SHARE + 1) of the budget. */
const SHARE = 4;
/** Longer waits would only add to the sender's own time-out. */
const WAIT_MS = 1000;
const RATE_SPAN_MS = 1000;
/** Refusals for want of room that are said at once, a second; a crowd that does not heed Retry-After would be back at once, too, */
const PROMPT_REFUSALS = 100;
/** and each one costs up to a third of what taking its body costs: those beyond are said later, up to so much. Their bodies lie unread. */
const MOST_PAUSE_MS = 3000;
const MOST_RETRY_S = 30;

export interface AdmissionOptions {
  /** Bytes of requests in work. */
  limitBytes: number;
  /** Bytes of requests that may wait, unread, for room. */
  waitingBytes: number;
  /** Why the process has no memory left, or null; asked before a reservation. */
  pressure(): string | null;
  now(): number;
}

interface Waiter {
  bytes: number;
  settle(admitted: boolean): void;
}

interface Client {
  used: number;
  /** Oldest first. */
  waiters: Waiter[];
  waitingBytes: number;
}

export class Admission {
  readonly limit: number;
  readonly #options: AdmissionOptions;
  /** Those that have something in flight or waiting: never more than there are connections. */
  readonly #clients = new Map<string, Client>();
  #used = 0;
  #waiting = 0;
  #released = 0;
  #spanStartMs: number;
  /** Bytes a second given back, smoothed. */
  #rate = 0;
  /** When the last refusal is said, or would have been at PROMPT_REFUSALS a second. */
  #saidMs = 0;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.limit = options.limitBytes;
    this.#spanStartMs = options.now();
  }

  /** Bytes reserved now. */
  get used(): number {
    return this.#used;
  }

  /** Bytes of requests that wait. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Why nothing is admitted, whoever asks; null when there is no such reason. */
  pressure(): string | null {
    return this.#options.pressure();
  }

  /** Reserves bytes; false when they do not fit now, and then nothing was reserved. */
  reserve(name: string, bytes: number): boolean {
    const client = this.#client(name);
    const fits = client.waiters.length === 0 && this.#fits(client, bytes);
    if (fits) this.#take(client, bytes);
    this.#forget(name, client);
    return fits;
  }

  /** As `reserve` for a request that holds `heldBytes`: nothing is kept for others, only the whole must fit. Alone it always does. */
  grow(name: string, heldBytes: number, bytes: number): boolean {
    if (this.#used > heldBytes && this.#used + bytes > this.limit) return false;
    this.#take(this.#client(name), bytes);
    return true;
  }

  /** Waits for bytes that did not fit. `cancelled` resolves when the client has gone. True: they are reserved. */
  wait(name: string, bytes: number, cancelled: Promise<unknown>): Promise<boolean> {
    return new Promise((resolve) => {
      const client = this.#client(name);
      const timer = setTimeout(() => this.#drop(name, client, waiter), WAIT_MS);
      const waiter: Waiter = {
        bytes,
        settle(admitted) {
          clearTimeout(timer);
          resolve(admitted);
        },
      };
      client.waiters.push(waiter);
      client.waitingBytes += bytes;
      this.#waiting += bytes;
      void cancelled.then(() => this.#drop(name, client, waiter));
      while (this.#waiting > this.#options.waitingBytes) this.#dropOfGreediest();
      this.#admitWaiters();
    });
  }

  release(name: string, bytes: number): void {
    const client = this.#client(name);
    client.used -= bytes;
    this.#used -= bytes;
    this.#released += bytes;
    this.#forget(name, client);
    this.#follow();
    this.#admitWaiters();
  }

  /** How long a refusal for want of room is kept back. */
  pauseMs(): number {
    const now = this.#options.now();
    // A second's worth of them may come at once.
    const turn = Math.max(this.#saidMs, now - 1000) + 1000 / PROMPT_REFUSALS;
    this.#saidMs = Math.min(turn, now + MOST_PAUSE_MS);
    return Math.max(0, this.#saidMs - now);
  }

  /** Seconds a refused client should wait, from the rate at which bytes are given back; 1 to 30. */
  retryAfterS(): number {
    if (this.#rate <= 0) return 1;
    return Math.min(MOST_RETRY_S, Math.max(1, Math.ceil((this.#used + this.#waiting) / this.#rate)));
  }

  #client(name: string): Client {
    let client = this.#clients.get(name);
    if (client === undefined) {
      client = { used: 0, waiters: [], waitingBytes: 0 };
      this.#clients.set(name, client);
    }
    return client;
  }

  #forget(name: string, client: Client): void {
    if (client.used === 0 && client.waiters.length === 0) this.#clients.delete(name);
  }

  #fits(client: Client, bytes: number): boolean {
    // One request is always let in: else a body of more than the whole budget could never be.
    if (this.#used === 0) return true;
    const free = this.limit - this.#used - bytes;
    return free >= 0 && (client.used === 0 || client.used + bytes <= SHARE * free);
  }

  #take(client: Client, bytes: number): void {
    client.used += bytes;
    this.#used += bytes;
  }

  /** The client with the least in flight first; when its turn does not fit, nobody passes it. */
  #admitWaiters(): void {
    for (;;) {
      let name = '';
      let next: Client | null = null;
      for (const [key, client] of this.#clients) {
        if (client.waiters.length === 0 || (next !== null && client.used >= next.used)) continue;
        name = key;
        next = client;
      }
      const waiter = next?.waiters[0];
      if (next === null || waiter === undefined || !this.#fits(next, waiter.bytes)) return;
      this.#take(next, waiter.bytes);
      this.#remove(name, next, waiter);
      waiter.settle(true);
    }
  }

  /** No room to wait: the newest request of the client with the most waiting goes. */
  #dropOfGreediest(): void {
    let name = '';
    let greediest: Client | null = null;
    for (const [key, client] of this.#clients) {
      if (client.waiters.length === 0 || (greediest !== null && client.waitingBytes < greediest.waitingBytes)) continue;
      name = key;
      greediest = client;
    }
    const waiter = greediest?.waiters.at(-1);
    if (greediest !== null && waiter !== undefined) this.#drop(name, greediest, waiter);
  }

  #drop(name: string, client: Client, waiter: Waiter): void {
    if (this.#remove(name, client, waiter)) waiter.settle(false);
  }

  #remove(name: string, client: Client, waiter: Waiter): boolean {
    const index = client.waiters.indexOf(waiter);
    if (index < 0) return false;
    client.waiters.splice(index, 1);
    client.waitingBytes -= waiter.bytes;
    this.#waiting -= waiter.bytes;
    this.#forget(name, client);
    return true;
  }

  #follow(): void {
    const elapsed = this.#options.now() - this.#spanStartMs;
    if (elapsed < RATE_SPAN_MS) return;
    this.#rate = this.#rate * 0.5 + ((this.#released * 1000) / elapsed) * 0.5;
    this.#released = 0;
    this.#spanStartMs = this.#options.now();
  }
}
