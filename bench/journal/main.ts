/** `npm run bench:journal -- durability | backlog`: what the journal costs, and what a sink that was dead for long does to it. Exit status 1: missed. */
import { cpus, release } from 'node:os';
import { parseArgs } from 'node:util';
import { NODE_FLAGS } from '../slot.ts';
import { benchBacklog } from './backlog.ts';
import { benchDurability } from './durability.ts';

const { values, positionals } = parseArgs({
  options: {
    rounds: { type: 'string', default: '6' },
    seconds: { type: 'string', default: '6' },
    gib: { type: 'string', default: '12' },
    rate: { type: 'string', default: '0' },
  },
  allowPositionals: true,
});

console.log(
  `${cpus()[0]?.model} x ${cpus().length}, Linux ${release()}, Node ${process.version} ${NODE_FLAGS.join(' ')}`,
);
const benches: Record<string, () => Promise<boolean>> = {
  durability: () => benchDurability(Number(values.rounds), Number(values.seconds)),
  backlog: () => benchBacklog(Number(values.gib), Number(values.rate)),
};
const bench = benches[positionals[0] ?? ''];
if (bench === undefined) throw new Error(`name one of ${Object.keys(benches).join(', ')}`);
process.exitCode = (await bench()) ? 0 : 1;
