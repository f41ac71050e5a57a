/** Where in a JSON text a byte lies, as `resourceSpans[0].scopeSpans[2].name`: worked out when there is a fault, so that reading need not keep it. */
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

const MOST_STEPS = 12;

/** The path of the value at byte `at` of a text that is JSON up to there; shortened in the middle when it is deep. */
export function pathTo(bytes: Uint8Array, at: number): string {
  let pos = 0;
  /** Keys of objects, indexes of arrays, outermost first. */
  const steps: (string | number)[] = [];
  let isKeyNext = false;
  while (pos < at) {
    const byte = bytes[pos++];
    if (byte === QUOTE) {
      const from = pos;
      while (pos < at && bytes[pos] !== QUOTE) pos += bytes[pos] === BACKSLASH ? 2 : 1;
      if (isKeyNext) steps[steps.length - 1] = Buffer.from(bytes.subarray(from, pos)).toString();
      pos++;
      isKeyNext = false;
      continue;
    }
    if (byte === 0x7b) steps.push('');
    else if (byte === 0x5b) steps.push(0);
    else if (byte === 0x7d || byte === 0x5d) steps.pop();
    else if (byte === 0x2c) {
      const last = steps.at(-1);
      if (typeof last === 'number') steps[steps.length - 1] = last + 1;
      isKeyNext = typeof last === 'string';
      continue;
    } else continue;
    isKeyNext = byte === 0x7b;
  }
  const shown =
    steps.length <= MOST_STEPS ? steps : [...steps.slice(0, MOST_STEPS / 2), '...', ...steps.slice(-MOST_STEPS / 2)];
  return shown
    .map((step) => (typeof step === 'number' ? `[${step}]` : `.${step.slice(0, 40)}`))
    .join('')
    .slice(1);
}
